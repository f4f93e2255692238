/* SPDX-License-Identifier: MIT */
/* The context switch: what the psABI promises about any call holds for calls that suspend. */
#include "../support/fixture.h"
#include "../support/random.h"
#include "../support/registers.h"

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

static int check_registers(void *arg)
{
    struct random random = random_stream(*(uint64_t *)arg, weft_fiber_id(weft_self()));

    for (int round = 0; round < ROUNDS; round++) {
        uint64_t in[SAVED_REGISTERS];
        uint64_t out[SAVED_REGISTERS] = {0};
        for (int i = 0; i < SAVED_REGISTERS; i++)
            in[i] = random_next(&random);
        CHECK_EQ(call_with_registers(suspensions[random_below(&random, 3)], in, out), 0);
        CHECK(memcmp(in, out, sizeof in) == 0);
    }
    return 0;
}

/* What fesetround() and the compiler leave to the program: flush to zero, x87's precision. */
static int check_control_words(void *arg)
{
    struct random random = random_stream(*(uint64_t *)arg, weft_fiber_id(weft_self()));
    uint64_t first = control_word();

    for (int round = 0; round < ROUNDS; round++) {
        uint64_t word;
        volatile double third = 1.0;
        set_control_word(random_control_word(&random));
        word = control_word();
        third = third / 3.0; /* inexact: the status flags differ from fiber to fiber */
        CHECK_EQ(suspensions[random_below(&random, 3)](), 0);
        CHECK(control_word() == word);
    }
    set_control_word(first);
    return 0;
}

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
        check_registers,
        check_control_words,
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
