/* SPDX-License-Identifier: MIT */
/* The context switch: what the psABI promises about any call holds for calls that suspend. */
#include "../support/fixture.h"
#include "../support/random.h"

#include <fenv.h>
#include <stdatomic.h>
#include <string.h>

enum { FIBERS = 24, ROUNDS = 300 };

static int suspend_by_yield(void)
{
    return weft_yield();
}

static int suspend_by_sleep(void)
{
    return weft_sleep(50 * WEFT_MICROSECOND);
}

static int return_zero(void *arg)
{
    (void)arg;
    return 0;
}

static int suspend_by_join(void)
{
    weft_fiber *fiber = NULL;

    if (weft_spawn(&fiber, return_zero, NULL) != 0)
        return -1;
    return weft_join(fiber, NULL, WEFT_FOREVER);
}

static int (*const suspensions[])(void) = {suspend_by_yield, suspend_by_sleep, suspend_by_join};

#if defined(__x86_64__)
/*
 * int call_with_registers(int (*fn)(void), const uint64_t in[6], uint64_t out[6]);
 *
 * Loads rbx, rbp and r12 to r15 from `in`, calls fn, and stores what they hold afterwards to
 * `out`.  Its own copies are on the stack, which the switch must bring back as well.
 */
int call_with_registers(int (*fn)(void), const uint64_t in[6], uint64_t out[6]);
__asm__(".text\n"
        ".p2align 4\n"
        ".globl call_with_registers\n"
        ".hidden call_with_registers\n"
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

static int check_registers(void *arg)
{
    struct random random = random_stream(*(uint64_t *)arg, weft_fiber_id(weft_self()));

    for (int round = 0; round < ROUNDS; round++) {
        uint64_t in[6];
        uint64_t out[6] = {0};
        for (int i = 0; i < 6; i++)
            in[i] = random_next(&random);
        CHECK_EQ(call_with_registers(suspensions[random_below(&random, 3)], in, out), 0);
        CHECK(memcmp(in, out, sizeof in) == 0);
    }
    return 0;
}

static uint16_t x87_control(void)
{
    uint16_t word;

    __asm__ volatile("fnstcw %0" : "=m"(word));
    return word;
}

/* Precision and rounding control, which fesetround() and the compiler leave to the program. */
static int check_control_words(void *arg)
{
    static const uint16_t x87[] = {0x037f, 0x027f, 0x007f, 0x0f7f, 0x0b7f};
    /* Default; flush to zero; denormals are zero; rounding down; overflow masked off. */
    static const uint32_t sse[] = {0x1f80, 0x9f80, 0x1fc0, 0x3f80, 0x1b80};
    struct random random = random_stream(*(uint64_t *)arg, weft_fiber_id(weft_self()));
    uint16_t first_x87 = x87_control();

    for (int round = 0; round < ROUNDS; round++) {
        uint16_t word = x87[random_below(&random, 5)];
        uint32_t mode = sse[random_below(&random, 5)];
        volatile double third = 1.0;
        __asm__ volatile("fldcw %0" : : "m"(word));
        __builtin_ia32_ldmxcsr(mode);
        third = third / 3.0; /* inexact: the status flags differ from fiber to fiber */
        CHECK_EQ(suspensions[random_below(&random, 3)](), 0);
        CHECK_EQ(x87_control(), word);
        CHECK_EQ(__builtin_ia32_stmxcsr() & 0xffc0u, mode & 0xffc0u);
    }
    __asm__ volatile("fldcw %0" : : "m"(first_x87));
    __builtin_ia32_ldmxcsr(0x1f80);
    return 0;
}
#endif

/* The same question in portable C: results of arithmetic under each fiber's own rounding mode. */
static int check_rounding(void *arg)
{
    static const int modes[] = {FE_TONEAREST, FE_DOWNWARD, FE_UPWARD, FE_TOWARDZERO};
    struct random random = random_stream(*(uint64_t *)arg, weft_fiber_id(weft_self()));
    volatile double one = 1.0;
    volatile double three = 3.0;

    for (int round = 0; round < ROUNDS; round++) {
        int mode = modes[random_below(&random, 4)];
        double before;
        double after;
        CHECK_EQ(fesetround(mode), 0);
        before = one / three;
        CHECK_EQ(suspensions[random_below(&random, 3)](), 0);
        CHECK_EQ(fegetround(), mode);
        after = one / three;
        CHECK(memcmp(&before, &after, sizeof before) == 0);
    }
    return fesetround(FE_TONEAREST);
}

/* Values that the compiler keeps wherever it likes, compared with copies that it must reload. */
static int check_locals(void *arg)
{
    struct random random = random_stream(*(uint64_t *)arg, weft_fiber_id(weft_self()));

    for (int round = 0; round < ROUNDS; round++) {
        volatile uint64_t copies[4];
        volatile double copy;
        uint64_t a = copies[0] = random_next(&random);
        uint64_t b = copies[1] = random_next(&random);
        uint64_t c = copies[2] = random_next(&random);
        uint64_t d = copies[3] = random_next(&random);
        double e = copy = (double)(a >> 12);
        unsigned char block[512];
        memset(block, (int)(a & 0xff), sizeof block);
        CHECK_EQ(suspensions[random_below(&random, 3)](), 0);
        for (size_t i = 0; i < sizeof block; i++)
            CHECK_EQ(block[i], copies[0] & 0xff);
        CHECK(a == copies[0] && b == copies[1] && c == copies[2] && d == copies[3]);
        CHECK(memcmp(&e, &(double){copy}, sizeof e) == 0);
    }
    return 0;
}

static int run_scramblers(void *arg)
{
    static int (*const kinds[])(void *) = {
        check_rounding,
        check_locals,
#if defined(__x86_64__)
        check_registers,
        check_control_words,
#endif
    };
    weft_fiber *fibers[FIBERS];

    for (int i = 0; i < FIBERS; i++)
        fibers[i] = must_spawn(kinds[(size_t)i % (sizeof kinds / sizeof *kinds)], arg);
    for (int i = 0; i < FIBERS; i++)
        CHECK_EQ(must_join(fibers[i]), 0);
    return fegetround() == FE_TONEAREST ? 0 : -1;
}

static void run_all(unsigned workers, uint32_t chaos)
{
    uint64_t seed = random_seed("switch");
    struct weft_config config = {.workers = workers, .chaos = chaos};

    cr_expect_eq(run_config(&config, run_scramblers, &seed), 0);
}

/* A register that the switch forgets is garbage in one function in a thousand; a control word that
 * it forgets makes another fiber's arithmetic wrong in the last digit. */
WORKER_TEST(switch, registers_and_modes_survive_suspension, TEST_TIMEOUT_S)
{
    run_all(*workers, 0);
}

/* And on another thread than before. */
WORKER_TEST(switch, registers_and_modes_survive_migration, TEST_TIMEOUT_S)
{
    run_all(*workers, 1);
}
