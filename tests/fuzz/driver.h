/* SPDX-License-Identifier: MIT */
/* How libFuzzer runs inside of a fiber, for all that is fuzzed. */
#ifndef WEFT_FUZZ_DRIVER_H
#define WEFT_FUZZ_DRIVER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* One input.  Caller: a fiber, the only one that there is.  Defined by what is linked to it. */
void fuzz_one(const uint8_t *data, size_t size);

/* Ends the program if it is false. */
#define FUZZ_CHECK(condition) fuzz_check((condition), #condition, __FILE__, __LINE__)

void fuzz_check(bool condition, const char *text, const char *file, int line);

#endif
