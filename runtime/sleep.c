/* SPDX-License-Identifier: MIT */
/* A fiber sleeps: a wait that only its deadline or a cancel ends. */
#include "runtime/model.h"
#include "runtime/wait_internal.h"
#include "runtime/worker.h"

#include <errno.h>

/* The timer has been taken out of the wheel, or will find the fiber awake: the wake is ours. */
bool wf_sleep_interrupt(struct wf_worker *self, struct wf_waiter *waiter, int reason)
{
    (void)self;
    (void)waiter;
    (void)reason;
    return true;
}

int weft_sleep_until(weft_time deadline)
{
    struct wf_worker *self = wf_self();
    struct wf_waiter *waiter;
    int refusal;

    if (self == NULL)
        return -EPERM;
    refusal = wf_self_refusal(self);
    if (refusal != 0)
        return refusal;
    waiter = wf_wait_begin(self, wf_sleep_interrupt, NULL);
    self = wf_wait_end_inline(self, deadline);
    if (waiter->result != -ETIMEDOUT)
        return waiter->result;
    /* A scope's deadline ends a sleep for the same reason as the sleep's own. */
    return wf_self_refusal(self) == 0 || wf_os_now() >= deadline ? 0 : -ETIMEDOUT;
}

int weft_sleep(int64_t ns)
{
    return weft_sleep_until(weft_after(ns));
}
