/* SPDX-License-Identifier: MIT */
/*
 * The order in which checked locks are locked.
 *
 * Whoever waits for a lock while it holds another has said "this one after that".  When what has
 * been said makes a circle, fibers can come to wait for each other in a circle, even if they have
 * not yet: that is reported, with the places in the program.
 *
 * Two pairs follow each other in a circle only where the wait of the one can be for the hold of the
 * other.  Readers do not wait for each other, with one exception that a circle may go through: a
 * reader of a fair lock waits behind a writer that waits for those who read.
 *
 * Locks are told apart by their addresses.  The table has a fixed size; when it is full, all is
 * forgotten, and begins anew.
 */
#ifndef WF_SYNC_LOCK_ORDER_H
#define WF_SYNC_LOCK_ORDER_H

enum wf_order_mode {
    WF_ORDER_READ_FIRST, /* a wait for writers that hold the lock, not for those that wait */
    WF_ORDER_READ,
    WF_ORDER_ALONE, /* a mutex, or a writer */
};

/* A lock that somebody holds or wants, how, and where it was or is locked. */
struct wf_order_lock {
    const void *object;
    const void *site;
    enum wf_order_mode mode;
};

/* The caller, which holds `count` locks, the youngest first, is about to wait for another one.
 * Reports a circle, once for each pair. */
void wf_order_note(const struct wf_order_lock *held, unsigned count,
                   const struct wf_order_lock *wanted);

/* Nothing that was said of `object` holds any more. */
void wf_order_forget(const void *object);

#endif
