/* SPDX-License-Identifier: MIT */
/* The floating-point work of the `inexact=1` benchmarks, the same for weft and for its peers. */
#ifndef WEFT_BENCH_INEXACT_H
#define WEFT_BENCH_INEXACT_H

/* One addition whose exact result is not a double: it raises the inexact flag of the unit.  The
 * empty statements keep the compiler from doing it at compile time or dropping it. */
static inline void do_inexact_addition(void)
{
    double x = 1.0;

    __asm__ volatile("" : "+m"(x));
    x += 1e-17;
    __asm__ volatile("" : : "m"(x) : "memory");
}

#endif
