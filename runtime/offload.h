/* SPDX-License-Identifier: MIT */
/*
 * The pool of plain threads that runs weft_blocking() calls: first in first out, started when
 * needed, ended when idle.  A call lies in the frame of the fiber that waits for it, but for those
 * that can be left (blocking.h): these lie on the heap.
 *
 * A thread counts as spare from the decision to start it, and whenever it has no call.  More calls
 * in the queue than spare threads is what starts another one, so a call waits for another's end
 * only if there are as many threads as there may be.
 */
#ifndef WF_RUNTIME_OFFLOAD_H
#define WF_RUNTIME_OFFLOAD_H

#include "arch/atomic.h"
#include "arch/os.h"
#include "runtime/lock.h"

#include <stdbool.h>
#include <stdint.h>

struct wf_call;

struct wf_offload {
    uint32_t threads_max; /* immutable */

    struct wf_lock lock;            /* guards all that follows */
    struct wf_os_affinity affinity; /* where the program could run when last asked */
    struct wf_call *first;
    struct wf_call **last_link; /* where the next call is linked */
    uint32_t queued;
    uint32_t spare;
    uint32_t left; /* calls under way that nobody waits for: not spare, but no work of a fiber's */
    uint32_t threads;
    bool is_closing;
    bool has_ended;              /* `ended` is set */
    struct wf_os_thread ended;   /* the thread that ended last: the next one to end joins it */
    WF_ATOMIC(uint32_t) signals; /* written under the lock: changes when a sleeper shall look */
};

/* The struct is zeroed by the caller.  Caller: a thread that may run wherever the program may. */
void wf_offload_init(struct wf_offload *offload, uint32_t threads_max);

/* Waits for the calls that were left.  False if the deadline came first.  Caller: the owner; there
 * are no others, and none will come. */
bool wf_offload_close(struct wf_offload *offload, int64_t deadline);

/* Ends the threads.  Caller: the same. */
void wf_offload_destroy(struct wf_offload *offload);

#endif
