/* SPDX-License-Identifier: MIT */
/* What the waits of sync/ that are in no queue alone are for; each as wf_wait_queue_describe(). */
#ifndef WF_SYNC_DESCRIBE_H
#define WF_SYNC_DESCRIBE_H

#include "runtime/wait.h"

bool wf_mutex_describe(const struct wf_waiter *waiter, struct wf_wait_target *target);
bool wf_condition_describe(const struct wf_waiter *waiter, struct wf_wait_target *target);
bool wf_select_describe(const struct wf_waiter *waiter, struct wf_wait_target *target);

#endif
