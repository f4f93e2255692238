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

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Stale while the context runs. */
struct wf_context {
    void *sp, *bp, *bx;
    void *pc;               /* where it goes on, if it was left by a switch */
    uint64_t r12_to_r15[4]; /* if it has handed over */
    uint32_t mxcsr;
    uint16_t x87_cw;
};

/* The control bits of MXCSR: denormals-are-zero, exception masks, rounding, flush-to-zero.  The
 * six status flags below them differ as soon as one side did inexact arithmetic. */
#define WF_MXCSR_CONTROL 0xffc0u

#ifdef __AVX512F__
#define WF_CLOBBERS_AVX512                                                                        \
    , "xmm16", "xmm17", "xmm18", "xmm19", "xmm20", "xmm21", "xmm22", "xmm23", "xmm24", "xmm25",   \
        "xmm26", "xmm27", "xmm28", "xmm29", "xmm30", "xmm31", "k1", "k2", "k3", "k4", "k5", "k6", \
        "k7"
#else
#define WF_CLOBBERS_AVX512
#endif

/* Whether a switch loads MXCSR without a look whether it differs: set before main(). */
extern bool wf_context_loads_at_once __attribute__((visibility("hidden")));

WF_INLINE void wf_context_store_modes(struct wf_context *context)
{
    __asm__ volatile("stmxcsr %0" : "=m"(context->mxcsr));
    __asm__ volatile("fnstcw %0" : "=m"(context->x87_cw));
}

WF_INLINE void *wf_context_switch(struct wf_context *from, const struct wf_context *to,
                                  void *passed)
{
    wf_context_store_modes(from);
    /* Where status flags that differ make a load slow, it is spared by the comparison; where they
     * do not, reading back what has just been stored is what is slow (docs/adr/0004). */
    if (WF_LIKELY(wf_context_loads_at_once) || ((from->mxcsr ^ to->mxcsr) & WF_MXCSR_CONTROL) != 0)
        __asm__ volatile("ldmxcsr %0" : : "m"(to->mxcsr));
    if (WF_UNLIKELY(from->x87_cw != to->x87_cw))
        __asm__ volatile("fldcw %0" : : "m"(to->x87_cw));
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

int wf_context_hand_over(struct wf_context *from, const struct wf_context *to, int passed);
int wf_context_hand_back(struct wf_context *from, const struct wf_context *to, int passed);

#endif
