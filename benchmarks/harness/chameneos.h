/* SPDX-License-Identifier: MIT */
/* The rules of the chameneos benchmark, for weft and its C and C++ peers. */
#ifndef WEFT_BENCH_CHAMENEOS_H
#define WEFT_BENCH_CHAMENEOS_H

#include <stdint.h>

enum { CHAMENEOS_CREATURES = 10, CHAMENEOS_COLOURS = 3 };

/* Two that meet take on their common colour, or else the third. */
static inline int chameneos_complement(int a, int b)
{
    return a == b ? a : CHAMENEOS_COLOURS - a - b;
}

#endif
