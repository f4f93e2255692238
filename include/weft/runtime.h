/* SPDX-License-Identifier: MIT */
/* Starting a runtime, configuring it, and watching it. */
#ifndef WEFT_RUNTIME_H
#define WEFT_RUNTIME_H

#include "base.h"

#include <stdio.h>

#ifdef __cplusplus
extern "C" {
#endif

/* What carries out input and output. */
enum weft_backend {
    WEFT_BACKEND_AUTO = 1, /* io_uring where the kernel allows it and has what is needed, else
                              epoll; found out once per process */
    WEFT_BACKEND_IO_URING = 2,
    WEFT_BACKEND_EPOLL = 3, /* for sandboxes that refuse io_uring: files on the blocking pool */
    WEFT_BACKEND_SIM = 4,   /* weft_run() runs in a simulation then, decided by the seed in
                               WEFT_SEED: see weft/sim.h */
};

/*
 * What a runtime is told at its start.  Zero in any field means "the default", so a zeroed struct
 * (WEFT_CONFIG_INIT) is a good configuration.  Each field can be overridden from the environment
 * by the variable named beside it; `weft doctor` prints the values in force and where they come
 * from.
 */
struct weft_config {
    uint32_t workers;        /* WEFT_WORKERS: 1-1024 worker threads; default: the CPUs this
                                process may use, or its cgroup CPU quota, whichever is less */
    uint32_t stack_size_kib; /* WEFT_STACK_SIZE_KIB: stack of a fiber that asks for none, in KiB,
                                rounded up to a power of two, 16-8192; default 256 */
    uint32_t max_fibers;     /* WEFT_MAX_FIBERS: live fibers at most; default no limit but memory */
    uint32_t pin;            /* WEFT_PIN: 1 pins each worker to a CPU, 2 pins none; default: pins
                                each, and with a monitor lets it go for a while where it has to
                                wait for its CPU; but 2 where the CPU quota gives fewer workers
                                than CPUs */
    uint32_t ring_entries;   /* WEFT_RING_ENTRIES: submission slots per worker, 8-32768, a power
                                of two; default 1024 */
    uint32_t wake_backlog_us; /* WEFT_WAKE_BACKLOG_US: the window, in microseconds, over which
                                 it is seen whether a worker sleeps; after 5 with hardly a pause
                                 others share its fresh fibers, after 50 and four busy looks
                                 (32 windows each) its ready ones, 1-1000000; default 2000 */
    uint32_t guard;           /* WEFT_GUARD: 1 best available (default), 2 mprotect, 3 canary */
    uint32_t chaos;           /* WEFT_CHAOS: a seed, any number but 0 (default: off).  Resumes every
                                 fiber on another worker than the one it left, where there is one:
                                 finds thread-local addresses kept across a suspension point; and
                                 schedules at random otherwise; slow */
    uint32_t monitor;         /* WEFT_MONITOR: 1 watches for workers that stay in one fiber and
                                 relieves them (default), 2 does so without spare workers, 3 off */
    uint32_t stall_us;        /* WEFT_STALL_US: for how long, in microseconds, a worker may stay in
                                 one fiber before others take over what waits behind it; and how
                                 often, with a monitor or without, it begins the oldest of its new
                                 fibers before younger ones; 100-1000000; default 4000 */
    uint32_t stall_report_ms; /* WEFT_STALL_REPORT_MS: after how long, in milliseconds, such a
                                 fiber is reported on standard error, for which its thread gets a
                                 SIGURG; UINT32_MAX never; default 1000 */
    uint32_t spare_workers;   /* WEFT_SPARE_WORKERS: worker threads that may be started while all
                                 others are stuck, 1-64; default 4 */
    uint32_t blocking_threads; /* WEFT_BLOCKING_THREADS: threads for weft_blocking() calls at most,
                                  1-1024; default 64 */
    uint32_t overflow_report;  /* WEFT_OVERFLOW_REPORT: 1 says on standard error which fiber's stack
                                  has overflowed, for which the library handles SIGSEGV and SIGBUS
                                  and passes other faults on (default), 2 leaves them alone */
    uint32_t backend;          /* WEFT_BACKEND: enum weft_backend, in the environment by name (auto,
                                  io_uring, epoll, sim); default WEFT_BACKEND_AUTO */
    uint32_t max_stack_memory_mib; /* WEFT_MAX_STACK_MEMORY_MIB: memory that stacks may take, in
                                      MiB, counted as if each were touched in full, also those
                                      that are free and that workers keep for later fibers
                                      (docs/exhaustion.md); default no limit but memory */
    uint32_t stack_usage;          /* WEFT_STACK_USAGE: 1 off (default), 2 paints each stack before
                                      its fiber runs, to see how much of it was used
                                      (weft_stack_report()); slow, and touches all of it */
    uint32_t deadlock;             /* WEFT_DEADLOCK: 1 ends a run whose fibers all wait for each
                                      other (default), 2 lets it wait */
    uint32_t leaks;                /* WEFT_LEAKS: 1 reports at the end of the run how many fibers
                                      were neither joined nor detached, and where they were spawned
                                      (default in debug builds of the library), 2 does not */
    uint32_t max_operations;       /* WEFT_MAX_OPERATIONS: input and output operations under way at
                                      most; further ones wait their turn, see weft/io.h; default
                                      no limit */
    uint32_t spin_us;              /* WEFT_SPIN_US: for how long, in microseconds, a worker that has
                                      run dry and has no I/O under way looks for work before it
                                      sleeps, 1-1000, 1 being not at all; default: for as long as
                                      a wake takes on this machine, and not at all where there are
                                      more workers than CPUs or than the CPU quota allows */
    uint32_t max_connections;      /* WEFT_MAX_CONNECTIONS: descriptors that weft_accept() has
                                      returned and weft_close() has not closed, at most,
                                      1-1048575; it waits then, see weft/io.h; default no limit */
    uint32_t max_buffer_memory_kib; /* WEFT_MAX_BUFFER_MEMORY_KIB: buffers that weft_recv_lent()
                                       (weft/buffer.h) lends at most, in KiB; it waits then;
                                       16-67108864; default no limit but memory */
    uint32_t reserved[1];           /* zero */
};

#define WEFT_CONFIG_INIT                                                     \
    {                                                                        \
        0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, \
        {                                                                    \
            0                                                                \
        }                                                                    \
    }

/*
 * Start a runtime, run `fn(arg)` as its first fiber, and return when every fiber has ended.
 *
 * When `fn` returns, fibers still alive are cancelled and waited for: none outlives this call.
 * The calling thread waits; the workers are threads of their own, with the signals blocked that
 * the caller had blocked, and SIGPIPE.  While stalls are reported the library handles SIGURG, which
 * is then not blocked there, unless the program does.  While `overflow_report` is on, it handles
 * SIGSEGV and SIGBUS as well, in all threads, and calls the handlers that the program had at the
 * start for whatever is not the overflow of a fiber's stack.
 *
 * A deadlock is reported on standard error, with what each fiber waits for (the kind of the object
 * and its address, or whom it joins) and where, and ends the run by cancelling all: when every
 * fiber waits, no timer is armed, no operation and no call on the pool is under way (lookups that
 * were given up do not count), and the process has no thread beside the runtime's and the calling
 * one.
 *
 * Returns   what `fn` returned; -EDEADLK after a deadlock; a negative errno if the runtime could
 *           not start: nothing ran, and a line on standard error says what to do about it, but not
 *           where the call itself is the mistake (a null `fn`, a call from a fiber).
 * Context   any thread, not a fiber.  Several runs may follow one another, or run side by side.
 * Switches  never.
 * Errors    -EINVAL (a value out of range, a null `fn`), -ENOMEM, -EAGAIN (no more threads),
 *           -EMFILE or -ENFILE (no more descriptors), -ENODEV (the machine's topology cannot be
 *           read), -EPERM, -EACCES or -ENOSYS (WEFT_BACKEND_IO_URING was asked for, and the kernel
 *           or a sandbox refuses it), -EDEADLK (called from a fiber, or a deadlock), -ENOTSUP
 *           (WEFT_ALLOCATOR asks for an allocator that is not there, or the thread has a shadow
 *           stack); with WEFT_BACKEND_SIM those of weft_sim_run().
 */
WEFT_API WEFT_MUST_USE int weft_run(const struct weft_config *config, int (*fn)(void *), void *arg);

/*
 * Start a runtime beside the calling thread: for a program that has a main loop of its own.
 *
 * `fn(arg)` becomes the first fiber, and the runtime begins to end when it returns, as for
 * weft_run().  A null `fn` starts a runtime without fibers, which get in by weft_spawn_on() and
 * which lives until weft_stop().  `*runtime` becomes the handle; whoever started owns it and gives
 * it up exactly once, by a weft_wait() that returns 0.  Each other call on the handle has to begin
 * before that.
 *
 * Threads and fibers may use the runtimes of a process side by side; none of the functions that
 * take a handle may be called from a signal handler (let one write to a pipe, or read signals from
 * a signalfd).
 *
 * Returns   0; a negative errno if the runtime could not start: nothing ran, no thread is left.
 * Context   any thread, not a fiber.  Blocks until the workers are set up, some milliseconds.
 * Switches  never.
 * Errors    those of weft_run(), but a null `fn` is none, and WEFT_BACKEND_SIM is -ENOTSUP.
 */
WEFT_API WEFT_MUST_USE int weft_start(const struct weft_config *config, int (*fn)(void *),
                                      void *arg, weft_runtime **runtime);

/*
 * Begin the end of a runtime, as the return of its first fiber does: every fiber is cancelled, and
 * spawning fails.  Does not wait for anything.
 *
 * From elsewhere than a fiber of the runtime, it takes a fiber of its own, which the counters
 * count, to cancel the others.  Neither max_fibers nor max_stack_memory_mib keeps that one out.
 *
 * Returns   0, also when the end has begun before; else a negative errno, and nothing has happened:
 *           a weft_wait() would wait on.
 * Context   any thread, any fiber, of this runtime too.
 * Switches  never.
 * Errors    -ENOMEM (the system has no memory for that fiber; it may be called again), -ECHILD (in
 *           a child of the process that started the runtime).
 */
WEFT_API WEFT_MUST_USE int weft_stop(weft_runtime *runtime);

/*
 * Wait until a runtime has ended, that is until its end has begun and every fiber has ended, and
 * every lookup that was given up (resolve.h), and free it.
 *
 * On 0 the handle is gone, and so are those of its fibers; `*result` (unless `result` is null)
 * holds what the first fiber returned, 0 if there was none, -EDEADLK after a deadlock (see
 * weft_run()).  Calls on the runtime or its fibers that other threads have begun before are waited
 * for; none may begin later.  On failure the handle stays valid.
 *
 * Returns   0, or a negative errno.
 * Deadline  absolute.
 * Context   any thread, which blocks; one at a time, a second one aborts.  Not a fiber.
 * Switches  never.
 * Errors    -ETIMEDOUT, -EDEADLK (called from a fiber), -ECHILD (in a child of the process that
 *           started the runtime).
 */
WEFT_API WEFT_MUST_USE int weft_wait(weft_runtime *runtime, int *result, weft_time deadline);

/*
 * The runtime that the calling fiber belongs to: what a fiber hands to plain threads that shall
 * spawn beside it.  The handle stays owned by whoever started the runtime.
 *
 * Returns   the runtime, or NULL from a plain thread.
 * Context   any.
 * Switches  never.
 */
WEFT_API weft_runtime *weft_runtime_self(void);

/*
 * Counters of a runtime or of one of its workers.  They only grow, but for the gauges marked so.
 * A snapshot is taken without stopping anyone: counters of one moment may differ by what happened
 * during the reading.  But of a runtime it never has more fibers freed than finished, more finished
 * than started, or more started than spawned, so that spawned less finished is how many are alive.
 * After a run has ended they are exact.
 */
struct weft_stats {
    uint32_t workers;         /* gauge: worker threads */
    uint32_t spares;          /* gauge: spare workers, at work or in reserve */
    uint64_t fibers_spawned;  /* created, the first fiber included */
    uint64_t fibers_started;  /* entered their function */
    uint64_t fibers_finished; /* returned from it */
    uint64_t fibers_freed;    /* stack and record given back: joined, or detached and finished */
    uint64_t turns;           /* times that a worker switched to a fiber */
    uint64_t steals;          /* fibers taken from another worker's queues */
    uint64_t barriers;        /* memory barriers in all running threads that this took: 0.3 to 9 us
                                 each, as a rule one in 2 ms at most for each worker stolen from */
    uint64_t parks;           /* times that a worker found nothing to do and slept */
    uint64_t wakes_sent;      /* sleeping workers woken by another thread */
    uint64_t polls;           /* system calls made to submit or to wait for I/O */
    uint64_t ops_submitted;   /* I/O operations given to the kernel */
    uint64_t ops_completed;   /* of those, how many the kernel has let go of */
    uint64_t ops_cancelled;   /* cancellations sent after a deadline or a cancel */
    uint64_t timers_armed;
    uint64_t timers_fired;
    uint64_t stacks_mapped;    /* stacks that there were at most at one time */
    uint64_t stacks_unguarded; /* the same for those with a canary instead of a guard page */
    uint64_t slab_bytes;       /* address space mapped for stacks */
    uint64_t ready_spills;     /* fibers that a queue had no memory for: the shared one took them */
    uint64_t cq_overflows;   /* completions that the kernel had to keep because the ring was full */
    uint64_t sq_full;        /* times that a full submission queue had to be submitted early */
    uint64_t io_refusals;    /* times that the kernel took no submissions, for want of memory or of
                                completions reaped; they are tried again */
    uint64_t io_interrupts;  /* system calls for I/O that a signal ended; they are made again */
    uint64_t late_cancels;   /* cancellations that found their operation complete already */
    uint64_t stalls;         /* times that a worker was found stuck in one fiber */
    uint64_t rescues;        /* times that fibers became ready because another worker looked after
                                the timers and the I/O of a stuck one */
    uint64_t spare_calls;    /* times that a spare worker was called to work */
    uint64_t tasks_stolen;   /* forked tasks that another fiber ran than the one that forked them */
    uint64_t gathered;       /* fibers that a worker with little to do has left to another one */
    uint64_t stacks_trimmed; /* stacks whose memory went back to the system, since nobody used it */
    uint64_t allocated_bytes; /* gauge: memory of the library's objects in the whole process, stacks
                                 left out; after a run, when its last fiber had ended */
    uint64_t spins;           /* times that a worker looked for work for a while before a sleep */
    uint64_t spins_won;       /* of those, how many found something, so that it did not sleep */
    uint64_t
        node_allocations;    /* objects of the library that lie in the arena of their worker's NUMA
                                node; 0 where one arena serves all (`weft doctor` shows which) */
    uint64_t unpins;         /* times that a worker was let go from a CPU that others used */
    uint64_t wakes_received; /* times that a worker found when it left its sleep, or was about to
                                begin one, that another thread had woken it */
    uint64_t connections; /* gauge: how many count against max_connections, those included that are
                             just being accepted; 0 where that is not set */
    uint64_t connection_waits; /* times that weft_accept() found as many as there may be */
    uint64_t lent_buffers;     /* gauge: the same for max_buffer_memory_kib, in buffers of 16 KiB */
    uint64_t buffer_waits;     /* times that weft_recv_lent() found as many lent as there may be */
};

/*
 * Copy the counters of the runtime that the caller belongs to into `*stats`; from a plain thread,
 * those of the run that ended last in this process.
 *
 * Returns   0, or -ENOENT from a plain thread before any run has ended.
 * Context   fiber, or any thread.
 * Switches  never.
 * Errors    -ENOENT.
 */
WEFT_API int weft_stats_read(struct weft_stats *stats);

/*
 * Copy the counters of `runtime` into `*stats`.
 *
 * Returns   0, or -ECHILD.
 * Context   any thread, any fiber.
 * Switches  never.
 * Errors    -ECHILD (in a child of the process that started the runtime).
 */
WEFT_API int weft_stats_read_on(weft_runtime *runtime, struct weft_stats *stats);

/*
 * The counters of one worker of the runtime that the caller belongs to, `index` counting from 0,
 * spare workers last (`spares` of the sum).
 *
 * Returns   0, or a negative errno.
 * Context   fiber.
 * Switches  never.
 * Errors    -ERANGE (no such worker), -EPERM (plain thread).
 */
WEFT_API int weft_stats_read_worker(unsigned index, struct weft_stats *stats);

/*
 * The same of `runtime`.
 *
 * Returns   0, or a negative errno.
 * Context   any thread, any fiber.
 * Switches  never.
 * Errors    -ERANGE (no such worker), -ECHILD (in a child of the process that started the runtime).
 */
WEFT_API int weft_stats_read_worker_on(weft_runtime *runtime, unsigned index,
                                       struct weft_stats *stats);

/*
 * Print how much stack the fibers have used that have ended: for each place that spawned some the
 * most that one of them used, the size of their stacks, and the size that would have done with a
 * quarter to spare.  Tasks that were stolen (task.h) are listed by their functions.  Needs
 * `stack_usage`.
 *
 * Returns   0, or a negative errno.
 * Context   any thread, any fiber.  May block on `out`.
 * Switches  never.
 * Errors    -ENOENT (the runtime was started without `stack_usage`), -ECHILD (in a child of the
 *           process that started the runtime).
 */
WEFT_API int weft_stack_report(weft_runtime *runtime, FILE *out);

/*
 * The number of workers of the runtime that the caller belongs to.
 *
 * Returns   1 or more; 0 from a plain thread.
 * Context   any.
 * Switches  never.
 */
WEFT_API unsigned weft_worker_count(void);

/*
 * The number that no weft_worker_index() of the caller's runtime reaches: what an array with one
 * entry per worker has to hold.
 *
 * Returns   weft_worker_count() and the spare workers that may be called; 0 from a plain thread.
 * Context   any.
 * Switches  never.
 */
WEFT_API unsigned weft_worker_limit(void);

/*
 * The worker that runs the caller, counting from 0.  Stale as soon as the caller suspends.
 * Spare workers, which run fibers while all others are stuck, come after the others: from
 * weft_worker_count() to weft_worker_limit() - 1.
 *
 * Returns   the index, or -1 from a plain thread.
 * Context   any.
 * Switches  never.
 */
WEFT_API int weft_worker_index(void);

/*
 * Print what a runtime started with `config` (NULL: defaults) would use and why: CPUs and quota,
 * workers, pinning, the io_uring features found, guards, allocator, and the whole configuration
 * table with the origin of each value.
 *
 * Returns   0 if nothing is seen that would keep such a runtime from starting; else the negative
 *           errno that weft_run() would return.  What comes to light only at the start it cannot
 *           tell: whether there are threads, memory and descriptors for all workers, and whether
 *           the file of WEFT_SIM_TRACE can be written.
 * Context   any thread.  May block.
 * Switches  never.
 * Errors    those of weft_run().
 */
WEFT_API int weft_doctor(const struct weft_config *config, FILE *out);

#ifdef __cplusplus
}
#endif

#endif
