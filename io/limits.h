/* SPDX-License-Identifier: MIT */
/*
 * How many connections a runtime may have, and how many buffers lent (docs/adr/0041):
 *
 *   max_connections         those that weft_accept() has returned and weft_close() has not closed
 *   max_buffer_memory_kib   those of weft_recv_lent() that were not returned
 *
 * Each has a turn, which is given back by whoever ends it: also a plain thread, or a fiber of
 * another runtime, perhaps after the own one has ended.  So what has a turn is marked with the
 * number of its runtime's limits, which no others ever get, and has no pointer to them.
 *
 * Where no runtime of the process has a limit, all that this costs is a look at a counter.
 */
#ifndef WF_IO_LIMITS_H
#define WF_IO_LIMITS_H

#include "arch/atomic.h"
#include "arch/compiler.h"
#include "runtime/limits.h"

#include <stdbool.h>
#include <stdint.h>
#include <weft/base.h>

struct wf_op;

enum wf_limit {
    WF_LIMIT_CONNECTIONS,
    WF_LIMIT_BUFFERS,
    WF_LIMIT_KINDS,
};

/* How many runtimes of the process have limits. */
extern WF_ATOMIC(uint32_t) wf_limits_count;

static inline bool wf_limits_are_set(void)
{
    /* relaxed: whoever has something that counts knows of the start of its runtime. */
    return WF_UNLIKELY(atomic_load_explicit(&wf_limits_count, memory_order_relaxed) != 0);
}

/*
 * Takes a turn; waits for one, but no longer than until the descriptor is closed that it is for, as
 * long as that has no hang-up: then the turn of a buffer is waited for from the queue's end, and
 * the close does not end that.  `epoch`: the descriptor's when the call began that wants the turn.
 * `*number` is that of the limits, 0 where this runtime has none of the kind.
 *
 * Returns 0; a negative errno with no turn, which is -EINVAL for connections if the listener has
 * been shut down.  Caller: a fiber.
 */
int wf_limits_take(enum wf_limit kind, int fd, uint32_t epoch, weft_time deadline,
                   uint32_t *number);

/* Gives it back.  0 is allowed.  Caller: anyone, on any thread. */
void wf_limits_give(enum wf_limit kind, uint32_t number);

/* What weft_accept() does where wf_limits_are_set(), with the operation that it would run. */
WF_COLD int wf_limits_accept(const struct wf_op *accept, weft_time deadline);

/* The descriptor has a turn no more: the caller has it, and gives it back.  The number; 0: it had
 * none. */
uint32_t wf_limits_take_from(int fd);

/* Caller: the child of a fork(). */
void wf_limits_forget_parent(void);

#endif
