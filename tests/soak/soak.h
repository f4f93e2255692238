/* SPDX-License-Identifier: MIT */
/* What the soak measures of itself, from a thread that is none of the runtime's. */
#ifndef WEFT_SOAK_H
#define WEFT_SOAK_H

#include <stdbool.h>
#include <stdint.h>

/* Starts to print a line each `interval_ms`, for a load that takes so long. */
void soak_begin(int64_t length_ns, long interval_ms);
void soak_end(void);

/* The length of the whole run in nanoseconds. */
int64_t soak_length(void);

/* How long an exchange took; something was later than it may be. */
void soak_note_latency(int64_t nanoseconds);
void soak_note_missed(void);

/* Ends the program if it is false. */
void must(bool condition, const char *what);

#endif
