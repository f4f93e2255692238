/* SPDX-License-Identifier: MIT */
/*
 * Deterministic simulation: a whole runtime with its threads, its clock, its network and its faults
 * inside one thread of the calling program, all decided by a seed.
 *
 * The scheduler is the one that runs for real.  What it asks of the system is simulated: which
 * thread goes on is drawn at each point where it matters, time is virtual and jumps when every
 * thread waits, and the faults that are asked for happen when the dice say so.  The same seed gives
 * the same run, event for event, as long as the program itself depends on nothing else: not on
 * addresses, not on the real clock, not on threads of its own.  docs/simulation.md tells how to
 * use it, and what it does not simulate.
 */
#ifndef WEFT_SIM_H
#define WEFT_SIM_H

#include "base.h"

#include <stdio.h>

#ifdef __cplusplus
extern "C" {
#endif

struct weft_config;

/* Kinds of faults: bits, and in WEFT_SIM_FAULTS by their names in lower case, separated by commas,
 * or all, or none. */
enum weft_sim_fault {
    WEFT_SIM_STALL = 1 << 0,     /* the system keeps a thread from running for some milliseconds */
    WEFT_SIM_WAKEUP = 1 << 1,    /* a thread wakes from a wait for nothing */
    WEFT_SIM_LATE = 1 << 2,      /* a completion comes late, after others that were due later */
    WEFT_SIM_SHORT = 1 << 3,     /* less is read or written than could be */
    WEFT_SIM_RESET = 1 << 4,     /* a connection is reset */
    WEFT_SIM_PARTITION = 1 << 5, /* nothing gets through for up to two seconds, on one connection or
                                    on all of a server */
    WEFT_SIM_HALF_OPEN = 1 << 6, /* nothing gets through any more, and no end is told */
    WEFT_SIM_REFUSE = 1 << 7, /* the kernel has no room at the moment: -ENOBUFS, -EMFILE, -EAGAIN */
    WEFT_SIM_IO_ERROR = 1 << 8, /* of files: -EIO; after that of a sync some bytes are lost */
    WEFT_SIM_NO_SPACE = 1 << 9, /* of files: -ENOSPC */
    WEFT_SIM_TORN = 1 << 10,    /* a crash leaves some of what was not certain, and parts of it */
    WEFT_SIM_OVERFLOW =
        1 << 11, /* there is no room for a completion; it comes with the next poll */
    WEFT_SIM_LATE_CANCEL = 1 << 12,  /* a cancel comes late: its operation goes on meanwhile */
    WEFT_SIM_LOSE = 1 << 13,         /* a datagram is lost */
    WEFT_SIM_DUPLICATE = 1 << 14,    /* a datagram comes twice */
    WEFT_SIM_REORDER = 1 << 15,      /* a datagram comes after others that were sent later */
    WEFT_SIM_CANCEL_FIRST = 1 << 16, /* a cancel is answered before its operation completes, which
                                        goes on meanwhile */
    WEFT_SIM_FAULTS_ALL = (1 << 17) - 1,
};

/* What happened in a run. */
struct weft_sim_report {
    uint64_t seed;
    uint64_t trace_hash; /* of all events: two runs with the same one were the same */
    uint64_t trace_events;
    uint64_t points;   /* where another thread could have gone on */
    uint64_t switches; /* and where one did */
    weft_time elapsed; /* virtual time */
    uint32_t workers;
    uint32_t reserved_0;
    uint64_t faults[32];  /* how many there were of each kind, by the number of its bit */
    uint64_t reserved[4]; /* zero */
};

/* How to run.  Zero in any field means "the default". */
struct weft_sim_options {
    uint64_t seed;        /* decides everything; WEFT_SEED overrides it */
    uint32_t workers;     /* default: drawn from the seed, 1 to 8; WEFT_WORKERS overrides it */
    uint32_t faults;      /* bits of enum weft_sim_fault; WEFT_SIM_FAULTS overrides it */
    uint32_t fault_ppm;   /* how often a fault happens where one may, in a million times;
                             default: drawn from the seed, 61 to 31,250 */
    uint32_t is_quiet;    /* 1: nothing is printed when the run fails */
    weft_time faults_for; /* virtual nanoseconds from the start, after which there are no more
                             faults; default: for ever; WEFT_SIM_FAULTS_FOR overrides it */
    weft_time limit;      /* virtual nanoseconds from the start, by which the run must have ended;
                             default: a day; WEFT_SIM_LIMIT overrides it */
    FILE *trace;          /* gets a line for each event; default: the file that WEFT_SIM_TRACE
                             names, if it does */
    struct weft_sim_report *report;   /* filled in, unless null, also after a failure */
    const struct weft_config *config; /* of the runtime; pinning, reports of stalls and of
                                         overflows and the backend are the simulation's */
    const char *disk;                 /* absolute path of a folder whose files are simulated; it
                                         need not exist; default: the one that WEFT_SIM_DISK names,
                                         or none */
    uint64_t reserved[3];             /* zero */
};

#define WEFT_SIM_OPTIONS_INIT                        \
    {                                                \
        0, 0, 0, 0, 0, 0, 0, NULL, NULL, NULL, NULL, \
        {                                            \
            0, 0, 0                                  \
        }                                            \
    }

/*
 * Run `fn(arg)` as the first fiber of a runtime, as weft_run() does, in a simulation.
 *
 * What fibers call by weft is simulated, weft_now() and the blocking pool included, whose calls run
 * one after the other.  Everything else is as ever: a fiber that blocks its thread by a call of its
 * own blocks the simulation, and a thread of the program's own that touches the simulated runtime
 * aborts.
 *
 * A failure, that is a negative result, is reported on standard error with the seed and the last
 * events.  When the threads of the simulation hang or the limit passes, what they had is not freed.
 *
 * Returns   what `fn` returned; -EDEADLK if all fibers waited for each other, or if no simulated
 *           thread could ever go on; -ETIME if the limit has passed; another negative errno if it
 *           could not start.
 * Context   any thread, not a fiber.  One simulation at a time in a process.
 * Switches  never.
 * Errors    -EINVAL (a null `fn`, a field or a variable of the environment out of range), -EBUSY
 *           (another thread simulates), -EDEADLK (also: called from a fiber), -ETIME, -ENOMEM,
 *           -ENOENT and the others of open(2) (for the file of WEFT_SIM_TRACE), and those of
 *           weft_run().
 */
WEFT_API WEFT_MUST_USE int weft_sim_run(const struct weft_sim_options *options, int (*fn)(void *),
                                        void *arg);

/*
 * Whether the caller runs in a simulation: for what a program does for itself there, as reading a
 * clock or drawing a number.
 *
 * Returns   1 or 0.
 * Context   any.
 * Switches  never.
 */
WEFT_API int weft_sim_is_on(void);

/*
 * A random number of the simulation's own, decided by its seed.
 *
 * Returns   the number; 0 where no simulation is on.
 * Context   any fiber, any thread.
 * Switches  never.
 */
WEFT_API uint64_t weft_sim_random(void);

/*
 * Let the power of the simulated disk fail, and come back.
 *
 * What was synced is there afterwards: bytes after weft_fsync() of their file, and names after
 * weft_fsync() of the folder they are in.  Of the rest nothing is, or with the fault WEFT_SIM_TORN
 * what the dice say: each change of a file is there, or not, or some of its sectors of 512 bytes
 * are, and of the changes of names the first few.  Descriptors of before are dead: what is done
 * with them gives -EIO, but for weft_close().  The fibers go on; which of them are the program that
 * was cut off, and has to be cancelled, the caller knows.
 *
 * Returns   0; -EPERM where no simulation is on, or it has no disk.
 * Context   any fiber.
 * Switches  never.
 * Errors    -EPERM.
 */
WEFT_API WEFT_MUST_USE int weft_sim_crash(void);

#ifdef __cplusplus
}
#endif

#endif
