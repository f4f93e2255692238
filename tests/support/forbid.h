/* SPDX-License-Identifier: MIT */
/* Limits for a process of its own (child.h): they cannot be taken back. */
#ifndef WEFT_TEST_FORBID_H
#define WEFT_TEST_FORBID_H

/* Lets this process start no further thread: the system refuses it with EAGAIN. */
void forbid_threads(void);

/* Makes the system call fail with `error` in all threads, as the profiles of container engines do.
 */
void forbid_system_call(long number, unsigned error);

/* The environment of such a process: LeakSanitizer would start a thread at its end. */
extern const char *const environment_without_threads[];

#endif
