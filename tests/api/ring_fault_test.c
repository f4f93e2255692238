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
#include <poll.h>
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

static void run_under_fault(unsigned workers, const char *child, const char *call,
                            const char *fault)
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
}

/* The kernel wants completions reaped before it takes more: whoever takes that for the end of the
 * world, or waits for room that only it can make, is lost. */
WORKER_TEST(ring_fault, a_busy_kernel_loses_nothing, TEST_TIMEOUT_S)
{
    run_under_fault(*workers, "talk_under_faults", "io_uring_enter", "EBUSY");
}

/* The kernel is short of memory for a moment. */
WORKER_TEST(ring_fault, a_kernel_short_of_memory_loses_nothing, TEST_TIMEOUT_S)
{
    run_under_fault(*workers, "talk_under_faults", "io_uring_enter", "EAGAIN");
}

/* A signal ends the call: what was prepared must still be prepared, and the wait goes on. */
WORKER_TEST(ring_fault, an_interrupted_call_loses_nothing, TEST_TIMEOUT_S)
{
    run_under_fault(*workers, "talk_under_faults", "io_uring_enter", "EINTR");
}

/* A send that is tried outside the ring then goes through it, and none goes twice. */
WORKER_TEST(ring_fault, an_interrupted_send_loses_nothing, TEST_TIMEOUT_S)
{
    run_under_fault(*workers, "send_under_faults", "sendto", "EINTR");
}

WORKER_TEST(ring_fault, a_send_without_room_waits_for_it, TEST_TIMEOUT_S)
{
    run_under_fault(*workers, "send_under_faults", "sendto", "EAGAIN");
}

/* On epoll the fiber makes the call itself. */
WORKER_TEST(ring_fault, an_interrupted_transfer_is_repeated, TEST_TIMEOUT_S)
{
    run_under_fault(*workers, "talk_on_epoll_under_faults", "preadv2,pwritev2,epoll_pwait2",
                    "EINTR");
}

/* Whoever is told that a descriptor is ready can find that it is not. */
WORKER_TEST(ring_fault, a_transfer_that_would_wait_after_all_waits_again, TEST_TIMEOUT_S)
{
    run_under_fault(*workers, "talk_on_epoll_under_faults", "preadv2,pwritev2", "EAGAIN");
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
    (void)close(crowd.pipe[0]);
    (void)close(crowd.pipe[1]);
}
