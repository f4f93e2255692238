/* SPDX-License-Identifier: MIT */
/*
 * The switch of x86-64, which is inlined: see context.S for where a context begins.
 *
 * The compiler is told that the switch changes every register but three, so it saves those that
 * hold anything, and for the function that the switch is inlined into it saves those that a
 * function keeps for its caller (psABI 1.0, section 3.2.1): once, by that function's own prologue
 * and epilogue.  By hand are saved the stack pointer and what a compiler may hold a frame by, rbp
 * and rbx.
 *
 * The jump is to the instruction behind the switch by which the other context left.  It leaves the
 * return predictor alone, which then holds the calls of the context that went out: they fit where
 * both left by the same function, as fibers mostly do.  (Measured: docs/adr/0005.)
 *
 * Unwinding: the CFA follows rbp, as in every function that is compiled with frame pointers, and
 * from where that changes to the jump, the saved one of the context that goes out.
 */
#ifndef WF_ARCH_X86_64_CONTEXT_SWITCH_H
#define WF_ARCH_X86_64_CONTEXT_SWITCH_H

#include "arch/compiler.h"
#include "arch/x86_64/control.h"

#include <stddef.h>
#include <stdint.h>

/* Stale while the context runs. */
struct wf_context {
    void *sp, *bp, *bx;
    void *pc;               /* where it goes on, if it was left by a switch */
    uint64_t r12_to_r15[4]; /* if it has handed over */
    union wf_control modes;
};

WF_INLINE uint64_t wf_context_modes(const struct wf_context *running)
{
    uint32_t x87_word = wf_control_x87_word();

    return WF_LIKELY(wf_control_tells(&running->modes, x87_word)) ? running->modes.both
                                                                  : wf_control_read(x87_word).both;
}

/* The record tells the words that are loaded, as after a switch. */
WF_INLINE void wf_context_set_modes(struct wf_context *running, uint64_t modes)
{
    uint32_t x87_word = wf_control_x87_word();
    union wf_control wanted = {.both = modes};

    if (WF_LIKELY(wf_control_tells(&running->modes, x87_word) && running->modes.both == modes))
        return;
    wf_control_change(&running->modes, &wanted, x87_word);
    running->modes = wanted;
}

#ifdef __AVX512F__
#define WF_CLOBBERS_AVX512                                                                        \
    , "xmm16", "xmm17", "xmm18", "xmm19", "xmm20", "xmm21", "xmm22", "xmm23", "xmm24", "xmm25",   \
        "xmm26", "xmm27", "xmm28", "xmm29", "xmm30", "xmm31", "k1", "k2", "k3", "k4", "k5", "k6", \
        "k7"
#else
#define WF_CLOBBERS_AVX512
#endif

WF_INLINE void *wf_context_switch(struct wf_context *from, const struct wf_context *to,
                                  void *passed)
{
    uint32_t x87_word = wf_control_x87_word();

    if (WF_UNLIKELY(!wf_control_tells(&from->modes, x87_word)) ||
        WF_UNLIKELY(from->modes.both != to->modes.both))
        wf_control_change(&from->modes, &to->modes, x87_word);
    __asm__ volatile("lea 1f(%%rip), %%rax\n\t"
                     "mov %%rsp, (%[from])\n\t"
                     "mov %%rbp, 8(%[from])\n\t"
                     "mov %%rbx, 16(%[from])\n\t"
                     "mov %%rax, 24(%[from])\n\t"
                     ".cfi_remember_state\n\t"
                     /* CFA = *(rdi + 8) + 16; rbx at rdi + 16 */
                     ".cfi_escape 0x0f, 5, 0x75, 8, 0x06, 0x23, 16\n\t"
                     ".cfi_escape 0x10, 3, 2, 0x75, 16\n\t"
                     "mov (%[to]), %%rsp\n\t"
                     "mov 8(%[to]), %%rbp\n\t"
                     "mov 16(%[to]), %%rbx\n\t"
                     /* notrack: the target has no landing mark. */
                     "notrack jmp *24(%[to])\n\t"
                     ".cfi_restore_state\n"
                     "1:"
                     : [from] "+D"(from), [to] "+S"(to), "+d"(passed)
                     :
                     : "rax", "rcx", "r8", "r9", "r10", "r11", "r12", "r13", "r14", "r15", "cc",
                       "memory", "st", "st(1)", "st(2)", "st(3)", "st(4)", "st(5)", "st(6)",
                       "st(7)", "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7",
                       "xmm8", "xmm9", "xmm10", "xmm11", "xmm12", "xmm13", "xmm14",
                       "xmm15" WF_CLOBBERS_AVX512);
    return passed;
}

#endif
