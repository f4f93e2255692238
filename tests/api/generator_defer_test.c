/* SPDX-License-Identifier: MIT */
/* generator.h: what a generator defers. */
#include "../support/child.h"
#include "../support/fixture.h"

#include <errno.h>

static weft_generator *must_create(int (*fn)(weft_generator *, void *), void *arg)
{
    weft_generator *generator = NULL;

    CHECK_EQ(weft_generator_create(&generator, fn, arg, 0), 0);
    return generator;
}

enum way_out { WAY_END, WAY_FAILURE, WAY_THROW, WAY_CLOSE, WAY_FREE, WAYS };

struct deferring {
    weft_generator *generator;
    enum way_out way;
    int order[8];
    int called;
};

static void note(struct deferring *deferring, int number)
{
    CHECK(deferring->called < 8);
    deferring->order[deferring->called++] = number;
}

static void call_first(void *arg)
{
    note(arg, 1);
}

/* Neither an answer nor an end is given away here; waiting is allowed. */
static void call_second(void *arg)
{
    struct deferring *deferring = arg;

    note(deferring, 2);
    CHECK_EQ(weft_generator_yield(deferring->generator, NULL, NULL), -ECANCELED);
    CHECK_EQ(weft_generator_result(deferring->generator), -EBUSY);
    if (weft_self() != NULL)
        (void)weft_yield();
    CHECK_EQ(weft_generator_defer(deferring->generator, call_first, arg), 0);
}

static int defer_two(weft_generator *self, void *arg)
{
    struct deferring *deferring = arg;
    int error;

    CHECK_EQ(weft_generator_defer(self, call_first, arg), 0);
    CHECK_EQ(weft_generator_yield(self, NULL, NULL), 0);
    CHECK_EQ(weft_generator_defer(self, call_second, arg), 0);
    error = weft_generator_yield(self, NULL, NULL);
    CHECK_EQ(deferring->called, 0);
    return deferring->way == WAY_FAILURE ? -EIO : error;
}

static void leave_by(struct deferring *deferring)
{
    weft_generator *generator = deferring->generator;

    switch (deferring->way) {
    case WAY_END:
        CHECK_EQ(weft_generator_next(generator, NULL), -ENODATA);
        break;
    case WAY_FAILURE:
        CHECK_EQ(weft_generator_next(generator, NULL), -EIO);
        break;
    case WAY_THROW:
        CHECK_EQ(weft_generator_throw(generator, -ENOSPC, NULL), -ENOSPC);
        break;
    case WAY_CLOSE:
        CHECK_EQ(weft_generator_close(generator), 0);
        break;
    default:
        break;
    }
    CHECK_EQ(deferring->called, deferring->way == WAY_FREE ? 0 : 3);
    weft_generator_free(generator);
}

static int defer_in_generators(void *arg)
{
    for (enum way_out way = WAY_END; way < WAYS; way++) {
        struct deferring deferring = {.way = way};

        deferring.generator = must_create(defer_two, &deferring);
        CHECK_EQ(weft_generator_next(deferring.generator, NULL), 0);
        CHECK_EQ(weft_generator_next(deferring.generator, NULL), 0);
        leave_by(&deferring);
        CHECK_EQ(deferring.called, 3);
        CHECK_EQ(deferring.order[0], 2);
        CHECK_EQ(deferring.order[1], 1);
        CHECK_EQ(deferring.order[2], 1);
    }
    return arg != NULL;
}

/* What a generator has deferred would be left undone, or done when the fiber that happened to ask
 * ends, long after the generator's stack has gone. */
WORKER_TEST(generator, runs_its_defers_on_every_way_out, TEST_TIMEOUT_S)
{
    cr_expect_eq(run_workers(*workers, defer_in_generators, NULL), 0);
    cr_expect_eq(defer_in_generators(NULL), 0, "on a plain thread");
}

static int defer_once(weft_generator *self, void *arg)
{
    CHECK_EQ(weft_generator_defer(self, call_first, arg), 0);
    return weft_generator_yield(self, NULL, NULL);
}

static int ask_and_end(void *arg)
{
    struct deferring *deferring = arg;

    return weft_generator_next(deferring->generator, NULL);
}

static int outlive_who_asked(void *arg)
{
    struct deferring first = {0}, second = {0};

    (void)arg;
    first.generator = must_create(defer_once, &first);
    CHECK_EQ(must_join(must_spawn(ask_and_end, &first)), 0);
    CHECK_EQ(first.called, 0);
    second.generator = must_create(defer_once, &second);
    CHECK_EQ(weft_generator_next(second.generator, NULL), 0);
    weft_generator_free(first.generator);
    CHECK_EQ(first.called, 1);
    CHECK_EQ(second.called, 0);
    weft_generator_free(second.generator);
    CHECK_EQ(second.called, 1);
    return 0;
}

/* The end of a fiber that asked once is none of the generator's, nor is the end of another one. */
WORKER_TEST(generator, keeps_its_defers_to_itself, TEST_TIMEOUT_S)
{
    cr_expect_eq(run_workers(*workers, outlive_who_asked, NULL), 0);
}

CHILD(defer_from_outside)
{
    struct deferring deferring = {0};

    deferring.generator = must_create(defer_once, &deferring);
    if (parameter == 1)
        CHECK_EQ(weft_generator_next(deferring.generator, NULL), 0);
    return weft_generator_defer(deferring.generator, call_first, &deferring);
}

/* Who asks is not the function: what it deferred there might be called in another fiber. */
Test(generator, defers_for_nobody_else, .timeout = TEST_TIMEOUT_S)
{
    for (unsigned i = 0; i < 2; i++)
        expect_abort("defer_from_outside", i, "does not run");
}
