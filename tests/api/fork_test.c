/* SPDX-License-Identifier: MIT */
/* runtime.h after fork(): the child has the memory of a runtime and none of its threads. */
#include "../support/fixture.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum {
    HANG_S = 60,
    KEYS = 500, /* so many there are: the search for a free one takes its time */
    FORKS = TEST_IS_SANITIZED ? 10 : 200,
};

struct forked {
    weft_runtime *runtime;
    weft_fiber *fiber;
    _Atomic(int) flag;
    _Atomic(int) is_over;
    _Atomic(unsigned) ran;
};

static int sleep_for_ever(void *arg)
{
    (void)arg;
    return weft_sleep_until(WEFT_FOREVER);
}

static int return_four(void *arg)
{
    (void)arg;
    return 4;
}

/* Exit statuses of a child tell which expectation failed; 0 is for none. */
#define EXPECT(condition)              \
    do {                               \
        if (!(condition))              \
            _exit(__LINE__ % 200 + 1); \
    } while (0)

/* Everything that a child may try with what its parent has left it. */
static void use_parents_runtime(struct forked *forked)
{
    int untouched = 42;

    EXPECT(weft_self() == NULL);
    EXPECT(weft_runtime_self() == NULL);
    EXPECT(weft_worker_index() == -1);
    EXPECT(!weft_is_cancelled());
    EXPECT(weft_spawn_on(forked->runtime, NULL, NULL, return_four, NULL) == -ECHILD);
    EXPECT(weft_join(forked->fiber, &untouched, WEFT_FOREVER) == -ECHILD);
    EXPECT(weft_wait(forked->runtime, &untouched, WEFT_FOREVER) == -ECHILD);
    EXPECT(weft_stop(forked->runtime) == -ECHILD);
    EXPECT(untouched == 42);
    weft_cancel(forked->fiber);
    weft_detach(forked->fiber);
    EXPECT(weft_spawn(NULL, return_four, NULL) == -EPERM);
    EXPECT(weft_yield() == -EPERM);
    EXPECT(weft_sleep(WEFT_SECOND) == -EPERM);
    EXPECT(weft_blocking(return_four, NULL, WEFT_FOREVER) == 4);
}

/* The end of a child that must neither hang nor die. */
static void expect_clean_end(pid_t child)
{
    int status = 0;

    CHECK(child > 0);
    CHECK_EQ(waitpid(child, &status, 0), child);
    CHECK_EQ(WIFSIGNALED(status) ? WTERMSIG(status) : 0, 0);
    CHECK_EQ(WEXITSTATUS(status), 0);
}

static pid_t fork_and_try(struct forked *forked)
{
    pid_t child = fork();

    if (child == 0) {
        (void)alarm(HANG_S);
        use_parents_runtime(forked);
        /* A sanitizer starts no threads here, or has left locks of its allocator held. */
        if (!TEST_IS_SANITIZED) {
            EXPECT(weft_run(NULL, return_four, NULL) == 4);
            EXPECT(weft_run(NULL, return_four, NULL) == 4);
        }
        _exit(0);
    }
    return child;
}

static void start(struct forked *forked, unsigned workers)
{
    struct weft_config config = WEFT_CONFIG_INIT;

    config.workers = workers;
    cr_assert_eq(weft_start(&config, NULL, NULL, &forked->runtime), 0);
    cr_assert_eq(weft_spawn_on(forked->runtime, NULL, &forked->fiber, sleep_for_ever, NULL), 0);
}

static void end(struct forked *forked)
{
    int result = 0;

    /* The child has touched nothing that belongs to the parent. */
    cr_expect_eq(weft_join(forked->fiber, NULL, weft_after(WEFT_MILLISECOND)), -ETIMEDOUT);
    weft_cancel(forked->fiber);
    cr_expect_eq(weft_join(forked->fiber, &result, WEFT_FOREVER), 0);
    cr_expect_eq(result, -ECANCELED);
    cr_expect_eq(weft_stop(forked->runtime), 0);
    cr_assert_eq(weft_wait(forked->runtime, NULL, WEFT_FOREVER), 0);
}

/* Without a check the child would wait for workers that it does not have. */
WORKER_TEST(fork, a_plain_thread_gets_clean_errors, TEST_TIMEOUT_S)
{
    struct forked forked = {.flag = 0};

    start(&forked, *workers);
    expect_clean_end(fork_and_try(&forked));
    end(&forked);
}

static int fork_in_fiber(void *arg)
{
    pid_t child = fork_and_try(arg);

    expect_clean_end(child);
    CHECK_EQ(weft_yield(), 0); /* the parent's fiber is none the wiser */
    return 4;
}

/* The child's only thread looks like a worker whose ring belongs to another process. */
WORKER_TEST(fork, a_fiber_gets_clean_errors, TEST_TIMEOUT_S)
{
    struct forked forked = {.flag = 0};
    weft_fiber *fiber;
    int result = 0;

    start(&forked, *workers);
    cr_assert_eq(weft_spawn_on(forked.runtime, NULL, &fiber, fork_in_fiber, &forked), 0);
    cr_assert_eq(weft_join(fiber, &result, WEFT_FOREVER), 0);
    cr_expect_eq(result, 4);
    end(&forked);
}

static int fork_and_return(void *arg)
{
    pid_t child = fork();
    int status = 0;

    (void)arg;
    if (child == 0) {
        (void)alarm(HANG_S);
        (void)close(STDERR_FILENO); /* the expected message would look like a failure */
        return 0;
    }
    CHECK(child > 0);
    CHECK_EQ(waitpid(child, &status, 0), child);
    CHECK(WIFSIGNALED(status));
    CHECK_EQ(WTERMSIG(status), SIGABRT);
    return 4;
}

/* There is no scheduler to return to.  That is said, rather than left to a crash. */
Test(fork, a_fiber_that_returns_in_the_child_aborts, .timeout = TEST_TIMEOUT_S)
{
    cr_expect_eq(run_workers(2, fork_and_return, NULL), 4);
    if (!TEST_IS_SANITIZED)
        cr_expect_eq(weft_run(NULL, fork_and_return, NULL), 4);
}

static void *keep_spawning(void *arg)
{
    struct forked *forked = arg;

    while (atomic_load(&forked->is_over) == 0) {
        weft_fiber *fiber;

        CHECK_EQ(weft_spawn_on(forked->runtime, NULL, &fiber, return_four, NULL), 0);
        CHECK_EQ(must_join(fiber), 4);
        (void)atomic_fetch_add(&forked->ran, 1);
    }
    return NULL;
}

/* In the middle of whatever the others do: each lock of the parent may be held by a thread that
 * the child does not have. */
WORKER_TEST(fork, children_of_a_busy_process_do_not_hang, TEST_TIMEOUT_S)
{
    struct forked forked = {.flag = 0};
    pthread_t threads[2];

    start(&forked, *workers);
    for (int i = 0; i < 2; i++)
        cr_assert_eq(pthread_create(&threads[i], NULL, keep_spawning, &forked), 0);
    while (atomic_load(&forked.ran) < 10)
        (void)usleep(100);
    for (int i = 0; i < (TEST_IS_SANITIZED ? 3 : 15); i++)
        expect_clean_end(fork_and_try(&forked));
    atomic_store(&forked.is_over, 1);
    for (int i = 0; i < 2; i++)
        cr_assert_eq(pthread_join(threads[i], NULL), 0);
    end(&forked);
}

static _Atomic(int) is_over;
static _Atomic(unsigned) rounds;

static int yield_once(weft_generator *generator, void *arg)
{
    return weft_generator_yield(generator, arg, NULL);
}

static void use_generator(void)
{
    weft_generator *generator = NULL;
    void *value = NULL;

    CHECK_EQ(weft_generator_create(&generator, yield_once, &rounds, 0), 0);
    CHECK_EQ(weft_generator_next(generator, &value), 0);
    CHECK(value == &rounds);
    weft_generator_free(generator);
}

static void use_key(void)
{
    weft_local_key key;

    CHECK_EQ(weft_local_key_create(&key, NULL), 0);
    CHECK(weft_local_get(key) == NULL);
    weft_local_key_delete(key);
}

static void use_allocator(void)
{
    CHECK_EQ(weft_set_allocator(NULL), 0);
}

typedef void use_fn(void);

/* ThreadSanitizer of gcc keeps a frame for each generator that a thread has used, of which it has
 * room for 65,536. */
enum { FAST_ROUNDS_MAX = TEST_IS_TSAN ? 20000 : INT32_MAX };

static void *keep_using(void *arg)
{
    use_fn *const *use = arg;

    while (atomic_load(&is_over) == 0) {
        (*use)();
        if (atomic_fetch_add(&rounds, 1) > FAST_ROUNDS_MAX)
            (void)usleep(1000);
    }
    return NULL;
}

static void use_all_in_child(bool has_allocator)
{
    weft_local_key key;

    use_generator();
    use_key();
    EXPECT(weft_local_key_create(&key, NULL) == 0);
    /* See fork_and_try(). */
    if (TEST_IS_SANITIZED)
        return;
    if (has_allocator)
        use_allocator();
    EXPECT(weft_local_set(key, &key) == 0);
    EXPECT(weft_local_get(key) == &key);
}

/* Forks while other threads do nothing but `use`. */
static void fork_among(use_fn *use, unsigned threads_count)
{
    pthread_t threads[2];

    atomic_store(&is_over, 0);
    atomic_store(&rounds, 0);
    for (unsigned i = 0; i < threads_count; i++)
        cr_assert_eq(pthread_create(&threads[i], NULL, keep_using, &use), 0);
    while (atomic_load(&rounds) < 10)
        (void)usleep(100);
    for (int i = 0; i < FORKS; i++) {
        pid_t child = fork();

        if (child == 0) {
            (void)alarm(HANG_S);
            use_all_in_child(use == use_allocator);
            _exit(0);
        }
        expect_clean_end(child);
    }
    atomic_store(&is_over, 1);
    for (unsigned i = 0; i < threads_count; i++)
        cr_assert_eq(pthread_join(threads[i], NULL), 0);
}

static void make_keys(void)
{
    weft_local_key key;

    for (int i = 0; i < KEYS; i++)
        cr_assert_eq(weft_local_key_create(&key, NULL), 0);
}

/* What generators and keys have in common in the process is under locks, which a thread that the
 * child does not have may hold. */
Test(fork, children_use_generators_and_keys, .timeout = TEST_TIMEOUT_S)
{
    struct forked forked = {.flag = 0};

    start(&forked, 2);
    make_keys();
    fork_among(use_generator, 2);
    fork_among(use_key, 2);
    end(&forked);
}

/* Then nobody has told the process of its children yet. */
Test(fork, children_use_generators_without_a_runtime, .timeout = TEST_TIMEOUT_S)
{
    fork_among(use_generator, 2);
}

Test(fork, children_use_keys_without_a_runtime, .timeout = TEST_TIMEOUT_S)
{
    make_keys();
    fork_among(use_key, 2);
}

/* One thread: others must not use the library at that time. */
Test(fork, children_allocate_without_a_runtime, .timeout = TEST_TIMEOUT_S)
{
    fork_among(use_allocator, 1);
}
