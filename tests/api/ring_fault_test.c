/* SPDX-License-Identifier: MIT */
/*
 * Faults of io_uring_enter(2) and rings that are far too small: nothing is lost, nothing hangs, and
 * what the kernel had to keep is counted.
 */
#define _GNU_SOURCE 1

#include "../support/child.h"
#include "../support/fixture.h"
#include "../support/net.h"
#include "../support/talk.h"

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { ROUNDS = 100, WAITERS = 1000 };

static int run_talk(unsigned workers, uint32_t backend)
{
    struct weft_config config = {.workers = workers, .backend = backend};
    unsigned pairs = 8;
    struct weft_stats stats;

    (void)unsetenv("WEFT_BACKEND");
    CHECK_EQ(weft_run(&config, talk_in_pairs, &pairs), 0);
    CHECK_EQ(weft_stats_read(&stats), 0);
    CHECK_EQ(stats.ops_completed, stats.ops_submitted);
    CHECK_EQ(stats.fibers_freed, stats.fibers_spawned);
    printf("refusals %" PRIu64 ", interrupts %" PRIu64 ".\n", stats.io_refusals,
           stats.io_interrupts);
    return 0;
}

CHILD(talk_under_faults)
{
    return run_talk(parameter, WEFT_BACKEND_IO_URING);
}

CHILD(talk_on_epoll_under_faults)
{
    return run_talk(parameter, WEFT_BACKEND_EPOLL);
}

static int send_many(void *arg)
{
    int fds[2];
    char got[ROUNDS];

    (void)arg;
    make_socket_pair(fds);
    for (int i = 0; i < ROUNDS; i++) {
        char sent = (char)i;
        CHECK_EQ(weft_send(fds[0], &sent, 1, 0, WEFT_FOREVER), 1);
    }
    CHECK_EQ(weft_recv(fds[1], got, sizeof got, MSG_WAITALL, WEFT_FOREVER), ROUNDS);
    for (int i = 0; i < ROUNDS; i++)
        CHECK_EQ(got[i], (char)i);
    CHECK_EQ(drain(fds[1]), 0);
    (void)close(fds[0]);
    (void)close(fds[1]);
    return 0;
}

CHILD(send_under_faults)
{
    struct weft_config config = {.workers = parameter, .backend = WEFT_BACKEND_IO_URING};
    struct weft_stats stats;

    (void)unsetenv("WEFT_BACKEND");
    (void)unsetenv("WEFT_CHAOS"); /* in which no send is tried outside the ring */
    CHECK_EQ(weft_run(&config, send_many, NULL), 0);
    CHECK_EQ(weft_stats_read(&stats), 0);
    CHECK_EQ(stats.ops_completed, stats.ops_submitted);
    return 0;
}

static unsigned count_injected(const char *path)
{
    FILE *file = fopen(path, "re");
    char line[512];
    unsigned count = 0;

    cr_assert_not_null(file);
    while (fgets(line, sizeof line, file))
        count += strstr(line, "(INJECTED)") != NULL;
    (void)fclose(file);
    return count;
}

/* `none`: what the child says if it has not counted the fault; NULL: nothing counts it. */
static void run_under_fault(unsigned workers, const char *child, const char *call,
                            const char *fault, const char *none)
{
    /* Sanitizers do not look for leaks under a tracer. */
    const char *const environment[] = {"ASAN_OPTIONS=detect_leaks=0", NULL};
    char path[] = "/tmp/weft-fault-XXXXXX";
    int fd = mkstemp(path);
    char trace[64], injection[128];
    const char *const tracer[] = {"strace", "-f",  "-qq", "-o",      path,
                                  "-e",     trace, "-e",  injection, NULL};
    struct child_end end;
    unsigned injected;

    cr_assert_geq(fd, 0);
    (void)close(fd);
    (void)snprintf(injection, sizeof injection, "inject=%s:error=%s:when=2+3", call, fault);
    (void)snprintf(trace, sizeof trace, "trace=%s", call);
    run_child_under(tracer, child, workers, environment, &end);
    injected = count_injected(path);
    (void)unlink(path);
    /* strace 126: it is not there.  1 without a single call: it may not trace here. */
    if (end.exit_status == 126 || (end.exit_status == 1 && strstr(end.output, "ptrace")))
        cr_skip_test("strace cannot run here");
    cr_expect_eq(end.exit_status, 0, "%s: status %d, signal %d: %s", fault, end.exit_status,
                 end.signal, end.output);
    cr_expect_gt(injected, 20, "%s came only %u times", fault, injected);
    cr_expect(none == NULL || strstr(end.output, none) == NULL, "%s: %s", fault, end.output);
}

/* The kernel wants completions reaped before it takes more: whoever takes that for the end of the
 * world, or waits for room that only it can make, is lost. */
WORKER_TEST(ring_fault, a_busy_kernel_loses_nothing, TEST_TIMEOUT_S)
{
    run_under_fault(*workers, "talk_under_faults", "io_uring_enter", "EBUSY", "refusals 0,");
}

/* The kernel is short of memory for a moment. */
WORKER_TEST(ring_fault, a_kernel_short_of_memory_loses_nothing, TEST_TIMEOUT_S)
{
    run_under_fault(*workers, "talk_under_faults", "io_uring_enter", "EAGAIN", "refusals 0,");
}

/* A signal ends the call: what was prepared must still be prepared, and the wait goes on. */
WORKER_TEST(ring_fault, an_interrupted_call_loses_nothing, TEST_TIMEOUT_S)
{
    run_under_fault(*workers, "talk_under_faults", "io_uring_enter", "EINTR", "interrupts 0.");
}

/* A send that is tried outside the ring then goes through it, and none goes twice. */
WORKER_TEST(ring_fault, an_interrupted_send_loses_nothing, TEST_TIMEOUT_S)
{
    run_under_fault(*workers, "send_under_faults", "sendto", "EINTR", NULL);
}

WORKER_TEST(ring_fault, a_send_without_room_waits_for_it, TEST_TIMEOUT_S)
{
    run_under_fault(*workers, "send_under_faults", "sendto", "EAGAIN", NULL);
}

/* On epoll the fiber makes the call itself. */
WORKER_TEST(ring_fault, an_interrupted_transfer_is_repeated, TEST_TIMEOUT_S)
{
    run_under_fault(*workers, "talk_on_epoll_under_faults", "preadv2,pwritev2,epoll_pwait2",
                    "EINTR", NULL);
}

/* Whoever is told that a descriptor is ready can find that it is not. */
WORKER_TEST(ring_fault, a_transfer_that_would_wait_after_all_waits_again, TEST_TIMEOUT_S)
{
    run_under_fault(*workers, "talk_on_epoll_under_faults", "preadv2,pwritev2", "EAGAIN", NULL);
}

struct crowd {
    int pipe[2];
};

static int wait_for_the_byte(void *arg)
{
    struct crowd *crowd = arg;

    CHECK_EQ(weft_poll_fd(crowd->pipe[0], POLLIN, WEFT_FOREVER), POLLIN);
    return 0;
}

static int complete_all_at_once(void *arg)
{
    static weft_fiber *fibers[WAITERS];
    struct crowd *crowd = arg;
    struct weft_stats stats;

    for (int i = 0; i < WAITERS; i++)
        fibers[i] = must_spawn(wait_for_the_byte, crowd);
    do {
        CHECK_EQ(weft_sleep(WEFT_MILLISECOND), 0);
        CHECK_EQ(weft_stats_read(&stats), 0);
    } while (stats.ops_submitted < WAITERS);
    CHECK_EQ(write(crowd->pipe[1], "x", 1), 1);
    for (int i = 0; i < WAITERS; i++)
        CHECK_EQ(must_join(fibers[i]), 0);
    /* Once more, with the byte there already: these are complete as soon as they are submitted,
     * and a full submission ring submits many times between two looks at what is complete. */
    for (int i = 0; i < WAITERS; i++)
        fibers[i] = must_spawn(wait_for_the_byte, crowd);
    for (int i = 0; i < WAITERS; i++)
        CHECK_EQ(must_join(fibers[i]), 0);
    return 0;
}

/* A thousand operations through eight submission slots, and a thousand completions at once in a
 * ring with room for far fewer: the kernel keeps the rest, and the runtime says so. */
WORKER_TEST(ring_fault, full_rings_lose_nothing_and_are_counted, TEST_TIMEOUT_S)
{
    struct weft_config config = {.workers = *workers,
                                 .ring_entries = 8,
                                 .stack_size_kib = 32,
                                 .backend = WEFT_BACKEND_IO_URING};
    struct crowd crowd;

    make_pipe(crowd.pipe);
    cr_expect_eq(run_config(&config, complete_all_at_once, &crowd), 0);
    cr_expect_geq(run_stats().ops_completed, 2 * WAITERS);
    if (*workers == 1)
        cr_expect_gt(run_stats().cq_overflows, 0, "a thousand completions fitted into 32 slots");
    /* In chaos others run between two fibers that submit. */
    if (*workers == 1 && getenv("WEFT_CHAOS") == NULL)
        cr_expect_gt(run_stats().sq_full, 0, "a thousand submissions fitted into 8 slots");
    (void)close(crowd.pipe[0]);
    (void)close(crowd.pipe[1]);
}

struct late {
    int pipe[2];
    _Atomic(int) is_over;
};

static int read_in_time(void *arg)
{
    struct late *late = arg;
    char byte = 0;
    ssize_t n = weft_read(late->pipe[0], &byte, 1, weft_after(WEFT_MILLISECOND));

    atomic_store(&late->is_over, 1);
    return (int)n;
}

/* One round: a read completes and its deadline passes while its worker looks at neither. */
static int let_both_come(struct late *late)
{
    weft_fiber *reader;
    weft_time end;
    int n;

    atomic_store(&late->is_over, 0);
    reader = must_spawn(read_in_time, late);
    CHECK_EQ(weft_sleep(100 * WEFT_MICROSECOND), 0);
    CHECK_EQ(write(late->pipe[1], "x", 1), 1);
    for (end = weft_after(2 * WEFT_MILLISECOND); weft_now() < end;)
        ;
    while (!atomic_load(&late->is_over))
        CHECK_EQ(weft_yield(), 0);
    n = must_join(reader);
    CHECK(n == 1 || n == -ETIMEDOUT);
    if (n != 1)
        CHECK_EQ(drain(late->pipe[0]), 1);
    return n;
}

/* Until it has come to pass, since others may look after the worker's ring in time. */
static int cancel_what_is_complete(void *arg)
{
    struct late late;
    struct weft_stats stats;

    (void)arg;
    make_pipe(late.pipe);
    do {
        int n = let_both_come(&late);

        CHECK_EQ(weft_stats_read(&stats), 0);
        CHECK(stats.late_cancels == 0 || n == 1);
    } while (stats.late_cancels == 0);
    CHECK_EQ(weft_close(late.pipe[0]), 0);
    CHECK_EQ(weft_close(late.pipe[1]), 0);
    return 0;
}

/* A cancel finds its operation by address and generation.  Of one that is complete it finds
 * nothing: the operation has its result, and the next one at that address goes on. */
WORKER_TEST(ring_fault, a_cancel_that_comes_late_is_counted, TEST_TIMEOUT_S)
{
    struct weft_config config = {.workers = *workers, .backend = WEFT_BACKEND_IO_URING};

    (void)unsetenv("WEFT_BACKEND");
    cr_expect_eq(run_config(&config, cancel_what_is_complete, NULL), 0);
    cr_expect_eq(run_stats().ops_completed, run_stats().ops_submitted);
}
