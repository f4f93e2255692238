/* SPDX-License-Identifier: MIT */
/*
 * The seam to the operating system.
 *
 * For every function here: sizes and addresses are multiples of wf_os_page_size() where they name
 * memory, pointers are not null, an int result is 0 or a negative errno, and errno itself is left
 * in an unspecified state.
 */
#ifndef WF_ARCH_OS_H
#define WF_ARCH_OS_H

#include "arch/atomic.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Nanoseconds of CLOCK_MONOTONIC. */
int64_t wf_os_now(void);

size_t wf_os_page_size(void);

/* Whether calls of this thread are checked against a second stack, which no switch of ours moves:
 * on x86-64 CET, on AArch64 guarded control stacks. */
bool wf_os_has_shadow_stack(void);

/* Reserves zeroed memory that costs nothing until touched: no swap reservation, no huge pages
 * (one touched byte would make 2 MiB resident).  Returns NULL when there is no address space. */
void *wf_os_map(size_t size);
void wf_os_unmap(void *address, size_t size);

/* Give the pages of wf_os_map()ed memory back: it reads as zeros then, and costs nothing until it
 * is touched again.  The first leaves guards within the range alone; the second takes them and the
 * page tables away as well, and leaves nothing of the range unmapped at any moment. */
void wf_os_discard(void *address, size_t size);
int wf_os_renew(void *address, size_t size);

/* Lets the pages of this memory, which nobody has touched yet, come from a NUMA node by the
 * system's number, for as long as that has any.  Containers may forbid it. */
int wf_os_prefer_node(void *address, size_t size, unsigned node);

/* Makes a range of wf_os_map()ed memory fault on access.  The first form is a page-table marker
 * (MADV_GUARD_INSTALL, Linux 6.13) and costs no mapping; the second splits the mapping in two. */
int wf_os_guard_marker(void *address, size_t size);
int wf_os_guard_mapping(void *address, size_t size);

/* The first form for `count` ranges, which begin `stride` bytes apart, by few system calls. Returns
 * how many of them, from the first on, have become guards: 0 before Linux 6.15. */
unsigned wf_os_guard_markers(char *address, size_t size, size_t stride, unsigned count);

/* vm.max_map_count, or its default of 65530 where it cannot be read. */
unsigned long wf_os_max_map_count(void);

/* Waits until *word may differ from `expected`, or until `deadline` (INT64_MAX: none). */
void wf_os_futex_wait(WF_ATOMIC(uint32_t) * word, uint32_t expected, int64_t deadline);
void wf_os_futex_wake(WF_ATOMIC(uint32_t) * word, int count);

/*
 * A memory barrier in every thread of the process that runs: each one's accesses before it are seen
 * by those after it, as if all had passed a full barrier between call and return.  It makes a pair
 * with wf_barrier_light().  The first asks, once for each process, and returns false where the
 * system has none; the second returns false if it has not happened.
 */
bool wf_os_barrier_prepare(void);
bool wf_os_barrier(void);

struct wf_os_thread {
    unsigned long id;
    char name[16]; /* of one that has a stack of the caller's; so have the others */
    void (*fn)(void *);
    void *arg;
};

/* `name` is cut to the kernel's 15 characters. */
int wf_os_thread_start(struct wf_os_thread *thread, const char *name, void (*fn)(void *),
                       void *arg);

/* The same on a stack of the caller's, and with nothing allocated in the new thread: an allocator
 * would keep memory for it.  `thread` stays where it is until the join.  Where the program has more
 * thread-local data than the stack has room for, the stack is not used. */
int wf_os_thread_start_on(struct wf_os_thread *thread, const char *name, void (*fn)(void *),
                          void *arg, void *stack, size_t size);
void wf_os_thread_join(struct wf_os_thread *thread);

/* The calling thread, for a wf_os_thread_join() by another one. */
void wf_os_thread_self(struct wf_os_thread *thread);

/* The CPUs that a thread may run on. */
struct wf_os_affinity {
    size_t size; /* bytes of `cpus` that the system uses, the others are 0; 0: unknown */
    unsigned long cpus[128];
};

/* Of a thread of this process by the kernel's number, 0: of the calling one.  Setting what is
 * unknown changes nothing. */
void wf_os_affinity_get(long thread, struct wf_os_affinity *affinity);
void wf_os_affinity_set(long thread, const struct wf_os_affinity *affinity);

/* Of a thread that was started and not joined; unknown in a simulation. */
void wf_os_affinity_of(const struct wf_os_thread *thread, struct wf_os_affinity *affinity);

/* No CPU; one more; only those that are in both.  CPUs from number 8,192 on are left out. */
void wf_os_affinity_clear(struct wf_os_affinity *affinity);
void wf_os_affinity_add(struct wf_os_affinity *affinity, unsigned cpu);
void wf_os_affinity_limit(struct wf_os_affinity *affinity, const struct wf_os_affinity *limit);
bool wf_os_affinity_equals(const struct wf_os_affinity *a, const struct wf_os_affinity *b);

/*
 * The process as fork() tells them apart: another number in each child.  Costs a load.  The first
 * wf_os_process_watch() installs the handler that counts; `in_child` is called in each child.  The
 * others cost a load as well.
 */
uint32_t wf_os_process(void);
int wf_os_process_watch(void (*in_child)(void));

/*
 * A value that each thread has of its own, NULL at first; `at_end` is called at the end of a thread
 * whose value is not NULL, which it then is.  0 or -errno.
 */
int wf_os_thread_slot_create(uint32_t *slot, void (*at_end)(void *value));
void wf_os_thread_slot_delete(uint32_t slot);
void *wf_os_thread_value(uint32_t slot);
int wf_os_thread_value_set(uint32_t slot, void *value);

/* Lets other threads run. */
void wf_os_yield(void);

/* How often the calling thread has given up its CPU of its own accord. */
uint64_t wf_os_thread_sleeps(void);

/* True if that many threads of the process can run its code: those do not count by which the kernel
 * works for an io_uring.  False if that cannot be read. */
bool wf_os_thread_count_is(uint32_t count);

/* For how long, in ns, the calling thread has run, and has waited for a CPU; the latter is 0 where
 * the kernel does not count it (CONFIG_SCHED_INFO). */
struct wf_os_use {
    int64_t ran;
    int64_t waited;
};
void wf_os_thread_use(struct wf_os_use *use);

/* The same of a thread of this process by the kernel's number, up to its last tick of the clock.
 * Returns false where the kernel does not tell. */
bool wf_os_thread_use_of(long thread, struct wf_os_use *use);

/* For how long, in ns, a thread has run that was started and not joined; up to now. */
int64_t wf_os_thread_ran(const struct wf_os_thread *thread);

/* Asks the kernel to take the calling thread soon after each wake, before threads that compute, for
 * shorter slices in return.  Changes nothing before Linux 6.12. */
void wf_os_thread_hurry(void);

/* In the calling thread: a write to a peer that is gone then only fails. */
void wf_os_block_sigpipe(void);

/* A counter that one thread can wait for and any thread can signal; -errno on failure. */
int wf_os_event_create(void);
void wf_os_event_signal(int event);

/* Takes the signals back.  Caller: the one thread that waits, of an event that is signalled. */
void wf_os_event_reset(int event);
void wf_os_close(int fd);

/*
 * The CPU quota of this process's control groups (v1 or v2, the smallest on the path to the root)
 * in thousandths of a CPU, or 0 for none.  `root` is prepended to every path that is read ("" in
 * production).
 */
uint64_t wf_os_cpu_quota(const char *root);

#endif
