/* SPDX-License-Identifier: MIT */
/* How libFuzzer runs inside of a fiber, for all that is fuzzed. */
#ifndef WEFT_FUZZ_DRIVER_H
#define WEFT_FUZZ_DRIVER_H

#include <stddef.h>
#include <stdint.h>

/* One input.  Caller: a fiber, the only one that there is.  Defined by what is linked to it. */
void fuzz_one(const uint8_t *data, size_t size);

#endif
