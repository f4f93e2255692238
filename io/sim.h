/* SPDX-License-Identifier: MIT */
/* The pieces of the simulated backend: its poller (sim.c), and what the descriptors of a simulation
 * stand for. */
#ifndef WF_IO_SIM_H
#define WF_IO_SIM_H

#include "io/op.h"

#include <stdbool.h>

/* Completes an operation that was started, with op->result set, after a while that the seed
 * decides.  It is in no list. */
void wf_sim_complete(struct wf_op *op);

#endif
