/* SPDX-License-Identifier: MIT */
/*
 * Workers whose CPUs others want as well.  (docs/adr/0039)
 *
 * A pinned worker waits while a thread of another program, or of this one, computes on its CPU, and
 * the system may not take it to one that idles.  So the monitor looks now and then for how long
 * each worker has been kept waiting.  One that was kept for a good part of what it wanted to run is
 * let go: it may run on all allowed CPUs of its NUMA node.  After a second without that it is
 * pinned again, and if that was too early it is let go for twice as long.
 *
 * Who has set the affinity of a worker's thread from outside keeps it: the worker is left alone
 * from then on; and none goes where the other threads of the program may not.  Where the program
 * has asked for pins itself (WEFT_PIN=1) they stay.
 */
#ifndef WF_RUNTIME_PIN_H
#define WF_RUNTIME_PIN_H

#include "arch/os.h"

#include <stdbool.h>
#include <stdint.h>

struct weft_runtime;

enum wf_pin_state {
    WF_PIN_NONE,  /* not pinned by us, or not any more */
    WF_PIN_HELD,  /* to its place's CPU */
    WF_PIN_LOOSE, /* let go */
};

/* Of one worker: the monitor's alone once the worker is set up. */
struct wf_pin {
    enum wf_pin_state state;
    int64_t changed;      /* when it was pinned; or, loose, when it last had to wait */
    int64_t rest;         /* for how long it is let go; 0: it has not been */
    int64_t looked;       /* when it was last looked at; 0: never */
    struct wf_os_use use; /* what its thread had used then */
};

/* Decides by what the worker's thread has used so far whether the worker is let go or pinned again.
 * Returns true if its state is another one now. */
bool wf_pin_judge(struct wf_pin *pin, const struct wf_os_use *use, int64_t now);

/* Looks at all workers, if it is time to.  Caller: the monitor. */
void wf_pin_look(struct weft_runtime *runtime, int64_t now);

#endif
