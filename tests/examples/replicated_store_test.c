/* SPDX-License-Identifier: MIT */
/* The example's client, when it is cancelled while no server answers. */
#include "../support/fixture.h"

#define main replicated_store_main
int replicated_store_main(int argc, char **argv);
#include "../../examples/replicated_store.c"
#undef main

static int use(void *arg)
{
    (void)arg;
    return use_store(false);
}

static int cancel_client(void *arg)
{
    weft_fiber *fiber;
    int result = 0;

    (void)arg; /* the servers have no address */
    CHECK_EQ(weft_spawn(&fiber, use, NULL), 0);
    CHECK_EQ(weft_sleep(WEFT_MILLISECOND), 0);
    weft_cancel(fiber);
    CHECK_EQ(weft_join(fiber, &result, WEFT_FOREVER), 0);
    return result;
}

/* It asked again and again, for ever, as its sleeps ended at once. */
WORKER_TEST(replicated_store, a_client_that_is_cancelled_ends, TEST_TIMEOUT_S)
{
    cr_expect_eq(run_workers(*workers, cancel_client, NULL), -ECANCELED);
}
