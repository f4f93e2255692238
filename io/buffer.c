/* SPDX-License-Identifier: MIT */
/* Buffers that are lent to receives (docs/adr/0041). */
#include <weft/buffer.h>

#include "arch/compiler.h"
#include "io/limits.h"
#include "io/op.h"
#include "io/pending.h"
#include "runtime/alloc.h"

#include <errno.h>
#include <poll.h>
#include <sys/socket.h>

struct lent {
    uint32_t number; /* of the limits that it has a turn of; 0: none */
    _Alignas(64) char bytes[WEFT_LENT_SIZE];
};

_Static_assert(sizeof(struct lent) == WEFT_LENT_SIZE + 64, "what a buffer takes");

void weft_lent_return(void *buffer)
{
    struct lent *lent;
    uint32_t number;

    if (buffer == NULL)
        return;
    lent = WF_CONTAINER_OF(buffer, struct lent, bytes);
    number = lent->number;
    wf_free(lent);
    wf_limits_give(WF_LIMIT_BUFFERS, number);
}

/* What is there now.  -EAGAIN: nothing, and nothing is lent. */
static ssize_t receive(int fd, void **buffer, int flags, uint32_t epoch, weft_time deadline)
{
    struct wf_op op = {.code = WF_OP_RECV,
                       .fd = fd,
                       .length = WEFT_LENT_SIZE,
                       .flags = flags | MSG_DONTWAIT,
                       .epoch = epoch};
    uint32_t number;
    struct lent *lent;
    ssize_t result = wf_limits_take(WF_LIMIT_BUFFERS, fd, epoch, deadline, &number);

    if (result != 0)
        return result;
    lent = wf_alloc_unset(sizeof *lent);
    if (lent == NULL) {
        wf_limits_give(WF_LIMIT_BUFFERS, number);
        return -ENOMEM;
    }
    lent->number = number;
    op.buffer = lent->bytes;
    result = wf_op_run(&op, deadline);
    if (result > 0)
        *buffer = lent->bytes;
    else
        weft_lent_return(lent->bytes);
    return result;
}

ssize_t weft_recv_lent(int fd, void **buffer, int flags, weft_time deadline)
{
    uint32_t began = wf_epoch_now(fd), epoch = 0;
    int events = wf_op_input_event(flags);
    struct wf_op vain = {.fd = fd};
    ssize_t result;

    if ((flags & MSG_ERRQUEUE) != 0)
        return -EINVAL;
    do {
        result = wf_op_poll(fd, events, epoch, deadline);
        epoch = began;
        if (result > 0)
            result = receive(fd, buffer, flags, epoch, deadline);
        if (result != -EAGAIN)
            return result;
    } while ((result = wf_op_note_vain(&vain, events, deadline)) == 0);
    return result;
}
