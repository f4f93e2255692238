/* SPDX-License-Identifier: MIT */
/*
 * What a select asks of an I/O backend: to be told once when a descriptor is ready.  io/ implements
 * it, and the linker binds it, as for poller.h.
 */
#ifndef WF_RUNTIME_READINESS_H
#define WF_RUNTIME_READINESS_H

#include <stdint.h>

struct wf_readiness;
struct wf_worker;

/* `result`: the events of poll(2) that hold, or a negative errno; -EAGAIN: ask again.  Called
 * without a lock, by any worker, and also out of wf_readiness_start() and wf_readiness_stop(). */
typedef void wf_readiness_fn(struct wf_worker *self, struct wf_readiness *asked, int result);

/* Zero before the first use.  The backend's from a start until its report. */
struct wf_readiness {
    wf_readiness_fn *report; /* the asker, before the start */
    uint64_t reserved[20];
};

/* The events that hold now, 0 for none, or a negative errno. */
int wf_readiness_now(int fd, int events);

/* Asks for a report, which is sure to come.  Caller: a fiber on `self`. */
void wf_readiness_start(struct wf_worker *self, struct wf_readiness *asked, int fd, int events);

/* Asks for the report to come soon, whatever it is then.  Caller: a fiber on `self`, which is not
 * given the record back before the report. */
void wf_readiness_stop(struct wf_worker *self, struct wf_readiness *asked);

#endif
