/* SPDX-License-Identifier: MIT */
/* Where a thread may run, what it has used, and how soon it comes: the part of os.h that asks the
 * scheduler of the system. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#include "arch/os.h"

#include "arch/sim_internal.h"

#include <dirent.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <linux/membarrier.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

enum { BITS_PER_LONG = sizeof(unsigned long) * CHAR_BIT };

/* The system calls themselves: cpu_set_t ends at 1,024 CPUs. */
void wf_os_affinity_get(long thread, struct wf_os_affinity *affinity)
{
    long size;

    memset(affinity, 0, sizeof *affinity);
    size = syscall(SYS_sched_getaffinity, thread, sizeof affinity->cpus, affinity->cpus);
    affinity->size = size > 0 ? (size_t)size : 0;
}

void wf_os_affinity_set(long thread, const struct wf_os_affinity *affinity)
{
    if (affinity->size > 0 && !wf_sim_is_here())
        (void)syscall(SYS_sched_setaffinity, thread, affinity->size, affinity->cpus);
}

void wf_os_affinity_clear(struct wf_os_affinity *affinity)
{
    memset(affinity, 0, sizeof *affinity);
    affinity->size = sizeof affinity->cpus; /* more than the system uses is ignored */
}

void wf_os_affinity_add(struct wf_os_affinity *affinity, unsigned cpu)
{
    if (cpu < sizeof affinity->cpus * CHAR_BIT)
        affinity->cpus[cpu / BITS_PER_LONG] |= 1UL << cpu % BITS_PER_LONG;
}

void wf_os_affinity_limit(struct wf_os_affinity *affinity, const struct wf_os_affinity *limit)
{
    for (size_t i = 0; i < sizeof affinity->cpus / sizeof *affinity->cpus; i++)
        affinity->cpus[i] &= limit->cpus[i];
}

bool wf_os_affinity_equals(const struct wf_os_affinity *a, const struct wf_os_affinity *b)
{
    return memcmp(a->cpus, b->cpus, sizeof a->cpus) == 0;
}

uint64_t wf_os_thread_sleeps(void)
{
    struct rusage usage;

    if (wf_sim_is_here())
        return wf_sim_thread_sleeps();
    getrusage(RUSAGE_THREAD, &usage);
    return (uint64_t)usage.ru_nvcsw;
}

/* The beginning of the file as a string, an empty one if it cannot be read. */
static void read_text(const char *path, char *text, size_t size)
{
    ssize_t length = -1;
    int fd = open(path, O_RDONLY | O_CLOEXEC);

    if (fd >= 0) {
        length = read(fd, text, size - 1);
        close(fd);
    }
    text[length > 0 ? length : 0] = '\0';
}

/* All threads, 0 if that cannot be read. */
static unsigned count_all_threads(void)
{
    unsigned count = 0;
    char line[256];
    FILE *file = fopen("/proc/self/status", "re");

    while (file != NULL && count == 0 && fgets(line, sizeof line, file) != NULL)
        (void)sscanf(line, "Threads: %u", &count);
    if (file != NULL)
        (void)fclose(file);
    return count;
}

enum { IO_WORKER = 0x10 }; /* PF_IO_WORKER of the kernel, in the flags of /proc/.../stat */

/* False also for a thread that is gone: it may have started another one before. */
static bool is_kernel_worker(const char *number)
{
    char path[64], text[512];
    const char *name_end;
    unsigned flags = 0;

    (void)snprintf(path, sizeof path, "/proc/self/task/%.20s/stat", number);
    read_text(path, text, sizeof text);
    name_end = strrchr(text, ')'); /* the name can hold parentheses and spaces of its own */
    return name_end != NULL && sscanf(name_end, ") %*c %*d %*d %*d %*d %*d %u", &flags) == 1 &&
           (flags & IO_WORKER) != 0;
}

/* True if of `all` threads that many are not the kernel's.  Looks at few: a process can have
 * thousands.  A thread that ends meanwhile can cut the kernel's list short, so all must be there.
 */
static bool are_own_among(uint32_t count, unsigned all)
{
    DIR *tasks = opendir("/proc/self/task");
    const struct dirent *entry;
    uint32_t own = 0, seen = 0;

    while (tasks != NULL && own <= count && (entry = readdir(tasks)) != NULL) {
        bool is_thread = entry->d_name[0] != '.';

        seen += is_thread;
        own += is_thread && !is_kernel_worker(entry->d_name);
    }
    if (tasks != NULL)
        (void)closedir(tasks);
    return own == count && seen == all;
}

bool wf_os_thread_count_is(uint32_t count)
{
    unsigned all;

    if (wf_sim_is_here())
        return wf_sim_thread_count() == count;
    all = count_all_threads();
    return all == count || (all > count && are_own_among(count, all));
}

static bool read_use(const char *path, struct wf_os_use *use)
{
    char text[64];

    read_text(path, text, sizeof text);
    return sscanf(text, "%" SCNd64 " %" SCNd64, &use->ran, &use->waited) == 2;
}

bool wf_os_thread_use_of(long thread, struct wf_os_use *use)
{
    char path[64];

    (void)snprintf(path, sizeof path, "/proc/self/task/%ld/schedstat", thread);
    return read_use(path, use);
}

void wf_os_thread_use(struct wf_os_use *use)
{
    struct timespec cpu;

    if (wf_sim_is_here()) {
        wf_sim_thread_use(use);
        return;
    }
    /* How long it ran is brought up to date at ticks only, which are further apart than the looks
     * may be: the clock gives it exactly. */
    if (!read_use("/proc/thread-self/schedstat", use))
        use->waited = 0;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &cpu);
    use->ran = (int64_t)cpu.tv_sec * 1000000000 + cpu.tv_nsec;
}

enum { SLICE_NS = 100000 }; /* the shortest that the kernel grants */

/* As the kernel has it (Linux, include/uapi/linux/sched/types.h); the C library has no name for it.
 */
struct attributes {
    uint32_t size;
    uint32_t policy;
    uint64_t flags;
    int32_t nice;
    uint32_t priority;
    uint64_t runtime;
    uint64_t deadline;
    uint64_t period;
};

void wf_os_thread_hurry(void)
{
    struct attributes attributes = {.size = sizeof attributes};

    if (wf_sim_is_here())
        return; /* the one real thread is the program's */
    if (syscall(SYS_sched_getattr, 0, &attributes, sizeof attributes, 0) != 0 ||
        attributes.policy != SCHED_OTHER)
        return;
    attributes.size = sizeof attributes;
    attributes.runtime = SLICE_NS;
    (void)syscall(SYS_sched_setattr, 0, &attributes, 0);
}

/* Linux 4.14.  In simulation all threads are one. */
bool wf_os_barrier_prepare(void)
{
    return wf_sim_is_here() ||
           syscall(SYS_membarrier, MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED, 0, 0) == 0;
}

bool wf_os_barrier(void)
{
    return wf_sim_is_here() || syscall(SYS_membarrier, MEMBARRIER_CMD_PRIVATE_EXPEDITED, 0, 0) == 0;
}
