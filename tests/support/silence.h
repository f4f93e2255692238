/* SPDX-License-Identifier: MIT */
/* Whether the runtime does anything at all. */
#ifndef WEFT_TEST_SILENCE_H
#define WEFT_TEST_SILENCE_H

struct silence {
    int end; /* a byte is written to it in the end */
    unsigned seconds;
};

/* A thread that waits for so many seconds in which no thread of a runtime runs.  One that sleeps
 * makes no system call without being switched to.  `arg` is a struct silence. */
void *await_silence(void *arg);

#endif
