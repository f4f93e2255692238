/* SPDX-License-Identifier: MIT */
/* The Date header, formatted once a second for the whole process. */
#ifndef HTTP_DATE_H
#define HTTP_DATE_H

#include <stdint.h>

enum {
    DATE_LENGTH = 31, /* "Sat, 21 Nov 2026 08:12:09 GMT\r\n" */
    DATE_ROOM = 32    /* what date_copy() may write: whole words, so one byte more */
};

/* Formats the first date.  Caller: main, before any other thread exists. */
void date_start(void);

/* Copies the current date and its line end to `out`, which has DATE_ROOM bytes.  Any thread. */
void date_copy(char *out);

/*
 * CLOCK_MONOTONIC at the last timer tick, in nanoseconds: a few milliseconds behind weft_now() at
 * most and a fifth of its price.  Deadlines made from it can only be that little bit early.
 */
int64_t coarse_now(void);

#endif
