/* SPDX-License-Identifier: MIT */
/*
 * The RISC-V context switch for RV64 with the lp64d calling convention; arch/context.h has the
 * contract, the psABI (version 1.0, "Register Convention") the registers: s0 to s11, fs0 to fs11.
 * Of fcsr the rounding mode belongs to the context, the accrued flags do not.
 *
 * wf_context_hand_over() leaves by a jump that a return predictor does not see, and
 * wf_context_switch() by `ret`, but for a new context.  The jump is by t2: it is no link register
 * (unprivileged specification, "Unconditional Jumps"), and jumps by it need no landing pad
 * (Zicfilp, "software guarded branches").
 *
 * Both frames have the same layout, so one CFA rule holds before and after the change of stacks.
 */
#include "arch/riscv64/context_offsets.h"

    .text

    .macro save_general name, offset
    sd \name, \offset(sp)
    .cfi_rel_offset \name, \offset
    .endm

    .macro save_floating name, offset
    fsd \name, \offset(sp)
    .cfi_rel_offset \name, \offset
    .endm

    .macro restore_general name, offset
    ld \name, \offset(sp)
    .cfi_restore \name
    .endm

    .macro restore_floating name, offset
    fld \name, \offset(sp)
    .cfi_restore \name
    .endm

/* Does `general` and `floating` with what a function keeps for its caller. */
    .macro each_register general, floating
    \general ra, WF_FRAME_RA
    .irp number, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11
    \general s\number, (WF_FRAME_S + 8 * \number)
    \floating fs\number, (WF_FRAME_FS + 8 * \number)
    .endr
    .endm

    .macro save
    addi sp, sp, -WF_FRAME_SIZE
    .cfi_adjust_cfa_offset WF_FRAME_SIZE
    each_register save_general, save_floating
    .endm

    .macro change_stacks
    sd sp, (a0)
    ld sp, (a1)
    .endm

/* The same, and loads the rounding mode if it differs. */
    .macro change_stacks_and_modes
    frrm t0
    sd t0, WF_FRAME_FRM(sp)
    change_stacks
    ld t1, WF_FRAME_FRM(sp)
    beq t0, t1, 1f
    fsrm t1
1:
    .endm

    .macro restore
    each_register restore_general, restore_floating
    addi sp, sp, WF_FRAME_SIZE
    .cfi_adjust_cfa_offset -WF_FRAME_SIZE
    .endm

    .macro function name
    .globl \name
    .hidden \name
    .type \name, @function
    .p2align 5
\name:
    .cfi_startproc
    .endm

    .macro end_function name
    .cfi_endproc
    .size \name, . - \name
    .endm

    function wf_context_switch
    save
    change_stacks_and_modes
    mv a0, a2
    restore
    lla t2, wf_context_begin
    beq ra, t2, .Lenter
    ret
.Lenter:
    jr t2
    end_function wf_context_switch

/* Neither stores nor compares the rounding mode.  Two of them, as on x86-64. */
    .macro hand_over name
    function \name
    save
    change_stacks
    mv a0, a2
    restore
    mv t2, ra
    jr t2
    end_function \name
    .endm

    hand_over wf_context_hand_over
    hand_over wf_context_hand_back

/*
 * Where a new context begins: the first switch in loads entry into s1 and its argument into s2,
 * and leaves what it passes in a0.
 * Unwinding ends here, by the undefined return address and by the null frame pointer.
 */
    function wf_context_start
    .cfi_undefined ra
    nop /* unwinders look up the address before the one that a call returns to */
    .globl wf_context_begin
    .hidden wf_context_begin
wf_context_begin:
    mv a1, a0
    mv a0, s2
    mv t2, s1
    lla ra, .Lentry_returned
    jr t2
    nop /* see above */
.Lentry_returned:
    unimp
    end_function wf_context_start

    .section .note.GNU-stack, "", @progbits
