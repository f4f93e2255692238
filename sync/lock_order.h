/* SPDX-License-Identifier: MIT */
/*
 * The order in which checked mutexes are locked.
 *
 * Whoever waits for a mutex while it holds another has said "this one after that".  When what has
 * been said makes a circle, fibers can come to wait for each other in a circle, even if they have
 * not yet: that is reported, with the places in the program.
 *
 * Mutexes are told apart by their addresses.  The table has a fixed size; when it is full, all is
 * forgotten, and begins anew.
 */
#ifndef WF_SYNC_LOCK_ORDER_H
#define WF_SYNC_LOCK_ORDER_H

/* A mutex that the caller holds, and where it was locked.  The youngest comes first. */
struct wf_order_held {
    const void *object;
    const void *site;
};

/* The caller, which holds `count` mutexes, is about to wait for `object`.  Reports a circle, once
 * for each pair. */
void wf_order_note(const struct wf_order_held *held, unsigned count, const void *object,
                   const void *site);

/* Nothing that was said of `object` holds any more. */
void wf_order_forget(const void *object);

#endif
