/* SPDX-License-Identifier: MIT */
/*
 * What is out of line of the x86-64 context switch, which is in context_switch.h: the hand-over
 * and the hand-back, and where a context begins.
 */
#define SP 0 /* in struct wf_context: context.c compares */
#define BP 8
#define BX 16
#define R12 32
#define R13 40
#define R14 48
#define R15 56

    .text

/*
 * Neither stores nor compares the floating-point control words (docs/adr/0018).  Leaves by a jump:
 * whoever asks and whoever answers left at different places, and a `ret` would be predicted to go
 * where the other one called.  So it is a call, and not inline.
 *
 * The registers go to the record and not to the stack: their loads then need not wait for that of
 * the stack pointer.
 *
 * There are two copies, for the two directions: the processor keeps for each jump where it went
 * last, and one that goes to and fro in turns is predicted late or not at all.  (Measured:
 * docs/adr/0018.)
 */
    .macro hand_over name
    .globl \name
    .hidden \name
    .type \name, @function
    .p2align 5
\name:
    .cfi_startproc
    endbr64
    mov %rsp, SP(%rdi)
    mov %rbp, BP(%rdi)
    mov %rbx, BX(%rdi)
    mov %r12, R12(%rdi)
    mov %r13, R13(%rdi)
    mov %r14, R14(%rdi)
    mov %r15, R15(%rdi)
    mov %rdx, %rax
    mov SP(%rsi), %rsp
    /* In the frame that it now shows the registers are still in the record. */
    .cfi_escape 0x10, 6, 2, 0x74, BP /* rbp at rsi + BP, and so on */
    .cfi_escape 0x10, 3, 2, 0x74, BX
    .cfi_escape 0x10, 12, 2, 0x74, R12
    .cfi_escape 0x10, 13, 2, 0x74, R13
    .cfi_escape 0x10, 14, 2, 0x74, R14
    .cfi_escape 0x10, 15, 2, 0x74, R15
    mov BP(%rsi), %rbp
    mov BX(%rsi), %rbx
    mov R12(%rsi), %r12
    mov R13(%rsi), %r13
    mov R14(%rsi), %r14
    mov R15(%rsi), %r15
    pop %rcx
    .cfi_adjust_cfa_offset -8
    .cfi_register %rip, %rcx
    /* notrack: the target follows a call and has no landing mark. */
    notrack jmp *%rcx
    .cfi_endproc
    .size \name, . - \name
    .endm

    hand_over wf_context_hand_over
    hand_over wf_context_hand_back

/*
 * The first switch in loads entry into rbx and leaves what it passes in rdx; on the stack are the
 * address that a hand-over goes to, which a switch leaves there, and the argument.  Unwinding ends
 * here, by the undefined return address and by the null frame pointer.  The entry function is
 * jumped to, so that the return predictor does not see it.
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
    add $8, %rsp
    .globl wf_context_begin_handed
    .hidden wf_context_begin_handed
wf_context_begin_handed:
    pop %rdi
    mov %rdx, %rsi
    lea .Lentry_returned(%rip), %rcx
    push %rcx
    jmp *%rbx
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
