/* SPDX-License-Identifier: MIT */
/* The stacks of generators that the process keeps. */
#ifndef WF_RUNTIME_GENERATOR_H
#define WF_RUNTIME_GENERATOR_H

/* Forgets those that are kept.  Caller: the child of a fork(). */
void wf_generator_forget_parent(void);

#endif
