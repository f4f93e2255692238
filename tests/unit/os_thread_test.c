/* SPDX-License-Identifier: MIT */
/* What the runtime asks the kernel about a thread, and asks it to do with one. */
#include "arch/os.h"

#include <criterion/criterion.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdint.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

enum { TIMEOUT_S = 60 };

/* struct sched_attr of the kernel in its first version. */
struct attributes {
    uint32_t size, policy;
    uint64_t flags;
    int32_t nice;
    uint32_t priority;
    uint64_t runtime, deadline, period;
};

static struct attributes attributes_now(void)
{
    struct attributes now = {.size = sizeof now};

    cr_assert_eq(syscall(SYS_sched_getattr, 0, &now, sizeof now, 0), 0);
    return now;
}

/* A spare that lost its niceness, or took a larger share, would do more than hurry. */
Test(os_thread, a_hurry_shortens_the_slice_and_nothing_else, .timeout = TIMEOUT_S)
{
    struct sched_param none = {0};
    struct attributes before, after;

    /* Whatever whoever runs the tests has chosen for them. */
    cr_assert_eq(sched_setscheduler(0, SCHED_OTHER, &none), 0);
    cr_assert_eq(setpriority(PRIO_PROCESS, 0, 7), 0);
    before = attributes_now();
    wf_os_thread_hurry();
    after = attributes_now();
    cr_expect_eq(after.policy, before.policy);
    cr_expect_eq(after.nice, 7);
    cr_expect_eq(after.flags, before.flags);
    if (before.runtime == 0)
        cr_skip_test("the kernel has no slices to ask for (before Linux 6.12)");
    cr_expect_lt(after.runtime, before.runtime);
}

/* Whoever has chosen another policy has a reason. */
Test(os_thread, a_hurry_leaves_other_policies_alone, .timeout = TIMEOUT_S)
{
    struct sched_param none = {0};
    struct attributes before, after;

    cr_assert_eq(sched_setscheduler(0, SCHED_BATCH, &none), 0);
    before = attributes_now();
    wf_os_thread_hurry();
    after = attributes_now();
    cr_expect_eq(after.policy, SCHED_BATCH);
    cr_expect_eq(after.runtime, before.runtime);
}

static int64_t cpu_ns(void)
{
    struct timespec now;

    cr_assert_eq(clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now), 0);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

/* The time in /proc stands still between two ticks of the kernel.  A look that was shorter than one
 * saw a busy thread idle, or one that had run for longer than the look. */
Test(os_thread, use_is_exact_between_ticks, .timeout = TIMEOUT_S)
{
    for (int i = 0; i < 1000; i++) {
        int64_t before = cpu_ns(), after;
        struct wf_os_use use;

        wf_os_thread_use(&use);
        after = cpu_ns();
        cr_assert(before <= use.ran && use.ran <= after);
        cr_assert_geq(use.waited, 0);
    }
}

struct computation {
    _Atomic(int64_t) shown; /* what it has run */
    atomic_int rounds, told;
};

static void compute_until_told(void *arg)
{
    struct computation *computation = arg;

    while (atomic_load(&computation->told) == 0) {
        atomic_store(&computation->shown, cpu_ns());
        atomic_fetch_add(&computation->rounds, 1);
    }
}

/* Two workers are judged by what both have run in a quarter of a second. */
Test(os_thread, what_another_thread_has_run_is_exact_between_ticks, .timeout = TIMEOUT_S)
{
    struct computation computation = {0};
    struct wf_os_thread thread;

    cr_assert_eq(wf_os_thread_start(&thread, "computes", compute_until_told, &computation), 0);
    for (int i = 0; i < 100; i++) {
        int64_t before = atomic_load(&computation.shown), ran = wf_os_thread_ran(&thread);
        int rounds = atomic_load(&computation.rounds);

        while (atomic_load(&computation.rounds) < rounds + 2)
            (void)sched_yield();
        cr_assert(before <= ran && ran <= atomic_load(&computation.shown));
    }
    atomic_store(&computation.told, 1);
    wf_os_thread_join(&thread);
}

/* Of any thread, up to its last tick; and of none, that there is none. */
Test(os_thread, use_of_a_thread_is_told_by_its_number, .timeout = TIMEOUT_S)
{
    struct wf_os_use use;

    if (!wf_os_thread_use_of(gettid(), &use))
        cr_skip_test("the kernel does not tell");
    cr_expect_geq(use.waited, 0);
    while (use.ran == 0)
        cr_assert(wf_os_thread_use_of(gettid(), &use));
    cr_expect_not(wf_os_thread_use_of(INT32_MAX, &use));
}

static void wait_until_told(void *arg)
{
    struct computation *computation = arg;

    atomic_store(&computation->rounds, 1); /* and so it has its name */
    while (atomic_load(&computation->told) == 0)
        (void)usleep(1000);
}

/* If one were left out it could wake somebody unseen.  What makes the kernel leave its own out is
 * the number 16, which a name can hold as well. */
Test(os_thread, each_that_runs_the_program_counts, .timeout = TIMEOUT_S)
{
    struct computation computation = {0};
    struct wf_os_thread thread;
    uint32_t count = 1;

    while (!wf_os_thread_count_is(count) && count < 100)
        count++;
    cr_assert_lt(count, 100);
    cr_assert_eq(wf_os_thread_start(&thread, ")R 1 1 1 1 1 16", wait_until_told, &computation), 0);
    while (atomic_load(&computation.rounds) == 0)
        (void)sched_yield();
    cr_expect(wf_os_thread_count_is(count + 1));
    cr_expect_not(wf_os_thread_count_is(count));
    cr_expect_not(wf_os_thread_count_is(count + 2));
    atomic_store(&computation.told, 1);
    wf_os_thread_join(&thread);
}

Test(os_thread, affinity_is_set_by_number, .timeout = TIMEOUT_S)
{
    struct wf_os_affinity before, one, after;
    unsigned cpu = (unsigned)sched_getcpu();

    wf_os_affinity_get(gettid(), &before);
    cr_assert_gt(before.size, 0);
    wf_os_affinity_clear(&one);
    wf_os_affinity_add(&one, cpu);
    wf_os_affinity_set(gettid(), &one);
    wf_os_affinity_get(0, &after);
    cr_expect(wf_os_affinity_equals(&one, &after));
    cr_expect_eq((unsigned)sched_getcpu(), cpu);
    wf_os_affinity_limit(&after, &before);
    cr_expect(wf_os_affinity_equals(&one, &after));
    wf_os_affinity_clear(&one);
    wf_os_affinity_limit(&after, &one);
    cr_expect(wf_os_affinity_equals(&one, &after), "nothing is left");
    wf_os_affinity_set(0, &after);
    wf_os_affinity_get(0, &after);
    cr_expect_not(wf_os_affinity_equals(&one, &after), "a thread has some CPU");
    wf_os_affinity_set(0, &before);
    wf_os_affinity_get(gettid(), &after);
    cr_expect(wf_os_affinity_equals(&before, &after));
}
