/* SPDX-License-Identifier: MIT */
/* resolve.h: names that need no network, and lookups that nobody waits for any more. */
#define _GNU_SOURCE 1

#include "../support/child.h"
#include "../support/fixture.h"

#include <dlfcn.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdatomic.h>
#include <string.h>
#include <unistd.h>

/* The library's resolver is this one, which can be made to take its time. */
static _Atomic(int) lookups, is_held, is_taken;

int getaddrinfo(const char *host, const char *service, const struct addrinfo *hints,
                struct addrinfo **found)
{
    int (*real)(const char *, const char *, const struct addrinfo *, struct addrinfo **);
    void *symbol = dlsym(RTLD_NEXT, "getaddrinfo");

    (void)atomic_fetch_add(&lookups, 1);
    while (atomic_load(&is_held))
        (void)usleep(1000);
    memcpy(&real, &symbol, sizeof real);
    return real(host, service, hints, found);
}

static const struct addrinfo numeric = {
    .ai_family = AF_INET, .ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICHOST | AI_NUMERICSERV};

static int find_addresses(void *arg)
{
    struct addrinfo strange = {.ai_family = 12345};
    struct addrinfo *found = NULL;

    (void)arg;
    CHECK_EQ(weft_resolve("127.0.0.1", "80", &numeric, &found, WEFT_FOREVER), 0);
    CHECK(found != NULL && found->ai_family == AF_INET);
    CHECK_EQ(ntohs(((struct sockaddr_in *)(void *)found->ai_addr)->sin_port), 80);
    freeaddrinfo(found);
    CHECK_EQ(weft_resolve("localhost", NULL, NULL, &found, WEFT_FOREVER), 0);
    freeaddrinfo(found);
    found = NULL;
    CHECK_EQ(weft_resolve("not.numeric", "80", &numeric, &found, WEFT_FOREVER), -ENOENT);
    CHECK_EQ(weft_resolve("127.0.0.1", "no-such-service", NULL, &found, WEFT_FOREVER), -ENOENT);
    CHECK_EQ(weft_resolve(NULL, NULL, NULL, &found, WEFT_FOREVER), -ENOENT);
    CHECK_EQ(weft_resolve("127.0.0.1", NULL, &strange, &found, WEFT_FOREVER), -EINVAL);
    CHECK(found == NULL);
    return 0;
}

WORKER_TEST(resolve, finds_what_needs_no_server, TEST_TIMEOUT_S)
{
    cr_expect_eq(run_workers(*workers, find_addresses, NULL), 0);
}

Test(resolve, plain_threads_may_ask, .timeout = TEST_TIMEOUT_S)
{
    cr_expect_eq(find_addresses(NULL), 0);
}

static int hold_the_pool(void *arg)
{
    _Atomic(int) *may_end = arg;

    atomic_store(&is_taken, 1);
    while (!atomic_load(may_end))
        (void)usleep(1000);
    return 0;
}

static int hold_it(void *arg)
{
    return weft_blocking(hold_the_pool, arg, WEFT_FOREVER);
}

static int ask(void *arg)
{
    struct addrinfo *found = NULL;
    int error = weft_resolve("127.0.0.1", "80", &numeric, &found, *(weft_time *)arg);

    if (error == 0)
        freeaddrinfo(found);
    return error;
}

static int give_up(void *arg)
{
    static _Atomic(int) may_end;
    weft_time soon, never = WEFT_FOREVER;
    weft_fiber *holder = must_spawn(hold_it, &may_end), *fiber;

    (void)arg;
    await_flag(&is_taken);
    for (int i = 0; i < 20; i++) { /* none of them stays, nor has a fiber that does */
        soon = weft_after(WEFT_MILLISECOND);
        CHECK_EQ(ask(&soon), -ETIMEDOUT);
    }
    fiber = must_spawn(ask, &never);
    CHECK_EQ(weft_sleep(WEFT_MILLISECOND), 0);
    weft_cancel(fiber);
    CHECK_EQ(must_join(fiber), -ECANCELED);
    atomic_store(&may_end, 1);
    CHECK_EQ(must_join(holder), 0);
    CHECK_EQ(atomic_load(&lookups), 0);
    return ask(&never);
}

/* The only thread is busy, as with a name server that does not answer.  Whoever asks gets away all
 * the same, and what was asked is not looked up any more. */
Test(resolve, a_lookup_that_was_given_up_never_begins, .timeout = TEST_TIMEOUT_S)
{
    struct weft_config config = {.workers = 2, .blocking_threads = 1, .max_fibers = 8};

    cr_expect_eq(run_config(&config, give_up, NULL), 0);
    cr_expect_eq(lookups, 1);
}

static void await_lookups(int count)
{
    while (atomic_load(&lookups) < count)
        CHECK_EQ(weft_sleep(WEFT_MILLISECOND), 0);
}

/* Until so many have begun: the thread may come after the deadline. */
static int leave_one(int count)
{
    int error;

    do {
        weft_time soon = weft_after(20 * WEFT_MILLISECOND);

        error = ask(&soon);
    } while (error == -ETIMEDOUT && atomic_load(&lookups) < count);
    return error;
}

static int leave_what_has_begun(void *arg)
{
    weft_time never = WEFT_FOREVER, past = 0, soon;
    weft_fiber *fiber = must_spawn(ask, &never);

    (void)arg;
    CHECK_EQ(ask(&past), -ETIMEDOUT);
    await_lookups(1);
    weft_cancel(fiber);
    CHECK_EQ(must_join(fiber), -ECANCELED);
    CHECK_EQ(leave_one(2), -ETIMEDOUT);
    /* Both threads are taken, and nobody waits for them. */
    soon = weft_after(5 * WEFT_MILLISECOND);
    CHECK_EQ(ask(&soon), -ETIMEDOUT);
    CHECK_EQ(atomic_load(&lookups), 2);
    atomic_store(&is_held, 0);
    CHECK_EQ(ask(&never), 0);
    CHECK_EQ(atomic_load(&lookups), 3);
    return 0;
}

/* The resolver goes on alone, and what it finds is freed. */
WORKER_TEST(resolve, a_lookup_that_has_begun_is_left, TEST_TIMEOUT_S)
{
    struct weft_config config = {.workers = *workers, .blocking_threads = 2};

    atomic_store(&is_held, 1);
    cr_expect_eq(run_config(&config, leave_what_has_begun, NULL), 0);
}

static int leave_the_first(void *arg)
{
    (void)arg;
    return leave_one(1);
}

/* The end waits for it, but no longer than it is asked to. */
WORKER_TEST(resolve, the_end_waits_for_one_that_was_left, TEST_TIMEOUT_S)
{
    weft_runtime *runtime;
    int result = 0;

    atomic_store(&is_held, 1);
    runtime = must_start(*workers, leave_the_first, NULL);
    cr_expect_eq(weft_wait(runtime, &result, weft_after(100 * WEFT_MILLISECOND)), -ETIMEDOUT);
    while (atomic_load(&lookups) == 0)
        (void)usleep(1000);
    cr_expect_eq(weft_wait(runtime, &result, 0), -ETIMEDOUT);
    cr_expect_eq(weft_wait(runtime, &result, weft_after(100 * WEFT_MILLISECOND)), -ETIMEDOUT);
    atomic_store(&is_held, 0);
    cr_expect_eq(must_end(runtime), -ETIMEDOUT);
}

static int clean_up(void *arg)
{
    weft_scope scope = WEFT_SCOPE_INIT;
    weft_time never = WEFT_FOREVER;

    CHECK_EQ(weft_sleep_until(WEFT_FOREVER), -ECANCELED);
    CHECK_EQ(ask(&never), -ECANCELED);
    CHECK_EQ(weft_scope_open_shielded(&scope, WEFT_FOREVER), 0);
    *(int *)arg = ask(&never);
    return weft_scope_close(&scope, 0);
}

static int end_beside_a_shield(void *result)
{
    weft_detach(must_spawn(clean_up, result));
    return weft_sleep(5 * WEFT_MILLISECOND);
}

/* It takes no fiber, which nobody may spawn by then. */
WORKER_TEST(resolve, a_shield_can_ask_after_the_end_has_begun, TEST_TIMEOUT_S)
{
    int result = -1;

    cr_expect_eq(run_workers(*workers, end_beside_a_shield, &result), 0);
    cr_expect_eq(result, 0);
}

static int wait_for_ever(void *arg)
{
    weft_event never = WEFT_EVENT_INIT;
    int error;

    (void)arg;
    CHECK_EQ(leave_one(1), -ETIMEDOUT);
    error = weft_event_wait(&never, WEFT_FOREVER);
    atomic_store(&is_held, 0);
    return error;
}

CHILD(deadlock_beside_a_lookup)
{
    struct weft_config config = {.workers = parameter};

    atomic_store(&is_held, 1);
    CHECK_EQ(weft_run(&config, wait_for_ever, NULL), -EDEADLK);
    return 0;
}

/* One that was left will wake nobody. */
WORKER_TEST(resolve, a_lookup_that_was_left_hides_no_deadlock, TEST_TIMEOUT_S)
{
    struct child_end end;

    if (TEST_IS_TSAN)
        cr_skip_test("the sanitizer has a thread of its own, which might wake somebody");
    run_child("deadlock_beside_a_lookup", *workers, NULL, &end);
    cr_expect_eq(end.exit_status, 0, "status %d, signal %d: %s", end.exit_status, end.signal,
                 end.output);
}

static int race_with_deadlines(void *arg)
{
    enum { ROUNDS = 300 };
    int found = 0, late = 0;

    (void)arg;
    for (int i = 0; i < ROUNDS; i++) {
        weft_time deadline = weft_after(i % 30 * 5 * WEFT_MICROSECOND);
        int error = ask(&deadline);

        CHECK(error == 0 || error == -ETIMEDOUT);
        found += error == 0;
        late += error != 0;
    }
    CHECK_EQ(found + late, ROUNDS);
    return 0;
}

/* Either who asks or the lookup goes last; the last one frees, once. */
WORKER_TEST(resolve, answers_race_with_deadlines, TEST_TIMEOUT_S)
{
    cr_expect_eq(run_workers(*workers, race_with_deadlines, NULL), 0);
}
