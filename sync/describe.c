/* SPDX-License-Identifier: MIT */
#include "sync/describe.h"

#include "sync/wait_queue.h"

bool wf_wait_describe(const struct wf_waiter *waiter, struct wf_wait_target *target)
{
    return wf_wait_queue_describe(waiter, target) || wf_mutex_describe(waiter, target) ||
           wf_condition_describe(waiter, target) || wf_select_describe(waiter, target);
}
