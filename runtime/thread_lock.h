/* SPDX-License-Identifier: MIT */
/*
 * The locks of its thread that the running fiber has taken, as far as the program says so
 * (weft/pthread_checks.h).  A fiber that has any must not leave its worker.
 */
#ifndef WF_RUNTIME_THREAD_LOCK_H
#define WF_RUNTIME_THREAD_LOCK_H

#include "arch/compiler.h"

struct wf_worker;

enum { WF_THREAD_LOCKS_KNOWN = 4 }; /* those beyond are only counted */

struct wf_thread_locks {
    struct {
        const void *lock; /* NULL: none */
        const char *place;
    } known[WF_THREAD_LOCKS_KNOWN];
};

/* Caller: a worker whose fiber holds one and is about to leave it. */
WF_NORETURN WF_COLD void wf_thread_lock_panic(const struct wf_worker *self);

#endif
