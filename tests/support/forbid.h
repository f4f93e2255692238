/* SPDX-License-Identifier: MIT */
/* Limits for a process of its own (child.h): they cannot be taken back. */
#ifndef WEFT_TEST_FORBID_H
#define WEFT_TEST_FORBID_H

/* Lets this process start no further thread: the system refuses it with EAGAIN. */
void forbid_threads(void);

/* The environment of such a process: LeakSanitizer would start a thread at its end. */
extern const char *const environment_without_threads[];

#endif
