/* SPDX-License-Identifier: MIT */
#include "io/call.h"

#include "io/op.h"
#include "io/pending.h"

#include <errno.h>
#include <stdbool.h>
#include <weft/blocking.h>

struct file_call {
    int (*fn)(void *);
    void *arg;
    const struct wf_op *hold, *other;
};

/* Also if it was when the call began. */
static bool is_being_closed(const struct wf_op *hold)
{
    return hold != NULL && hold->epoch != 0 &&
           ((hold->epoch & 1) != 0 || wf_epoch_now(hold->fd) != hold->epoch);
}

/* The close waits for us, but what has not begun by then shall not: it may have been queued for
 * long. */
static int run(void *arg)
{
    const struct file_call *call = arg;

    if (is_being_closed(call->hold) || is_being_closed(call->other))
        return -EBADF;
    return call->fn(call->arg);
}

int wf_call_file(int (*fn)(void *), void *arg, const struct wf_op *hold, const struct wf_op *other,
                 weft_time deadline)
{
    struct file_call call = {fn, arg, hold, other};
    int error = weft_blocking(run, &call, deadline);

    return error == -EAGAIN ? run(&call) : error;
}
