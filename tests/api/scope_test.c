/* SPDX-License-Identifier: MIT */
/* scope.h: members are waited for, and their failures come back; defers; what is refused. */
#include "../support/child.h"
#include "../support/fixture.h"
#include "../support/net.h"
#include "../support/tally.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>

enum { MANY = 100 };

static int spawn_and_close(void *arg)
{
    struct tally *tally = arg;
    weft_scope scope = WEFT_SCOPE_INIT;

    for (int i = 0; i < MANY; i++)
        CHECK_EQ(weft_scope_spawn(&scope, count, tally), 0);
    CHECK_EQ(weft_scope_close(&scope, 5), 5);
    CHECK_EQ(atomic_load(&tally->ended), MANY);
    CHECK_EQ(weft_scope_failed_id(&scope), 0);
    CHECK(strcmp(weft_scope_failed_name(&scope), "") == 0);
    CHECK(!weft_scope_is_cancelled(&scope));
    return 0;
}

/* Without this the arguments of members, on the owner's stack, would be gone while they run. */
WORKER_TEST(scope, close_returns_when_every_member_has_ended, TEST_TIMEOUT_S)
{
    struct tally tally = {0};

    cr_expect_eq(run_workers(*workers, spawn_and_close, &tally), 0);
}

static int close_unused(void *arg)
{
    weft_scope scope = WEFT_SCOPE_INIT;

    (void)arg;
    CHECK_EQ(weft_scope_close(&scope, -EIO), -EIO);
    CHECK_EQ(weft_scope_close(&scope, 7), 7);
    CHECK_EQ(weft_scope_open(&scope, WEFT_FOREVER), 0);
    return weft_scope_close(&scope, 9);
}

/* A loop that never came to spawn closes its scope all the same. */
WORKER_TEST(scope, one_that_was_never_used_returns_the_result, TEST_TIMEOUT_S)
{
    cr_expect_eq(run_workers(*workers, close_unused, NULL), 9);
}

static int fail_when_told(void *arg)
{
    struct tally *tally = arg;

    await_count(&tally->begun, 2);
    return -EIO;
}

static int fail_among_siblings(void *arg)
{
    struct tally *tally = arg;
    struct weft_fiber_attr attr = WEFT_FIBER_ATTR_INIT;
    weft_scope scope = WEFT_SCOPE_INIT;
    int result;

    attr.name = "bearer";
    CHECK_EQ(weft_scope_spawn(&scope, linger, tally), 0);
    CHECK_EQ(weft_scope_spawn(&scope, linger, tally), 0);
    CHECK_EQ(weft_scope_spawn_with(&scope, &attr, fail_when_told, tally), 0);
    /* The owner is inside as well. */
    result = weft_sleep_until(WEFT_FOREVER);
    CHECK_EQ(result, -ECANCELED);
    CHECK(weft_scope_is_cancelled(&scope));
    CHECK_EQ(weft_scope_spawn(&scope, count, tally), -ECANCELED);
    CHECK_EQ(weft_scope_close(&scope, result), -EIO);
    CHECK_EQ(atomic_load(&tally->cancelled), 2);
    CHECK(strcmp(weft_scope_failed_name(&scope), "bearer") == 0);
    CHECK(weft_scope_failed_id(&scope) > 0);
    /* Outside of it all is as before. */
    CHECK(!weft_is_cancelled());
    CHECK_EQ(weft_yield(), 0);
    return weft_sleep(0);
}

/* The failure is what comes back, not what the cancel that it caused made of the others. */
WORKER_TEST(scope, a_failure_cancels_the_siblings_and_comes_back_with_its_name, TEST_TIMEOUT_S)
{
    struct tally tally = {0};

    cr_expect_eq(run_workers(*workers, fail_among_siblings, &tally), 0);
}

static int fail_late(void *arg)
{
    (void)linger(arg);
    return -EPIPE;
}

static int cancel_then_fail(void *arg)
{
    struct tally *tally = arg;
    weft_scope scope = WEFT_SCOPE_INIT;

    for (int i = 0; i < 5; i++)
        CHECK_EQ(weft_scope_spawn(&scope, i == 2 ? fail_late : linger, tally), 0);
    await_count(&tally->begun, 5);
    CHECK_EQ(weft_scope_cancel(&scope), 0);
    CHECK_EQ(weft_scope_cancel(&scope), 0);
    return weft_scope_close(&scope, 0);
}

/* Whichever ends first, an error of its own counts for more than an answer to the cancel. */
WORKER_TEST(scope, an_error_of_its_own_wins_over_the_answer_to_the_cancel, TEST_TIMEOUT_S)
{
    struct tally tally = {0};

    cr_expect_eq(run_workers(*workers, cancel_then_fail, &tally), -EPIPE);
}

static int close_with_error(void *arg)
{
    struct tally *tally = arg;
    weft_scope scope = WEFT_SCOPE_INIT;

    CHECK_EQ(weft_set_name("owner"), 0);
    CHECK_EQ(weft_scope_spawn(&scope, linger, tally), 0);
    CHECK_EQ(weft_scope_close(&scope, -EMFILE), -EMFILE);
    CHECK_EQ(atomic_load(&tally->cancelled), 1);
    CHECK(strcmp(weft_scope_failed_name(&scope), "owner") == 0);
    CHECK_EQ(weft_scope_failed_id(&scope), weft_fiber_id(weft_self()));
    return 0;
}

/* The owner's error is a failure like any other. */
WORKER_TEST(scope, the_owners_error_cancels_the_members, TEST_TIMEOUT_S)
{
    struct tally tally = {0};

    cr_expect_eq(run_workers(*workers, close_with_error, &tally), 0);
}

static int add_and_end(void *arg)
{
    struct tally *tally = arg;

    for (int i = 0; i < 3; i++)
        CHECK_EQ(weft_scope_spawn(tally->scope, count, tally), 0);
    return 0;
}

static int spawn_by_members(void *arg)
{
    struct tally *tally = arg;
    weft_scope scope = WEFT_SCOPE_INIT;

    tally->scope = &scope;
    for (int i = 0; i < 10; i++)
        CHECK_EQ(weft_scope_spawn(&scope, add_and_end, tally), 0);
    return weft_scope_close(&scope, 0); /* they go on spawning while this waits */
}

WORKER_TEST(scope, members_spawn_while_the_owner_closes, TEST_TIMEOUT_S)
{
    struct tally tally = {0};

    cr_expect_eq(run_workers(*workers, spawn_by_members, &tally), 0);
    cr_expect_eq(atomic_load(&tally.ended), 30);
}

static int refuse_spawn(void *arg)
{
    struct weft_fiber_attr attr = WEFT_FIBER_ATTR_INIT;
    weft_scope scope = WEFT_SCOPE_INIT;

    attr.stack_size_kib = 1;
    CHECK_EQ(weft_scope_spawn_with(&scope, &attr, count, arg), -EINVAL);
    attr.stack_size_kib = 1 << 20;
    CHECK_EQ(weft_scope_spawn_with(&scope, &attr, count, arg), -EINVAL);
    for (int i = 0; i < 3; i++)
        CHECK_EQ(weft_scope_spawn(&scope, linger, arg), 0);
    CHECK_EQ(weft_scope_spawn(&scope, count, arg), -EAGAIN);
    CHECK_EQ(weft_scope_cancel(&scope), 0);
    return weft_scope_close(&scope, 0);
}

/* A refused member is no member: close must not wait for it. */
WORKER_TEST(scope, a_spawn_that_is_refused_leaves_the_scope_as_it_was, TEST_TIMEOUT_S)
{
    struct weft_config config = WEFT_CONFIG_INIT;
    struct tally tally = {0};

    config.workers = *workers;
    config.max_fibers = 4;
    cr_expect_eq(run_config(&config, refuse_spawn, &tally), -ECANCELED);
    cr_expect_eq(atomic_load(&tally.cancelled), 3);
}

/* scope.h: on a plain thread there is no fiber that could own one. */
Test(scope, plain_threads_are_refused)
{
    weft_scope scope = WEFT_SCOPE_INIT;

    cr_expect_eq(weft_scope_open(&scope, WEFT_FOREVER), -EPERM);
    cr_expect_eq(weft_scope_open_shielded(&scope, WEFT_FOREVER), -EPERM);
    cr_expect_eq(weft_scope_set_deadline(&scope, 0), -EPERM);
    cr_expect_eq(weft_scope_spawn(&scope, count, NULL), -EPERM);
    cr_expect_eq(weft_scope_close(&scope, 3), 3);
    cr_expect_eq(weft_defer(NULL, NULL), -EPERM);
}

struct trace {
    char text[16];
    int length;
    int64_t nap;
    weft_fiber *fiber;
};

static void note(struct trace *trace, char letter)
{
    CHECK(weft_self() == trace->fiber);
    trace->text[trace->length++] = letter;
}

static void note_a(void *arg)
{
    note(arg, 'a');
}

static void note_b(void *arg)
{
    weft_scope shield = WEFT_SCOPE_INIT;

    CHECK_EQ(weft_scope_open_shielded(&shield, WEFT_FOREVER), 0);
    CHECK_EQ(weft_sleep(WEFT_MILLISECOND), 0);
    CHECK_EQ(weft_scope_close(&shield, 0), 0);
    note(arg, 'b');
    CHECK_EQ(weft_defer(note_a, arg), 0);
}

static int defer_all(void *arg)
{
    struct trace *trace = arg;

    trace->fiber = weft_self();
    CHECK_EQ(weft_defer(note_a, trace), 0);
    CHECK_EQ(weft_defer(note_b, trace), 0);
    CHECK_EQ(weft_defer(note_a, trace), 0);
    if (trace->length != 0)
        return -EIO;
    note(trace, '-');
    return weft_sleep(trace->nap);
}

static int run_defers(void *arg)
{
    /* The second is cancelled, however late that is. */
    struct trace traces[3] = {{.nap = WEFT_MILLISECOND}, {.nap = 3600 * WEFT_SECOND}, {.nap = 0}};
    weft_scope scope = WEFT_SCOPE_INIT;
    weft_fiber *fiber;

    (void)arg;
    CHECK_EQ(weft_scope_spawn(&scope, defer_all, &traces[0]), 0);
    CHECK_EQ(weft_scope_close(&scope, 0), 0);
    CHECK(strcmp(traces[0].text, "-abaa") == 0);
    fiber = must_spawn(defer_all, &traces[1]);
    weft_cancel(fiber);
    CHECK_EQ(must_join(fiber), -ECANCELED);
    CHECK(strcmp(traces[1].text, "-abaa") == 0);
    traces[2].length = 1;
    traces[2].text[0] = '+';
    CHECK_EQ(must_join(must_spawn(defer_all, &traces[2])), -EIO);
    CHECK(strcmp(traces[2].text, "+abaa") == 0);
    return 0;
}

/* In reverse order, in the fiber, whether it succeeds, fails or is cancelled; and a defer can wait
 * behind a shield, and defer. */
WORKER_TEST(scope, defers_run_on_every_way_out, TEST_TIMEOUT_S)
{
    cr_expect_eq(run_workers(*workers, run_defers, NULL), 0);
}

static int close_twice(void *arg)
{
    weft_scope scope = WEFT_SCOPE_INIT;

    (void)arg;
    CHECK_EQ(weft_scope_open(&scope, WEFT_FOREVER), 0);
    CHECK_EQ(weft_scope_close(&scope, 0), 0);
    return weft_scope_close(&scope, 0);
}

static int open_twice(void *arg)
{
    weft_scope scope = WEFT_SCOPE_INIT;

    (void)arg;
    CHECK_EQ(weft_scope_open(&scope, WEFT_FOREVER), 0);
    return weft_scope_open(&scope, WEFT_FOREVER);
}

static int spawn_into_closed(void *arg)
{
    weft_scope scope = WEFT_SCOPE_INIT;

    CHECK_EQ(weft_scope_open(&scope, WEFT_FOREVER), 0);
    CHECK_EQ(weft_scope_close(&scope, 0), 0);
    return weft_scope_spawn(&scope, count, arg);
}

static int close_it(void *arg)
{
    return weft_scope_close(arg, 0);
}

static int close_by_member(void *arg)
{
    weft_scope scope = WEFT_SCOPE_INIT;

    (void)arg;
    CHECK_EQ(weft_scope_spawn(&scope, close_it, &scope), 0);
    return weft_scope_close(&scope, 0);
}

static int extend_it(void *arg)
{
    return weft_scope_set_deadline(arg, 0);
}

static int extend_by_member(void *arg)
{
    weft_scope scope = WEFT_SCOPE_INIT;

    (void)arg;
    CHECK_EQ(weft_scope_spawn(&scope, extend_it, &scope), 0);
    return weft_scope_close(&scope, 0);
}

static int close_outer_first(void *arg)
{
    weft_scope outer = WEFT_SCOPE_INIT, inner = WEFT_SCOPE_INIT;

    (void)arg;
    CHECK_EQ(weft_scope_open(&outer, WEFT_FOREVER), 0);
    CHECK_EQ(weft_scope_open(&inner, WEFT_FOREVER), 0);
    return weft_scope_close(&outer, 0);
}

static void *cancel_unopened(void *arg)
{
    CHECK_EQ(weft_scope_cancel(arg), 0);
    return NULL;
}

static int cancel_unopened_in_thread(void *arg)
{
    weft_scope scope = WEFT_SCOPE_INIT;
    pthread_t thread;

    (void)arg;
    CHECK_EQ(pthread_create(&thread, NULL, cancel_unopened, &scope), 0);
    return pthread_join(thread, NULL);
}

static int forget_to_close(void *arg)
{
    static weft_scope scope = WEFT_SCOPE_INIT; /* not on the stack, for valgrind's sake */

    return weft_scope_spawn(&scope, count, arg);
}

static int forget_in_fiber(void *arg)
{
    return must_join(must_spawn(forget_to_close, arg));
}

static void open_and_forget(void *arg)
{
    CHECK_EQ(weft_scope_open(arg, WEFT_FOREVER), 0);
}

static int forget_in_defer(void *arg)
{
    static weft_scope scope = WEFT_SCOPE_INIT;

    (void)arg;
    return weft_defer(open_and_forget, &scope);
}

static const struct misuse {
    int (*fn)(void *);
    const char *message;
} misuses[] = {
    {close_twice, "has opened another scope since, or has closed this one"},
    {open_twice, "a scope that was used before is opened again"},
    {spawn_into_closed, "a scope that was used before is opened again"},
    {close_by_member, "only the fiber that opened a scope closes it"},
    {extend_by_member, "only the fiber that opened a scope sets its deadline"},
    {close_outer_first, "has opened another scope since, or has closed this one"},
    {cancel_unopened_in_thread, "weft_scope_cancel: the scope was never opened"},
    {forget_in_fiber, "has ended without closing a scope"},
    {forget_in_defer, "has ended without closing a scope"},
};

CHILD(misuse_scope)
{
    struct tally tally = {0};

    return weft_run(NULL, misuses[parameter].fn, &tally);
}

/* Each of these would otherwise run on with freed memory, or hang. */
Test(scope, misuse_aborts_with_the_rule, .timeout = TEST_TIMEOUT_S)
{
    for (unsigned i = 0; i < sizeof misuses / sizeof *misuses; i++)
        expect_abort("misuse_scope", i, misuses[i].message);
}

static int serve(void *arg)
{
    int fd = (int)(intptr_t)arg;
    char buffer[256];
    ssize_t n;

    while ((n = weft_read(fd, buffer, sizeof buffer, weft_after(30 * WEFT_SECOND))) > 0)
        if ((n = weft_write_all(fd, buffer, (size_t)n, weft_after(30 * WEFT_SECOND))) < 0)
            break;
    (void)weft_close(fd);
    return (int)n;
}

static int echo_some(void *arg)
{
    struct sockaddr_in address = *(struct sockaddr_in *)arg;
    int fd = make_tcp_socket();
    char byte;

    CHECK_EQ(weft_connect(fd, (struct sockaddr *)&address, sizeof address, WEFT_FOREVER), 0);
    for (int i = 0; i < 10; i++) {
        CHECK_EQ(weft_write(fd, "x", 1, WEFT_FOREVER), 1);
        CHECK_EQ(weft_read(fd, &byte, 1, WEFT_FOREVER), 1);
    }
    (void)weft_close(fd);
    return 0;
}

static int run_clients(void *arg)
{
    struct tally *tally = arg;
    struct sockaddr_in address = local_address(atomic_load(&tally->go));
    weft_scope clients = WEFT_SCOPE_INIT;

    for (int i = 0; i < 5; i++)
        CHECK_EQ(weft_scope_spawn(&clients, echo_some, &address), 0);
    CHECK_EQ(weft_scope_close(&clients, 0), 0);
    CHECK_EQ(weft_scope_cancel(tally->scope), 0);
    return 0;
}

static int serve_until_cancelled(void *arg)
{
    struct tally *tally = arg;
    weft_scope server = WEFT_SCOPE_INIT;
    int listener = weft_listen_tcp("127.0.0.1", 0);
    int fd = listener;

    tally->scope = &server;
    atomic_store(&tally->go, listener);
    CHECK_EQ(weft_scope_spawn(&server, run_clients, tally), 0);
    while (fd >= 0 && (fd = weft_accept(listener, WEFT_FOREVER)) >= 0)
        CHECK_EQ(weft_scope_spawn(&server, serve, (void *)(intptr_t)fd), 0);
    fd = weft_scope_close(&server, fd);
    (void)weft_close(listener);
    return fd;
}

/* The shape of a server: an accept loop that owns its connections. */
WORKER_TEST(scope, a_server_ends_with_its_scope, TEST_TIMEOUT_S)
{
    struct tally tally = {0};

    cr_expect_eq(run_workers(*workers, serve_until_cancelled, &tally), -ECANCELED);
}
