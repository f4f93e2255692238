/* SPDX-License-Identifier: MIT */
/* Waits that the end of a scope ends, and the reason that they give. */
#ifndef WEFT_TEST_REASONS_H
#define WEFT_TEST_REASONS_H

#include <stddef.h>

struct wait_kind {
    int (*wait)(void); /* for what does not come; returns what the wait did */
    const char *name;
};

#define WAIT_KIND(fn) \
    {                 \
        fn, #fn       \
    }

/*
 * Lets each wait in a scope whose deadline has passed, in one whose deadline passes meanwhile, in
 * one that was cancelled, and in one that is cancelled meanwhile.  It must say -ETIMEDOUT in the
 * first two, and -ECANCELED in the others.  Caller: a fiber that is not cancelled.
 */
void expect_reasons(const struct wait_kind *kinds, size_t count);

#endif
