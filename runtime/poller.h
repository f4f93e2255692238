/* SPDX-License-Identifier: MIT */
/*
 * What the scheduler asks of an I/O backend.  io/ implements it; the linker binds it, so a test
 * can link a backend of its own.
 *
 * A poller belongs to one worker, its owner, which opens it, waits in it and destroys it.  Any
 * worker may poll and submit in its place, at any time while both are in their loops.  An operation
 * counts with the kernel as that thread's which submitted it: it is cancelled when that thread
 * ends, so no worker may end while others go on.
 */
#ifndef WF_RUNTIME_POLLER_H
#define WF_RUNTIME_POLLER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct wf_counters;
struct wf_poller;
struct wf_worker;

/*
 * Makes a poller with the backend that `kind` names: enum weft_backend (weft/runtime.h).
 *
 * 0 or -errno: -EPERM or -ENOSYS when the kernel refuses, and then a line has been printed.  Where
 * the choice is open a refusal is no error: the other backend is taken, and the first time in a
 * process a line says why.
 */
int wf_poller_create(struct wf_poller **poller, uint32_t kind, uint32_t entries,
                     struct wf_counters *counters);

/*
 * Makes a poller ready for use, and gives back what it takes of the system while it is not used,
 * as far as that is worth anything.  A new one is closed.  Of a closed one only these, an
 * interrupt, a poll and the rest that others may do are allowed, and nothing is found there.
 *
 * The first returns 0 or -errno; the first refusal in a row comes after a line.  The second returns
 * false, and the poller stays open, while something is under way there.
 *
 * Caller: the owner.
 */
int wf_poller_open(struct wf_poller *poller);
bool wf_poller_close(struct wf_poller *poller, struct wf_worker *self);

/* Every operation has completed. */
void wf_poller_destroy(struct wf_poller *poller);

/*
 * Gives what is prepared to the kernel, waits until `deadline` (0: not at all) for a completion or
 * a wf_poller_interrupt(), and wakes the fibers whose operations completed, into the queues of
 * `self`.  Returns how many those are.  Makes no system call where there is no cause.
 *
 * Caller: `self`, a worker; if it is not the owner, with deadline 0.  While the owner waits, others
 * submit only: the owner wakes for every completion.
 */
unsigned wf_poller_poll(struct wf_poller *poller, struct wf_worker *self, int64_t deadline);

/* Gives what is prepared to the kernel.  Caller: `self`, any worker: whoever has prepared something
 * in a poller that is not its own, since the owner may sleep. */
void wf_poller_submit(struct wf_poller *poller, struct wf_worker *self);

/* True if a worker that is not the owner would find something to do there.  Caller: any thread,
 * while the owner does not wait. */
bool wf_poller_needs_service(struct wf_poller *poller);

/* Ends a wait under way, or the next one, at once.  Caller: any thread. */
void wf_poller_interrupt(struct wf_poller *poller);

/* Forgets all pollers.  Caller: the child of a fork(). */
void wf_poller_forget_parent(void);

/* Writes one line about the backend that wf_poller_create() would take, why it is that one, and its
 * features.  0, or the -errno of wf_poller_create(). */
int wf_poller_describe(uint32_t kind, char *line, size_t size);

#endif
