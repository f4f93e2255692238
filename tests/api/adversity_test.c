/* SPDX-License-Identifier: MIT */
/* What comes from outside: limits of the system, stops, storms of signals, peers that die, a wall
 * clock that jumps. */
#define _GNU_SOURCE 1

#include "../support/cgroup.h"
#include "../support/child.h"
#include "../support/fixture.h"
#include "../support/memory.h"
#include "../support/net.h"
#include "../support/talk.h"

#include <dirent.h>
#include <errno.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define MS WEFT_MILLISECOND

static unsigned pairs = 4;

/* The second is what the machine has. */
static const uint32_t backends[] = {WEFT_BACKEND_EPOLL, WEFT_BACKEND_AUTO};

static int run_talk(unsigned workers, uint32_t backend)
{
    struct weft_config config = {.workers = workers, .backend = backend};

    return weft_run(&config, talk_in_pairs, &pairs);
}

/* --- Limits --- */

static int open_until_refused(void *arg)
{
    int fds[256], count = 0, status;
    struct weft_signal got;
    sigset_t set;

    (void)arg;
    while (count < 256 && (fds[count] = weft_openat(-100, "/dev/null", 0, 0, WEFT_FOREVER)) >= 0)
        count++;
    if (count < 256) {
        CHECK_EQ(fds[count], -EMFILE);
        CHECK_EQ(weft_listen_tcp("127.0.0.1", 0), -EMFILE);
        CHECK_EQ(weft_process_wait(getpid(), &status, 0), -EMFILE);
        sigemptyset(&set);
        sigaddset(&set, SIGPIPE); /* every worker has it blocked */
        CHECK_EQ(weft_signal_wait(&set, &got, 0), -EMFILE);
    }
    /* Room for one again is enough for one. */
    if (count > 0) {
        CHECK_EQ(weft_close(fds[--count]), 0);
        CHECK((fds[count] = weft_openat(-100, "/dev/null", 0, 0, WEFT_FOREVER)) >= 0);
        count++;
    }
    while (count > 0)
        CHECK_EQ(weft_close(fds[--count]), 0);
    return 0;
}

/* Whatever the limit is, a run works or says that there are no descriptors. */
CHILD(run_with_few_descriptors)
{
    /* With pins for good: to see who waits for a CPU takes a descriptor for a moment. */
    struct weft_config config = {.workers = 2, .pin = 1, .backend = parameter};
    struct rlimit limit;
    int works = 0, refusals = 0;

    CHECK_EQ(getrlimit(RLIMIT_NOFILE, &limit), 0);
    for (limit.rlim_cur = 3; limit.rlim_cur < 64; limit.rlim_cur++) {
        unsigned before = resources_now().fds;
        int result;

        CHECK_EQ(setrlimit(RLIMIT_NOFILE, &limit), 0);
        result = weft_run(&config, open_until_refused, NULL);
        CHECK(result == 0 || result == -EMFILE || result == -ENODEV);
        works += result == 0;
        refusals += result != 0;
        limit.rlim_cur += 64; /* to count them */
        CHECK_EQ(setrlimit(RLIMIT_NOFILE, &limit), 0);
        limit.rlim_cur -= 64;
        CHECK_EQ(resources_now().fds, before);
        CHECK(result == 0 || works == 0); /* with more it does not work less */
    }
    CHECK(works > 0 && refusals > 0);
    return 0;
}

Test(adversity, few_descriptors_are_reported_and_enough_are_enough, .timeout = TEST_TIMEOUT_S)
{
    for (size_t i = 0; i < sizeof backends / sizeof *backends; i++) {
        struct child_end end;

        run_child("run_with_few_descriptors", backends[i], NULL, &end);
        cr_expect_eq(end.exit_status, 0, "status %d, signal %d: %s", end.exit_status, end.signal,
                     end.output);
    }
}

static int return_five(void *arg)
{
    (void)arg;
    return 5;
}

static int spawn_some(void *arg)
{
    weft_fiber *fibers[64];
    int count = 0, error = 0;

    (void)arg;
    while (count < 64 && (error = weft_spawn(&fibers[count], return_five, NULL)) == 0)
        count++;
    CHECK(error == 0 || error == -ENOMEM);
    while (count > 0)
        CHECK_EQ(must_join(fibers[--count]), 5);
    return 0;
}

CHILD(run_with_little_address_space)
{
    struct weft_config config = {.workers = parameter};
    struct rlimit limit;
    rlim_t own = (rlim_t)memory_now().size_kib * 1024;
    int result = -1, refusals = 0;

    CHECK_EQ(getrlimit(RLIMIT_AS, &limit), 0);
    for (rlim_t more = 0; more < 1024UL << 20; more += more < 8UL << 20 ? 256UL << 10 : more / 2) {
        limit.rlim_cur = own + more;
        CHECK_EQ(setrlimit(RLIMIT_AS, &limit), 0);
        result = weft_run(&config, spawn_some, NULL);
        CHECK(result == 0 || result == -ENOMEM || result == -EAGAIN || result == -ENODEV ||
              result == -EMFILE);
        refusals += result != 0;
    }
    CHECK(result == 0 && refusals > 0);
    return 0;
}

Test(adversity, little_address_space_fails_the_start_only, .timeout = TEST_TIMEOUT_S)
{
    struct child_end end;

    if (TEST_IS_SANITIZED)
        cr_skip_test("a sanitizer needs the address space itself");
    run_child("run_with_little_address_space", 2, NULL, &end);
    cr_expect_eq(end.exit_status, 0, "status %d, signal %d: %s", end.exit_status, end.signal,
                 end.output);
}

CHILD(run_without_locked_memory)
{
    struct rlimit none = {0, 0};

    CHECK_EQ(setrlimit(RLIMIT_MEMLOCK, &none), 0);
    return run_talk(2, parameter);
}

/* Rings and guards must not depend on memory that may be locked: many systems allow none. */
Test(adversity, no_memory_may_be_locked, .timeout = TEST_TIMEOUT_S)
{
    for (size_t i = 0; i < sizeof backends / sizeof *backends; i++) {
        struct child_end end;

        run_child("run_without_locked_memory", backends[i], NULL, &end);
        cr_expect_eq(end.exit_status, 0, "status %d, signal %d: %s", end.exit_status, end.signal,
                     end.output);
    }
}

static int park_crowds(void *arg)
{
    (void)arg;
    for (int round = 0; round < 10; round++)
        (void)park_and_end(3000);
    return 0;
}

CHILD(park_in_little_memory)
{
    struct weft_config config = {.workers = parameter, .stack_size_kib = 16};

    return weft_run(&config, park_crowds, NULL);
}

/* Ten crowds one after the other in memory for a few: what one leaves behind serves the next. */
Test(adversity, crowds_one_after_the_other_live_in_little_memory, .timeout = TEST_TIMEOUT_S)
{
    struct cgroup group;
    struct child_end end;
    const char *reason = cgroup_create(&group, "memory"), *limit;
    char enter[512];
    const char *const prefix[] = {"sh", "-c", enter, NULL};

    if (TEST_IS_SANITIZED)
        cr_skip_test("a sanitizer takes more memory than that");
    if (reason != NULL)
        cr_skip_test("%s", reason);
    limit = group.is_v2 ? "memory.max" : "memory.limit_in_bytes";
    (void)snprintf(enter, sizeof enter, "echo $$ >%s/cgroup.procs && exec \"$0\" \"$@\"",
                   group.path);
    if (!cgroup_write(&group, limit, "67108864")) {
        cgroup_remove(&group);
        cr_skip_test("the group's limit cannot be set");
    }
    run_child_under(prefix, "park_in_little_memory", 2, NULL, &end);
    cgroup_remove(&group);
    cr_expect_eq(end.exit_status, 0, "status %d, signal %d: %s", end.exit_status, end.signal,
                 end.output);
}

/* --- Stops and signals --- */

/* Stops its parent and lets it go on, a few times. */
static void stop_and_continue(pid_t parent)
{
    for (int i = 0; i < 8; i++) {
        (void)usleep(10000);
        (void)kill(parent, SIGSTOP);
        (void)usleep(10000);
        (void)kill(parent, SIGCONT);
    }
    _exit(0);
}

CHILD(run_while_being_stopped)
{
    pid_t parent = getpid(), helper = fork();
    int status;

    CHECK(helper >= 0);
    if (helper == 0)
        stop_and_continue(parent);
    do
        CHECK_EQ(run_talk(2, parameter), 0);
    while (waitpid(helper, &status, WNOHANG) == 0);
    return status;
}

/* After a stop all clocks have jumped ahead, for the program: much is late, nothing may be lost. */
Test(adversity, a_process_that_is_stopped_goes_on, .timeout = TEST_TIMEOUT_S)
{
    for (size_t i = 0; i < sizeof backends / sizeof *backends; i++) {
        struct child_end end;

        run_child("run_while_being_stopped", backends[i], NULL, &end);
        cr_expect_eq(end.exit_status, 0, "status %d, signal %d: %s", end.exit_status, end.signal,
                     end.output);
    }
}

enum { NOT_PERMITTED = 77, STOPS = 20 };

/* Holds one thread of another process for a moment, as a debugger does.  False: it may not. */
static bool hold(pid_t thread)
{
    int status = 0;
    bool is_event;

    if (ptrace(PTRACE_SEIZE, thread, NULL, NULL) < 0)
        return errno == ESRCH; /* it has ended */
    if (ptrace(PTRACE_INTERRUPT, thread, NULL, NULL) == 0 &&
        waitpid(thread, &status, __WALL) == thread)
        (void)usleep(10000);
    /* What has stopped it can be a signal that it has yet to get. */
    is_event = !WIFSTOPPED(status) || status >> 16 != 0;
    (void)ptrace(PTRACE_DETACH, thread, NULL, (intptr_t)(is_event ? 0 : WSTOPSIG(status)));
    return true;
}

/* Each thread of its parent but the first, one after the other, a few times. */
static void hold_threads(pid_t parent)
{
    char path[64];
    DIR *threads;

    (void)snprintf(path, sizeof path, "/proc/%d/task", (int)parent);
    for (int stops = 0; stops < STOPS;) {
        if ((threads = opendir(path)) == NULL)
            _exit(1);
        for (struct dirent *entry; (entry = readdir(threads)) != NULL && stops < STOPS;) {
            pid_t thread = atoi(entry->d_name);

            if (thread == 0 || thread == parent)
                continue;
            if (!hold(thread))
                _exit(NOT_PERMITTED);
            stops++;
        }
        (void)closedir(threads);
    }
    _exit(0);
}

CHILD(run_while_threads_are_held)
{
    pid_t parent = getpid(), helper;
    int status;

    (void)prctl(PR_SET_PTRACER, PR_SET_PTRACER_ANY); /* where somebody asks for it */
    helper = fork();
    CHECK(helper >= 0);
    if (helper == 0)
        hold_threads(parent);
    do
        CHECK_EQ(run_talk(3, parameter), 0);
    while (waitpid(helper, &status, WNOHANG) == 0);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 1;
}

/* The others steal, wake and wait for one that does nothing and does not answer. */
Test(adversity, a_worker_that_is_held_goes_on, .timeout = TEST_TIMEOUT_S)
{
    for (size_t i = 0; i < sizeof backends / sizeof *backends; i++) {
        struct child_end end;

        run_child("run_while_threads_are_held", backends[i], NULL, &end);
        if (end.exit_status == NOT_PERMITTED)
            cr_skip_test("threads cannot be held here");
        cr_expect_eq(end.exit_status, 0, "status %d, signal %d: %s", end.exit_status, end.signal,
                     end.output);
    }
}

static _Atomic(unsigned) signals;

static void count_signal(int number)
{
    (void)number;
    (void)atomic_fetch_add(&signals, 1);
}

static void set_alarms(long microseconds)
{
    struct itimerval timer = {{0, microseconds}, {0, microseconds}};

    CHECK_EQ(setitimer(ITIMER_REAL, &timer, NULL), 0);
}

/* Each system call that waits is interrupted, again and again, by a handler that does not ask for
 * its restart. */
WORKER_TEST(adversity, a_storm_of_signals_interrupts_nothing, TEST_TIMEOUT_S)
{
    struct sigaction action = {.sa_handler = count_signal, .sa_flags = SA_ONSTACK};

    CHECK_EQ(sigaction(SIGALRM, &action, NULL), 0);
    for (size_t i = 0; i < sizeof backends / sizeof *backends; i++) {
        struct weft_config config = {.workers = *workers, .backend = backends[i]};

        atomic_store(&signals, 0);
        set_alarms(TEST_IS_SANITIZED ? 2000 : 200);
        cr_expect_eq(run_config(&config, talk_in_pairs, &pairs), 0);
        set_alarms(0);
        cr_expect_gt(atomic_load(&signals), 0);
    }
}

/* --- The wall clock --- */

static _Atomic(unsigned) wall_readings;

int __real_clock_gettime(clockid_t clock, struct timespec *time);
int __wrap_clock_gettime(clockid_t clock, struct timespec *time);

/* What the library, and the program, read here: a wall clock that jumps by years. */
int __wrap_clock_gettime(clockid_t clock, struct timespec *time)
{
    int result = __real_clock_gettime(clock, time);

    if (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE || clock == CLOCK_TAI) {
        unsigned reading = atomic_fetch_add(&wall_readings, 1);

        time->tv_sec += reading % 2 != 0 ? 100000000 : -100000000;
    }
    return result;
}

/* Deadlines, sleeps, timers and rates are the monotonic clock's: nothing asks the other one. */
WORKER_TEST(adversity, the_wall_clock_is_not_asked, TEST_TIMEOUT_S)
{
    struct timespec first, second;

    (void)clock_gettime(CLOCK_REALTIME, &first);
    (void)clock_gettime(CLOCK_REALTIME, &second);
    cr_assert_neq(first.tv_sec / 1000000, second.tv_sec / 1000000, "the test's clock must jump");
    atomic_store(&wall_readings, 0);
    for (size_t i = 0; i < sizeof backends / sizeof *backends; i++) {
        struct weft_config config = {.workers = *workers, .backend = backends[i]};

        cr_expect_eq(run_config(&config, talk_in_pairs, &pairs), 0);
    }
    cr_expect_eq(atomic_load(&wall_readings), 0);
}
