/* SPDX-License-Identifier: MIT */
/* What a read or write moves, as preadv2(2) and pwritev2(2) take it. */
#ifndef WF_IO_PARTS_H
#define WF_IO_PARTS_H

#include "io/op.h"

#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

static inline size_t wf_op_length(const struct wf_op *op)
{
    return op->length < INT32_MAX ? op->length : INT32_MAX;
}

/* What a read or write moves: one buffer, or several. */
struct wf_parts {
    struct iovec one;
    const struct iovec *at;
    size_t count;
};

static inline void wf_parts_set(struct wf_parts *parts, const struct wf_op *op)
{
    parts->one = (struct iovec){op->buffer, wf_op_length(op)};
    parts->at = &parts->one;
    parts->count = 1;
    if (op->code == WF_OP_READV || op->code == WF_OP_WRITEV) {
        parts->at = op->buffer;
        parts->count = op->length;
    }
}

static inline size_t wf_parts_total(const struct wf_parts *parts)
{
    size_t total = 0;

    for (size_t i = 0; i < parts->count; i++)
        total += parts->at[i].iov_len;
    return total;
}

/* No more than the first `length` bytes, and perhaps less: the first part that is not empty. */
static inline void wf_parts_shorten(struct wf_parts *parts, size_t length)
{
    while (parts->count > 1 && parts->at->iov_len == 0) {
        parts->at++;
        parts->count--;
    }
    if (wf_parts_total(parts) <= length)
        return;
    parts->one = *parts->at;
    if (parts->one.iov_len > length)
        parts->one.iov_len = length;
    parts->at = &parts->one;
    parts->count = 1;
}

#endif
