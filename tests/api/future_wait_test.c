/* SPDX-License-Identifier: MIT */
/* future.h: those that wait for a result, and give up just when it comes. */
#include "../support/fixture.h"

#include <errno.h>
#include <stdatomic.h>

enum { AWAITERS = 9, ROUNDS = TEST_IS_TSAN ? 60 : 300 };

struct awaited {
    weft_future future;
    _Atomic(int) number;
};

static int await_number(void *arg)
{
    struct awaited *awaited = arg;
    int number = atomic_fetch_add(&awaited->number, 1);
    int result = -1;
    /* Those of the second third give up by themselves. */
    int error = weft_future_await(&awaited->future, &result,
                                  number % 3 == 1 ? weft_after(number * 10 * WEFT_MICROSECOND)
                                                  : WEFT_FOREVER);

    CHECK(error == 0 ? result == 7 : result == -1);
    return error;
}

static int await_and_give_up(void *arg)
{
    (void)arg;
    for (int round = 0; round < ROUNDS; round++) {
        struct awaited awaited = {.future = WEFT_FUTURE_INIT};
        weft_fiber *fibers[AWAITERS];
        bool is_cancelled[AWAITERS] = {false};

        for (int i = 0; i < AWAITERS; i++)
            fibers[i] = must_spawn(await_number, &awaited);
        for (int i = 0; i < round % 4; i++)
            CHECK_EQ(weft_yield(), 0);
        for (int i = 0; i < AWAITERS; i += 2) {
            weft_cancel(fibers[i]);
            is_cancelled[i] = true;
            if (i == round % AWAITERS)
                CHECK_EQ(weft_future_set(&awaited.future, 7, NULL), 0);
        }
        if (!weft_future_is_done(&awaited.future))
            CHECK_EQ(weft_future_set(&awaited.future, 7, NULL), 0);
        for (int i = 0; i < AWAITERS; i++) {
            int error = must_join(fibers[i]);

            CHECK(error == 0 || error == -ETIMEDOUT || (error == -ECANCELED && is_cancelled[i]));
        }
        CHECK_EQ(weft_future_await(&awaited.future, NULL, weft_now() - 1), 0);
        weft_future_close(&awaited.future);
    }
    return 0;
}

/* Each has the result or a reason, never both or neither, and whoever gives up takes nothing from
 * the others. */
WORKER_TEST(future_wait, of_result_and_giving_up_one_comes, TEST_TIMEOUT_S)
{
    cr_expect_eq(run_workers(*workers, await_and_give_up, NULL), 0);
}
