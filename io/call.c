/* SPDX-License-Identifier: MIT */
#include "io/call.h"

#include <errno.h>
#include <weft/blocking.h>

int wf_call_file(int (*fn)(void *), void *arg, weft_time deadline)
{
    int error = weft_blocking(fn, arg, deadline);

    return error == -EAGAIN ? fn(arg) : error;
}
