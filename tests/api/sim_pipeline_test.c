/* SPDX-License-Identifier: MIT */
/* pipeline.h: whose failure comes first, however the fibers of a scope come to run. */
#include "../support/simulate.h"

#include <errno.h>

enum { ROUNDS = TEST_IS_SANITIZED ? 20 : 100, FAILING = 20, CAPACITY = 4, FIBERS = 2 };

TestSuite(sim_pipeline, .init = forget_backend, .timeout = TEST_TIMEOUT_S);

WEFT_CHANNEL_DEFINE(ints, int)

struct shared {
    ints in;
    ints out;
};

static int fail_late(void *arg, void *item, void *result)
{
    (void)arg;
    *(int *)result = *(int *)item;
    return *(int *)item < FAILING ? 0 : -EXDEV;
}

/* To this one a channel that is closed is a failure. */
static int produce(void *arg)
{
    struct shared *shared = arg;
    int error = 0;

    for (int i = 0; error == 0; i++)
        error = ints_send(&shared->in, i, WEFT_FOREVER);
    return error;
}

static int consume(void *arg)
{
    struct shared *shared = arg;
    int item;
    int error = 0;

    while (error == 0)
        error = ints_receive(&shared->out, &item, WEFT_FOREVER);
    return error;
}

/* The producer and the consumer fail as well, when the stage closes what they use; and may have
 * ended before the fiber has that closed it. */
SIM_TEST(sim_pipeline, what_a_failure_leads_to_does_not_hide_it, WEFT_SIM_STALL, 20000)
{
    (void)arg;
    for (int round = 0; round < ROUNDS; round++) {
        struct shared shared;
        int buffer[CAPACITY];
        weft_scope scope = WEFT_SCOPE_INIT;
        struct weft_pipeline_stage stage = WEFT_PIPELINE_STAGE_INIT(
            fail_late, NULL, &shared.in.base, &shared.out.base);

        CHECK_EQ(ints_init(&shared.in, NULL, 0), 0);
        CHECK_EQ(ints_init(&shared.out, buffer, CAPACITY), 0);
        stage.fibers = FIBERS;
        stage.is_ordered = round % 2 == 1;
        CHECK_EQ(weft_pipeline_spawn(&scope, &stage), 0);
        CHECK_EQ(weft_scope_spawn(&scope, produce, &shared), 0);
        CHECK_EQ(weft_scope_spawn(&scope, consume, &shared), 0);
        CHECK_EQ(weft_scope_close(&scope, 0), -EXDEV);
    }
    return 0;
}
