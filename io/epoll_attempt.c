/* SPDX-License-Identifier: MIT */
#include "io/epoll.h"

#include "io/attempt.h"
#include "io/pending.h"

#include <weft/fiber.h>

bool wf_epoll_attempt(struct wf_op *op, weft_time deadline)
{
    bool is_done = false;
    int error;

    /* It goes on with what it began before: if the descriptor is still the same. */
    if (WF_UNLIKELY(op->epoch != 0 && op->watch == NULL)) {
        op->result = wf_op_hold(op);
        is_done = op->result != 0;
    }
    if (!is_done)
        is_done = wf_attempt(op, deadline);
    /* It keeps its place in the list over a pause: the wait that comes next hears of a close. */
    if (!is_done && (error = wf_op_note_vain(op, (int)wf_attempt_events(op), deadline)) != 0) {
        op->result = error;
        is_done = true;
    }
    /* A fiber that never has to wait gives way now and then. */
    if (is_done && wf_epoll_count_done(wf_self(), op))
        (void)weft_yield();
    return is_done;
}
