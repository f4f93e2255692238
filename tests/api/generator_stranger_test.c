/* SPDX-License-Identifier: MIT */
/* generator.h: calls that are for a generator's function only, made elsewhere while it runs. */
#include "../support/child.h"
#include "../support/fixture.h"

#include <errno.h>
#include <stdbool.h>

enum call { CALL_YIELD, CALL_DEFER, CALL_DELEGATE, CALLS };

struct stage {
    weft_generator *outer;
    weft_event go_on;
    bool is_reached; /* one worker: no fiber runs beside another */
    enum call call;
};

static weft_generator *must_create(int (*fn)(weft_generator *, void *), void *arg)
{
    weft_generator *generator = NULL;

    CHECK_EQ(weft_generator_create(&generator, fn, arg, 0), 0);
    return generator;
}

static void do_nothing(void *arg)
{
    (void)arg;
}

static int yield_once(weft_generator *self, void *arg)
{
    return weft_generator_yield(self, arg, NULL);
}

static int delegate(weft_generator *generator)
{
    weft_generator *inner = must_create(yield_once, NULL);
    int error = weft_generator_delegate(generator, inner);

    weft_generator_free(inner);
    return error;
}

static int call_as(weft_generator *generator, enum call call)
{
    switch (call) {
    case CALL_YIELD:
        return weft_generator_yield(generator, NULL, NULL);
    case CALL_DEFER:
        return weft_generator_defer(generator, do_nothing, NULL);
    default:
        return delegate(generator);
    }
}

static int wait_there(struct stage *stage)
{
    stage->is_reached = true;
    return weft_event_wait(&stage->go_on, WEFT_FOREVER);
}

static int wait_in_generator(weft_generator *self, void *arg)
{
    (void)self;
    return wait_there(arg);
}

/* It has been closed by then, and waits as it ends. */
static int wait_when_closed(weft_generator *self, void *arg)
{
    CHECK_EQ(weft_generator_yield(self, NULL, NULL), -ECANCELED);
    return wait_there(arg);
}

static int ask(void *arg)
{
    struct stage *stage = arg;

    return weft_generator_next(stage->outer, NULL);
}

static int ask_and_close(void *arg)
{
    struct stage *stage = arg;

    CHECK_EQ(weft_generator_next(stage->outer, NULL), 0);
    return weft_generator_close(stage->outer);
}

static void await_there(struct stage *stage)
{
    while (!stage->is_reached)
        CHECK_EQ(weft_yield(), 0);
}

static int call_from_another_fiber(void *arg)
{
    struct stage *stage = arg;
    weft_fiber *asker;
    int error;

    stage->outer = must_create(wait_in_generator, stage);
    asker = must_spawn(ask, stage);
    await_there(stage);
    error = call_as(stage->outer, stage->call);
    weft_event_set(&stage->go_on);
    (void)must_join(asker);
    return error;
}

static int call_during_a_close(void *arg)
{
    struct stage *stage = arg;
    weft_fiber *asker;
    int error;

    stage->outer = must_create(wait_when_closed, stage);
    asker = must_spawn(ask_and_close, stage);
    await_there(stage);
    error = call_as(stage->outer, stage->call);
    weft_event_set(&stage->go_on);
    (void)must_join(asker);
    return error;
}

static int call_in_its_name(weft_generator *self, void *arg)
{
    struct stage *stage = arg;

    (void)self;
    return call_as(stage->outer, stage->call);
}

static int ask_another(weft_generator *self, void *arg)
{
    weft_generator *inner = must_create(call_in_its_name, arg);

    (void)self;
    return weft_generator_next(inner, NULL);
}

static int call_from_another_generator(void *arg)
{
    struct stage *stage = arg;

    stage->outer = must_create(ask_another, stage);
    return weft_generator_next(stage->outer, NULL);
}

static int (*const strangers[])(void *) = {call_from_another_fiber, call_during_a_close,
                                           call_from_another_generator};

CHILD(call_as_a_stranger)
{
    struct weft_config config = {.workers = 1};
    struct stage stage = {.call = (enum call)(parameter % CALLS)};

    return weft_run(&config, strangers[parameter / CALLS], &stage);
}

/* The one who calls would stop, and go on where the one who asks was, each on the other's stack. */
Test(generator, strangers_abort, .timeout = TEST_TIMEOUT_S)
{
    for (unsigned i = 0; i < sizeof strangers / sizeof *strangers * CALLS; i++)
        expect_abort("call_as_a_stranger", i, "runs elsewhere");
}

static int pass_on(weft_generator *self, void *arg)
{
    struct stage *stage = arg;

    CHECK_EQ(call_as(self, CALL_DEFER), 0);
    if (weft_self() != NULL)
        CHECK_EQ(weft_sleep(1), 0);
    CHECK_EQ(call_as(self, CALL_YIELD), 0);
    return call_as(self, stage->call);
}

static int use_every_size(void *arg)
{
    for (unsigned kib = 16; kib <= 8192; kib *= 2) {
        struct stage stage = {.call = CALL_DELEGATE};

        CHECK_EQ(weft_generator_create(&stage.outer, pass_on, &stage, kib), 0);
        for (int i = 0; i < 2; i++)
            CHECK_EQ(weft_generator_next(stage.outer, NULL), 0);
        CHECK_EQ(weft_generator_next(stage.outer, NULL), -ENODATA);
        weft_generator_free(stage.outer);
    }
    return arg != NULL;
}

/* On its own stack it is no stranger, of whatever size that is and whoever asks. */
WORKER_TEST(generator, is_no_stranger_to_itself, TEST_TIMEOUT_S)
{
    cr_expect_eq(run_workers(*workers, use_every_size, NULL), 0);
    cr_expect_eq(use_every_size(NULL), 0, "on a plain thread");
}
