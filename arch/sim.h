/* SPDX-License-Identifier: MIT */
/*
 * The operating system, simulated: threads, a clock and futexes behind the seam of os.h, all on one
 * real thread and all decided by one seed.
 *
 * While a simulation is on, its host is the real thread that began it.  The functions of os.h come
 * here when they are called on the host, and go to the kernel on every other thread.  A simulated
 * thread is a context with a stack of its own; another one goes on at a point only, which is where
 * this file is called.  So whatever lies between two points is atomic, and memory is sequentially
 * consistent: orders that are too weak are a model checker's business (tests/model/).
 *
 * The clock moves by some nanoseconds at each point, and jumps when no thread can run.
 *
 * Nothing here may depend on addresses, on the real clock, or on what ran before in the process:
 * what a seed does is the same each time.
 */
#ifndef WF_ARCH_SIM_H
#define WF_ARCH_SIM_H

#include "arch/atomic.h"
#include "arch/compiler.h"
#include "arch/os.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

enum {
    WF_SIM_THREADS_MAX = 256,
    WF_SIM_EVENTS_KEPT = 64, /* for the report of a failure */
    WF_SIM_FAULTS_MAX = 32,  /* kinds */
};

/* Streams of random numbers: what one draws more or less does not change what the others draw, so a
 * fault that is left out changes the schedule no more than it must. */
enum wf_sim_stream {
    WF_SIM_SCHEDULE,
    WF_SIM_FAULTS,
    WF_SIM_NETWORK,
    WF_SIM_PROGRAM, /* what the program draws for itself */
    WF_SIM_STREAMS,
};

/* What happened in a run so far. */
struct wf_sim_report {
    uint64_t hash;   /* of all events */
    uint64_t events; /* how many */
    uint64_t points; /* where another thread could have gone on */
    uint64_t switches;
    int64_t elapsed; /* virtual */
    uint64_t faults[WF_SIM_FAULTS_MAX];
};

struct wf_sim_settings {
    uint64_t seed;
    uint64_t faults;       /* bits: which kinds may happen */
    uint32_t fault_ppm;    /* how often, where one may happen; 0: drawn from the seed */
    int64_t faults_until;  /* virtual time, of the start: none happens after it; INT64_MAX */
    int64_t limit;         /* virtual time, of the start: the run has failed by then; INT64_MAX */
    uint64_t stall_fault;  /* which of the bits keeps threads from running */
    uint64_t wakeup_fault; /* and which ends waits early */
    FILE *trace;           /* a line for each event; NULL: none */
    const char *disk;      /* the path of the simulated disk; NULL: there is none */

    /* Called at the end on the host, when wf_sim_print_last() still works.  NULL: nothing. */
    void (*at_end)(int error, void *arg, const struct wf_sim_report *report);
};

/* Only the host changes it. */
extern WF_ATOMIC(bool) wf_sim_is_on;

/* True on the host while a simulation is on, that is in one of its threads or events. */
bool wf_sim_is_host(void);

static inline bool wf_sim_is_here(void)
{
    /* relaxed: the host has set it itself, and to others it means nothing. */
    return WF_UNLIKELY(atomic_load_explicit(&wf_sim_is_on, memory_order_relaxed)) &&
           wf_sim_is_host();
}

/*
 * Runs fn(arg) in a first simulated thread until it returns; other threads must have ended by then.
 *
 * Returns 0; -EBUSY if another thread of the process simulates; -ENOMEM; -EDEADLK if no thread
 * could ever run again, -ETIME if the limit has passed: the threads are left where they are then,
 * and what they have is never freed.
 */
int wf_sim_execute(const struct wf_sim_settings *settings, void (*fn)(void *), void *arg,
                   struct wf_sim_report *report);

/* All of the following: callers are on the host, while it simulates. */

/* Counts the runs of the process. */
uint64_t wf_sim_run_number(void);

/* Calls the functions of all events that are still to come, at once: the end of the run is near,
 * and what they have shall be given back. */
void wf_sim_drain(void);

/* Another thread may go on here. */
void wf_sim_point(void);

/* The virtual time; unlike wf_sim_now() it is no point. */
int64_t wf_sim_time(void);

/* A number below `limit`, which is not 0. */
uint32_t wf_sim_draw(enum wf_sim_stream stream, uint32_t limit);

/* True if a fault of this kind (a single bit) shall happen now; it is counted and traced then. */
bool wf_sim_fault(uint64_t kind);

/* Counts one that was decided otherwise, if wf_sim_may_fail(). */
void wf_sim_count_fault(uint64_t kind);

/* A number below `limit`, of how such a fault happens. */
uint32_t wf_sim_fault_draw(uint64_t kind, uint32_t limit);

/* The path of the simulated disk; NULL: there is none. */
const char *wf_sim_disk_path(void);

/* Whether faults of this kind can still happen. */
bool wf_sim_may_fail(uint64_t kind);

/* Notes an event in the trace: `what` is a constant, the numbers must not depend on addresses. */
void wf_sim_trace(const char *what, uint64_t a, uint64_t b);

/* Calls fn(arg) at a point in virtual time, on the stack of whatever runs then: it may wake words,
 * and must not wait.  Returns false if there is no memory. */
bool wf_sim_at(int64_t at, void (*fn)(void *), void *arg);

/* wf_os_futex_wake() for such a function: it is no point. */
void wf_sim_wake(WF_ATOMIC(uint32_t) * word, int count);

/* Writes the last events to standard error; by anyone at any time, also from a handler of a
 * deadly signal.  Nothing where no simulation is on. */
void wf_sim_print_last(void);

/* Behind os.h. */
int64_t wf_sim_now(void);
void wf_sim_futex_wait(WF_ATOMIC(uint32_t) * word, uint32_t expected, int64_t deadline);
void wf_sim_futex_wake(WF_ATOMIC(uint32_t) * word, int count);
int wf_sim_thread_start(struct wf_os_thread *thread, void (*fn)(void *), void *arg);
void wf_sim_thread_join(struct wf_os_thread *thread);
void wf_sim_thread_self(struct wf_os_thread *thread);
uint64_t wf_sim_thread_sleeps(void);
uint32_t wf_sim_thread_count(void);
void wf_sim_thread_use(struct wf_os_use *use);
int64_t wf_sim_thread_ran(const struct wf_os_thread *thread);
void wf_sim_yield(void);

#endif
