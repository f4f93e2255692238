/* SPDX-License-Identifier: MIT */
/* Detached threads with a small stack, for the modes on threads. */
#ifndef HTTP_THREAD_H
#define HTTP_THREAD_H

/* Makes the attributes that thread_start() uses.  Caller: main thread, once; 0 or -errno. */
int thread_setup(void);

/* Runs `fn(arg)` on a detached thread of its own; 0 or -errno. */
int thread_start(void *(*fn)(void *), void *arg);

#endif
