/* SPDX-License-Identifier: MIT */
/*
 * Faults: SIGSEGV and SIGBUS, which an access to memory raises that is not there.
 *
 * The signals are the process's, and the program may have handlers for them.  What is none of our
 * business goes on to these, with their flags and masks.
 */
#ifndef WF_ARCH_FAULT_H
#define WF_ARCH_FAULT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct wf_fault {
    int number;          /* of the signal */
    bool has_address;    /* false where the kernel could not write a frame for another signal */
    const void *address; /* that was accessed */
    void *pc;            /* where the thread was */
    void *frame;         /* its frame pointer, if its code keeps one */
    void *stack_pointer;
};

/*
 * Runs in the thread that faulted, in a signal handler: it may do what such a handler may.  Returns
 * true if the process shall die of the signal, at the place of the fault, and false if it is
 * somebody else's.
 */
typedef bool wf_fault_fn(const struct wf_fault *fault);

/*
 * Installs handlers for both signals.  Threads that have an alternate stack run them there.
 * 0 or -errno.  Caller: one that keeps the pairs of claim and release apart.
 */
int wf_fault_claim(wf_fault_fn *fn);

/* Gives the signals back, unless the program has taken them meanwhile. */
void wf_fault_release(void);

/* What the kernel needs of a stack to interrupt the code that runs on it. */
size_t wf_fault_frame_size(void);

/* A place in the calls that led to the fault, and how often it is there in a row: a recursion. */
struct wf_fault_place {
    void *address;
    size_t times;
};

/* Collects these, the place of the fault first.  Returns how many; 0 where the code cannot be
 * unwound.  Caller: a wf_fault_fn. */
size_t wf_fault_unwind(const struct wf_fault *fault, struct wf_fault_place *places, size_t limit);

/* Writes to standard error, whole; nothing else happens to the process. */
void wf_fault_write(const char *text, size_t length);

#endif
