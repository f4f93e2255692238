/* SPDX-License-Identifier: MIT */
/* The switch keeps the floating-point modes of each context apart. */
#include "two_contexts.h"

#include <criterion/criterion.h>
#include <fenv.h>
#include <stdint.h>

enum { TIMEOUT_S = 60 };

static int modes_at_entry[2];
static int modes_on_return[2];

#if defined(__x86_64__)
static uint16_t x87_control(void)
{
    uint16_t word;

    __asm__ volatile("fnstcw %0" : "=m"(word));
    return word;
}
#endif

static void change_modes(void *arg, void *passed)
{
    (void)arg, (void)passed;
    wf_san_switched(&inside_san, &outside_san);
    modes_at_entry[0] = fegetround();
    (void)fesetround(FE_UPWARD);
    leave(false);
    modes_on_return[0] = fegetround();
    leave(true);
}

static void keep_rounding_modes_apart(void)
{
    volatile double one = 1, three = 3, downward, nearest;

    cr_assert_eq(fesetround(FE_DOWNWARD), 0);
    downward = one / three;
    prepare(change_modes, NULL);
    enter();
    cr_expect_eq(modes_at_entry[0], FE_DOWNWARD, "a context starts with its creator's modes");
    cr_expect_eq(fegetround(), FE_DOWNWARD);
    cr_expect(one / three == downward);
    cr_assert_eq(fesetround(FE_TONEAREST), 0);
    nearest = -one / three;
    enter();
    cr_expect_eq(modes_on_return[0], FE_UPWARD);
    cr_expect_eq(fegetround(), FE_TONEAREST);
    cr_expect(-one / three == nearest);
#if defined(__x86_64__)
    cr_expect_eq(x87_control() & 0xc00, 0, "x87 rounds to nearest again");
#endif
}

/* Rounding belongs to the context: a fiber that rounds upwards must neither change the others nor
 * lose its mode.  (fegetround() reads the x87 word; the division reads MXCSR.) */
Test(modes, rounding_is_kept_apart, .timeout = TIMEOUT_S)
{
    keep_rounding_modes_apart();
}

static void round_upwards_and_back(void *arg, void *passed)
{
    (void)arg, (void)passed;
    wf_san_switched(&inside_san, &outside_san);
    (void)fesetround(FE_UPWARD);
    leave(false);
    modes_on_return[0] = fegetround();
    (void)fesetround(FE_TONEAREST);
    leave(true);
}

/* A mode that is the other side's already when it is left has to be stored all the same: the other
 * side may change it, and what then comes back is the record. */
Test(modes, one_that_both_sides_have_set_is_kept, .timeout = TIMEOUT_S)
{
    volatile double one = 1, three = 3, nearest = one / three;

    prepare(round_upwards_and_back, NULL);
    enter();
    cr_expect_eq(fegetround(), FE_TONEAREST);
    cr_assert_eq(fesetround(FE_UPWARD), 0);
    enter();
    cr_expect_eq(modes_on_return[0], FE_UPWARD);
    cr_expect_eq(fegetround(), FE_UPWARD);
    cr_expect_gt(one / three, nearest, "both words are those of before");
}

static double inexact_result;

static void divide(void *arg, void *passed)
{
    volatile double one = 1, three = 3;

    (void)arg, (void)passed;
    wf_san_switched(&inside_san, &outside_san);
    (void)fesetround(FE_UPWARD);
    leave(false);
    inexact_result = one / three;
    leave(true);
}

/* Where MXCSR is loaded only when its control bits differ, status flags of the other side must not
 * hide a difference in the modes. */
Test(modes, status_flags_do_not_hide_a_change, .timeout = TIMEOUT_S)
{
    volatile double one = 1, three = 3, nearest = one / three;

    prepare(divide, NULL);
    enter();
    (void)feclearexcept(FE_ALL_EXCEPT);
    (void)feraiseexcept(FE_INEXACT | FE_UNDERFLOW);
    enter();
    cr_expect_gt(inexact_result, nearest, "the division inside rounds upwards");
    cr_expect(one / three == nearest);
}

#if defined(__x86_64__)
enum { FLUSH_TO_ZERO = 0x8000, UNMASKED = 0x0080, CONTROL = 0xffc0 }; /* of MXCSR */

static uint32_t mxcsr(void)
{
    return __builtin_ia32_stmxcsr() & CONTROL;
}

static uint32_t mxcsr_on_return;

/* Flushes to zero, and does not mask invalid operations. */
static void change_mxcsr(void *arg, void *passed)
{
    (void)arg, (void)passed;
    wf_san_switched(&inside_san, &outside_san);
    wf_context_own_modes();
    __builtin_ia32_ldmxcsr((mxcsr() | FLUSH_TO_ZERO) & ~(uint32_t)UNMASKED);
    leave(false);
    mxcsr_on_return = mxcsr();
    __builtin_ia32_ldmxcsr(mxcsr_on_return & ~(uint32_t)FLUSH_TO_ZERO);
    leave(false);
    mxcsr_on_return = mxcsr();
    leave(true);
}

/* Programs write to MXCSR themselves, where the x87 word has no such bit or keeps another value.
 * One that has said so may do it again and again. */
Test(modes, those_that_only_mxcsr_has_are_kept_apart, .timeout = TIMEOUT_S)
{
    uint32_t before = mxcsr();

    prepare(change_mxcsr, NULL);
    enter();
    cr_expect_eq(mxcsr(), before);
    enter();
    cr_expect_eq(mxcsr(), before);
    cr_expect_eq(mxcsr_on_return, (before | FLUSH_TO_ZERO) & ~(uint32_t)UNMASKED);
    enter();
    cr_expect_eq(mxcsr(), before);
    cr_expect_eq(mxcsr_on_return, before & ~(uint32_t)UNMASKED);
}

static void leave_as_it_came(void *arg, void *passed)
{
    (void)arg, (void)passed;
    wf_san_switched(&inside_san, &outside_san);
    mxcsr_on_return = mxcsr();
    leave(false);
    mxcsr_on_return = mxcsr();
    leave(true);
}

/* A thread that flushes to zero makes a fiber and puts its modes back: those that the x87 word does
 * not show are the new one's all the same. */
Test(modes, a_new_context_has_modes_that_only_mxcsr_shows, .timeout = TIMEOUT_S)
{
    uint32_t before = mxcsr();

    __builtin_ia32_ldmxcsr(before | FLUSH_TO_ZERO);
    prepare(leave_as_it_came, NULL);
    __builtin_ia32_ldmxcsr(before);
    for (int i = 0; i < 2; i++) {
        enter();
        cr_expect_eq(mxcsr(), before);
        cr_expect_eq(mxcsr_on_return, before | FLUSH_TO_ZERO);
    }
}

/* Where the record of who makes it tells the modes, a context has them from there; else it has
 * those that there are. */
Test(modes, a_new_context_has_the_modes_of_who_makes_it, .timeout = TIMEOUT_S)
{
    uint32_t before = mxcsr();
    uint64_t told;

    prepare(leave_as_it_came, NULL);
    enter();
    told = outside.modes.both;
    wf_context_init(&inside, stack + sizeof stack, leave_as_it_came, NULL, &outside);
    cr_expect_eq(inside.modes.both, told);
    cr_assert_eq(fesetround(FE_UPWARD), 0);
    wf_context_init(&inside, stack + sizeof stack, leave_as_it_came, NULL, &outside);
    cr_expect_neq(inside.modes.mxcsr, before);
    cr_expect_eq(inside.modes.mxcsr, mxcsr());
    cr_assert_eq(fesetround(FE_TONEAREST), 0);
    wf_context_own_modes();
    __builtin_ia32_ldmxcsr(before | FLUSH_TO_ZERO);
    wf_context_init(&inside, stack + sizeof stack, leave_as_it_came, NULL, &outside);
    cr_expect_eq(inside.modes.mxcsr, before | FLUSH_TO_ZERO);
}

/* None of what C has for it takes back that the modes are a context's own: it would lose them. */
Test(modes, own_modes_outlast_changes_by_fenv, .timeout = TIMEOUT_S)
{
    fenv_t saved;

    wf_context_own_modes();
    cr_assert_eq(fesetround(FE_UPWARD), 0);
    cr_expect(x87_control() & WF_CONTROL_OWN, "after fesetround()");
    cr_assert_eq(feholdexcept(&saved), 0);
    cr_expect(x87_control() & WF_CONTROL_OWN, "after feholdexcept()");
    cr_assert_eq(fesetenv(&saved), 0);
    cr_expect(x87_control() & WF_CONTROL_OWN, "after fesetenv()");
    cr_assert_neq(feenableexcept(FE_DIVBYZERO), -1);
    cr_expect(x87_control() & WF_CONTROL_OWN, "after feenableexcept()");
    cr_assert_eq(fesetenv(FE_DFL_ENV), 0);
    cr_expect(x87_control() & WF_CONTROL_OWN, "after fesetenv() to the default");
}

/* Unlike the others it sets the whole word: but then MXCSR is what the word tells. */
Test(modes, the_default_modes_are_nobodys_own, .timeout = TIMEOUT_S)
{
    uint32_t before = mxcsr();

    wf_context_own_modes();
    __builtin_ia32_ldmxcsr(before | FLUSH_TO_ZERO);
    cr_assert_eq(fesetmode(FE_DFL_MODE), 0);
    cr_expect_eq(x87_control() & WF_CONTROL_OWN, 0);
    cr_expect_eq(mxcsr(), before);
}

static void hide_modes(void *arg, void *passed)
{
    uint32_t before = mxcsr();

    (void)arg, (void)passed;
    wf_san_switched(&inside_san, &outside_san);
    cr_expect(!wf_context_hides_modes(&inside));
    (void)fesetround(FE_UPWARD);
    cr_expect(!wf_context_hides_modes(&inside), "the x87 word shows it");
    (void)fesetround(FE_TONEAREST);
    __builtin_ia32_ldmxcsr(before | FLUSH_TO_ZERO);
    cr_expect(wf_context_hides_modes(&inside));
    wf_context_restore_modes(&inside);
    cr_expect_eq(mxcsr(), before);
    cr_expect(!wf_context_hides_modes(&inside));
    wf_context_own_modes();
    __builtin_ia32_ldmxcsr(before | FLUSH_TO_ZERO);
    cr_expect(!wf_context_hides_modes(&inside), "it has said so");
    leave(true);
}

/* Who changes MXCSR and does not say so is found, and nobody else. */
Test(modes, hidden_modes_are_found, .timeout = TIMEOUT_S)
{
    prepare(hide_modes, NULL);
    enter();
}

static void change_x87(void *arg, void *passed)
{
    uint16_t single = (uint16_t)(x87_control() & ~0x300u);

    (void)arg, (void)passed;
    wf_san_switched(&inside_san, &outside_san);
    __asm__ volatile("fldcw %0" : : "m"(single));
    leave(false);
    modes_on_return[0] = x87_control();
    leave(true);
}

/* The precision of the x87 unit, which MXCSR knows nothing of. */
Test(modes, those_that_only_the_x87_unit_has_are_kept_apart, .timeout = TIMEOUT_S)
{
    uint16_t before = x87_control();

    prepare(change_x87, NULL);
    enter();
    cr_expect_eq(x87_control(), before);
    enter();
    cr_expect_eq(x87_control(), before);
    cr_expect_eq(modes_on_return[0], before & ~0x300);
}
#endif
