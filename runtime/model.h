/* SPDX-License-Identifier: MIT */
/*
 * What exists: the fiber, the worker, the runtime.  Every field names who may touch it:
 *
 *   [I] immutable once spawned or started      [W] the worker that owns the struct, nobody else
 *   [F] whoever holds the fiber: the worker    [A] atomic, any thread
 *       that runs it, the queue it is in, the  [J] the fiber, then its joiner
 *       interrupter that pinned it (wait.h)
 */
#ifndef WF_RUNTIME_MODEL_H
#define WF_RUNTIME_MODEL_H

#include "arch/atomic.h"
#include "arch/context.h"
#include "arch/os.h"
#include "arch/sanitizer.h"
#include "arch/topology.h"
#include "runtime/check.h"
#include "runtime/deque.h"
#include "runtime/gate.h"
#include "runtime/inject.h"
#include "runtime/monitor.h"
#include "runtime/next.h"
#include "runtime/offload.h"
#include "runtime/overflow.h"
#include "runtime/park.h"
#include "runtime/pin.h"
#include "runtime/ready.h"
#include "runtime/spare.h"
#include "runtime/spin.h"
#include "runtime/stack.h"
#include "runtime/stats.h"
#include "runtime/task.h"
#include "runtime/thread_lock.h"
#include "runtime/timer.h"
#include "runtime/usage.h"
#include "runtime/wait.h"
#include "runtime/worker.h"

#include <errno.h>
#include <weft/fiber.h>
#include <weft/runtime.h>

/* Why a fiber may not wait.  0: it may, unless its runtime is ending. */
enum wf_cancel {
    WF_CANCEL_FIBER = 1,  /* weft_cancel() */
    WF_CANCEL_SCOPE = 2,  /* a scope around it is cancelled (scope.h) */
    WF_CANCEL_LATE = 4,   /* the same, by its deadline */
    WF_CANCEL_SHIELD = 8, /* a scope around it keeps everything off that comes from further out */
    /* Of a fiber that runs a stolen task; they stay when it opens and closes scopes of its own. */
    WF_CANCEL_TASK = 16,        /* the fiber that forked the task is cancelled (task.h) */
    WF_CANCEL_TASK_LATE = 32,   /* the same, by the deadline of a scope */
    WF_CANCEL_TASK_SHIELD = 64, /* that fiber is in a shield: other cancels are kept off, but what
                                   it is cancelled by itself counts */
};

/* A fiber, at the high end of its own stack. */
struct weft_fiber {
    struct wf_stack stack;                /* [I] first, so that a stack is its fiber */
    struct wf_context context;            /* [F] stale while the fiber runs */
    struct wf_san san;                    /* [F] */
    struct wf_region *region;             /* [F] where its tasks are, or NULL: see task.h */
    WF_ATOMIC(struct wf_scope *) scope;   /* see scope.h; NULL: the runtime's */
    struct weft_fiber *sibling;           /* under the lock of the scope that it belongs to */
    struct weft_fiber **sibling_link;     /* the same: what points to it */
    struct wf_extra *extra;               /* [F] see extra.h; NULL: nothing */
    struct wf_node node;                  /* [F] link in the injector */
    struct wf_waiter waiter;              /* see wait.h */
    WF_ATOMIC(struct wf_waiter *) joiner; /* [A] see join.h */
    WF_ATOMIC(uint32_t) cancelled;        /* [A] bits of enum wf_cancel */
    WF_ATOMIC(uint32_t) joined_outside;   /* [A] 1 once joined by none of its runtime's fibers */
    int32_t result;                       /* [J] */
    int (*fn)(void *);                    /* [I] */
    void *arg;                            /* [I] */
    uint64_t id;                          /* [I] */
    const void *spawn_site;               /* [I] for reports; NULL: the first fiber */
    uint32_t last_worker;           /* [F] who ran it last, if it was not left by a short yield */
    bool is_main;                   /* [I] the runtime ends with it; false in a free record */
    bool has_more;                  /* [F] its end has more to do: see extra.h; the same */
    char name[WEFT_FIBER_NAME_MAX]; /* [F] */
};

enum { WF_CHAOS_SEEN = 8 };

/* A worker that had nothing to do has taken the ready fibers of another one, the only one at work:
 * was it worth it? */
struct wf_trial {
    struct wf_worker *of;     /* NULL: none under way */
    struct wf_worker *failed; /* the fibers go back there while it is calm */
    int64_t since;
    uint64_t turns;       /* of the two when it began */
    int64_t ran;          /* by their threads, ns, the same */
    uint64_t alone_per_s; /* turns of that other one before */
};

/* A worker thread. */
struct wf_worker {
    struct wf_context context;    /* [W] of the loop, while a fiber runs */
    struct wf_san san;            /* [W] */
    struct weft_fiber *current;   /* [W] the fiber that runs, or NULL */
    struct weft_fiber *left;      /* [W] the fiber that was switched out last */
    enum wf_request request;      /* [W] and why */
    uint32_t index;               /* [I] */
    struct weft_runtime *runtime; /* [I] */
    struct wf_park *park;         /* [I] the runtime's, or that of the spares */
    struct wf_poller *poller;     /* [I] see poller.h */
    uint64_t fair_turn;           /* [W] when the loop has to look beyond the worker's queues */
    uint64_t looked_turn;         /* [W] when it has done so last */
    int64_t looked;               /* [W] and at what time */
    int64_t oldest_due;           /* [W] before then a look leaves the oldest fresh fiber alone */
    uint64_t short_turns;         /* [I] bits of a turn's number; if one is set, a yield need not
                                     look around.  In chaos none */
    uint32_t next_runs;           /* [W] turns in a row by rule 2 of worker.c */
    uint32_t thread_locks;        /* [W] how many the running fiber has: see thread_lock.h */
    bool is_fresh_first;          /* [W] of the two queues, which one has its turn */
    bool is_task_first;           /* [W] whether the last look began with tasks */
    bool is_searching;            /* [W] counted in wf_park.searching */
    uint32_t random;              /* [W] state of the choice of victims, and of chaos */
    int64_t now;                  /* [W] when the clock was last read */
    int64_t busy_since;           /* [W] when it was last looked whether it sleeps */
    uint64_t waits;               /* [W] how often it had waited or looked for work then */
    uint64_t sleeps;              /* [W] its looks, and all sleeps of its thread, when last asked */
    int64_t judged;               /* [W] when it was last looked how much it has to do */
    int64_t asleep_ns;            /* [W] in waits for work since then */
    struct wf_os_use used;        /* [W] what its thread had used then, or before the first wait */
    int64_t used_at;              /* [W] time of `used`; less than `judged`: no wait since then */
    uint64_t turns_judged;        /* [W] its turns then */
    uint32_t busy_looks;          /* [W] how many looks in a row have found it busy */
    struct wf_trial trial;        /* [W] */
    struct wf_worker *host;       /* [W] who takes what becomes ready here; mostly NULL */
    uint64_t pushes;              /* [W] fresh fibers */
    uint64_t next_id, last_id;    /* [W] block of fiber numbers */
    uint32_t home;                /* [W] where its objects lie: see alloc.h */
    uint32_t *victims;            /* [I] the other workers' indices, nearest first */
    uint32_t near[WF_DISTANCES];  /* [I] how many victims are at most that far (wf_distance) */
    bool lacks_fiber;             /* [W] a task could not be stolen for lack of a fiber */
    struct wf_thread_locks locks; /* [W] */
    struct wf_regions regions;    /* [W] */
    struct wf_spin spin;          /* [W] */
    struct weft_fiber *seen[WF_CHAOS_SEEN]; /* [W] chaos: some that ran here, perhaps gone since */
    struct wf_stack_cache stacks;           /* [W] */
    struct wf_wheel wheel;                  /* see timer.h */
    struct wf_os_thread thread;             /* [I] */
    struct wf_watch watch;                  /* the monitor's (monitor.h) */
    struct wf_pin pin;                      /* the monitor's once it is set up (pin.h) */
    long thread_number;                     /* [I] the kernel's */
    void *probe_stack;                      /* [W] see arch/probe.h */
    bool is_down;                           /* [W] a spare that has given back what it had */

    WF_CACHE_ALIGNED struct wf_counters counters; /* [W] writes, anyone reads */
    WF_CACHE_ALIGNED wf_next_slot next;           /* [A] [W] puts, anyone takes: next.h */
    WF_ATOMIC(uint32_t) overload;                 /* [A] [W] writes: others may steal */
    WF_ATOMIC(uint32_t) load;                     /* [A] [W] writes: see load.h */
    WF_ATOMIC(uint64_t) turns_per_s;              /* [A] [W] writes: at the last busy looks */
    WF_ATOMIC(uint32_t) calm_ms;                  /* [A] how long no other takes its ready fibers */
    WF_ATOMIC(int64_t) calm_end;          /* [A] and until when; a worker that took some writes */
    WF_ATOMIC(struct wf_region *) region; /* [A] [W] writes: the running fiber's */
    WF_ATOMIC(uint32_t) stuck;            /* [A] the monitor's verdict */
    WF_ATOMIC(uint32_t) duty;             /* [A] enum wf_duty (spare.h) */
    WF_ATOMIC(uint32_t) is_hindered;      /* [A] [W] writes: a spare that was called in vain */
    WF_ATOMIC(uint32_t) trim;             /* [A] enum wf_trim_request (trim.h) */
    WF_ATOMIC(int64_t) woken;             /* [A] when others last woke it from a sleep */
    struct wf_gate gate;                  /* before these three: see gate.h */
    struct wf_thief thief;                /* while it takes from the queues of others */
    struct wf_deque fresh;                /* fibers just created */
    struct wf_ready ready;                /* fibers that were woken or have yielded */
    struct wf_parker parker;              /* see park.h */
};

/* Whether somebody is in weft_wait(). */
enum wf_awaited {
    WF_AWAITED_BY_NOBODY,
    WF_AWAITED_FOR_A_WHILE, /* until a deadline */
    WF_AWAITED_FOR_GOOD,
};

enum wf_phase {
    WF_PHASE_STARTING,
    WF_PHASE_RUNNING,
    WF_PHASE_ENDING, /* the first fiber has ended, or weft_stop(): all fibers are cancelled */
    WF_PHASE_DONE,   /* none is left: workers leave */
    WF_PHASE_FAILED, /* a worker could not be set up: none enters its loop */
};

/*
 * A runtime.
 *
 *   Edge   From                    To                      Promises
 *   RT.1   phase seq_cst           phase seq_cst           with WT.3: no fiber parks unseen by
 *                                                          the end; workers see what was set up
 *   RT.2   started seq_cst         started seq_cst         a worker's set-up
 *   RT.3   left acq_rel            left acquire            nobody notifies or serves a
 *                                                          worker any more
 *   RT.4   outside: count seq_cst  end: count seq_cst      with RT.1: a spawn from outside is
 *                                                          counted, or sees the end
 *   RT.5   wait: awaited seq_cst   deadlock: awaited       with MN.1: the monitor sees that
 *                                  seq_cst                 somebody waits, or is woken by that
 */
struct weft_runtime {
    struct weft_config config;    /* [I] */
    struct wf_topology *topology; /* [I] */
    uint32_t worker_count;        /* [I] without spares */
    uint32_t crew_max;            /* [I] with all the spares that there may be */
    char *spare_stacks;           /* [I] of their threads; NULL: there are none */
    bool is_chaotic;              /* [I] */
    bool is_pinned;               /* [I] each worker has a CPU of its own */
    bool is_spread;               /* [I] and these are on several NUMA nodes */
    bool has_barrier;             /* [I] gates can open: see gate.h */
    uint32_t stack_class;         /* [I] default */
    struct wf_worker **workers;   /* those below `crew` [I]; the others the monitor's */
    int (*main_fn)(void *);       /* [I] */
    void *main_arg;               /* [I] */
    int main_result;              /* the first fiber's worker, then the starter */
    int start_error;              /* worker that failed, under RT.2 */
    bool is_deadlocked;           /* the monitor, before RT.1; then the starter */
    WF_ATOMIC(uint32_t) crew;     /* [A] workers, spares included; it only grows */
    WF_ATOMIC(uint32_t) phase;    /* [A] enum wf_phase */
    WF_ATOMIC(uint32_t) started;  /* [A] workers that are set up, or failed to be */
    WF_ATOMIC(uint32_t) failed;   /* [A] of those, how many failed */
    WF_ATOMIC(uint32_t) loose;    /* [A] workers that could not be pinned */
    WF_ATOMIC(uint32_t) left;     /* [A] workers that have left their loops */
    WF_ATOMIC(uint32_t) mended;   /* [A] 1: modes of fibers were lost, and it was told (modes.h) */
    WF_ATOMIC(uint64_t) live;     /* [A] live fibers; kept only where max_fibers is set */
    weft_semaphore operations;    /* [I] permits for them; used only where max_operations is set */
    struct wf_limits *limits;     /* [I] see limits.h; NULL: none */
    WF_ATOMIC(uint32_t) visitors; /* [A] see outside.h */
    WF_ATOMIC(uint32_t) awaited;  /* [A] enum wf_awaited */
    uint32_t process;             /* [I] the process that started it: see outside.h */
    struct wf_stack_depot depot;  /* see stack.h */
    struct wf_inject inject;      /* see inject.h */
    struct wf_park park;          /* see park.h */
    struct wf_park spare_park;    /* the same for spares, which no push needs to wake */
    struct wf_monitor monitor;    /* see monitor.h */
    struct wf_offload offload;    /* see offload.h */
    struct wf_task_pool tasks;    /* see task.h */
    struct wf_overflow overflow;  /* see overflow.h */
    struct wf_usage usage;        /* see usage.h */

    /* What threads that are no worker count. */
    WF_CACHE_ALIGNED struct wf_counters outside; /* [A] */
    struct wf_lock outside_lock;                 /* guards the next */
    struct wf_stack_cache outside_stacks;        /* for spawns from outside */
    WF_ATOMIC(uint64_t) attempts; /* [A] spawns from outside, before they look for the end */
    WF_ATOMIC(uint64_t) refused;  /* [A] of those, how many made no fiber after all */
};

/* False for a plain thread, whose `self` is NULL, and for workers of other runtimes. */
static inline bool wf_worker_is_of(const struct wf_worker *self, const struct weft_runtime *runtime)
{
    return self != NULL && self->runtime == runtime;
}

static inline struct weft_fiber *wf_fiber_of_waiter(struct wf_waiter *waiter)
{
    return WF_CONTAINER_OF(waiter, struct weft_fiber, waiter);
}

/* How many workers there are, spares included: whoever walks `workers` asks this. */
static inline uint32_t wf_runtime_crew(struct weft_runtime *runtime)
{
    /* SP.1 seq_cst: the workers' fields, and after the caller's change of the phase. */
    return atomic_load_explicit(&runtime->crew, memory_order_seq_cst);
}

static inline bool wf_runtime_is_ending(struct weft_runtime *runtime)
{
    /* RT.1 seq_cst: after the caller's own state change, if it has made one. */
    return atomic_load_explicit(&runtime->phase, memory_order_seq_cst) >= WF_PHASE_ENDING;
}

static inline bool wf_runtime_is_done(struct weft_runtime *runtime)
{
    /* RT.1 seq_cst: after the caller's announcement of its sleep, if it has made one. */
    return atomic_load_explicit(&runtime->phase, memory_order_seq_cst) == WF_PHASE_DONE;
}

/* The same as wf_fiber_refusal(), where there is something to judge. */
static WF_COLD int wf_cancel_judge(struct weft_runtime *runtime, uint32_t bits)
{
    uint32_t shields = bits & (WF_CANCEL_SHIELD | WF_CANCEL_TASK_SHIELD);
    uint32_t from_task = (bits & WF_CANCEL_SHIELD) == 0 ? bits : 0;

    if (shields == 0 && ((bits & WF_CANCEL_FIBER) != 0 || wf_runtime_is_ending(runtime)))
        return -ECANCELED;
    if ((from_task & WF_CANCEL_TASK) != 0)
        return -ECANCELED;
    if ((bits & WF_CANCEL_SCOPE) != 0)
        return (bits & WF_CANCEL_LATE) != 0 ? -ETIMEDOUT : -ECANCELED;
    return (from_task & WF_CANCEL_TASK_LATE) != 0 ? -ETIMEDOUT : 0;
}

/* 0, or why the fiber may not wait: -ECANCELED, -ETIMEDOUT.  The fiber may be gone: its flag is all
 * that is looked at. */
static inline int wf_fiber_refusal(struct weft_runtime *runtime, struct weft_fiber *fiber)
{
    /* WT.3 seq_cst: after the caller's own state change, if it has made one. */
    uint32_t bits = atomic_load_explicit(&fiber->cancelled, memory_order_seq_cst);

    if (WF_LIKELY(bits == 0 && !wf_runtime_is_ending(runtime)))
        return 0;
    return wf_cancel_judge(runtime, bits);
}

static inline bool wf_fiber_is_cancelled(struct weft_runtime *runtime, struct weft_fiber *fiber)
{
    return wf_fiber_refusal(runtime, fiber) != 0;
}

#endif
