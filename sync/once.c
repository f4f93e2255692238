/* SPDX-License-Identifier: MIT */
/*
 * Functions that are run once: a state and a queue under one lock.  Whoever finds it DONE needs
 * neither.
 *
 * The state stays RUNNING while a failed run is handed to one that waits, so that nobody who comes
 * in between runs it too.  Who finds it DONE without the lock may be earlier than those that wait,
 * and earlier than the end of the call that did it: unlike the other objects, a once is not to be
 * freed before all its calls have returned.
 *
 *   Edge   From                   To                       Promises
 *   ON.1   run: state release     call: state acquire      what the function did is seen
 */
#include "runtime/check.h"
#include "runtime/lock.h"
#include "sync/held.h"
#include "sync/wait_queue.h"

#include <errno.h>
#include <weft/once.h>

enum { IDLE, RUNNING, DONE };

struct once {
    WF_ATOMIC(uint32_t) state; /* enum above; changed under the lock, and DONE never again */
    struct wf_lock lock;
    struct wf_wait_queue queue; /* under the lock; empty unless RUNNING */
    uint64_t runner;            /* under the lock, while RUNNING; 0: it is just being handed over */
};

enum { YOUR_TURN = 1 }; /* what one is woken with that is to run the function; 0: it is done */

#ifndef WF_MODEL /* where an atomic is larger */
_Static_assert(sizeof(struct once) == sizeof(weft_once), "the public type has other fields");
#endif

static const struct wf_wait_kind once_kind = {"the end of a once", offsetof(struct once, lock), 0};

static struct once *internal(weft_once *once)
{
    return (struct once *)(void *)once;
}

/* Runs it; the state is RUNNING for this call. */
static int run(struct once *once, int (*fn)(void *), void *arg)
{
    int result = fn(arg);
    struct wf_wait_entry *list;

    wf_lock_acquire(&once->lock);
    if (result >= 0) {
        /* ON.1 release: what the function did, for those who look without the lock. */
        atomic_store_explicit(&once->state, DONE, memory_order_release);
        list = wf_wait_queue_take_all(&once->queue);
    } else if ((list = wf_wait_queue_take(&once->queue)) != NULL) {
        list->previous = NULL; /* a list of one */
    } else {
        /* relaxed: nothing has been done. */
        atomic_store_explicit(&once->state, IDLE, memory_order_relaxed);
    }
    once->runner = 0;
    wf_lock_release(&once->lock);
    wf_wait_queue_wake_list(wf_self(), list, result >= 0 ? 0 : YOUR_TURN);
    return result < 0 ? result : 0;
}

static WF_NOINLINE int run_or_wait(struct once *once, int (*fn)(void *), void *arg,
                                   weft_time deadline)
{
    struct wf_wait_entry entry = {NULL, NULL, NULL, NULL};
    uint64_t self = wf_held_self();
    uint32_t state;
    int result;

    wf_lock_acquire(&once->lock);
    /* relaxed: the lock orders what is under it. */
    state = atomic_load_explicit(&once->state, memory_order_relaxed);
    if (state == DONE) {
        wf_lock_release(&once->lock);
        return 0;
    }
    if (state == RUNNING) {
        if (WF_UNLIKELY(once->runner == self))
            wf_panic("weft_once_run: %p is run from inside its own function", (void *)once);
        result = wf_wait_queue_sleep(wf_self(), &once->queue, &once->lock, &entry, deadline,
                                     &once_kind);
        if (result != YOUR_TURN)
            return result;
        wf_lock_acquire(&once->lock);
    }
    /* relaxed: the lock orders what is under it. */
    atomic_store_explicit(&once->state, RUNNING, memory_order_relaxed);
    once->runner = self;
    wf_lock_release(&once->lock);
    return run(once, fn, arg);
}

int weft_once_run(weft_once *handle, int (*fn)(void *), void *arg, weft_time deadline)
{
    struct once *once = internal(handle);

    /* ON.1 acquire: see what the function did. */
    if (WF_LIKELY(atomic_load_explicit(&once->state, memory_order_acquire) == DONE))
        return 0;
    return run_or_wait(once, fn, arg, deadline);
}
