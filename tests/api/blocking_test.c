/* SPDX-License-Identifier: MIT */
/* blocking.h: calls on the pool of threads. */
#include "../support/child.h"
#include "../support/fixture.h"
#include "../support/forbid.h"
#include "../support/net.h"

#include <errno.h>
#include <netdb.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { CALLS = 200, POOL = 3 };

struct pool {
    int fds[2]; /* a call that holds its thread reads from the first */
    weft_fiber *fiber;
    _Atomic(int) at_once;
    _Atomic(int) most;
    _Atomic(int) begun;
    _Atomic(int) ended;
};

static int run_with_pool(unsigned workers, unsigned threads, int (*fn)(void *), struct pool *pool)
{
    struct weft_config config = WEFT_CONFIG_INIT;
    int result;

    config.monitor = 2; /* no spare workers, which would count as threads of the pool */
    config.workers = workers;
    config.blocking_threads = threads;
    make_pipe(pool->fds);
    result = run_config(&config, fn, pool);
    (void)close(pool->fds[0]);
    (void)close(pool->fds[1]);
    return result;
}

/* A call that lasts until somebody writes a byte. */
static int hold_thread(void *arg)
{
    struct pool *pool = arg;
    char byte;

    (void)atomic_fetch_add(&pool->begun, 1);
    CHECK_EQ(read(pool->fds[0], &byte, 1), 1);
    (void)atomic_fetch_add(&pool->ended, 1);
    return 8;
}

static int hold_thread_in_fiber(void *arg)
{
    return weft_blocking(hold_thread, arg, WEFT_FOREVER);
}

static void release_thread(struct pool *pool)
{
    CHECK_EQ(write(pool->fds[1], "", 1), 1);
}

static void await_begun(struct pool *pool, int count)
{
    while (atomic_load(&pool->begun) < count)
        CHECK_EQ(weft_sleep(WEFT_MILLISECOND), 0);
}

struct sum {
    int a, b;
    pthread_t thread;
};

static int add(void *arg)
{
    struct sum *sum = arg;

    CHECK(weft_self() == NULL);
    sum->thread = pthread_self();
    return sum->a + sum->b;
}

static int call_once(void *arg)
{
    struct sum sum = {.a = 3, .b = -20};

    (void)arg;
    CHECK_EQ(weft_blocking(add, &sum, WEFT_FOREVER), -17);
    CHECK(!pthread_equal(sum.thread, pthread_self()));
    return 0;
}

/* Results of either sign come back, and the call was made on another thread. */
WORKER_TEST(blocking, the_result_is_the_functions, TEST_TIMEOUT_S)
{
    cr_expect_eq(run_workers(*workers, call_once, NULL), 0);
}

/* On a plain thread there is nothing to keep free. */
Test(blocking, a_plain_thread_calls_at_once, .timeout = TEST_TIMEOUT_S)
{
    struct sum sum = {.a = 3, .b = 4};

    cr_expect_eq(weft_blocking(add, &sum, 0), 7);
    cr_expect(pthread_equal(sum.thread, pthread_self()));
}

static int count_at_once(void *arg)
{
    struct pool *pool = arg;
    int now = atomic_fetch_add(&pool->at_once, 1) + 1;
    int most = atomic_load(&pool->most);

    while (now > most && !atomic_compare_exchange_weak(&pool->most, &most, now))
        ;
    (void)atomic_fetch_add(&pool->begun, 1);
    (void)usleep(500);
    (void)atomic_fetch_sub(&pool->at_once, 1);
    return 6;
}

static int call_count(void *arg)
{
    CHECK_EQ(weft_blocking(count_at_once, arg, WEFT_FOREVER), 6);
    return 0;
}

static int call_many(void *arg)
{
    weft_fiber *fibers[CALLS];

    for (int i = 0; i < CALLS; i++)
        fibers[i] = must_spawn(call_count, arg);
    for (int i = 0; i < CALLS; i++)
        CHECK_EQ(must_join(fibers[i]), 0);
    return 0;
}

/* More calls than threads: each is made, never more at once than there may be. */
WORKER_TEST(blocking, the_pool_is_bounded, TEST_TIMEOUT_S)
{
    struct pool pool = {.at_once = 0};

    cr_expect_eq(run_with_pool(*workers, POOL, call_many, &pool), 0);
    cr_expect_eq(pool.begun, CALLS);
    cr_expect_leq(pool.most, POOL);
}

static int hold_all(void *arg)
{
    struct pool *pool = arg;
    weft_fiber *fibers[POOL];

    for (int i = 0; i < POOL; i++)
        fibers[i] = must_spawn(hold_thread_in_fiber, pool);
    await_begun(pool, POOL);
    for (int i = 0; i < POOL; i++)
        release_thread(pool);
    for (int i = 0; i < POOL; i++)
        CHECK_EQ(must_join(fibers[i]), 8);
    return 0;
}

/* A call does not wait for another's end while there may be one more thread: calls may depend on
 * each other's progress. */
WORKER_TEST(blocking, the_pool_is_used_to_the_full, TEST_TIMEOUT_S)
{
    struct pool pool = {.at_once = 0};

    cr_expect_eq(run_with_pool(*workers, POOL, hold_all, &pool), 0);
    cr_expect_eq(pool.ended, POOL);
}

static int must_not_run(void *arg)
{
    (void)arg;
    check_fail(__FILE__, __LINE__, "a call was made that had been taken out of the queue");
}

static int call_forbidden(void *arg)
{
    return weft_blocking(must_not_run, arg, WEFT_FOREVER);
}

static int interrupt_queued(void *arg)
{
    struct pool *pool = arg;
    weft_fiber *holder = must_spawn(hold_thread_in_fiber, pool);
    weft_fiber *fibers[3];

    await_begun(pool, 1);
    /* Of three in the queue, the middle one, the last and the first go, in this order. */
    for (int i = 0; i < 3; i++) {
        fibers[i] = must_spawn(call_forbidden, pool);
        CHECK_EQ(weft_sleep(WEFT_MILLISECOND), 0);
    }
    weft_cancel(fibers[1]);
    CHECK_EQ(must_join(fibers[1]), -ECANCELED);
    CHECK_EQ(weft_blocking(must_not_run, pool, weft_after(WEFT_MILLISECOND)), -ETIMEDOUT);
    CHECK_EQ(weft_blocking(must_not_run, pool, 0), -ETIMEDOUT);
    weft_cancel(fibers[2]);
    CHECK_EQ(must_join(fibers[2]), -ECANCELED);
    weft_cancel(fibers[0]);
    CHECK_EQ(must_join(fibers[0]), -ECANCELED);
    release_thread(pool);
    CHECK_EQ(must_join(holder), 8);
    return weft_blocking(count_at_once, pool, WEFT_FOREVER); /* the queue still works */
}

/* The pool has one thread, and it is held: what waits behind it can be taken out from any place
 * of the queue, and is then never called. */
WORKER_TEST(blocking, queued_calls_can_be_interrupted, TEST_TIMEOUT_S)
{
    struct pool pool = {.at_once = 0};

    cr_expect_eq(run_with_pool(*workers, 1, interrupt_queued, &pool), 6);
}

static int hold_then_sleep(void *arg)
{
    int result;

    /* On a busy machine the deadline can pass before the call begins. */
    do
        result = weft_blocking(hold_thread, arg, weft_after(20 * WEFT_MILLISECOND));
    while (result == -ETIMEDOUT);
    CHECK_EQ(result, 8);
    return weft_sleep(WEFT_SECOND);
}

static int interrupt_running(void *arg)
{
    struct pool *pool = arg;
    weft_fiber *holder = must_spawn(hold_then_sleep, pool);
    int result = 0;

    await_begun(pool, 1);
    weft_cancel(holder);
    CHECK_EQ(weft_join(holder, NULL, weft_after(50 * WEFT_MILLISECOND)), -ETIMEDOUT);
    CHECK_EQ(atomic_load(&pool->ended), 0);
    release_thread(pool);
    CHECK_EQ(weft_join(holder, &result, WEFT_FOREVER), 0);
    CHECK_EQ(result, -ECANCELED); /* of the sleep: the cancel was not lost */
    return 0;
}

/* Neither deadline nor cancel leaves a call that has begun: it uses its caller's stack, and what
 * it has done is reported. */
WORKER_TEST(blocking, running_calls_are_waited_for, TEST_TIMEOUT_S)
{
    struct pool pool = {.at_once = 0};

    cr_expect_eq(run_with_pool(*workers, POOL, interrupt_running, &pool), 0);
    cr_expect_eq(pool.ended, 1);
}

static int count_cancelled(void *arg)
{
    struct pool *pool = arg;
    int result = weft_blocking(must_not_run, pool, WEFT_FOREVER);

    CHECK_EQ(result, -ECANCELED);
    (void)atomic_fetch_add(&pool->most, 1);
    return result;
}

static void *release_at_the_end(void *arg)
{
    struct pool *pool = arg;

    while (atomic_load(&pool->most) < 10)
        (void)usleep(1000);
    release_thread(pool);
    return NULL;
}

static int end_with_calls(void *arg)
{
    struct pool *pool = arg;

    CHECK_EQ(weft_spawn(NULL, hold_thread_in_fiber, pool), 0);
    await_begun(pool, 1);
    for (int i = 0; i < 10; i++)
        CHECK_EQ(weft_spawn(NULL, count_cancelled, pool), 0);
    CHECK_EQ(weft_sleep(WEFT_MILLISECOND), 0);
    return 1;
}

/* The end of the runtime takes the calls out that wait, and waits for the one that runs. */
WORKER_TEST(blocking, the_end_waits_for_running_calls_only, TEST_TIMEOUT_S)
{
    struct pool pool = {.at_once = 0};
    struct weft_config config = WEFT_CONFIG_INIT;
    pthread_t thread;

    config.workers = *workers;
    config.blocking_threads = 1;
    make_pipe(pool.fds);
    cr_assert_eq(pthread_create(&thread, NULL, release_at_the_end, &pool), 0);
    cr_expect_eq(weft_run(&config, end_with_calls, &pool), 1);
    cr_expect_eq(pool.ended, 1);
    cr_assert_eq(pthread_join(thread, NULL), 0);
    (void)close(pool.fds[0]);
    (void)close(pool.fds[1]);
}

static int call_cancelled(void *arg)
{
    weft_cancel(weft_self());
    return weft_blocking(must_not_run, arg, WEFT_FOREVER);
}

/* As every call that suspends. */
Test(blocking, a_cancelled_fiber_calls_nothing, .timeout = TEST_TIMEOUT_S)
{
    cr_expect_eq(run_workers(2, call_cancelled, NULL), -ECANCELED);
}

static int interrupt_at_random(void *arg)
{
    struct pool *pool = arg;
    int calls = 0;

    for (int i = 0; i < 300; i++) {
        weft_fiber *fiber = must_spawn(call_count, pool);
        int error = weft_blocking(count_at_once, pool, weft_after(i % 20 * 50000));

        CHECK(error == 6 || error == -ETIMEDOUT);
        calls += error == 6;
        CHECK_EQ(must_join(fiber), 0);
        calls++;
    }
    CHECK_EQ(atomic_load(&pool->begun), calls);
    return 0;
}

/* A deadline that passes as the call begins: it is either made and reported, or neither. */
WORKER_TEST(blocking, deadlines_race_with_the_begin, TEST_TIMEOUT_S)
{
    struct pool pool = {.at_once = 0};

    cr_expect_eq(run_with_pool(*workers, 1, interrupt_at_random, &pool), 0);
}

static unsigned pool_threads(const struct resources *before)
{
    return resources_now().threads - before->threads;
}

static int let_pool_idle(void *arg)
{
    struct pool *pool = arg;
    struct resources before = resources_now();

    CHECK_EQ(hold_all(pool), 0);
    CHECK(pool_threads(&before) >= POOL);
    while (pool_threads(&before) > 0)
        CHECK_EQ(weft_sleep(100 * WEFT_MILLISECOND), 0);
    atomic_store(&pool->begun, 0);
    return hold_all(pool);
}

/* A burst of calls does not keep its threads for good, and the next one finds new ones. */
Test(blocking, idle_threads_end, .timeout = TEST_TIMEOUT_S)
{
    struct pool pool = {.at_once = 0};

    cr_expect_eq(run_with_pool(2, POOL, let_pool_idle, &pool), 0);
}

static int resolve(void *arg)
{
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_family = AF_INET};

    return getaddrinfo("localhost", "80", &hints, arg) == 0 ? 0 : -ENOENT;
}

static int resolve_in_fiber(void *arg)
{
    struct addrinfo *found = NULL;

    (void)arg;
    CHECK_EQ(weft_blocking(resolve, &found, WEFT_FOREVER), 0);
    CHECK(found != NULL);
    CHECK_EQ(((struct sockaddr_in *)(void *)found->ai_addr)->sin_addr.s_addr,
             htonl(INADDR_LOOPBACK));
    freeaddrinfo(found);
    return 0;
}

/* What the pool is for. */
WORKER_TEST(blocking, names_are_resolved, TEST_TIMEOUT_S)
{
    cr_expect_eq(run_workers(*workers, resolve_in_fiber, NULL), 0);
}

static int return_seven(void *arg)
{
    (void)arg;
    return 7;
}

static int call_without_threads(void *arg)
{
    (void)arg;
    forbid_threads();
    for (int i = 0; i < 3; i++)
        CHECK_EQ(weft_blocking(return_seven, NULL, WEFT_FOREVER), -EAGAIN);
    return 0;
}

CHILD(blocking_without_threads)
{
    struct weft_config config = {.workers = parameter, .monitor = 2};

    return weft_run(&config, call_without_threads, NULL);
}

static int call_seven_in_fiber(void *arg)
{
    return weft_blocking(return_seven, arg, WEFT_FOREVER);
}

static int call_with_one_thread(void *arg)
{
    struct pool *pool = arg;
    weft_fiber *holder = must_spawn(hold_thread_in_fiber, pool);
    weft_fiber *fibers[10];

    await_begun(pool, 1);
    forbid_threads();
    for (int i = 0; i < 10; i++)
        fibers[i] = must_spawn(call_seven_in_fiber, NULL);
    CHECK_EQ(weft_sleep(WEFT_MILLISECOND), 0);
    release_thread(pool);
    CHECK_EQ(must_join(holder), 8);
    for (int i = 0; i < 10; i++)
        CHECK_EQ(must_join(fibers[i]), 7);
    return 0;
}

CHILD(blocking_with_one_thread)
{
    struct weft_config config = {.workers = parameter, .monitor = 2, .blocking_threads = 8};
    struct pool pool = {.begun = 0};

    make_pipe(pool.fds);
    return weft_run(&config, call_with_one_thread, &pool);
}

/* Where the system gives no thread the call fails if the pool has none, and else waits for one. */
Test(blocking, threads_refused_fail_no_call_that_can_wait, .timeout = TEST_TIMEOUT_S)
{
    static const char *const children[] = {"blocking_without_threads", "blocking_with_one_thread"};

    for (unsigned workers = 1; workers <= 4; workers *= 4) {
        for (size_t i = 0; i < 2; i++) {
            struct child_end end;

            run_child(children[i], workers, environment_without_threads, &end);
            cr_expect_eq(end.exit_status, 0, "%s, signal %d: %s", children[i], end.signal,
                         end.output);
        }
    }
}
