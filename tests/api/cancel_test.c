/* SPDX-License-Identifier: MIT */
/* fiber.h: cancelling a fiber in each state that it can be in. */
#include "../support/fixture.h"
#include "../support/net.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdatomic.h>
#include <unistd.h>

struct subject {
    _Atomic(int) entered;
    int fds[2];
    int listener;
    weft_fiber *target;
};

static int must_not_run(void *arg)
{
    (void)arg;
    check_fail(__FILE__, __LINE__, "a cancelled fiber could spawn");
}

/* Level-triggered: every call that may suspend answers the same, however often it is asked. */
static void expect_every_call_cancelled(struct subject *subject)
{
    struct sockaddr_in address = local_address(subject->listener);
    char buffer[4] = "abc";
    int connecting = make_tcp_socket();
    int fd = subject->fds[1];

    CHECK(weft_is_cancelled());
    for (int i = 0; i < 3; i++) {
        weft_fiber *fiber = subject->target;
        CHECK_EQ(weft_yield(), -ECANCELED);
        CHECK_EQ(weft_sleep(0), -ECANCELED);
        CHECK_EQ(weft_sleep(3600 * WEFT_SECOND), -ECANCELED);
        CHECK_EQ(weft_sleep_until(WEFT_FOREVER), -ECANCELED);
        CHECK_EQ(weft_spawn(&fiber, must_not_run, NULL), -ECANCELED);
        CHECK_EQ(weft_spawn_with(NULL, NULL, must_not_run, NULL), -ECANCELED);
        CHECK(fiber == subject->target);
        CHECK_EQ(weft_read(fd, buffer, 1, WEFT_FOREVER), -ECANCELED);
        CHECK_EQ(weft_write(fd, buffer, 1, WEFT_FOREVER), -ECANCELED);
        CHECK_EQ(weft_write_all(fd, buffer, 1, WEFT_FOREVER), -ECANCELED);
        CHECK_EQ(weft_recv(fd, buffer, 1, 0, WEFT_FOREVER), -ECANCELED);
        CHECK_EQ(weft_send(fd, buffer, 1, 0, WEFT_FOREVER), -ECANCELED);
        CHECK_EQ(weft_send_all(fd, buffer, 1, 0, WEFT_FOREVER), -ECANCELED);
        CHECK_EQ(weft_poll_fd(fd, POLLIN | POLLOUT, WEFT_FOREVER), -ECANCELED);
        CHECK_EQ(weft_accept(subject->listener, WEFT_FOREVER), -ECANCELED);
        CHECK_EQ(
            weft_connect(connecting, (struct sockaddr *)&address, sizeof address, WEFT_FOREVER),
            -ECANCELED);
        CHECK_EQ(weft_openat(AT_FDCWD, "/dev/null", O_RDONLY, 0, WEFT_FOREVER), -ECANCELED);
        CHECK_EQ(weft_pread(fd, buffer, 1, 0, WEFT_FOREVER), -ECANCELED);
        CHECK_EQ(weft_pwrite(fd, buffer, 1, 0, WEFT_FOREVER), -ECANCELED);
        CHECK_EQ(weft_fsync(fd, WEFT_FOREVER), -ECANCELED);
    }
    CHECK(buffer[0] == 'a' && buffer[1] == 'b');
    /* Cleaning up must still be possible. */
    CHECK_EQ(weft_close(connecting), 0);
}

static int enter_cancelled(void *arg)
{
    expect_every_call_cancelled(arg);
    return -ECANCELED;
}

/* Another worker may have taken the fiber, and be ahead of the cancel. */
static int enter_when_cancelled(void *arg)
{
    while (!weft_is_cancelled())
        ;
    return enter_cancelled(arg);
}

static int cancel_before_start(void *arg)
{
    struct subject *subject = arg;
    weft_fiber *fiber = must_spawn(enter_when_cancelled, subject);

    weft_cancel(fiber);
    return must_join(fiber);
}

static int cancel_itself(void *arg)
{
    CHECK(!weft_is_cancelled());
    weft_cancel(weft_self());
    return enter_cancelled(arg);
}

static int join_self_canceller(void *arg)
{
    return must_join(must_spawn(cancel_itself, arg));
}

static void run_with_subject(unsigned workers, int (*fn)(void *), int expected)
{
    struct subject subject = {.entered = 0};

    make_socket_pair(subject.fds);
    subject.listener = weft_listen_tcp("127.0.0.1", 0);
    cr_assert_geq(subject.listener, 0);
    /* One byte is there to be read, so that "cancelled" is not just "nothing to do". */
    cr_assert_eq(write(subject.fds[0], "x", 1), 1);
    cr_expect_eq(run_workers(workers, fn, &subject), expected);
    cr_expect_eq(drain(subject.fds[1]), 1, "a cancelled call took or sent a byte");
    cr_expect_eq(drain(subject.fds[0]), 0, "a cancelled call sent a byte");
    (void)close(subject.fds[0]);
    (void)close(subject.fds[1]);
    (void)close(subject.listener);
}

/* A fiber that is cancelled before its first turn still runs: it may own what its argument points
 * to.  But it must not be able to wait, nor to move data that nobody will use. */
WORKER_TEST(cancel, before_the_start_every_call_is_refused, TEST_TIMEOUT_S)
{
    run_with_subject(*workers, cancel_before_start, -ECANCELED);
}

/* A fiber may give up by itself. */
WORKER_TEST(cancel, itself, TEST_TIMEOUT_S)
{
    run_with_subject(*workers, join_self_canceller, -ECANCELED);
}

static int yield_until_cancelled(void *arg)
{
    struct subject *subject = arg;
    int result;

    atomic_store(&subject->entered, 1);
    while ((result = weft_yield()) == 0)
        ;
    CHECK_EQ(result, -ECANCELED);
    CHECK(weft_is_cancelled());
    return weft_yield();
}

static int compute_until_cancelled(void *arg)
{
    struct subject *subject = arg;

    atomic_store(&subject->entered, 1);
    while (!weft_is_cancelled())
        (void)weft_yield();
    return -ECANCELED;
}

static int sleep_for_ever(void *arg)
{
    atomic_store(&((struct subject *)arg)->entered, 1);
    return weft_sleep_until(WEFT_FOREVER);
}

static int sleep_an_hour(void *arg)
{
    atomic_store(&((struct subject *)arg)->entered, 1);
    return weft_sleep(3600 * WEFT_SECOND);
}

static int sleep_a_century(void *arg)
{
    atomic_store(&((struct subject *)arg)->entered, 1);
    return weft_sleep(INT64_C(100) * 365 * 86400 * WEFT_SECOND);
}

static int join_target(void *arg)
{
    struct subject *subject = arg;
    int result = 9;

    atomic_store(&subject->entered, 1);
    CHECK_EQ(weft_join(subject->target, &result, WEFT_FOREVER), -ECANCELED);
    CHECK_EQ(weft_join(subject->target, &result, 0), -ECANCELED);
    CHECK_EQ(result, 9);
    return -ECANCELED;
}

/* Cancels at once, after some turns, and after the fiber has most likely begun to wait. */
static void cancel_in_every_phase(struct subject *subject, int (*fn)(void *))
{
    for (int round = 0; round < 60; round++) {
        weft_fiber *fiber;
        atomic_store(&subject->entered, 0);
        fiber = must_spawn(fn, subject);
        if (round % 3 > 0)
            await_flag(&subject->entered);
        if (round % 3 == 2)
            CHECK_EQ(weft_sleep(WEFT_MILLISECOND), 0);
        weft_cancel(fiber);
        if (round % 2)
            weft_cancel(fiber); /* the second cancel changes nothing */
        CHECK_EQ(must_join(fiber), -ECANCELED);
    }
}

static int cancel_the_waiting(void *arg)
{
    static int (*const states[])(void *) = {yield_until_cancelled, compute_until_cancelled,
                                            sleep_for_ever, sleep_an_hour, sleep_a_century};

    for (size_t i = 0; i < sizeof states / sizeof *states; i++)
        cancel_in_every_phase(arg, states[i]);
    return 0;
}

/* Wherever the cancel meets the fiber (ready, running, about to wait, waiting), it ends. */
WORKER_TEST(cancel, ends_fibers_in_every_state, TEST_TIMEOUT_S)
{
    struct subject subject = {.entered = 0};

    cr_expect_eq(run_workers(*workers, cancel_the_waiting, &subject), 0);
}

static int wait_for_entered(void *arg)
{
    await_flag(arg);
    return 4;
}

static int cancel_joiners(void *arg)
{
    struct subject *subject = arg;
    _Atomic(int) release = 0;

    subject->target = must_spawn(wait_for_entered, &release);
    cancel_in_every_phase(subject, join_target);
    atomic_store(&release, 1);
    return must_join(subject->target);
}

/* A joiner that is cancelled leaves the fiber joinable: for the next joiner, not for none. */
WORKER_TEST(cancel, a_cancelled_joiner_leaves_the_handle_valid, TEST_TIMEOUT_S)
{
    struct subject subject = {.entered = 0};

    cr_expect_eq(run_workers(*workers, cancel_joiners, &subject), 4);
}

static int return_eight(void *arg)
{
    (void)arg;
    return 8;
}

static void await_finished(uint64_t count)
{
    struct weft_stats stats;

    do {
        (void)weft_sleep(WEFT_MILLISECOND);
        CHECK_EQ(weft_stats_read(&stats), 0);
    } while (stats.fibers_finished < count);
}

static int join_ended_when_cancelled(void *arg)
{
    struct subject *subject = arg;
    int result = 0;

    weft_cancel(weft_self());
    CHECK_EQ(weft_join(subject->target, &result, WEFT_FOREVER), 0);
    return result;
}

static int cancel_after_end(void *arg)
{
    struct subject *subject = arg;
    weft_fiber *fiber = must_spawn(return_eight, NULL);

    await_finished(1);
    weft_cancel(fiber);
    weft_cancel(fiber);
    CHECK_EQ(must_join(fiber), 8);

    subject->target = must_spawn(return_eight, NULL);
    await_finished(2);
    CHECK(!weft_is_cancelled());
    return must_join(must_spawn(join_ended_when_cancelled, subject));
}

/* Cancelling what has ended changes nothing, and a cancelled fiber can still take the result of
 * one that has ended: cleanup code joins its helpers. */
WORKER_TEST(cancel, after_the_end_changes_nothing, TEST_TIMEOUT_S)
{
    struct subject subject = {.entered = 0};

    cr_expect_eq(run_workers(*workers, cancel_after_end, &subject), 8);
}

static int cancel_reused_records(void *arg)
{
    (void)arg;
    for (int i = 0; i < 1000; i++) {
        weft_fiber *fiber = must_spawn(return_eight, NULL);
        if (i % 2)
            weft_cancel(fiber);
        CHECK_EQ(must_join(fiber), 8);
        fiber = must_spawn(return_eight, NULL);
        CHECK_EQ(weft_yield(), 0);
        CHECK_EQ(must_join(fiber), 8);
    }
    return must_join(must_spawn(return_eight, arg));
}

/* A cancel that sticks to the record would hit the next fiber that is put there. */
WORKER_TEST(cancel, does_not_reach_the_next_fiber, TEST_TIMEOUT_S)
{
    struct subject subject = {.entered = 0};

    cr_expect_eq(run_workers(*workers, cancel_reused_records, &subject), 8);
}

static int cancel_and_detach(void *arg)
{
    struct subject *subject = arg;

    for (int i = 0; i < 200; i++) {
        weft_fiber *fiber;
        atomic_store(&subject->entered, 0);
        fiber = must_spawn(sleep_for_ever, subject);
        if (i % 2)
            await_flag(&subject->entered);
        weft_cancel(fiber);
        weft_detach(fiber);
    }
    await_finished(200);
    return 0;
}

/* The usual end of a connection nobody waits for. */
WORKER_TEST(cancel, then_detach, TEST_TIMEOUT_S)
{
    struct subject subject = {.entered = 0};

    cr_expect_eq(run_workers(*workers, cancel_and_detach, &subject), 0);
}

static int race_timers(void *arg)
{
    (void)arg;
    for (int i = 0; i < 300; i++) {
        struct subject subject = {.entered = 0};
        weft_fiber *fiber = must_spawn(sleep_for_ever, &subject);
        int result;
        CHECK_EQ(weft_sleep(i % 5 * 40 * WEFT_MICROSECOND), 0);
        weft_cancel(fiber);
        result = must_join(fiber);
        CHECK_EQ(result, -ECANCELED);
    }
    return 0;
}

/* Parking and cancelling at the same moment: the wake must not fall between the two. */
WORKER_TEST(cancel, races_with_parking, TEST_TIMEOUT_S)
{
    cr_expect_eq(run_workers(*workers, race_timers, NULL), 0);
}
