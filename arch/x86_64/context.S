/* SPDX-License-Identifier: MIT */
/*
 * The x86-64 System V context switch; arch/context.h has the contract, the psABI (version 1.0,
 * section 3.2.1) the registers.
 *
 * A processor predicts where a `ret` goes from the calls that it has seen, and after a switch those
 * are the calls of the context that went out.  wf_context_switch() therefore leaves by a jump: the
 * two contexts may have left at different places.  wf_context_switch_and_land() leaves by `ret`:
 * fibers mostly wait in the same few functions, where the prediction then holds for this `ret` and
 * for all those behind it, because each `ret` takes back the call by which another context left.
 * A new context is entered by a jump and is left for good by one, which keeps that balance.
 * (Measured: docs/adr/0005.)
 *
 * MXCSR is compared by its control bits and loaded only when they differ.  A load for each
 * difference in status flags, which any inexact operation sets, costs about 70 ns a switch.
 *
 * Both frames have the same layout, so one CFA rule holds before and after the change of stacks.
 */
#include "arch/x86_64/context_offsets.h"

    .text

    .macro make_frame
    sub $WF_FRAME_SIZE, %rsp
    .cfi_adjust_cfa_offset WF_FRAME_SIZE
    .endm

/* What a function keeps for its caller. */
    .macro save
    mov %r15, WF_FRAME_R15(%rsp)
    .cfi_rel_offset %r15, WF_FRAME_R15
    mov %r14, WF_FRAME_R14(%rsp)
    .cfi_rel_offset %r14, WF_FRAME_R14
    mov %r13, WF_FRAME_R13(%rsp)
    .cfi_rel_offset %r13, WF_FRAME_R13
    mov %r12, WF_FRAME_R12(%rsp)
    .cfi_rel_offset %r12, WF_FRAME_R12
    mov %rbx, WF_FRAME_RBX(%rsp)
    .cfi_rel_offset %rbx, WF_FRAME_RBX
    mov %rbp, WF_FRAME_RBP(%rsp)
    .cfi_rel_offset %rbp, WF_FRAME_RBP
    .endm

/* Saves the running context below its return address, and continues on the stack of the other.  On
 * exit %eax is zero if their floating-point control modes are the same. */
    .macro save_and_change_stacks
    make_frame
    stmxcsr WF_FRAME_MXCSR(%rsp)
    fnstcw WF_FRAME_X87_CW(%rsp)
    save
    mov WF_FRAME_MXCSR(%rsp), %eax
    movzwl WF_FRAME_X87_CW(%rsp), %r8d

    mov %rsp, (%rdi)
    mov (%rsi), %rsp

    xor WF_FRAME_MXCSR(%rsp), %eax
    and $WF_MXCSR_CONTROL, %eax
    xor WF_FRAME_X87_CW(%rsp), %r8w
    or %r8d, %eax
    .endm

/* Loads what was saved on this stack, and drops the frame but for the return address. */
    .macro restore
    mov WF_FRAME_R15(%rsp), %r15
    mov WF_FRAME_R14(%rsp), %r14
    mov WF_FRAME_R13(%rsp), %r13
    mov WF_FRAME_R12(%rsp), %r12
    mov WF_FRAME_RBX(%rsp), %rbx
    mov WF_FRAME_RBP(%rsp), %rbp
    add $WF_FRAME_SIZE, %rsp
    .cfi_adjust_cfa_offset -WF_FRAME_SIZE
    .cfi_restore %r15
    .cfi_restore %r14
    .cfi_restore %r13
    .cfi_restore %r12
    .cfi_restore %rbx
    .cfi_restore %rbp
    .endm

    .macro load_controls
    ldmxcsr WF_FRAME_MXCSR(%rsp)
    fldcw WF_FRAME_X87_CW(%rsp)
    .endm

    .globl wf_context_switch
    .hidden wf_context_switch
    .type wf_context_switch, @function
    .p2align 5
wf_context_switch:
    .cfi_startproc
    endbr64
    save_and_change_stacks
    jne .Lload_controls
.Lcontrols_loaded:
    .cfi_remember_state
    restore
    pop %rcx
    .cfi_adjust_cfa_offset -8
    .cfi_register %rip, %rcx
    /* notrack: the target follows a call and has no landing mark. */
    notrack jmp *%rcx
    .cfi_restore_state
.Lload_controls:
    load_controls
    jmp .Lcontrols_loaded
    .cfi_endproc
    .size wf_context_switch, . - wf_context_switch

    .globl wf_context_switch_and_land
    .hidden wf_context_switch_and_land
    .type wf_context_switch_and_land, @function
    .p2align 5
wf_context_switch_and_land:
    .cfi_startproc
    endbr64
    save_and_change_stacks
    jne .Lload_controls_and_land
.Lland:
    mov %rcx, %rdi
    call *%rdx /* the frame's size keeps the stack aligned */
    lea wf_context_begin(%rip), %rcx
    cmp %rcx, WF_FRAME_SIZE(%rsp)
    je .Lenter
    .cfi_remember_state
    restore
    ret
    .cfi_restore_state
.Lload_controls_and_land:
    load_controls
    jmp .Lland
.Lenter:
    restore
    pop %rcx
    .cfi_adjust_cfa_offset -8
    .cfi_register %rip, %rcx
    jmp wf_context_begin
    .cfi_endproc
    .size wf_context_switch_and_land, . - wf_context_switch_and_land

/* Neither stores nor compares the floating-point control words, which is much of what a switch
 * costs on some processors (docs/adr/0004).  Leaves by a jump: whoever asks and whoever answers
 * left at different places, and each place is mostly the same from one time to the next. */
    .globl wf_context_hand_over
    .hidden wf_context_hand_over
    .type wf_context_hand_over, @function
    .p2align 5
wf_context_hand_over:
    .cfi_startproc
    endbr64
    make_frame
    save
    mov %rsp, (%rdi)
    mov (%rsi), %rsp
    mov %edx, %eax
    restore
    pop %rcx
    .cfi_adjust_cfa_offset -8
    .cfi_register %rip, %rcx
    /* notrack: the target follows a call and has no landing mark. */
    notrack jmp *%rcx
    .cfi_endproc
    .size wf_context_hand_over, . - wf_context_hand_over

/*
 * Where a new context begins: the first switch in loads entry into rbx and its argument into r12.
 * Unwinding ends here, by the undefined return address and by the null frame pointer.  The entry
 * function is jumped to, so that the return predictor does not see it.
 */
    .globl wf_context_start
    .hidden wf_context_start
    .type wf_context_start, @function
    .p2align 4
wf_context_start:
    .cfi_startproc
    .cfi_undefined %rip
    nop /* unwinders look up the address before the one that a call returns to */
    .globl wf_context_begin
    .hidden wf_context_begin
wf_context_begin:
    endbr64
    mov %r12, %rdi
    lea .Lentry_returned(%rip), %rcx
    push %rcx
    .cfi_adjust_cfa_offset 8
    jmp *%rbx
    .cfi_adjust_cfa_offset -8
    nop /* see above */
.Lentry_returned:
    ud2
    .cfi_endproc
    .size wf_context_start, . - wf_context_start

    .section .note.GNU-stack, "", @progbits

/* GNU_PROPERTY_X86_FEATURE_1_AND: IBT only (see context.h on shadow stacks). */
    .section .note.gnu.property, "a"
    .p2align 3
    .long 4
    .long 16
    .long 5
    .asciz "GNU"
    .long 0xc0000002
    .long 4
    .long 1
    .long 0
