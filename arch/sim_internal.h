/* SPDX-License-Identifier: MIT */
/*
 * What sim.c, sim_event.c and os.c share: the clock, its events, the dice, the trace, the host.
 *
 *   Edge   From                      To                        Promises
 *   SM.1   release: claimed release  claim: claimed acquire    the last simulation is over
 */
#ifndef WF_ARCH_SIM_INTERNAL_H
#define WF_ARCH_SIM_INTERNAL_H

#include "arch/sim.h"

/* Of the virtual clock at the start: 0 is a deadline in the past. */
#define WF_SIM_START_NS INT64_C(1000000000)

struct wf_sim_clock {
    int64_t now;
    int64_t limit;
    bool is_firing; /* an event's function runs */
};

extern struct wf_sim_clock wf_sim_clock;
extern struct wf_sim_settings wf_sim_settings;
extern struct wf_sim_report wf_sim_totals;

/* Makes the caller the host, unless somebody is; and the opposite. */
bool wf_sim_claim(void);
void wf_sim_release(void);

/* Sets the clock and the dice, and forgets the events of the last run. */
void wf_sim_reset(const struct wf_sim_settings *settings);

/* When the next event is due; INT64_MAX: none is. */
int64_t wf_sim_next_event(void);

/* Calls the functions of those that are due. */
void wf_sim_fire_events(void);

#endif
