/* SPDX-License-Identifier: MIT */
/* SIGTERM and SIGINT as a pipe that becomes readable. */
#ifndef HTTP_STOP_H
#define HTTP_STOP_H

/*
 * Makes SIGTERM and SIGINT write a byte to a pipe, and SIGPIPE harmless.  Returns the end to read
 * from, or a negative errno.  Caller: main, once, before other threads exist.
 */
int stop_catch_signals(void);

/* Blocks until a signal has come.  Caller: the main thread of a mode that has one to spare. */
void stop_wait(int fd);

#endif
