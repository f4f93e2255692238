/* SPDX-License-Identifier: MIT */
/* Two that wait, one for a timer and one for a pipe, while a fiber goes on: do they have their
 * turns? */
#ifndef WEFT_TEST_OTHERS_H
#define WEFT_TEST_OTHERS_H

#include <stdatomic.h>
#include <stdbool.h>
#include <weft.h>

struct others {
    int pipe[2];
    _Atomic(int) has_slept, has_read;
    weft_fiber *sleeper, *reader;
    int looks;
};

/* Caller: a fiber, which must not let others run by anything but what it tests until
 * others_have_run(), and ask that again and again.  The pipe is written to after a while. */
void others_begin(struct others *others);
bool others_have_run(struct others *others);
void others_end(struct others *others);

#endif
