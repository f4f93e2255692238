/* SPDX-License-Identifier: MIT */
/* Writes to a standard stream that is a terminal. */
#ifndef WF_IO_TERMINAL_H
#define WF_IO_TERMINAL_H

#include "io/op.h"

#include <unistd.h>

/* Whether a write to the descriptor goes by wf_terminal_run(), for its number: what a program opens
 * itself it can open in non-blocking mode. */
static inline bool wf_terminal_is_standard(int fd)
{
    return (unsigned)fd <= STDERR_FILENO;
}

/* wf_op_run_ready() for a WF_OP_WRITE or WF_OP_WRITEV without an offset to such a descriptor. */
WF_COLD int32_t wf_terminal_run(struct wf_op *op, weft_time deadline);

#endif
