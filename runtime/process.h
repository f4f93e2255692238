/* SPDX-License-Identifier: MIT */
/*
 * What a child of fork() has to know.  It has its parent's memory and one of its threads: locks of
 * the process may be held there by threads that are not, and what is under them be half changed.
 */
#ifndef WF_RUNTIME_PROCESS_H
#define WF_RUNTIME_PROCESS_H

/* Lets each child forget such things.  Caller: whoever takes a lock of the whole process, before
 * the first time; after that it costs a load.  0 or -ENOMEM. */
int wf_process_watch(void);

#endif
