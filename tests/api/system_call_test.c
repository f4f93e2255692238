/* SPDX-License-Identifier: MIT */
/* A program in a steady state asks the system for nothing. */
#define _GNU_SOURCE 1

#include "../support/child.h"
#include "../support/fixture.h"

#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
    PAIRS = 200,
    WINDOWS = 3,
    WINDOW_MS = 150, /* more than there is between any two looks of a worker at itself */
    THREADS_MAX = 64,
};

static struct {
    unsigned busy; /* so many fibers, each of which holds a worker */
    atomic_uint here, done;
} crowd;

static int return_zero(void *arg)
{
    (void)arg;
    return 0;
}

static void spawn_and_join(void)
{
    for (int i = 0; i < PAIRS; i++)
        CHECK_EQ(must_join(must_spawn(return_zero, NULL)), 0);
}

/* The one call that is meant. */
static void mark(void)
{
    CHECK(write(-1, "mark", 4) < 0);
}

/* When all are here each holds a worker of its own, and nobody steals: the others have nothing to
 * look for, or work of their own. */
static int spawn_steadily(void *arg)
{
    (void)arg;
    atomic_fetch_add(&crowd.here, 1);
    while (atomic_load(&crowd.here) < crowd.busy)
        ;
    for (int i = 0; i <= WINDOWS; i++) {
        weft_time end = weft_after(WINDOW_MS * WEFT_MILLISECOND);

        mark();
        while (weft_now() < end)
            spawn_and_join();
    }
    atomic_fetch_add(&crowd.done, 1);
    while (atomic_load(&crowd.done) < crowd.busy)
        spawn_and_join();
    return 0;
}

static int spawn_on_busy_workers(void *arg)
{
    weft_fiber *fibers[THREADS_MAX];

    (void)arg;
    for (unsigned i = 0; i < crowd.busy; i++)
        fibers[i] = must_spawn(spawn_steadily, NULL);
    for (unsigned i = 0; i < crowd.busy; i++)
        CHECK_EQ(must_join(fibers[i]), 0);
    return 0;
}

CHILD(spawn_on_all)
{
    struct weft_config config = {.workers = parameter, .monitor = 2}; /* no spares */

    crowd.busy = parameter;
    return weft_run(&config, spawn_on_busy_workers, NULL);
}

/* A worker that the machine keeps from running for some milliseconds is not to be relieved. */
CHILD(spawn_on_one)
{
    struct weft_config config = {.workers = parameter, .monitor = 2, .stall_us = 1000000};

    crowd.busy = 1;
    return weft_run(&config, spawn_on_busy_workers, NULL);
}

/* A thread that wrote a mark, and its calls since the last one. */
struct traced {
    int thread;
    unsigned calls, windows, fewest;
};

struct trace {
    struct traced threads[THREADS_MAX];
    unsigned count;
    bool may_nap;     /* there are fewer CPUs than busy workers */
    bool reads_clock; /* by system calls: this machine has no other way */
};

static struct traced *find_thread(struct trace *trace, int thread)
{
    for (unsigned i = 0; i < trace->count; i++)
        if (trace->threads[i].thread == thread)
            return &trace->threads[i];
    return NULL;
}

static void note_mark(struct trace *trace, int thread)
{
    struct traced *traced = find_thread(trace, thread);

    if (traced == NULL) {
        cr_assert_lt(trace->count, THREADS_MAX);
        traced = &trace->threads[trace->count++];
        *traced = (struct traced){.thread = thread, .fewest = UINT32_MAX};
    } else {
        traced->windows++;
        if (traced->calls < traced->fewest)
            traced->fewest = traced->calls;
    }
    traced->calls = 0;
}

/* A call that strace shows in two parts counts with its first.  Who waits for a lock that a worker
 * without a CPU has takes naps. */
static bool is_call(const struct trace *trace, const char *line)
{
    if (trace->may_nap && strstr(line, "FUTEX_WAIT") != NULL)
        return false;
    return strstr(line, "resumed>") == NULL && strchr(line, '(') != NULL;
}

static void read_trace(const char *path, struct trace *trace)
{
    FILE *file = fopen(path, "re");
    char line[512];

    cr_assert_not_null(file);
    while (fgets(line, sizeof line, file) != NULL) {
        struct traced *traced = find_thread(trace, atoi(line));

        if (strstr(line, "write(-1, \"mark\"") != NULL)
            note_mark(trace, atoi(line));
        else if (traced != NULL && is_call(trace, line))
            traced->calls++;
        trace->reads_clock |= traced != NULL && strstr(line, "clock_gettime(CLOCK_MONO") != NULL;
    }
    (void)fclose(file);
}

static unsigned count_cpus(void)
{
    cpu_set_t allowed;

    cr_assert_eq(sched_getaffinity(0, sizeof allowed, &allowed), 0);
    return (unsigned)CPU_COUNT(&allowed);
}

static void expect_silence(const char *child, unsigned workers, unsigned busy,
                           const char *const *environment)
{
    char path[] = "/tmp/weft-trace-XXXXXX";
    const char *const prefix[] = {"strace", "-f", "-qq", "-o", path, NULL};
    struct trace trace = {.may_nap = busy > count_cpus()};
    struct child_end end;
    int file = mkstemp(path);

    cr_assert_geq(file, 0);
    (void)close(file);
    run_child_under(prefix, child, workers, environment, &end);
    read_trace(path, &trace);
    (void)unlink(path);
    /* strace 126: it is not there.  1: it may not trace here. */
    if (end.exit_status == 126 || end.exit_status == 1)
        cr_skip_test("strace cannot run here");
    cr_expect_eq(end.exit_status, 0, "status %d, signal %d: %s", end.exit_status, end.signal,
                 end.output);
    if (trace.reads_clock)
        cr_skip_test("to read the clock is a system call here");
    cr_expect_eq(trace.count, busy);
    for (unsigned i = 0; i < trace.count; i++) {
        const struct traced *traced = &trace.threads[i];

        cr_expect_eq(traced->windows, WINDOWS);
        /* In one of the windows the monitor may have asked for some of the free stacks. */
        cr_expect_eq(traced->fewest, 0, "thread %d: at least %u calls in %d ms", traced->thread,
                     traced->fewest, WINDOW_MS);
    }
}

/* A worker that is never out of work needs nothing of the kernel: not memory, not to know how it is
 * doing.  What is asked for at intervals below that of the windows would be in each of them. */
WORKER_TEST(system_call, none_is_made_to_spawn_and_join, TEST_TIMEOUT_S)
{
    static const char *const epoll[] = {"WEFT_BACKEND=epoll", NULL};

    if (TEST_IS_SANITIZED)
        cr_skip_test("a sanitizer makes system calls of its own");
    expect_silence("spawn_on_all", *workers, *workers, NULL);
    expect_silence("spawn_on_all", *workers, *workers, epoll);
}

/* Nor while the others sleep, who could be woken to help. */
WORKER_TEST(system_call, none_is_made_beside_workers_that_sleep, TEST_TIMEOUT_S)
{
    if (TEST_IS_SANITIZED)
        cr_skip_test("a sanitizer makes system calls of its own");
    expect_silence("spawn_on_one", *workers, 1, NULL);
}
