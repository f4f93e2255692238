/* SPDX-License-Identifier: MIT */
/* What the test's process takes of the system, and fibers that make it take more for a while. */
#ifndef WEFT_TEST_MEMORY_H
#define WEFT_TEST_MEMORY_H

struct memory {
    unsigned long size_kib; /* mapped */
    unsigned long resident_kib;
    unsigned long mappings;
};

struct memory memory_now(void);

/* Spawns so many fibers that sleep, and cancels and joins them.  Returns what the process took
 * between.  Caller: a fiber. */
struct memory park_and_end(int count);

#endif
