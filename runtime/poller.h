/* SPDX-License-Identifier: MIT */
/*
 * What the scheduler asks of an I/O backend.  io/ implements it; the linker binds it, so a test
 * can link a backend of its own.
 *
 * A poller belongs to one worker: it is created, polled and destroyed on that worker's thread.
 */
#ifndef WF_RUNTIME_POLLER_H
#define WF_RUNTIME_POLLER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct wf_counters;
struct wf_poller;
struct wf_worker;

/* 0 or -errno: -EPERM or -ENOSYS when the kernel refuses, and then a line has been printed. */
int wf_poller_create(struct wf_poller **poller, uint32_t entries, struct wf_counters *counters);

/* Every operation has completed. */
void wf_poller_destroy(struct wf_poller *poller);

/*
 * Gives what is prepared to the kernel, waits until `deadline` (0: not at all) for a completion or
 * a wf_poller_interrupt(), and wakes the fibers whose operations completed.
 */
void wf_poller_poll(struct wf_poller *poller, struct wf_worker *self, int64_t deadline);

/* True if wf_poller_poll() without waiting could do anything. */
bool wf_poller_has_work(const struct wf_poller *poller);

/* Ends a wait under way, or the next one, at once.  Caller: any thread. */
void wf_poller_interrupt(struct wf_poller *poller);

/* Writes one line about the backend and its features.  0, or the -errno of wf_poller_create(). */
int wf_poller_describe(char *line, size_t size);

#endif
