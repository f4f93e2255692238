/* SPDX-License-Identifier: MIT */
#include "registers.h"

#if defined(__x86_64__)
__asm__(".text\n"
        ".p2align 4\n"
        ".globl call_with_registers\n"
        ".type call_with_registers, @function\n"
        "call_with_registers:\n"
        ".cfi_startproc\n"
        "endbr64\n"
        "push %rbx\n.cfi_adjust_cfa_offset 8\n.cfi_rel_offset rbx, 0\n"
        "push %rbp\n.cfi_adjust_cfa_offset 8\n.cfi_rel_offset rbp, 0\n"
        "push %r12\n.cfi_adjust_cfa_offset 8\n.cfi_rel_offset r12, 0\n"
        "push %r13\n.cfi_adjust_cfa_offset 8\n.cfi_rel_offset r13, 0\n"
        "push %r14\n.cfi_adjust_cfa_offset 8\n.cfi_rel_offset r14, 0\n"
        "push %r15\n.cfi_adjust_cfa_offset 8\n.cfi_rel_offset r15, 0\n"
        "push %rdx\n.cfi_adjust_cfa_offset 8\n"
        "mov (%rsi), %rbx\n"
        "mov 8(%rsi), %rbp\n"
        "mov 16(%rsi), %r12\n"
        "mov 24(%rsi), %r13\n"
        "mov 32(%rsi), %r14\n"
        "mov 40(%rsi), %r15\n"
        "call *%rdi\n"
        "pop %rdx\n.cfi_adjust_cfa_offset -8\n"
        "mov %rbx, (%rdx)\n"
        "mov %rbp, 8(%rdx)\n"
        "mov %r12, 16(%rdx)\n"
        "mov %r13, 24(%rdx)\n"
        "mov %r14, 32(%rdx)\n"
        "mov %r15, 40(%rdx)\n"
        "pop %r15\n.cfi_adjust_cfa_offset -8\n.cfi_restore r15\n"
        "pop %r14\n.cfi_adjust_cfa_offset -8\n.cfi_restore r14\n"
        "pop %r13\n.cfi_adjust_cfa_offset -8\n.cfi_restore r13\n"
        "pop %r12\n.cfi_adjust_cfa_offset -8\n.cfi_restore r12\n"
        "pop %rbp\n.cfi_adjust_cfa_offset -8\n.cfi_restore rbp\n"
        "pop %rbx\n.cfi_adjust_cfa_offset -8\n.cfi_restore rbx\n"
        "ret\n"
        ".cfi_endproc\n"
        ".size call_with_registers, .-call_with_registers\n");

static uint16_t x87_control(void)
{
    uint16_t word;

    __asm__ volatile("fnstcw %0" : "=m"(word));
    return word;
}

/* MXCSR below, the x87 control word above. */
uint64_t control_word(void)
{
    return (__builtin_ia32_stmxcsr() & 0xffc0u) | (uint64_t)x87_control() << 32;
}

void set_control_word(uint64_t word)
{
    uint16_t x87 = (uint16_t)(word >> 32);

    __asm__ volatile("fldcw %0" : : "m"(x87));
    __builtin_ia32_ldmxcsr((uint32_t)word);
}

uint64_t random_control_word(struct random *random)
{
    /* Precisions, with the bit of weft_own_fp_modes(), as what MXCSR has beside them is any. */
    static const uint16_t x87[] = {0x137f, 0x127f, 0x107f};
    /* Default; flush to zero; denormals are zero; both. */
    static const uint32_t sse[] = {0x1f80, 0x9f80, 0x1fc0, 0x9fc0};
    /* The same for both: valgrind keeps nothing else, and so not that bit either. */
    uint32_t rounding = random_below(random, 4);
    uint64_t word = x87[random_below(random, 3)] | rounding << 10;

    return word << 32 | sse[random_below(random, 4)] | rounding << 13;
}

#elif defined(__aarch64__)
/* x19 to x28, a word for x29, d8 to d15, as the values lie in memory. */
__asm__(".macro each_pair access, base\n"
        "\\access x19, x20, [\\base]\n"
        "\\access x21, x22, [\\base, #16]\n"
        "\\access x23, x24, [\\base, #32]\n"
        "\\access x25, x26, [\\base, #48]\n"
        "\\access x27, x28, [\\base, #64]\n"
        "\\access d8, d9, [\\base, #88]\n"
        "\\access d10, d11, [\\base, #104]\n"
        "\\access d12, d13, [\\base, #120]\n"
        "\\access d14, d15, [\\base, #136]\n"
        ".endm\n"
        ".text\n"
        ".p2align 4\n"
        ".globl call_with_registers\n"
        ".type call_with_registers, %function\n"
        "call_with_registers:\n"
        ".cfi_startproc\n"
        "hint #34\n" /* bti c */
        "stp x29, x30, [sp, #-176]!\n.cfi_def_cfa_offset 176\n"
        ".cfi_rel_offset x29, 0\n.cfi_rel_offset x30, 8\n"
        "str x2, [sp, #168]\n"
        "add x3, sp, #16\n"
        "each_pair stp, x3\n"
        "each_pair ldp, x1\n"
        "ldr x29, [x1, #80]\n"
        "blr x0\n"
        "ldr x2, [sp, #168]\n"
        "each_pair stp, x2\n"
        "str x29, [x2, #80]\n"
        "add x3, sp, #16\n"
        "each_pair ldp, x3\n"
        "ldp x29, x30, [sp], #176\n.cfi_def_cfa_offset 0\n"
        "ret\n"
        ".cfi_endproc\n"
        ".size call_with_registers, .-call_with_registers\n"
        ".purgem each_pair\n");

uint64_t control_word(void)
{
    uint64_t word;

    __asm__ volatile("mrs %0, fpcr" : "=r"(word));
    return word;
}

void set_control_word(uint64_t word)
{
    __asm__ volatile("msr fpcr, %0" : : "r"(word));
}

uint64_t random_control_word(struct random *random)
{
    /* Rounding (bits 22 and 23), flush to zero, default NaN. */
    return random_below(random, 16) << 22;
}

#elif defined(__riscv)
#define EACH_NUMBER ".irp n, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11\n"

__asm__(".text\n"
        ".p2align 4\n"
        ".globl call_with_registers\n"
        ".type call_with_registers, @function\n"
        "call_with_registers:\n"
        ".cfi_startproc\n"
        "addi sp, sp, -208\n.cfi_def_cfa_offset 208\n"
        "sd ra, 200(sp)\n.cfi_rel_offset ra, 200\n"
        "sd a2, 192(sp)\n" EACH_NUMBER
        "sd s\\n, (8 * \\n)(sp)\nfsd fs\\n, (96 + 8 * \\n)(sp)\n.endr\n"
        ".cfi_rel_offset s0, 0\n" EACH_NUMBER
        "ld s\\n, (8 * \\n)(a1)\nfld fs\\n, (96 + 8 * \\n)(a1)\n.endr\n"
        "jalr a0\n"
        "ld a2, 192(sp)\n" EACH_NUMBER
        "sd s\\n, (8 * \\n)(a2)\nfsd fs\\n, (96 + 8 * \\n)(a2)\n.endr\n" EACH_NUMBER
        "ld s\\n, (8 * \\n)(sp)\nfld fs\\n, (96 + 8 * \\n)(sp)\n.endr\n"
        ".cfi_restore s0\n"
        "ld ra, 200(sp)\n"
        "addi sp, sp, 208\n.cfi_def_cfa_offset 0\n"
        "ret\n"
        ".cfi_endproc\n"
        ".size call_with_registers, .-call_with_registers\n");

uint64_t control_word(void)
{
    uint64_t word;

    __asm__ volatile("frrm %0" : "=r"(word));
    return word;
}

void set_control_word(uint64_t word)
{
    __asm__ volatile("fsrm %0" : : "r"(word));
}

uint64_t random_control_word(struct random *random)
{
    return random_below(random, 5); /* the others are reserved */
}
#endif
