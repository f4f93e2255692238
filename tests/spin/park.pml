/* SPDX-License-Identifier: MIT */
/*
 * How workers fall asleep and are woken: runtime/park.c, and the steps around it in
 * runtime/worker.c, runtime/balance.c and runtime/inject.c, under every interleaving.
 *
 * Each access to a shared word is one step.  Memory is sequentially consistent here, as all of these
 * accesses but hints are in the sources; what weaker orders allow is the business of
 * tests/model/park_model.cpp, which has fewer threads and no liveness.
 *
 * Work comes from everywhere: from fibers (own queue, shared queue), from the kernel (a completion
 * that ends one worker's sleep), from threads that are no workers.
 *
 * Checked:
 *   - no work is left while all sleep: that would be an end state outside of the ends of the
 *     processes, which the verifier reports;
 *   - all work is taken in the end, under weak fairness (`ends`): no worker searches for ever, no
 *     two wake each other for ever;
 *   - the counts never run below zero, and are zero at the end.
 *
 * Each MISTAKE_* plants an error that must be found (run.py).
 */
#ifndef WORKERS
#define WORKERS 2
#endif
#ifndef PUSHES
#define PUSHES 1 /* by each thread that is no worker */
#endif
#ifndef FOREIGN
#define FOREIGN 1 /* threads that are no workers */
#endif
#ifndef SPAWNS
#define SPAWNS 1 /* pieces of work that other work makes */
#endif
#ifndef COMPLETIONS
#define COMPLETIONS 1 /* for worker 0 */
#endif

#define SEARCHERS_MAX ((WORKERS + 1) / 2)

mtype = { AWAKE, SLEEPING, NOTIFIED };

mtype state[WORKERS] = AWAKE;
byte sleeping;           /* wf_park.sleeping */
byte searching;          /* wf_park.searching */
byte injected;           /* wf_inject.count */
byte ready[WORKERS];     /* a worker's own queues */
bit event[WORKERS];      /* the eventfd that its ring reads */
byte completed[WORKERS]; /* completions in its ring */
byte spawns = SPAWNS;
byte left = 1 + FOREIGN * PUSHES + COMPLETIONS; /* the first fiber, and what is sure to come */
bool done;                                      /* WF_PHASE_DONE */
byte ended;                                     /* processes at their end */

/* wf_park_end_search() */
inline end_search()
{
    atomic {
        assert(searching > 0);
        searching--;
    }
}

inline count_awake()
{
    atomic {
        assert(sleeping > 0);
        sleeping--;
    }
}

/* wf_worker_notify(): wf_park_notify(), then wf_poller_interrupt(). */
inline notify(target, success)
{
    success = false;
    if
    :: state[target] == SLEEPING ->
        searching++;
#ifdef MISTAKE_NOTIFY_BY_STORE
        state[target] = NOTIFIED;
        success = true;
#else
        atomic {
            if
            :: state[target] == SLEEPING -> state[target] = NOTIFIED; success = true
            :: else -> skip
            fi
        }
#endif
        if
        :: success ->
            count_awake();
#ifndef MISTAKE_NOTIFY_WITHOUT_INTERRUPT
            event[target] = 1
#endif
        :: else -> end_search()
        fi
    :: else -> skip
    fi
}

/* wf_balance_wake() */
inline wake_one(except, i, success)
{
    i = 0;
    success = false;
    do
    :: i < WORKERS && !success && i != except -> notify(i, success); i++
    :: i < WORKERS && !success && i == except -> i++
    :: else -> i = 0; success = false; break
    od
}

/* wf_worker_inject(): wf_inject_push(), then a look whether anybody is awake. */
inline inject(self, i, success)
{
#ifdef MISTAKE_LOOK_BEFORE_PUSH
    if
    :: sleeping >= WORKERS -> injected++; wake_one(self, i, success)
    :: else -> injected++
    fi
#else
    injected++;
    if
    :: sleeping >= WORKERS -> wake_one(self, i, success)
    :: else -> skip
    fi
#endif
}

inline take_injected(found)
{
    atomic {
        if
        :: injected > 0 -> injected--; found = true
        :: else -> skip
        fi
    }
}

#define HOST ((self + 1) % WORKERS)

/* take_injected() of a worker.  With GIVES it may leave what is there to another one at any look,
 * and two may do so to each other; load.h allows less. */
inline look_at_injected()
{
#ifdef GIVES
    if
    :: take_injected(found)
    :: !is_searching ->
        if
#ifndef MISTAKE_GIVE_WITHOUT_NOTIFY
        :: injected > 0 -> notify(HOST, success)
#endif
        :: else -> skip
        fi
    fi
#else
    take_injected(found)
#endif
}

/* wf_balance_give() */
inline give()
{
#ifdef GIVES
    if
    :: !found && !is_searching && ready[self] > 0 ->
        atomic { injected = injected + ready[self]; ready[self] = 0 };
        notify(HOST, success)
    :: true
    fi
#else
    skip
#endif
}

/* A piece of work: it may make another, and the last one ends the run. */
inline carry_out()
{
    if
    :: atomic { spawns > 0 -> spawns--; left++ };
        if
        :: ready[self]++
        :: inject(self, i, success)
        fi
    :: true
    fi;
    /* wf_balance_consider() of an overloaded worker: wf_park_wants_helper(), which is a hint. */
    if
    :: ready[self] >= 1 && sleeping > 0 && searching == 0 -> wake_one(self, i, success)
    :: true
    fi;
    atomic { assert(left > 0); left--; last = (left == 0) };
    if
    :: last ->
        done = true;
#ifndef MISTAKE_END_WITHOUT_WAKE
        i = 0;
        do
        :: i < WORKERS -> notify(i, success); i++
        :: else -> break
        od
#endif
    :: else -> skip
    fi
}

/* wf_balance_steal() */
inline steal()
{
    if
    :: is_searching -> skip
    :: !is_searching && searching < SEARCHERS_MAX -> searching++; is_searching = true
    :: !is_searching && searching >= SEARCHERS_MAX -> skip
    fi;
    if
    :: is_searching ->
        i = 0;
        do
        :: i < WORKERS && !found ->
            if
            :: atomic { i != self && ready[i] > 0 -> ready[i]--; found = true }
            :: true /* the victim is not overloaded */
            fi;
            i++
        :: else -> i = 0; break
        od;
#ifndef MISTAKE_SEARCH_FOR_EVER
        end_search();
        is_searching = false
#endif
    :: else -> skip
    fi
}

/* wf_park_announce() */
inline announce()
{
    sleeping++;
    state[self] = SLEEPING
}

/* wf_poller_poll(): sleeps in the ring. */
inline poll()
{
    if
    :: event[self] -> event[self] = 0
    :: atomic { completed[self] > 0 -> completed[self]--; ready[self]++ }
    fi
}

/* sleep_for_work() */
inline sleep_for_work()
{
#ifdef MISTAKE_LOOK_BEFORE_ANNOUNCE
    look_at_injected();
    announce();
#else
    announce();
#ifndef MISTAKE_PEEK_ONLY
    look_at_injected();
#endif
#endif
    if
#ifdef MISTAKE_PEEK_ONLY
    :: injected == 0 ->
#else
    :: !found ->
#endif
        if
        :: done -> skip
        :: else -> poll()
        fi
    :: else -> skip
    fi;
    /* wf_park_retract() */
    atomic { is_searching = (state[self] == NOTIFIED); state[self] = AWAKE };
    if
    :: is_searching -> skip
    :: else -> count_awake()
    fi
}

/* find_elsewhere() */
inline find_elsewhere()
{
#ifndef MISTAKE_PEEK_ONLY
    look_at_injected();
#endif
    if
    :: !found -> steal()
    :: else -> skip
    fi;
    if
    :: !found -> sleep_for_work()
    :: else -> skip
    fi;
    if
    :: is_searching && (found || ready[self] > 0) -> end_search(); is_searching = false
    :: else -> skip
    fi;
    give()
}

proctype worker(byte self)
{
    bool found, success, last, is_searching;
    byte i;

    do
    :: done -> break
    :: !done ->
        /* What is left of the last round would only make equal states look different. */
        atomic { found = false; success = false; last = false; i = 0 };
        if
        :: atomic { ready[self] > 0 -> ready[self]--; found = true }
        :: ready[self] == 0 -> find_elsewhere()
        fi;
        if
        :: found -> carry_out()
        :: else -> skip
        fi
    od;
    if
    :: is_searching -> end_search()
    :: else -> skip
    fi;
    ended++
}

/* A thread that is no worker. */
proctype foreign()
{
    bool success;
    byte i, n;

    do
    :: n < PUSHES -> inject(WORKERS, i, success); n++
    :: else -> n = 0; break
    od;
    ended++
}

/* Completes operations of worker 0, whether it sleeps or not. */
proctype kernel()
{
    completed[0] = COMPLETIONS;
    ended++
}

#define PROCESSES (WORKERS + FOREIGN + 1)

init
{
    byte i;

    atomic {
        ready[0] = 1; /* the first fiber */
        i = 0;
        do
        :: i < WORKERS -> run worker(i); i++
        :: else -> break
        od;
        i = 0;
        do
        :: i < FOREIGN -> run foreign(); i++
        :: else -> break
        od;
        run kernel()
    }
    ended == PROCESSES;
    assert(left == 0 && injected == 0 && sleeping == 0 && searching == 0)
}

#ifdef LIVENESS
ltl ends { <> (ended == PROCESSES) }
#endif
