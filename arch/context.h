/* SPDX-License-Identifier: MIT */
/*
 * The context switch.
 *
 * Saved and restored: the callee-saved integer registers, the stack pointer, and the control bits
 * of the floating-point units (rounding, exception masks, precision), as the System V psABI asks
 * of any function call.  On x86-64 those of MXCSR are kept where <fenv.h> sets them, or where
 * wf_context_own_modes() was called (docs/adr/0004).
 *
 * Not saved: caller-saved registers (the compiler has spilled them around the call), floating-point
 * status flags (the psABI lets a call change them), the signal mask, thread-local storage (a
 * context may continue on another thread: see tls.h), and shadow stacks (where it
 * resumes does not pair with the last call, so the library is not marked for them).
 */
#ifndef WF_ARCH_CONTEXT_H
#define WF_ARCH_CONTEXT_H

/*
 * Each port has a struct wf_context, and three functions, which may be inline:
 *
 * wf_context_switch() saves the running context in `from` and continues `to`, where the call that
 * it left by returns `passed`.  It returns when something continues `from`, perhaps on another
 * thread, with what that one passes.  It is for contexts that mostly leave at the same place.
 *
 * wf_context_hand_over() does the same with a number, but floating-point control modes are neither
 * saved nor restored: both sides share them, as a function and its caller do.  For contexts that
 * know each other; fastest as a tail call.
 *
 * wf_context_hand_back() is the same once more, for the way back of two that take turns: each way
 * then has a jump of its own, which the processor can predict.
 *
 * A new context may be entered by any.  One that has left by the switch is continued by it, and one
 * that has handed over or back by either of these.
 *
 * Of a context's own modes:
 *
 * wf_context_modes() gives those of the running context, as a word that can be compared.
 *
 * wf_context_set_modes() loads such a word, whoever had it: the modes are the running context's.
 *
 * wf_context_own_modes() says that the running context changes its modes by other means than
 * <fenv.h>: from then on each switch keeps all of them.  New contexts inherit that.
 *
 * wf_context_hides_modes() tells whether it has changed them without saying so; the next switch
 * would lose them, and give them to another.
 *
 * wf_context_restore_modes() then puts back those that it had when it was continued.
 *
 * Where they are inline, the function that they are in keeps frame pointers; else a debugger cannot
 * unwind from the instructions in the middle of them.
 */
#include <stdbool.h>
#include <stdint.h>

#if defined(__x86_64__)
#include "arch/x86_64/context_switch.h"

bool wf_context_hides_modes(const struct wf_context *running);
void wf_context_restore_modes(const struct wf_context *running);
void wf_context_own_modes(void);
#else
struct wf_context {
    void *sp; /* of the saved frame; stale while the context runs */
};

void *wf_context_switch(struct wf_context *from, const struct wf_context *to, void *passed);
uint64_t wf_context_modes(const struct wf_context *running);
void wf_context_set_modes(struct wf_context *running, uint64_t modes);

/* Each switch reads the one word that all modes are in. */
static inline bool wf_context_hides_modes(const struct wf_context *running)
{
    (void)running;
    return false;
}

static inline void wf_context_restore_modes(const struct wf_context *running)
{
    (void)running;
}

static inline void wf_context_own_modes(void)
{
}
#endif

int wf_context_hand_over(struct wf_context *from, const struct wf_context *to, int passed);
int wf_context_hand_back(struct wf_context *from, const struct wf_context *to, int passed);

/*
 * Makes a context that calls entry(arg, passed) on its first switch in, with what that switch
 * passes; entry must not return.  `stack_top` is aligned to 16 bytes and at least 256 bytes of
 * stack lie below it.  The floating-point control modes are those of the caller, and `running` is
 * the context that runs there, if there is one, or NULL: it makes them cheaper to tell.
 */
void wf_context_init(struct wf_context *context, void *stack_top,
                     void (*entry)(void *arg, void *passed), void *arg,
                     const struct wf_context *running);

/* Where a saved context goes on, with its frame pointer in `*frame`. */
void *wf_context_where(const struct wf_context *context, void **frame);

#endif
