/* SPDX-License-Identifier: MIT */
/*
 * Looking at a thread that does not stop by itself: where it is, by a signal, and what it does, by
 * what the kernel tells.  For diagnosis: a call that the signal interrupts can fail with EINTR.
 */
#ifndef WF_ARCH_PROBE_H
#define WF_ARCH_PROBE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Runs in the interrupted thread, in a signal handler: it may do what such a handler may.  `pc` is
 * where the thread was, `frame` its frame pointer, if its code keeps one. */
typedef void wf_probe_fn(void *pc, void *frame);

/*
 * Claims SIGURG for the process and installs a handler for it.  -EBUSY if the program has one of
 * its own.  Caller: one that keeps the pairs of claim and release apart.
 */
int wf_probe_claim(wf_probe_fn *fn);

/* Gives the signal back, unless the program has taken it meanwhile. */
void wf_probe_release(void);

/* In the calling thread: gives signal handlers a stack of their own, so that they need none of the
 * interrupted one's, and lets the signal in if it `takes_signal`.  Returns that stack, or NULL if
 * there is no memory; then the signal stays as it was. */
void *wf_probe_enter(bool takes_signal);
void wf_probe_leave(void *stack);

/* Sends the signal to that thread of this process. */
void wf_probe_send(long number);

/* The number by which the kernel knows the calling thread. */
long wf_probe_thread_number(void);

/* 'R' if that thread of this process runs or is ready to, else the letter by which /proc says why
 * it does not; '?' if this cannot be read. */
char wf_probe_thread_state(long number);

/* Collects return addresses along the chain of frame pointers that starts at `frame`, as long as it
 * stays within [bottom, top) and climbs.  Returns how many.  Safe in a signal handler. */
size_t wf_probe_walk(void *frame, const void *bottom, const void *top, void **addresses,
                     size_t limit);

/* Writes where an address is: function and offset, if the symbol is exported, and the file with the
 * offset that addr2line takes. */
void wf_probe_describe(const void *address, char *text, size_t size);

#endif
