/* SPDX-License-Identifier: MIT */
/* SIGTERM and SIGINT as a descriptor that becomes readable. */
#ifndef HTTP_STOP_H
#define HTTP_STOP_H

/*
 * Blocks SIGTERM and SIGINT for the whole process and makes SIGPIPE harmless.  Returns a
 * descriptor that is readable once one of the two has come, or a negative errno.  Caller: main,
 * once, before other threads exist.
 */
int stop_catch_signals(void);

/* Blocks until a signal has come.  Caller: a thread that has nothing else to do. */
void stop_wait(int fd);

#endif
