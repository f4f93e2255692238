/* SPDX-License-Identifier: MIT */
#include "runtime/thread_lock.h"

#include "runtime/check.h"
#include "runtime/model.h"

#include <errno.h>
#include <weft/pthread_checks.h>

int weft_pthread_taken(int error, const void *lock, const char *place)
{
    struct wf_worker *self = wf_self();
    struct wf_thread_locks *locks;

    if (self == NULL || (error != 0 && error != EOWNERDEAD))
        return error;
    self->thread_locks++;
    /* Whoever leaves meanwhile finds no fiber that is next, and only that way asks for locks:
     * leave_for() in worker.c. */
    self->fair_turn = 0;
    locks = &self->locks;
    for (unsigned i = 0; i < WF_THREAD_LOCKS_KNOWN; i++)
        if (locks->known[i].lock == NULL) {
            locks->known[i].lock = lock;
            locks->known[i].place = place;
            break;
        }
    return error;
}

void weft_pthread_given_back(const void *lock)
{
    struct wf_worker *self = wf_self();
    struct wf_thread_locks *locks;
    uint32_t known = 0;

    if (self == NULL || self->thread_locks == 0)
        return;
    locks = &self->locks;
    for (unsigned i = 0; i < WF_THREAD_LOCKS_KNOWN; i++) {
        if (locks->known[i].lock == lock) {
            locks->known[i].lock = NULL;
            self->thread_locks--;
            return;
        }
        known += locks->known[i].lock != NULL;
    }
    /* One of those that are only counted; or it was taken where nobody said so, and those that are
     * known are still held. */
    if (self->thread_locks > known)
        self->thread_locks--;
}

void wf_thread_lock_panic(const struct wf_worker *self)
{
    const struct weft_fiber *fiber = self->current;
    const struct wf_thread_locks *locks = &self->locks;

    for (unsigned i = 0; i < WF_THREAD_LOCKS_KNOWN; i++)
        if (locks->known[i].lock != NULL)
            wf_complain("a pthread lock is held: %p, locked at %s", locks->known[i].lock,
                        locks->known[i].place);
    wf_panic("fiber %lu \"%s\" %s while its thread holds a pthread lock: use a weft_mutex",
             (unsigned long)fiber->id, fiber->name,
             self->request == WF_REQUEST_EXIT ? "ends" : "suspends");
}
