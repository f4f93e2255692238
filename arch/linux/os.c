/* SPDX-License-Identifier: MIT */
/* Linux behind the seam of os.h; the only file that includes pthread.h. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "arch/os.h"

#include "arch/linux/machine.h"
#include "arch/sim_internal.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <linux/mempolicy.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

/* From the kernel's uapi headers of 6.13; Debian 12's are older. */
#ifndef MADV_GUARD_INSTALL
#define MADV_GUARD_INSTALL 102
#endif
#define ADVICE_UNKNOWN 0x7fff /* no kernel has it */
#define OWN_PROCESS (-10001)  /* PIDFD_SELF_THREAD_GROUP, of 6.15 */

static_assert(sizeof(pthread_t) == sizeof(unsigned long), "struct wf_os_thread holds a pthread_t");

int64_t wf_os_now(void)
{
    struct timespec ts;

    if (wf_sim_is_here())
        return wf_sim_now();
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (int64_t)ts.tv_sec * 1000000000 + ts.tv_nsec;
}

bool wf_os_has_shadow_stack(void)
{
    return wf_machine_has_shadow_stack();
}

size_t wf_os_page_size(void)
{
    return (size_t)sysconf(_SC_PAGESIZE);
}

void *wf_os_map(size_t size)
{
    void *address = mmap(NULL, size, PROT_READ | PROT_WRITE,
                         MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_STACK, -1, 0);

    if (address == MAP_FAILED)
        return NULL;
    /* A kernel without huge pages refuses, and there is nothing to forbid then. */
    (void)madvise(address, size, MADV_NOHUGEPAGE);
    return address;
}

void wf_os_unmap(void *address, size_t size)
{
    if (munmap(address, size) != 0)
        abort(); /* only a range that was never mapped is refused: a bug of ours */
}

void wf_os_discard(void *address, size_t size)
{
    /* Refused for locked memory, which then stays. */
    (void)madvise(address, size, MADV_DONTNEED);
}

int wf_os_renew(void *address, size_t size)
{
    if (mmap(address, size, PROT_READ | PROT_WRITE,
             MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_STACK | MAP_FIXED, -1,
             0) == MAP_FAILED)
        return -errno;
    /* As wf_os_map() does it: with the same marks the kernel makes it one mapping with its
     * neighbours. */
    (void)madvise(address, size, MADV_NOHUGEPAGE);
    return 0;
}

int wf_os_prefer_node(void *address, size_t size, unsigned node)
{
    enum { WORD_BITS = 8 * sizeof(unsigned long), NODES = 1024 }; /* the most that Linux has */
    unsigned long mask[NODES / WORD_BITS] = {0};

    if (node >= NODES)
        return -EINVAL;
    mask[node / WORD_BITS] = 1UL << node % WORD_BITS;
    /* The kernel takes one off the number of bits. */
    return syscall(SYS_mbind, address, size, MPOL_PREFERRED, mask, NODES + 1, 0) == 0 ? 0 : -errno;
}

/* Whether advice that nobody knows is refused.  Emulators accept any (qemu-user 7.2 does) and do
 * nothing: a guard by marker would be none there. */
static bool is_advice_heard(void *address, size_t size)
{
    enum { UNKNOWN, HEARD, IGNORED };
    static WF_ATOMIC(uint32_t) answer;
    /* relaxed: all who ask get the same answer. */
    uint32_t known = atomic_load_explicit(&answer, memory_order_relaxed);

    if (known == UNKNOWN) {
        known = madvise(address, size, ADVICE_UNKNOWN) != 0 ? HEARD : IGNORED;
        /* relaxed: as above. */
        atomic_store_explicit(&answer, known, memory_order_relaxed);
    }
    return known == HEARD;
}

int wf_os_guard_marker(void *address, size_t size)
{
    if (!is_advice_heard(address, size))
        return -EINVAL; /* as a kernel that does not know the marker */
    return madvise(address, size, MADV_GUARD_INSTALL) == 0 ? 0 : -errno;
}

unsigned wf_os_guard_markers(char *address, size_t size, size_t stride, unsigned count)
{
    enum { AT_ONCE = 16 }; /* the list is on the stack of a fiber, which may be small */
    static WF_ATOMIC(uint32_t) is_refused;
    struct iovec ranges[AT_ONCE];
    unsigned done = 0;

    while (done < count) {
        unsigned number = count - done < AT_ONCE ? count - done : AT_ONCE;
        long bytes;

        /* relaxed: it only saves calls.  Others than that the kernel is too old are few. */
        if (atomic_load_explicit(&is_refused, memory_order_relaxed) != 0)
            break;
        for (unsigned i = 0; i < number; i++)
            ranges[i] = (struct iovec){address + (done + i) * stride, size};
        bytes = syscall(SYS_process_madvise, OWN_PROCESS, ranges, number, MADV_GUARD_INSTALL, 0);
        if (bytes <= 0) {
            /* relaxed: as above. */
            atomic_store_explicit(&is_refused, 1, memory_order_relaxed);
            break;
        }
        done += (unsigned)((size_t)bytes / size);
    }
    return done;
}

int wf_os_guard_mapping(void *address, size_t size)
{
    return mprotect(address, size, PROT_NONE) == 0 ? 0 : -errno;
}

unsigned long wf_os_max_map_count(void)
{
    unsigned long count = 65530;
    FILE *file = fopen("/proc/sys/vm/max_map_count", "re");

    if (file != NULL) {
        if (fscanf(file, "%lu", &count) != 1)
            count = 65530;
        fclose(file);
    }
    return count;
}

void wf_os_futex_wait(WF_ATOMIC(uint32_t) * word, uint32_t expected, int64_t deadline)
{
    struct timespec ts = {.tv_sec = (time_t)(deadline / 1000000000),
                          .tv_nsec = (long)(deadline % 1000000000)};

    if (wf_sim_is_here()) {
        wf_sim_futex_wait(word, expected, deadline);
        return;
    }
    /* FUTEX_WAIT_BITSET takes an absolute time, so an early return loses nothing. */
    syscall(SYS_futex, word, FUTEX_WAIT_BITSET | FUTEX_PRIVATE_FLAG, expected,
            deadline == INT64_MAX ? NULL : &ts, NULL, FUTEX_BITSET_MATCH_ANY);
}

void wf_os_futex_wake(WF_ATOMIC(uint32_t) * word, int count)
{
    if (wf_sim_is_here()) {
        wf_sim_futex_wake(word, count);
        return;
    }
    syscall(SYS_futex, word, FUTEX_WAKE | FUTEX_PRIVATE_FLAG, count, NULL, NULL, 0);
}

struct thread_start {
    char name[16];
    void (*fn)(void *);
    void *arg;
};

static void *run_thread(void *arg)
{
    struct thread_start start = *(struct thread_start *)arg;

    free(arg);
    pthread_setname_np(pthread_self(), start.name);
    start.fn(start.arg);
    return NULL;
}

int wf_os_thread_start(struct wf_os_thread *thread, const char *name, void (*fn)(void *), void *arg)
{
    struct thread_start *start = malloc(sizeof *start);
    pthread_t id;
    int error;

    if (wf_sim_is_here()) {
        free(start);
        return wf_sim_thread_start(thread, fn, arg);
    }
    if (start == NULL)
        return -ENOMEM;
    snprintf(start->name, sizeof start->name, "%s", name);
    start->fn = fn;
    start->arg = arg;
    error = pthread_create(&id, NULL, run_thread, start);
    if (error != 0) {
        free(start);
        return -error;
    }
    thread->id = id;
    return 0;
}

static void *run_thread_on(void *arg)
{
    const struct wf_os_thread *thread = arg;

    pthread_setname_np(pthread_self(), thread->name);
    thread->fn(thread->arg);
    return NULL;
}

int wf_os_thread_start_on(struct wf_os_thread *thread, const char *name, void (*fn)(void *),
                          void *arg, void *stack, size_t size)
{
    pthread_attr_t attributes;
    pthread_t id;
    int error;

    if (wf_sim_is_here())
        return wf_sim_thread_start(thread, fn, arg);
    snprintf(thread->name, sizeof thread->name, "%s", name);
    thread->fn = fn;
    thread->arg = arg;
    if (pthread_attr_init(&attributes) != 0)
        return -ENOMEM;
    error = pthread_attr_setstack(&attributes, stack, size);
    if (error == 0)
        error = pthread_create(&id, &attributes, run_thread_on, thread);
    (void)pthread_attr_destroy(&attributes);
    if (error == EINVAL)
        return wf_os_thread_start(thread, name, fn, arg);
    if (error == 0)
        thread->id = id;
    return -error;
}

void wf_os_thread_join(struct wf_os_thread *thread)
{
    if (wf_sim_is_here())
        wf_sim_thread_join(thread);
    else if (pthread_join(thread->id, NULL) != 0)
        abort(); /* a thread that we did not start, or joined before: a bug of ours */
}

void wf_os_thread_self(struct wf_os_thread *thread)
{
    if (wf_sim_is_here())
        wf_sim_thread_self(thread);
    else
        thread->id = pthread_self();
}

int64_t wf_os_thread_ran(const struct wf_os_thread *thread)
{
    struct timespec ran;
    clockid_t clock;

    if (wf_sim_is_here())
        return wf_sim_thread_ran(thread);
    if (pthread_getcpuclockid(thread->id, &clock) != 0 || clock_gettime(clock, &ran) != 0)
        return 0;
    return (int64_t)ran.tv_sec * 1000000000 + ran.tv_nsec;
}

void wf_os_affinity_of(const struct wf_os_thread *thread, struct wf_os_affinity *affinity)
{
    memset(affinity, 0, sizeof *affinity);
    if (!wf_sim_is_here() && pthread_getaffinity_np(thread->id, sizeof affinity->cpus,
                                                    (cpu_set_t *)(void *)affinity->cpus) == 0)
        affinity->size = sizeof affinity->cpus;
}

/* The simulation's host; stale while there is none. */
static WF_ATOMIC(unsigned long) sim_host;
static WF_ATOMIC(uint32_t) sim_is_claimed; /* a word: a byte would ask for libatomic on RISC-V */

bool wf_sim_is_host(void)
{
    /* relaxed: the host finds what it has written, and another thread finds that it is not it. */
    return atomic_load_explicit(&sim_host, memory_order_relaxed) == pthread_self();
}

bool wf_sim_claim(void)
{
    uint32_t expected = 0;

    /* SM.1 acquire: the last simulation is over; relaxed on failure: one is under way. */
    if (!atomic_compare_exchange_strong_explicit(&sim_is_claimed, &expected, 1,
                                                 memory_order_acquire, memory_order_relaxed))
        return false;
    /* relaxed: as above. */
    atomic_store_explicit(&sim_host, pthread_self(), memory_order_relaxed);
    /* relaxed: as above. */
    atomic_store_explicit(&wf_sim_is_on, true, memory_order_relaxed);
    return true;
}

void wf_sim_release(void)
{
    /* relaxed: as above. */
    atomic_store_explicit(&wf_sim_is_on, false, memory_order_relaxed);
    /* SM.1 release: all that the simulation did. */
    atomic_store_explicit(&sim_is_claimed, 0, memory_order_release);
}

/* Written in the child of a fork() only, where there is one thread. */
static uint32_t process;
typedef void process_fn(void);

static WF_ATOMIC(process_fn *) process_in_child;

static void count_process(void)
{
    process++;
    /* relaxed: the child has this thread alone. */
    atomic_load_explicit(&process_in_child, memory_order_relaxed)();
}

uint32_t wf_os_process(void)
{
    return process;
}

/* Two that come first at the same time both install the handler: a child then has a number that is
 * larger by two, which is another one as well. */
int wf_os_process_watch(void (*in_child)(void))
{
    static WF_ATOMIC(uint32_t) is_watched;
    int error;

    /* relaxed: the C library's lock, which fork() takes too, publishes what the handler reads. */
    if (atomic_load_explicit(&is_watched, memory_order_relaxed) != 0)
        return 0;
    /* relaxed: always the same function; as above. */
    atomic_store_explicit(&process_in_child, in_child, memory_order_relaxed);
    error = -pthread_atfork(NULL, NULL, count_process);
    if (error == 0)
        /* relaxed: as above. */
        atomic_store_explicit(&is_watched, 1, memory_order_relaxed);
    return error;
}

static_assert(sizeof(pthread_key_t) == sizeof(uint32_t), "a slot is a pthread key");

int wf_os_thread_slot_create(uint32_t *slot, void (*at_end)(void *value))
{
    return -pthread_key_create(slot, at_end);
}

void wf_os_thread_slot_delete(uint32_t slot)
{
    (void)pthread_key_delete(slot);
}

void *wf_os_thread_value(uint32_t slot)
{
    return pthread_getspecific(slot);
}

int wf_os_thread_value_set(uint32_t slot, void *value)
{
    return -pthread_setspecific(slot, value);
}

void wf_os_yield(void)
{
    if (wf_sim_is_here())
        wf_sim_yield();
    else
        sched_yield();
}

void wf_os_block_sigpipe(void)
{
    sigset_t set;

    if (wf_sim_is_here())
        return; /* as above; what is simulated sends none */
    sigemptyset(&set);
    sigaddset(&set, SIGPIPE);
    pthread_sigmask(SIG_BLOCK, &set, NULL);
}
