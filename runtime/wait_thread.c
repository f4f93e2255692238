/* SPDX-License-Identifier: MIT */
/* Plain threads that wait: see wait.h. */
#include "runtime/wait_internal.h"

#include <errno.h>

void wf_wait_begin_thread(struct wf_waiter *waiter, wf_interrupt_fn *interrupt, void *place)
{
    *waiter = (struct wf_waiter){.interrupt = interrupt, .place = place};
    /* relaxed: the place publishes it. */
    atomic_store_explicit(&waiter->state, WF_WAIT_WAITING, memory_order_relaxed);
}

int wf_wait_end_thread(struct wf_waiter *waiter, int64_t deadline)
{
    /* WT.1 acquire: the result, and what the waker did before. */
    while (atomic_load_explicit(&waiter->state, memory_order_acquire) == WF_WAIT_WAITING) {
        if (deadline != INT64_MAX && wf_os_now() >= deadline) {
            if (waiter->interrupt(NULL, waiter, -ETIMEDOUT))
                return -ETIMEDOUT;
            deadline = INT64_MAX; /* somebody has taken us out, and is about to wake us */
        }
        wf_os_futex_wait(&waiter->state, WF_WAIT_WAITING, deadline);
    }
    return waiter->result;
}

/* The moment the state changes, the thread may return and its frame be gone: what follows uses
 * the address alone. */
void wf_wait_wake_thread(struct wf_waiter *waiter, int result)
{
    if (wf_wait_make_ready(waiter, result))
        wf_os_futex_wake(&waiter->state, 1);
}
