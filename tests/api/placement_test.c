/* SPDX-License-Identifier: MIT */
/* Where workers run: machines that hwloc makes up, narrow and changing sets of CPUs, CPU quotas. */
#define _GNU_SOURCE 1

#include "../support/affinity.h"
#include "../support/cgroup.h"
#include "../support/child.h"
#include "../support/fixture.h"

#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

enum { FIBERS = 64, TURNS = 50, FAILED = 3, REFUSED = 4 };

/* Of a large server: 2 packages of 4 NUMA nodes of 16 cores of 2 hardware threads. */
#define SERVER "Package:2 Group:4 [NUMANode] L3:1 Core:16 PU:2"

static const char *const machines[] = {
    "Package:1 L3:1 Core:1 PU:1",
    "Package:2 [NUMANode] L3:2 Core:2 PU:1",
    "Package:2 NUMANode:4 Core:16 PU:2",
    SERVER,
};

static _Atomic(unsigned) turns;
static _Atomic(int) cpu_wanted; /* -1: any */

static int take_turns(void *arg)
{
    (void)arg;
    for (int i = 0; i < TURNS; i++) {
        int wanted = cpu_wanted;

        turns++;
        CHECK(wanted < 0 || sched_getcpu() == wanted);
        CHECK_EQ(i % 10 == 0 ? weft_sleep(WEFT_MILLISECOND) : weft_yield(), 0);
    }
    return 0;
}

/* Work that spreads over the workers, sleeps and wakes. */
static int work(void *arg)
{
    weft_fiber *fibers[FIBERS];
    unsigned before = turns;

    (void)arg;
    for (int i = 0; i < FIBERS; i++)
        fibers[i] = must_spawn(take_turns, NULL);
    for (int i = 0; i < FIBERS; i++)
        CHECK_EQ(must_join(fibers[i]), 0);
    CHECK_EQ(turns, before + FIBERS * TURNS);
    return 0;
}

/* Victims and stack caches are laid out by a topology: whatever it looks like, work gets done. */
WORKER_TEST(placement, any_machine_runs, TEST_TIMEOUT_S)
{
    cpu_wanted = -1;
    for (size_t i = 0; i < sizeof machines / sizeof *machines; i++) {
        cr_assert_eq(setenv("HWLOC_SYNTHETIC", machines[i], 1), 0);
        cr_expect_eq(run_workers(*workers, work, NULL), 0, "%s", machines[i]);
    }
}

/* The report of the doctor on a machine, on no more workers than `workers` (0: its own choice). */
static char *doctor_on(const char *machine, unsigned workers)
{
    struct weft_config config = {.workers = workers};
    char *text = NULL;
    size_t length = 0;
    FILE *out = open_memstream(&text, &length);

    (void)unsetenv("WEFT_WORKERS");
    (void)unsetenv("WEFT_PIN");
    cr_assert_not_null(out);
    cr_assert_eq(setenv("HWLOC_SYNTHETIC", machine, 1), 0);
    cr_expect_eq(weft_doctor(&config, out), 0);
    cr_assert_eq(fclose(out), 0);
    cr_assert_not_null(text);
    return text;
}

#define EXPECT_LINES(machine, workers, ...)                                       \
    do {                                                                          \
        static const char *const lines[] = {__VA_ARGS__};                         \
        char *text = doctor_on(machine, workers);                                 \
        for (size_t l = 0; l < sizeof lines / sizeof *lines; l++)                 \
            cr_expect_not_null(strstr(text, lines[l]), "%s\n%s", lines[l], text); \
        free(text);                                                               \
    } while (0)

/* A person must be able to see which worker is where, in few lines also on a large machine.  (The
 * number of workers is given: a quota on the machine that runs the test would choose another.) */
Test(placement, doctor_prints_the_placement, .timeout = TEST_TIMEOUT_S)
{
    EXPECT_LINES("Core:1 PU:1", 1, "worker 0 on CPU 0: core 0, cache 0, node 0, package 0\n");
    EXPECT_LINES("Core:2 PU:1", 16, "worker 0-1 on CPU 0-1: core 0-1,",
                 "worker 2 and up share these CPUs in turn\n");
    EXPECT_LINES(SERVER, 256, "worker 0-15 on CPU 0-30:2: core 0-15, cache 0, node 0, package 0\n",
                 "worker 112-127 on CPU 224-254:2: core 112-127, cache 7, node 7, package 1\n",
                 "worker 128-143 on CPU 1-31:2: core 0-15, cache 0, node 0, package 0\n",
                 "worker 240-255 on CPU 225-255:2: core 112-127, cache 7, node 7, package 1\n");
    EXPECT_LINES(SERVER, 3, "worker 0-2 on CPU 0-4:2: core 0-2, cache 0, node 0, package 0\n");
    /* The odd ones of a machine whose packages share out the numbers in turn. */
    EXPECT_LINES("Package:2 [NUMANode] L3:1 Core:3 PU:1(indexes=0,2,4,1,3,5)", 6,
                 "worker 0-2 on CPU 0-4:2: core 0-2,", "worker 3-5 on CPU 1-5:2: core 3-5,");
}

static int count_workers(void *arg)
{
    (void)arg;
    (void)work(NULL);
    return (int)weft_worker_count();
}

static unsigned last_cpu(void)
{
    unsigned last = 0;
    cpu_set_t set;

    CHECK_EQ(sched_getaffinity(0, sizeof set, &set), 0);
    for (unsigned i = 0; i < CPU_SETSIZE; i++)
        if (CPU_ISSET(i, &set))
            last = i;
    return last;
}

CHILD(run_on_one_cpu)
{
    cpu_set_t one;

    (void)parameter;
    cpu_wanted = (int)last_cpu();
    CPU_ZERO(&one);
    CPU_SET((unsigned)cpu_wanted, &one);
    CHECK_EQ(sched_setaffinity(0, sizeof one, &one), 0);
    return weft_run(NULL, count_workers, NULL);
}

static void expect_status(const char *child, const char *const *environment, int status)
{
    struct child_end end;

    run_child(child, 0, environment, &end);
    cr_expect_eq(end.exit_status, status, "status %d, signal %d: %s", end.exit_status, end.signal,
                 end.output);
}

/* As under taskset: one CPU is one worker, and any number of workers stays on that CPU. */
Test(placement, stays_within_the_affinity_mask, .timeout = TEST_TIMEOUT_S)
{
    static const char *const four[] = {"WEFT_WORKERS=4", NULL};
    static const char *const loose[] = {"WEFT_WORKERS=4", "WEFT_PIN=2", NULL};

    expect_status("run_on_one_cpu", NULL, 1);
    expect_status("run_on_one_cpu", four, 4);
    expect_status("run_on_one_cpu", loose, 4);
}

CHILD(run_without_pinning)
{
    struct sock_filter filter[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_sched_setaffinity, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = {.len = sizeof filter / sizeof *filter, .filter = filter};

    (void)parameter;
    cpu_wanted = -1;
    CHECK_EQ(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), 0);
    CHECK_EQ(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program), 0);
    return weft_run(NULL, count_workers, NULL);
}

/* Pinning is for speed: a sandbox that forbids it costs speed and a line, not the start. */
Test(placement, a_refused_pin_is_said_once_and_the_run_goes_on, .timeout = TEST_TIMEOUT_S)
{
    static const char *const environment[] = {"WEFT_WORKERS=4", "WEFT_PIN=1", NULL};
    const char *said;
    struct child_end end;

    run_child("run_without_pinning", 0, environment, &end);
    cr_expect_eq(end.exit_status, 4, "status %d: %s", end.exit_status, end.output);
    said = strstr(end.output, "cannot pin worker");
    cr_assert_not_null(said, "%s", end.output);
    cr_expect_not_null(strstr(said, "WEFT_PIN"), "it names the remedy: %s", end.output);
    cr_expect_null(strstr(said + 1, "cannot pin worker"), "%s", end.output);
}

static int work_while_moved_about(void *arg)
{
    const cpu_set_t *all = arg;

    for (unsigned cpu = 0; cpu < CPU_SETSIZE; cpu++) {
        cpu_set_t one;

        if (!CPU_ISSET(cpu, all))
            continue;
        CPU_ZERO(&one);
        CPU_SET(cpu, &one);
        move_all_threads(&one);
        cpu_wanted = (int)cpu;
        CHECK_EQ(work(NULL), 0);
    }
    move_all_threads(all);
    cpu_wanted = -1;
    return work(NULL);
}

/* Workers do not count on being where they were pinned. */
WORKER_TEST(placement, a_run_survives_changed_affinities, TEST_TIMEOUT_S)
{
    cpu_set_t all;

    cr_assert_eq(sched_getaffinity(0, sizeof all, &all), 0);
    cpu_wanted = -1;
    cr_expect_eq(run_workers(*workers, work_while_moved_about, &all), 0);
}

/* The group that the parent made, and this process in it.  Returns false if the kernel refuses. */
static bool enter_group(struct cgroup *group)
{
    const char *path = getenv("TEST_CGROUP");
    char pid[16];

    CHECK(path != NULL);
    (void)snprintf(group->path, sizeof group->path, "%s", path);
    (void)snprintf(pid, sizeof pid, "%d", (int)getpid());
    return cgroup_write(group, "cgroup.procs", pid);
}

static void run_in_group(const struct cgroup *group, const char *child, const char *workers,
                         struct child_end *end)
{
    char path[512];
    const char *const environment[] = {path, workers, NULL};

    (void)snprintf(path, sizeof path, "TEST_CGROUP=%s", group->path);
    run_child(child, 0, environment, end);
}

static int work_on_shrinking_set(void *arg)
{
    const struct cgroup *group = arg;
    unsigned last = last_cpu();
    char one[16];

    (void)snprintf(one, sizeof one, "%u", last);
    if (!cgroup_write(group, "cpuset.cpus", one))
        return REFUSED;
    cpu_wanted = (int)last;
    CHECK_EQ(work(NULL), 0);
    cpu_wanted = -1;
    if (!cgroup_write(group, "cpuset.cpus", getenv("TEST_CPUS")))
        return FAILED;
    return work(NULL);
}

CHILD(run_in_cpuset)
{
    struct cgroup group;

    (void)parameter;
    cpu_wanted = -1;
    return enter_group(&group) ? weft_run(NULL, work_on_shrinking_set, &group) : REFUSED;
}

static void read_line(const char *folder, const char *file, char *line, size_t size)
{
    char path[512];
    FILE *in;

    line[0] = '\0';
    (void)snprintf(path, sizeof path, "%s/../%s", folder, file);
    in = fopen(path, "re");
    if (in != NULL && fgets(line, (int)size, in) != NULL)
        line[strcspn(line, "\n")] = '\0';
    if (in != NULL)
        (void)fclose(in);
}

/* What an administrator or a container engine does to a server that runs. */
Test(placement, a_run_survives_a_changed_cpuset, .timeout = TEST_TIMEOUT_S)
{
    const char *const effective[] = {"cpuset.effective_cpus", "cpuset.effective_mems",
                                     "cpuset.cpus.effective", "cpuset.mems.effective"};
    char cpus[256], mems[256];
    struct child_end end = {.exit_status = REFUSED};
    struct cgroup group;
    const char *reason = cgroup_create(&group, "cpuset");

    if (reason != NULL)
        cr_skip_test("%s", reason);
    read_line(group.path, effective[group.is_v2 ? 2 : 0], cpus, sizeof cpus);
    read_line(group.path, effective[group.is_v2 ? 3 : 1], mems, sizeof mems);
    cr_assert_eq(setenv("TEST_CPUS", cpus, 1), 0);
    if (cgroup_write(&group, "cpuset.mems", mems) && cgroup_write(&group, "cpuset.cpus", cpus))
        run_in_group(&group, "run_in_cpuset", "WEFT_WORKERS=4", &end);
    cgroup_remove(&group);
    if (end.exit_status == REFUSED)
        cr_skip_test("the kernel refuses a process or a set in the control group");
    cr_expect_eq(end.exit_status, 0, "status %d, signal %d: %s", end.exit_status, end.signal,
                 end.output);
}

static int compute(void *arg)
{
    const struct cgroup *group = arg;
    struct timespec used = {.tv_sec = 0};

    /* Until the quota has bitten, or has had every chance: on a crowded machine this process may
     * get less than half a core anyway. */
    while (cgroup_read(group, "cpu.stat", "nr_throttled") < 10 && used.tv_sec < 1) {
        CHECK_EQ(work(NULL), 0);
        for (weft_time until = weft_now() + 20 * WEFT_MILLISECOND; weft_now() < until;)
            continue;
        CHECK_EQ(clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &used), 0);
    }
    return 0;
}

static int compute_with_few_workers(void *arg)
{
    CHECK_EQ(weft_worker_count(), getenv("WEFT_WORKERS") != NULL ? 4 : 1);
    return compute(arg);
}

CHILD(run_under_quota)
{
    struct cgroup group;

    (void)parameter;
    cpu_wanted = -1;
    return enter_group(&group) ? weft_run(NULL, compute_with_few_workers, &group) : REFUSED;
}

CHILD(doctor_under_quota)
{
    struct cgroup group;

    (void)parameter;
    return enter_group(&group) ? -weft_doctor(NULL, stdout) : REFUSED;
}

/* Half a core is one worker, not none and not one for each CPU; and when the kernel stops all
 * workers for half of the time, at any instruction, everything still ends as it should. */
Test(placement, runs_on_half_a_core, .timeout = TEST_TIMEOUT_S)
{
    struct child_end end = {.exit_status = REFUSED};
    struct cgroup group;
    const char *reason = cgroup_create(&group, "cpu");
    bool is_set;

    if (reason != NULL)
        cr_skip_test("%s", reason);
    is_set = group.is_v2 ? cgroup_write(&group, "cpu.max", "1000 2000")
                         : cgroup_write(&group, "cpu.cfs_period_us", "2000") &&
                               cgroup_write(&group, "cpu.cfs_quota_us", "1000");
    if (is_set)
        run_in_group(&group, "run_under_quota", NULL, &end);
    if (end.exit_status == 0)
        run_in_group(&group, "run_under_quota", "WEFT_WORKERS=4", &end);
    if (end.exit_status == 0)
        run_in_group(&group, "doctor_under_quota", NULL, &end);
    cgroup_remove(&group);
    if (end.exit_status == REFUSED)
        cr_skip_test("the kernel refuses a quota, or the process in the control group");
    cr_expect_eq(end.exit_status, 0, "status %d, signal %d: %s", end.exit_status, end.signal,
                 end.output);
    cr_expect_not_null(strstr(end.output, "0.500 CPUs"), "%s", end.output);
    cr_expect_not_null(strstr(end.output, "1, "), "%s", end.output);
}
