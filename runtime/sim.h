/* SPDX-License-Identifier: MIT */
/* What the start of a runtime has to know of simulation (arch/sim.h). */
#ifndef WF_RUNTIME_SIM_H
#define WF_RUNTIME_SIM_H

#include <stdbool.h>

struct weft_config;

/* Whether weft_run() is to simulate: the configuration asks for it, and no simulation is on. */
bool wf_sim_is_wanted(const struct weft_config *config);

/* 0, or -EINVAL and a line that says why: what the environment asks of a simulation cannot be. */
int wf_sim_check(void);

/* weft_run() in a simulation whose seed and faults come from the environment. */
int wf_sim_run_config(const struct weft_config *config, int (*fn)(void *), void *arg);

/* Sets what is the simulation's to decide.  Caller: in a simulation. */
void wf_sim_configure(struct weft_config *config);

#endif
