/* SPDX-License-Identifier: MIT */
/*
 * The floating-point control words of x86-64, of which a switch reads one.
 *
 * To read MXCSR takes longer than all the rest of a switch, and <fenv.h> changes both words.  So as
 * long as the x87 unit's is the one in the record of the context that runs, MXCSR is taken for the
 * one there, too; who changes it by other means says so, by WF_CONTROL_OWN.  (docs/adr/0004)
 */
#ifndef WF_ARCH_X86_64_CONTROL_H
#define WF_ARCH_X86_64_CONTROL_H

#include "arch/compiler.h"

#include <stdbool.h>
#include <stdint.h>

/* Control bits of MXCSR: denormals-are-zero, exception masks, rounding, flush-to-zero.  The six
 * status flags below them differ as soon as one side did inexact arithmetic. */
#define WF_CONTROL_MXCSR 0xffc0u

/* Bit 12 of the x87 control word, without meaning since the 387: MXCSR may be any. */
#define WF_CONTROL_OWN 0x1000u

/* Both words, as they were read together.  An x87 word that has WF_CONTROL_OWN is stored with a bit
 * above it as well, so that it equals none that is read. */
union wf_control {
    struct {
        uint32_t mxcsr; /* control bits only */
        uint32_t x87_word;
    };
    uint64_t both;
};

WF_INLINE uint32_t wf_control_x87_word(void)
{
    uint16_t word;

    __asm__ volatile("fnstcw %0" : "=m"(word));
    return word;
}

WF_INLINE void wf_control_load_x87(uint32_t x87_word)
{
    uint16_t word = (uint16_t)x87_word;

    __asm__ volatile("fldcw %0" : : "m"(word));
}

WF_INLINE union wf_control wf_control_read(uint32_t x87_word)
{
    union wf_control words;

    words.mxcsr = __builtin_ia32_stmxcsr() & WF_CONTROL_MXCSR;
    words.x87_word = x87_word | (x87_word & WF_CONTROL_OWN) << 4;
    return words;
}

/* Whether the record of the context that runs has its words, where this is the x87 word. */
WF_INLINE bool wf_control_tells(const union wf_control *running, uint32_t x87_word)
{
    return x87_word == running->x87_word;
}

/* Stores what has changed since `from` was stored, and loads what differs in `to`.  Inline, because
 * around a call the compiler would keep values in rbx, which the switch's rules for unwinding know
 * nothing of. */
WF_INLINE void wf_control_change(union wf_control *from, const union wf_control *to,
                                 uint32_t x87_word)
{
    union wf_control now = *from;
    union wf_control wanted = *to;

    if (!wf_control_tells(from, x87_word))
        *from = now = wf_control_read(x87_word);
    /* On Intel's processors a load takes 70 ns where status flags differ.  It clears them. */
    if (now.mxcsr != wanted.mxcsr)
        __builtin_ia32_ldmxcsr(wanted.mxcsr);
    if (x87_word != wanted.x87_word)
        wf_control_load_x87(wanted.x87_word);
}

#endif
