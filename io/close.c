/* SPDX-License-Identifier: MIT */
/*
 * Closing a descriptor, with whatever is under way on it (docs/adr/0032; pending.h has the edges).
 *
 * All operations on it, of any runtime of the process, are asked to end, and the close waits until
 * they have: only then is the number given back.  So nothing that began on this file reaches the
 * next one that gets the number.  What has moved data by then reports that, all else -EBADF: what a
 * call gets that begins after the close.
 */
#include "arch/compiler.h"
#include "arch/sanitizer.h"
#include "io/backend.h"
#include "io/limits.h"
#include "runtime/check.h"
#include "runtime/poller.h"

#include <errno.h>
#include <unistd.h>
#include <weft/io.h>

/* The pollers of the process.  Those of the own runtime are found without them. */
struct directory {
    struct wf_lock lock; /* no poller goes while it is held */
    struct wf_poller *first;
    WF_ATOMIC(uint32_t) count; /* under the lock; read without as a hint */
};

#ifdef WF_MODEL
static struct directory *pollers; /* the model makes it anew for each execution */
#else
static struct directory all_pollers;
static struct directory *const pollers = &all_pollers;
#endif

/* One who closes. */
struct closer {
    struct wf_closing closing;
    struct wf_waiter thread; /* if it is a plain thread */
    struct wf_worker *self;  /* NULL: a plain thread */
    int fd;
    bool lacks_room; /* not all could be told: it starts over */
};

static void count_pollers(uint32_t change)
{
    /* relaxed: whoever closes what a fiber of another runtime has in use knows that runtime, and
     * so knows of its start. */
    (void)atomic_fetch_add_explicit(&pollers->count, change, memory_order_relaxed);
}

void wf_close_enlist(struct wf_poller *poller)
{
    wf_lock_acquire(&pollers->lock);
    poller->next = pollers->first;
    poller->link = &pollers->first;
    if (poller->next != NULL)
        poller->next->link = &poller->next;
    pollers->first = poller;
    count_pollers(1);
    wf_lock_release(&pollers->lock);
}

void wf_close_delist(struct wf_poller *poller)
{
    wf_lock_acquire(&pollers->lock);
    *poller->link = poller->next;
    if (poller->next != NULL)
        poller->next->link = poller->link;
    count_pollers(UINT32_MAX);
    wf_lock_release(&pollers->lock);
}

void wf_poller_forget_parent(void)
{
    /* relaxed: the child has one thread; here and below. */
    atomic_store_explicit(&pollers->lock.word, WF_LOCK_FREE, memory_order_relaxed);
    pollers->first = NULL;
    /* relaxed: as above. */
    atomic_store_explicit(&pollers->count, 0, memory_order_relaxed);
    wf_epochs_forget();
    wf_limits_forget_parent();
}

/* The first operation on the descriptor that was not told yet; those that were are behind it.
 * `has_others`: the list is of other descriptors as well. */
static struct wf_op *next_untold(struct wf_fd_ops *watch, int fd, bool has_others)
{
    /* relaxed: under the lock. */
    struct wf_op *op = atomic_load_explicit(&watch->first, memory_order_relaxed);

    while (has_others && op != NULL && (op->fd != fd || op->closing != NULL))
        op = op->after;
    return op != NULL && op->closing == NULL ? op : NULL;
}

/* The operation will count down when it ends.  Caller has the lock of its poller. */
static void tell(struct closer *closer, struct wf_op *op)
{
    if (closer->closing.waiter == NULL && closer->self != NULL) {
        closer->closing.waiter = wf_wait_begin(closer->self, NULL, closer);
    } else if (closer->closing.waiter == NULL) {
        closer->closing.waiter = &closer->thread;
        wf_wait_begin_thread(&closer->thread, NULL, closer);
    }
    /* relaxed: the lock publishes it, and we have 1 in it ourselves. */
    (void)atomic_fetch_add_explicit(&closer->closing.pending, 1, memory_order_relaxed);
    op->closing = &closer->closing;
    if (op->reason == 0)
        op->reason = -EBADF;
}

/* What has to end for the operation to end: with a hold it is what its fiber waits for meanwhile.
 * Caller has the lock of the poller, which has both. */
static struct wf_op *cause_of(struct wf_op *op)
{
    return op->has_awaited ? op->awaited : op;
}

/* Whether a poller can be told by who holds the lock of the directory.  `peer` does not. */
static bool can_stop(struct wf_poller *poller, const struct wf_worker *peer, const struct wf_op *op)
{
    return peer != NULL || poller->backend->can_stop == NULL ||
           poller->backend->can_stop(poller, op);
}

/* Asks all in one list to end.  Returns those that have, linked by `next`, before `complete`.
 * Caller has the lock. */
static struct wf_op *stop_all(struct closer *closer, struct wf_poller *poller,
                              struct wf_worker *peer, struct wf_fd_ops *watch,
                              struct wf_op *complete)
{
    bool has_others = watch == &poller->pending.others;
    struct wf_op *op;

    while ((op = next_untold(watch, closer->fd, has_others)) != NULL) {
        struct wf_op *cause = cause_of(op);

        if (!can_stop(poller, peer, cause)) {
            closer->lacks_room = true;
            break;
        }
        tell(closer, op);
        wf_pending_move_last(op);
        if (cause->reason == 0)
            cause->reason = -EBADF;
        if (poller->backend->stop(poller, peer, cause)) {
            cause->next = complete;
            complete = cause;
        }
    }
    return complete;
}

/* Ends what is under way in one poller.  Returns true if there may have been something. */
static bool end_all(struct closer *closer, struct wf_poller *poller, struct wf_worker *peer)
{
    struct wf_op *complete = NULL, *op;
    struct wf_fd_ops *watch;

    if (WF_LIKELY(!wf_pending_is_any(poller, closer->fd)))
        return false;
    wf_lock_acquire(&poller->lock);
    watch = wf_pending_watch(poller, closer->fd);
    if (watch != NULL)
        complete = stop_all(closer, poller, peer, watch, NULL);
    complete = stop_all(closer, poller, peer, &poller->pending.others, complete);
    wf_lock_release(&poller->lock);
    while ((op = complete) != NULL) {
        complete = op->next;
        wf_op_complete(closer->self, op);
    }
    return true;
}

/* Those of this runtime; others cannot go meanwhile either.  Returns how many there are. */
static uint32_t end_at_peers(struct closer *closer)
{
    struct wf_worker *self = closer->self;
    struct wf_poller *poller;
    uint32_t count = 0;

    while ((poller = wf_worker_peer_poller(self, count)) != NULL) {
        count++;
        /* Our own is submitted when we leave the worker. */
        if (end_all(closer, poller, self) && poller != wf_worker_poller(self))
            wf_poller_submit(poller, self);
    }
    return count;
}

/* What another thread than theirs submits ends with that thread: they do so themselves.  A worker
 * that is to make room for more may be here itself, or wait for the lock because it closes, or is
 * new: nobody waits for one with the lock. */
static void end_everywhere(struct closer *closer)
{
    for (;;) {
        closer->lacks_room = false;
        wf_lock_acquire(&pollers->lock);
        for (struct wf_poller *poller = pollers->first; poller != NULL; poller = poller->next)
            if (end_all(closer, poller, NULL))
                wf_poller_interrupt(poller);
        wf_lock_release(&pollers->lock);
        if (!closer->lacks_room)
            return;
        wf_backend_await_others(closer->self);
    }
}

/* Ends all that is under way on the descriptor, and waits for it.  Returns false if somebody else
 * is about to close it. */
static bool end_operations(struct wf_worker *self, int fd)
{
    struct closer closer = {.self = self, .fd = fd};
    uint32_t peers = 0;

    /* relaxed: nobody knows it yet. */
    atomic_store_explicit(&closer.closing.pending, 1, memory_order_relaxed);
    if (!wf_epoch_begin(fd))
        return false;
    if (self != NULL)
        peers = end_at_peers(&closer);
    /* relaxed: see count_pollers(). */
    if (WF_UNLIKELY(atomic_load_explicit(&pollers->count, memory_order_relaxed) > peers))
        end_everywhere(&closer);
    /* CL.3 acq_rel: what they did with the descriptor is over. */
    if (closer.closing.waiter != NULL &&
        atomic_fetch_sub_explicit(&closer.closing.pending, 1, memory_order_acq_rel) != 1) {
        if (self != NULL)
            (void)!wf_wait_end(self, WEFT_FOREVER);
        else
            (void)wf_wait_end_thread(&closer.thread, WEFT_FOREVER);
    }
    wf_epoch_end(fd);
    return true;
}

/* Not inlined: errno's address must not be kept over a switch. */
static WF_NOINLINE int close_here(int fd)
{
    return close(fd) == 0 ? 0 : -errno;
}

/* Nothing is under way on it. */
static int close_number(int fd)
{
    struct wf_op op = {.code = WF_OP_CLOSE, .fd = fd};
    int result;

    if (wf_self() == NULL)
        return close_here(fd);
    wf_san_close(fd);
    result = wf_op_run_to_end(&op);
    /* A ring closes everything but rings. */
    return result == -EBADF && wf_backend_is_ring(fd) ? close_here(fd) : result;
}

/* The turn is free when the number is. */
static WF_COLD int close_connection(int fd)
{
    uint32_t number = wf_limits_take_from(fd);
    int result = close_number(fd);

    wf_limits_give(WF_LIMIT_CONNECTIONS, number);
    return result;
}

int weft_close(int fd)
{
    if (fd >= 0 && !end_operations(wf_self(), fd))
        return -EBADF;
    return wf_limits_are_set() ? close_connection(fd) : close_number(fd);
}
