/* SPDX-License-Identifier: MIT */
/* Fibers that change MXCSR without the x87 control word: those that say so keep their modes, and
 * those that do not are found. */
#include "arch/context.h"
#include "child.h"
#include "fixture.h"
#include "runtime/check.h"

#include <fenv.h>
#include <string.h>

#if defined(__x86_64__)
enum { DAZ_AND_FTZ = 0x8040, CONTROL = 0xffc0, YIELDS = 400, FIBERS = 8 };

static uint32_t mxcsr(void)
{
    return __builtin_ia32_stmxcsr() & CONTROL;
}

static uint32_t begun_with;

static int yield_to_and_fro(void *arg)
{
    (void)arg;
    for (int i = 0; i < YIELDS; i++) {
        CHECK_EQ(weft_yield(), 0);
        CHECK_EQ(mxcsr(), begun_with);
    }
    return 0;
}

static int expect_inherited(void *arg)
{
    (void)arg;
    for (int i = 0; i < YIELDS; i++) {
        CHECK_EQ(mxcsr(), begun_with | DAZ_AND_FTZ);
        CHECK_EQ(weft_yield(), 0);
    }
    /* What is inherited is also that the next change need not be told. */
    __builtin_ia32_ldmxcsr(begun_with | 0x8000);
    CHECK_EQ(weft_yield(), 0);
    CHECK_EQ(mxcsr(), begun_with | 0x8000);
    return 0;
}

static int flush_to_zero(void *arg)
{
    weft_fiber *heir = NULL;

    (void)arg;
    weft_own_fp_modes();
    __builtin_ia32_ldmxcsr(begun_with | DAZ_AND_FTZ);
    for (int i = 0; i < YIELDS; i++) {
        if (i == YIELDS / 2)
            heir = must_spawn(expect_inherited, NULL);
        CHECK_EQ(weft_yield(), 0);
        CHECK_EQ(mxcsr(), begun_with | DAZ_AND_FTZ);
    }
    __builtin_ia32_ldmxcsr(begun_with);
    CHECK_EQ(weft_sleep(WEFT_MILLISECOND), 0);
    CHECK_EQ(mxcsr(), begun_with);
    return must_join(heir);
}

static int trap_divisions(void *arg)
{
    (void)arg;
    CHECK(feenableexcept(FE_DIVBYZERO) != -1);
    for (int i = 0; i < YIELDS; i++) {
        CHECK_EQ(weft_yield(), 0);
        CHECK_EQ(fegetexcept(), FE_DIVBYZERO);
        CHECK_EQ(mxcsr(), begun_with & ~0x200u);
    }
    CHECK(fedisableexcept(FE_DIVBYZERO) != -1);
    return 0;
}

static int mix(void *arg)
{
    static int (*const kinds[])(void *) = {yield_to_and_fro, flush_to_zero, trap_divisions};
    weft_fiber *fibers[FIBERS];

    (void)arg;
    begun_with = mxcsr();
    for (int i = 0; i < FIBERS; i++)
        fibers[i] = must_spawn(kinds[i % 3], NULL);
    for (int i = 0; i < FIBERS; i++)
        CHECK_EQ(must_join(fibers[i]), 0);
    CHECK_EQ(mxcsr(), begun_with);
    return 0;
}

/* Programs that flush to zero where it is fast, and others that must not, on the same workers. */
WORKER_TEST(lost_modes, modes_that_were_announced_are_kept, TEST_TIMEOUT_S)
{
    cr_expect_eq(run_workers(*workers, mix, NULL), 0);
}

/* And on another thread than before. */
WORKER_TEST(lost_modes, modes_that_were_announced_migrate, TEST_TIMEOUT_S)
{
    struct weft_config config = {.workers = *workers, .chaos = 1};

    cr_expect_eq(run_config(&config, mix, NULL), 0);
}

static int flush_silently(void *arg)
{
    uint32_t *before = arg;

    *before = mxcsr();
    __builtin_ia32_ldmxcsr(*before | DAZ_AND_FTZ);
    return weft_yield();
}

static int see_the_modes_mended(void *arg)
{
    for (int round = 0; round < 2; round++) {
        uint32_t before = 0;
        weft_fiber *fiber = must_spawn(flush_silently, &before);

        CHECK_EQ(must_join(fiber), 0);
        for (int i = 0; i < YIELDS; i++)
            CHECK_EQ(weft_yield(), 0);
        CHECK_EQ(mxcsr(), before);
    }
    (void)arg;
    return 0;
}

CHILD(run_fibers_that_flush_silently)
{
    struct weft_config config = {.workers = parameter};

    return weft_run(&config, see_the_modes_mended, NULL);
}

/* A library that does so makes others' results wrong in the last digits, for good. */
Test(lost_modes, a_change_that_was_not_announced_is_found, .timeout = TEST_TIMEOUT_S)
{
    struct child_end end;
    const char *told;

    if (WF_CHECK_LEVEL >= 2) {
        expect_abort("run_fibers_that_flush_silently", 1, "must call weft_own_fp_modes()");
        return;
    }
    run_child("run_fibers_that_flush_silently", 1, NULL, &end);
    cr_expect_eq(end.exit_status, 0, "status %d: %s", end.exit_status, end.output);
    told = strstr(end.output, "must call weft_own_fp_modes()");
    cr_assert_not_null(told, "%s", end.output);
    cr_expect_null(strstr(told + 1, "must call"), "it is told once: %s", end.output);
}

static int flush_in_between(void *arg)
{
    uint32_t before = mxcsr();

    (void)arg;
    for (int i = 0; i < YIELDS; i++) {
        __builtin_ia32_ldmxcsr(before | DAZ_AND_FTZ);
        __builtin_ia32_ldmxcsr(before);
        CHECK_EQ(fesetround(i % 2 == 0 ? FE_UPWARD : FE_TONEAREST), 0);
        CHECK_EQ(weft_yield(), 0);
    }
    return 0;
}

CHILD(run_fibers_that_put_their_modes_back)
{
    struct weft_config config = {.workers = parameter};

    return weft_run(&config, flush_in_between, NULL);
}

/* As mathematical libraries do, and as <fenv.h> is there for. */
Test(lost_modes, who_puts_modes_back_or_uses_fenv_hears_nothing, .timeout = TEST_TIMEOUT_S)
{
    struct child_end end;

    run_child("run_fibers_that_put_their_modes_back", 1, NULL, &end);
    cr_expect_eq(end.exit_status, 0, "status %d: %s", end.exit_status, end.output);
    cr_expect_null(strstr(end.output, "MXCSR"), "%s", end.output);
}
#else
static int announce_and_yield(void *arg)
{
    (void)arg;
    CHECK_EQ(fesetround(FE_UPWARD), 0);
    weft_own_fp_modes();
    CHECK_EQ(weft_yield(), 0);
    return fegetround() == FE_UPWARD ? 0 : -1;
}

/* The switch keeps all modes here: the call is there for programs that are compiled for both. */
WORKER_TEST(lost_modes, an_announcement_changes_nothing, TEST_TIMEOUT_S)
{
    cr_expect_eq(run_workers(*workers, announce_and_yield, NULL), 0);
}
#endif
