/* SPDX-License-Identifier: MIT */
/* The context switch, by itself. */
#include "check.h"
#include "registers.h"
#include "two_contexts.h"

#include <criterion/criterion.h>
#include <stdint.h>
#include <string.h>
#if defined(__aarch64__)
#include <sys/auxv.h>
#include <sys/mman.h>
#include <unistd.h>
#endif
#include <unwind.h>

enum { TIMEOUT_S = 60 };

static void count_rounds(void *arg, void *passed)
{
    unsigned *rounds = arg;

    (void)passed;
    wf_san_switched(&inside_san, &outside_san);
    for (;;) {
        ++*rounds;
        leave(*rounds == 1000);
    }
}

/* Locals of both sides, in callee-saved registers and on the stacks, survive every switch. */
Test(context, switches_to_and_fro, .timeout = TIMEOUT_S)
{
    unsigned rounds = 0;
    volatile uint64_t on_stack = 11;
    register uint64_t a = 12, b = 13, c = 14, d = 15, e = 16;

    prepare(count_rounds, &rounds);
    for (unsigned i = 1; i <= 1000; i++) {
        __asm__ volatile("" : "+r"(a), "+r"(b), "+r"(c), "+r"(d), "+r"(e));
        enter();
        __asm__ volatile("" : "+r"(a), "+r"(b), "+r"(c), "+r"(d), "+r"(e));
        CHECK_EQ(rounds, i);
        CHECK(a == 12 && b == 13 && c == 14 && d == 15 && e == 16 && on_stack == 11);
    }
}

static void answer_with_twice(void *arg, void *passed)
{
    (void)arg;
    wf_san_switched(&inside_san, &outside_san);
    for (;;) {
        wf_san_switch(&inside_san, &outside_san, false);
        passed = wf_context_switch(&inside, &outside, (char *)passed + (uintptr_t)passed);
        wf_san_switched(&inside_san, &outside_san);
    }
}

/* What a switch passes comes out of the switch by which the other side left, and is there at its
 * entry. */
Test(context, a_switch_passes_a_value, .timeout = TIMEOUT_S)
{
    prepare(answer_with_twice, NULL);
    for (uintptr_t i = 1; i <= 10; i++) {
        void *passed;

        wf_san_switch(&outside_san, &inside_san, false);
        passed = wf_context_switch(&outside, &inside, (void *)i);
        wf_san_switched(&outside_san, &inside_san);
        cr_expect_eq((uintptr_t)passed, 2 * i);
    }
}

static int handed;

static int hand_outwards(void)
{
    wf_san_switch(&inside_san, &outside_san, false);
    handed = wf_context_hand_back(&inside, &outside, handed + 1);
    wf_san_switched(&inside_san, &outside_san);
    return 0;
}

static int hand_inwards(void)
{
    wf_san_switch(&outside_san, &inside_san, false);
    handed = wf_context_hand_over(&outside, &inside, handed + 1);
    wf_san_switched(&outside_san, &inside_san);
    return 0;
}

/* Loads the registers with numbers from `first` on, hands over and compares. */
static void hand_over_with(int (*fn)(void), uint64_t first)
{
    uint64_t in[SAVED_REGISTERS];
    uint64_t out[SAVED_REGISTERS] = {0};

    for (uint64_t i = 0; i < SAVED_REGISTERS; i++)
        in[i] = first + i;
    CHECK_EQ(call_with_registers(fn, in, out), 0);
    CHECK(memcmp(in, out, sizeof in) == 0);
}

static void hand_to_and_fro(void *arg, void *passed)
{
    (void)arg;
    wf_san_switched(&inside_san, &outside_san);
    CHECK_EQ((int)(intptr_t)passed, 1);
    handed = 1;
    for (uint64_t first = 1000;; first += 100)
        hand_over_with(hand_outwards, first);
}

/* A hand-over passes its number, and each side finds its registers. */
Test(context, a_hand_over_passes_a_number_and_keeps_registers, .timeout = TIMEOUT_S)
{
    handed = 0;
    prepare(hand_to_and_fro, NULL);
    for (int i = 1; i <= 10; i++) {
        hand_over_with(hand_inwards, (uint64_t)i);
        cr_expect_eq(handed, 2 * i);
    }
}

/* Used by the assembly below, which link-time optimisation does not look into. */
__attribute__((used)) uintptr_t context_test_sp;
void context_test_entry(void *arg, void *passed);
__attribute__((used)) void context_test_entered(void *arg);

#if defined(__x86_64__)
enum { SP_ABOVE = 8 }; /* the return address is on the stack */
__asm__(".text\n"
        ".globl context_test_entry\n"
        ".type context_test_entry, @function\n"
        "context_test_entry:\n"
        "    endbr64\n"
        "    mov %rsp, context_test_sp(%rip)\n"
        "    jmp context_test_entered\n"
        ".size context_test_entry, . - context_test_entry\n");
#elif defined(__aarch64__)
enum { SP_ABOVE = 0 };
__asm__(".text\n"
        ".globl context_test_entry\n"
        ".type context_test_entry, %function\n"
        "context_test_entry:\n"
        "    hint #34\n" /* bti c */
        "    adrp x9, context_test_sp\n"
        "    mov x10, sp\n"
        "    str x10, [x9, :lo12:context_test_sp]\n"
        "    b context_test_entered\n"
        ".size context_test_entry, . - context_test_entry\n");
#elif defined(__riscv)
enum { SP_ABOVE = 0 };
__asm__(".text\n"
        ".globl context_test_entry\n"
        ".type context_test_entry, @function\n"
        "context_test_entry:\n"
        "    lla t0, context_test_sp\n"
        "    sd sp, (t0)\n"
        "    tail context_test_entered\n"
        ".size context_test_entry, . - context_test_entry\n");
#endif

void context_test_entered(void *arg)
{
    (void)arg;
    wf_san_switched(&inside_san, &outside_san);
    leave(true);
}

/* At a function's entry the calling convention wants the stack pointer aligned to 16, on x86-64
 * that before the call; otherwise the first spill of a vector that the fiber calls crashes. */
Test(context, first_entry_is_aligned_as_after_a_call, .timeout = TIMEOUT_S)
{
    prepare(context_test_entry, NULL);
    enter();
    cr_expect_eq((context_test_sp + SP_ABOVE) % 16, 0, "sp is %#lx",
                 (unsigned long)context_test_sp);
    cr_expect_leq(context_test_sp, (uintptr_t)(stack + sizeof stack));
    cr_expect_gt(context_test_sp, (uintptr_t)(stack + sizeof stack - 256));
}

struct walk {
    unsigned frames;
    _Unwind_Reason_Code end;
};

static _Unwind_Reason_Code count_frame(struct _Unwind_Context *context, void *arg)
{
    struct walk *walk = arg;

    (void)context;
    return ++walk->frames < 100 ? _URC_NO_REASON : _URC_NORMAL_STOP;
}

__attribute__((noinline)) static unsigned walk_from_depth(struct walk *walk, unsigned depth)
{
    unsigned result = 0;

    if (depth > 0)
        result = walk_from_depth(walk, depth - 1) + 1;
    else
        walk->end = _Unwind_Backtrace(count_frame, walk);
    __asm__ volatile("" : "+r"(result));
    return result;
}

static void unwind(void *arg, void *passed)
{
    (void)passed;
    wf_san_switched(&inside_san, &outside_san);
    (void)walk_from_depth(arg, 10);
    leave(false);
    (void)walk_from_depth(arg, 3);
    leave(true);
}

/* Debuggers, profilers and C++ unwind from inside fibers.  Without an end at the first frame they
 * walk on into whatever lies above the stack, and crash there. */
Test(context, unwinding_ends_at_the_first_frame, .timeout = TIMEOUT_S)
{
    struct walk walk = {0, _URC_NO_REASON};

    prepare(unwind, &walk);
    enter();
    /* The recursion, unwind() and the start of the context; at most two more of the unwinder. */
    cr_expect(walk.frames >= 12 && walk.frames <= 16, "%u frames", walk.frames);
    cr_expect_eq(walk.end, _URC_END_OF_STACK, "the walk ended by itself, with %d", (int)walk.end);
    walk = (struct walk){0, _URC_NO_REASON};
    enter();
    cr_expect(walk.frames >= 5 && walk.frames <= 9, "%u frames", walk.frames);
    cr_expect_eq(walk.end, _URC_END_OF_STACK);
}

#if defined(__aarch64__)
/* Linux, Documentation/arch/arm64/elf_hwcaps.rst; older headers have neither. */
#define CONTEXT_TEST_HWCAP2_BTI (1ul << 17)
#define CONTEXT_TEST_PROT_BTI 0x10

static void guard_landings(uintptr_t code)
{
    uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);
    char *start = (char *)(code / page * page);

    cr_assert_eq(mprotect(start, page, PROT_READ | PROT_EXEC | CONTEXT_TEST_PROT_BTI), 0);
}

static void come_and_go(void *arg, void *passed)
{
    void *(*volatile change)(struct wf_context *, const struct wf_context *,
                             void *) = wf_context_switch;
    int (*volatile hand_back)(struct wf_context *, const struct wf_context *,
                              int) = wf_context_hand_back;
    unsigned *rounds = arg;

    (void)passed;
    for (;;) {
        ++*rounds;
        (void)change(&inside, &outside, NULL);
        ++*rounds;
        (void)hand_back(&inside, &outside, 7);
    }
}

/* Where the kernel maps code for branch target identification, a call by pointer must meet a mark,
 * and so must no return: each function is entered by pointer and left in each way here. */
Test(context, landing_marks_are_where_the_processor_looks, .timeout = TIMEOUT_S)
{
    void *(*volatile change)(struct wf_context *, const struct wf_context *,
                             void *) = wf_context_switch;
    int (*volatile hand_over)(struct wf_context *, const struct wf_context *,
                              int) = wf_context_hand_over;
    unsigned rounds = 0;

    if ((getauxval(AT_HWCAP2) & CONTEXT_TEST_HWCAP2_BTI) == 0)
        cr_skip_test("the processor has no branch target identification");
    guard_landings((uintptr_t)wf_context_switch);
    guard_landings((uintptr_t)wf_context_hand_over);
    guard_landings((uintptr_t)wf_context_hand_back);
    prepare(come_and_go, &rounds);
    (void)change(&outside, &inside, NULL);
    cr_expect_eq(hand_over(&outside, &inside, 5), 7);
    (void)change(&outside, &inside, NULL);
    cr_expect_eq(rounds, 3);
}
#endif
