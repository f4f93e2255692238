/* SPDX-License-Identifier: MIT */
/*
 * The x86-64 System V context switch; arch/context.h has the contract, the psABI (version 1.0,
 * section 3.2.1) the registers.
 *
 * It leaves by a jump, not by `ret`: the return-address predictor expects the caller of the
 * context that went out, so a `ret` to another context is always mispredicted (five times the
 * cost of the whole switch, docs/benchmarking.md#switch).
 *
 * MXCSR is compared by its control bits and loaded only when they differ.  A load for each
 * difference in status flags, which any inexact operation sets, costs about 70 ns a switch.
 *
 * Both frames have the same layout, so one CFA rule holds before and after the change of stacks.
 */
#include "arch/x86_64/context_offsets.h"

    .text

    .globl wf_context_switch
    .hidden wf_context_switch
    .type wf_context_switch, @function
    .p2align 5
wf_context_switch:
    .cfi_startproc
    endbr64
    sub $WF_FRAME_SIZE, %rsp
    .cfi_adjust_cfa_offset WF_FRAME_SIZE
    stmxcsr WF_FRAME_MXCSR(%rsp)
    fnstcw WF_FRAME_X87_CW(%rsp)
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
    mov WF_FRAME_MXCSR(%rsp), %eax
    movzwl WF_FRAME_X87_CW(%rsp), %edx

    mov %rsp, (%rdi)
    mov (%rsi), %rsp

    xor WF_FRAME_MXCSR(%rsp), %eax
    and $WF_MXCSR_CONTROL, %eax
    xor WF_FRAME_X87_CW(%rsp), %dx
    or %edx, %eax
    jne .Lload_controls
.Lcontrols_loaded:
    mov WF_FRAME_R15(%rsp), %r15
    mov WF_FRAME_R14(%rsp), %r14
    mov WF_FRAME_R13(%rsp), %r13
    mov WF_FRAME_R12(%rsp), %r12
    mov WF_FRAME_RBX(%rsp), %rbx
    mov WF_FRAME_RBP(%rsp), %rbp
    .cfi_remember_state
    add $WF_FRAME_SIZE, %rsp
    .cfi_adjust_cfa_offset -WF_FRAME_SIZE
    .cfi_restore %r15
    .cfi_restore %r14
    .cfi_restore %r13
    .cfi_restore %r12
    .cfi_restore %rbx
    .cfi_restore %rbp
    pop %rcx
    .cfi_adjust_cfa_offset -8
    .cfi_register %rip, %rcx
    /* notrack: the target follows a call and has no landing mark. */
    notrack jmp *%rcx

    .cfi_restore_state
.Lload_controls:
    ldmxcsr WF_FRAME_MXCSR(%rsp)
    fldcw WF_FRAME_X87_CW(%rsp)
    jmp .Lcontrols_loaded
    .cfi_endproc
    .size wf_context_switch, . - wf_context_switch

/*
 * Where a new context begins: the first switch in loads entry into rbx and its argument into r12.
 * Unwinding ends here, by the undefined return address and by the null frame pointer.
 */
    .globl wf_context_start
    .hidden wf_context_start
    .type wf_context_start, @function
    .p2align 4
wf_context_start:
    .cfi_startproc
    .cfi_undefined %rip
    endbr64
    mov %r12, %rdi
    call *%rbx
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
