/* SPDX-License-Identifier: MIT */
/*
 * The AArch64 context switch; arch/context.h has the contract, the AAPCS64 (release 2023Q3, section
 * 6.1) the registers: x19 to x29, the lower halves of v8 to v15, and FPCR, which holds control bits
 * only (the status bits are in FPSR).
 *
 * The functions leave by `ret`.  A jump would keep the return predictor out of it, as on
 * x86-64, but may not go to an address without a landing mark (BTI), such as one behind a call.
 * A new context is entered by a jump where that can be told, and is left for good by one.
 *
 * The return address is signed with the stack pointer that the caller had (PAC) before it goes to
 * memory.  The stack pointer is that value again when it comes back, on whatever thread: the keys
 * belong to the process.  The instructions are written as hints, so that any assembler knows them;
 * older processors skip them.
 *
 * Both frames have the same layout, so one CFA rule holds before and after the change of stacks.
 */
#include "arch/aarch64/context_offsets.h"

#define PACIASP hint #25 /* is a landing mark for calls, too */
#define AUTIASP hint #29

    .text

    .macro save_pair first, second, offset
    stp \first, \second, [sp, #\offset]
    .cfi_rel_offset \first, \offset
    .cfi_rel_offset \second, \offset + 8
    .endm

    .macro restore_pair first, second, offset
    ldp \first, \second, [sp, #\offset]
    .cfi_restore \first
    .cfi_restore \second
    .endm

/* Does `pair` with what a function keeps for its caller. */
    .macro each_pair pair
    \pair x29, x30, WF_FRAME_X29
    \pair x19, x20, WF_FRAME_X19
    \pair x21, x22, WF_FRAME_X21
    \pair x23, x24, WF_FRAME_X23
    \pair x25, x26, WF_FRAME_X25
    \pair x27, x28, WF_FRAME_X27
    \pair d8, d9, WF_FRAME_D8
    \pair d10, d11, WF_FRAME_D10
    \pair d12, d13, WF_FRAME_D12
    \pair d14, d15, WF_FRAME_D14
    .endm

    .macro save
    PACIASP
    .cfi_negate_ra_state
    sub sp, sp, #WF_FRAME_SIZE
    .cfi_adjust_cfa_offset WF_FRAME_SIZE
    each_pair save_pair
    .endm

    .macro change_stacks
    mov x10, sp
    str x10, [x0]
    ldr x10, [x1]
    mov sp, x10
    .endm

/* The same, and loads the floating-point control modes if they differ. */
    .macro change_stacks_and_modes
    mrs x9, fpcr
    str x9, [sp, #WF_FRAME_FPCR]
    change_stacks
    ldr x10, [sp, #WF_FRAME_FPCR]
    cmp x9, x10
    b.eq 1f
    msr fpcr, x10
1:
    .endm

    .macro restore
    each_pair restore_pair
    add sp, sp, #WF_FRAME_SIZE
    .cfi_adjust_cfa_offset -WF_FRAME_SIZE
    AUTIASP
    .cfi_negate_ra_state
    .endm

    .macro function name
    .globl \name
    .hidden \name
    .type \name, %function
    .p2align 5
\name:
    .cfi_startproc
    .endm

    .macro end_function name
    .cfi_endproc
    .size \name, . - \name
    .endm

/* A new context is entered by a jump. */
    .macro continue
    restore
    mov x0, x2
    adr x16, wf_context_begin
    cmp x30, x16
    b.eq wf_context_begin
    ret
    .endm

    function wf_context_switch
    save
    change_stacks_and_modes
    continue
    end_function wf_context_switch

/* Neither stores nor compares FPCR.  Two of them, as on x86-64. */
    .macro hand_over name
    function \name
    save
    change_stacks
    continue
    end_function \name
    .endm

    hand_over wf_context_hand_over
    hand_over wf_context_hand_back

/*
 * Where a new context begins: the first switch in loads entry into x19 and its argument into x20,
 * and leaves what it passes in x0.
 * Unwinding ends here, by the undefined return address and by the null frame pointer.
 */
    function wf_context_start
    .cfi_undefined x30
    nop /* unwinders look up the address before the one that a call returns to */
    .globl wf_context_begin
    .hidden wf_context_begin
wf_context_begin:
    mov x1, x0
    mov x0, x20
    mov x16, x19 /* a jump by this register may go to a mark for calls */
    adr x30, .Lentry_returned
    br x16
    nop /* see above */
.Lentry_returned:
    udf #0
    end_function wf_context_start

    .section .note.GNU-stack, "", %progbits

/* GNU_PROPERTY_AARCH64_FEATURE_1_AND: BTI and PAC. */
    .section .note.gnu.property, "a"
    .p2align 3
    .long 4
    .long 16
    .long 5
    .asciz "GNU"
    .long 0xc0000000
    .long 4
    .long 3
    .long 0
