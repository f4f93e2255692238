/* SPDX-License-Identifier: MIT */
/* docs/fairness.md, where fibers join each other in a chain: each that ends makes the next one
 * ready, and none of them looks at the queues of its own accord. */
#include "../support/fixture.h"
#include "../support/turns.h"

#include <stdlib.h>

enum { LINKS = TEST_IS_TSAN ? 200 : 2000, LINK_NS = 20 * 1000, TICK_NS = 65536 };

struct chain {
    int left;   /* links to be made */
    int joined; /* links that have ended */
    bool has_due;
    weft_time due; /* of a timer: while the chain unwinds */
    struct turns at;
    _Atomic(bool) is_unwinding;
    _Atomic(bool) is_over;
    _Atomic(uint64_t) most;
};

static void skip_in_chaos(void)
{
    if (getenv("WEFT_CHAOS"))
        cr_skip_test("chaos breaks every order on purpose");
}

static void compute(weft_time time)
{
    weft_time end = weft_after(time);

    while (weft_now() < end)
        ;
}

static int link_on(void *arg)
{
    struct chain *chain = arg;

    if (chain->left-- > 0) {
        weft_fiber *next = must_spawn(link_on, chain);

        CHECK_EQ(must_join(next), 0);
    } else {
        /* All are alive, and those beside them have their places in the queue. */
        for (int i = 0; i < 4; i++)
            CHECK_EQ(weft_yield(), 0);
        chain->due = (weft_now() + WEFT_MILLISECOND) / TICK_NS * TICK_NS + TICK_NS;
        chain->is_unwinding = true;
        CHECK_EQ(weft_yield(), 0);
    }
    if (chain->has_due) {
        compute(LINK_NS);
        if (chain->at.turns == 0 && weft_now() >= chain->due)
            chain->at = turns_now();
    }
    chain->joined++;
    return 0;
}

static int yield_beside(void *arg)
{
    struct chain *chain = arg;

    while (!chain->is_over) {
        struct turns start = turns_now();

        CHECK_EQ(weft_yield(), 0);
        /* Ahead of it: the last link, and one that has had its turns by rule 2. */
        if (chain->is_unwinding)
            turns_check(start, 3 * TURNS_PER_READY, &chain->most);
    }
    return 0;
}

static int unwind_beside_one_that_yields(void *arg)
{
    struct chain *chain = arg;
    weft_fiber *beside = must_spawn(yield_beside, chain), *first;

    CHECK_EQ(weft_yield(), 0);
    first = must_spawn(link_on, chain);
    CHECK_EQ(must_join(first), 0);
    CHECK_EQ(chain->joined, LINKS + 1);
    chain->is_over = true;
    return must_join(beside);
}

/* Without the monitor, which moves fibers when the machine is slow. */
static int run_alone(int (*fn)(void *), struct chain *chain)
{
    struct weft_config config = {.workers = 1, .monitor = 3};

    chain->left = LINKS;
    return run_config(&config, fn, chain);
}

Test(fairness_join, a_chain_of_joins_leaves_turns_to_the_ready, .timeout = TEST_TIMEOUT_S)
{
    struct chain chain = {.left = 0};

    skip_in_chaos();
    cr_expect_eq(run_alone(unwind_beside_one_that_yields, &chain), 0);
    cr_expect_geq(chain.most, 2, "the chain has not unwound beside it");
}

static int sleep_beside(void *arg)
{
    struct chain *chain = arg;

    while (!chain->is_unwinding)
        CHECK_EQ(weft_yield(), 0);
    CHECK_EQ(weft_sleep_until(chain->due), 0);
    /* It may have come due between two links, and have been served at once. */
    if (chain->at.turns != 0)
        turns_check(chain->at, TURNS_PER_LOOK + 3 * TURNS_PER_READY, &chain->most);
    return 0;
}

static int unwind_beside_a_timer(void *arg)
{
    struct chain *chain = arg;
    weft_fiber *beside = must_spawn(sleep_beside, chain), *first;

    CHECK_EQ(weft_yield(), 0);
    first = must_spawn(link_on, chain);
    CHECK_EQ(must_join(first), 0);
    return must_join(beside);
}

Test(fairness_join, a_chain_of_joins_leaves_the_looks_at_timers, .timeout = TEST_TIMEOUT_S)
{
    struct chain chain = {.has_due = true};

    skip_in_chaos();
    cr_expect_eq(run_alone(unwind_beside_a_timer, &chain), 0);
}
