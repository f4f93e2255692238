/* SPDX-License-Identifier: MIT */
/*
 * Which operations are under way on a descriptor, so that weft_close() can end them first
 * (docs/adr/0032).
 *
 * Each poller keeps a list for each descriptor, under its own lock, which a backend has anyway when
 * it starts and completes an operation.  An operation stays in the list for as long as anything may
 * touch the descriptor for it: in the kernel, in an attempt of its fiber, or on the blocking pool.
 *
 * The hazard is what lies between: a call that has to go on, since the first of its parts moved
 * less than all, or was only a wait, is in no list while its fiber is ready and has not run yet.
 * Its descriptor may be closed in that while, and the number used for another file.  So each number
 * has an epoch, which every weft_close() changes: a call that goes on lists its operation first and
 * looks at the epoch then; whoever closes changes the epoch first and looks at the lists then.
 * (tests/model/close_model.cpp tries both in all orders.)
 *
 *   Edge   From                      To                        Promises
 *   CL.1   close: epoch acq_rel      go on: epoch acq_rel      of the two whoever comes second sees
 *                                                              the first: the close, or the list
 *   CL.2   add: page release         close: page acquire       the lists of a page
 *   CL.3   done: pending acq_rel     close: pending acq_rel    nobody touches the descriptor, nor
 *                                                              what the closer has in its frame
 *   CL.4   leave: first release      close: first acquire      who has left has done with the
 *                                                              descriptor
 */
#ifndef WF_IO_PENDING_H
#define WF_IO_PENDING_H

#include "arch/atomic.h"
#include "arch/compiler.h"
#include "io/luck.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct wf_op;
struct wf_pages;
struct wf_poller;
struct wf_waiter;
struct wf_worker;

enum { WF_EPOCHS = 1 << 20 }; /* of as many descriptors; numbers beyond have none */

/* What is under way on a descriptor.  All fields are under the poller's lock. */
struct wf_fd_ops {
    WF_ATOMIC(struct wf_op *) first; /* whoever closes looks without the lock whether it is NULL */
    struct wf_op *last;
    uint32_t events;     /* epoll: what they wait for, and perhaps some that have left waited for */
    uint32_t generation; /* epoll: of what the kernel was last told */
    bool is_known; /* epoll: the kernel had this number among ours when it was last told; a hint */
    struct wf_luck in, out; /* io_uring: of attempts to read, and to write */
};

struct wf_pending {
    WF_ATOMIC(struct wf_pages *) pages; /* see pages.h; NULL: none */
    struct wf_fd_ops others;            /* of any descriptors whose lists there was no memory for */
};

/* Somebody who closes a descriptor, and waits for what is under way on it. */
struct wf_closing {
    WF_ATOMIC(uint32_t) pending; /* operations, and 1 until all have been told */
    struct wf_waiter *waiter;    /* whom the last one wakes */
};

/* The list of a descriptor, made if it is not there: NULL when there is no memory, or no such
 * descriptor.  Caller has the lock. */
struct wf_fd_ops *wf_pending_watch(struct wf_poller *poller, int fd);

/*
 * Puts an operation into the list of its descriptor.  Caller has the lock of the poller, and the
 * operation is in no list.
 *
 * Returns 0; -EBADF if it goes on with a call that was under way when the descriptor was closed,
 * and for some that are not open.  A number below 0 names no descriptor, and a close is the end of
 * one: these are listed nowhere.
 */
int wf_pending_add(struct wf_poller *poller, struct wf_op *op);

/* Takes it out.  It is complete, and wf_op_complete() comes next.  Caller has the lock. */
void wf_pending_remove(struct wf_op *op);

/* Takes it out, if it is in a list, on behalf of its own fiber, which no completion will tell.
 * Returns whom to give to wf_closing_done() once the lock is free, or NULL.  Caller has the lock.
 */
struct wf_closing *wf_pending_leave(struct wf_op *op);

/* The same for whatever poller it is with; does what is to be done then.  Caller: the fiber. */
void wf_pending_finish(struct wf_worker *self, struct wf_op *op);

/* One operation less.  Caller has no lock. */
void wf_closing_done(struct wf_worker *self, struct wf_closing *closing);

/* Whether anything may be under way on the descriptor.  Caller: whoever closes, with no lock. */
bool wf_pending_is_any(struct wf_poller *poller, int fd);

/* Moves an operation to the end of its list.  Caller has the lock. */
void wf_pending_move_last(struct wf_op *op);

/* Frees the lists.  Caller: the owner, with nothing under way. */
void wf_pending_destroy(struct wf_pending *pending);

/* The number's epoch now, for an operation that may go on; 0 if the number has none.  Odd: it is
 * being closed. */
uint32_t wf_epoch_now(int fd);

/* Caller: the child of a fork(), in which nobody is about to close anything. */
void wf_epochs_forget(void);

/* Changes the epoch.  Returns false, and has not, if somebody else is between this and
 * wf_epoch_end(). */
bool wf_epoch_begin(int fd);
void wf_epoch_end(int fd);

#endif
