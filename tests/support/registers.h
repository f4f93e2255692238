/* SPDX-License-Identifier: MIT */
/* What a processor's calling convention makes a function keep for its caller. */
#ifndef WEFT_TEST_REGISTERS_H
#define WEFT_TEST_REGISTERS_H

#include "random.h"

#include <stdint.h>

enum {
#if defined(__x86_64__)
    SAVED_REGISTERS = 6, /* rbx, rbp, r12 to r15 */
#elif defined(__aarch64__)
    SAVED_REGISTERS = 19, /* x19 to x29, d8 to d15 */
#elif defined(__riscv)
    SAVED_REGISTERS = 24, /* s0 to s11, fs0 to fs11 */
#endif
};

/*
 * Loads the registers from `in`, calls fn, and stores what they hold afterwards to `out`.  Its own
 * copies are on the stack, which a switch must bring back as well.  Returns what fn returned.
 */
int call_with_registers(int (*fn)(void), const uint64_t in[SAVED_REGISTERS],
                        uint64_t out[SAVED_REGISTERS]);

/* The floating-point modes: rounding and whatever else the processor has, but no status flags. */
uint64_t control_word(void);
void set_control_word(uint64_t word);
/* One that masks all exceptions. */
uint64_t random_control_word(struct random *random);

#endif
