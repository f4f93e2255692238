/* SPDX-License-Identifier: MIT */
/*
 * How load moves between workers: when to wake a helper, and what to take from whom.
 *
 * One worker is enough for as long as it is enough: a wake costs more than ten thousand
 * instructions, and fibers that moved take their I/O along.  So a worker counts as overloaded only
 * when it has hardly slept for a while; then it wakes a helper if it has a backlog, and only from
 * overloaded workers do others steal: fresh fibers soon, ready ones, whose I/O would move along,
 * when it has lasted.  When two have so little to do that one is enough again, the one with less
 * gives what becomes ready with it to the other one, its host, where its I/O then goes as well.
 * (load.h has the arithmetic, docs/adr/0008 the reasons.)
 */
#ifndef WF_RUNTIME_BALANCE_H
#define WF_RUNTIME_BALANCE_H

#include <stdbool.h>
#include <stdint.h>

struct weft_fiber;
struct wf_worker;

/* Decides anew whether the worker is overloaded, and wakes a helper if it is.  Costs a system call
 * once in a while, if the worker has waited meanwhile.  Caller: the worker, which has just read the
 * clock. */
void wf_balance_consider(struct wf_worker *self);

/* Notes what the worker's thread has used so far, if that is still to be done since the last look.
 * Caller: the worker, before it waits for work or looks for some. */
void wf_balance_begin_wait(struct wf_worker *self);

/* The same if a helper could be had at all; reads the clock itself. */
void wf_balance_look(struct wf_worker *self);

/* True if the worker leaves what becomes ready to its host. */
bool wf_balance_gives(struct wf_worker *self);

/* Does that with what is ready.  Caller: a worker that gives. */
void wf_balance_give(struct wf_worker *self);

/* Wakes the nearest sleeper other than worker number `except`. */
void wf_balance_wake(struct wf_worker *self, uint32_t except);

/* Takes fibers from others: returns one, and leaves the rest in the worker's own queue.  NULL: none
 * may be taken, or enough workers search already. */
struct weft_fiber *wf_balance_steal(struct wf_worker *self);

/* Looks after the timers and the I/O of workers that are stuck.  Returns true if fibers became
 * ready by that, in the queues of `self`. */
bool wf_balance_rescue(struct wf_worker *self);

/* Ends the worker's right to search, if it has it. */
void wf_balance_end_search(struct wf_worker *self);

#endif
