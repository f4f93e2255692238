/* SPDX-License-Identifier: MIT */
/* End, cancel, join deadline and detach of one fiber, all at the same moment. */
#include "../support/random.h"
#include "stress.h"

#include <errno.h>
#include <stdatomic.h>

struct couple {
    weft_fiber *target;
    _Atomic(int) release;
    struct random random;
    int joined;
};

static int end_when_released(void *arg)
{
    struct couple *couple = arg;

    while (atomic_load(&couple->release) == 0)
        if (weft_yield() != 0)
            return -ECANCELED;
    return 5;
}

static int sleep_a_little(void *arg)
{
    int result = weft_sleep((int64_t)(intptr_t)arg);

    return result == 0 ? 5 : result;
}

static int join_with_deadlines(void *arg)
{
    struct couple *couple = arg;
    int result = -1;
    int error;

    do
        error = weft_join(couple->target, &result,
                          weft_after(random_below(&couple->random, 150) * WEFT_MICROSECOND));
    while (error == -ETIMEDOUT);
    if (error == 0) {
        CHECK(result == 5 || result == -ECANCELED);
        couple->joined = 1;
    } else {
        CHECK_EQ(error, -ECANCELED);
        CHECK_EQ(result, -1);
    }
    return 0;
}

static int race_couples(void *arg)
{
    struct random random = random_stream(*(uint64_t *)arg, 0);
    weft_time end = stress_end();

    for (uint64_t round = 0; weft_now() < end; round++) {
        struct couple couple = {.random = random_stream(*(uint64_t *)arg, round)};
        weft_fiber *joiner;

        couple.target = random_below(&random, 2)
                            ? must_spawn(end_when_released, &couple)
                            : must_spawn(sleep_a_little,
                                         (void *)(intptr_t)(random_below(&random, 150) * 1000));
        joiner = must_spawn(join_with_deadlines, &couple);
        for (unsigned i = random_below(&random, 4); i > 0; i--)
            CHECK_EQ(weft_yield(), 0);
        atomic_store(&couple.release, 1);
        if (random_below(&random, 2))
            weft_cancel(joiner);
        CHECK_EQ(must_join(joiner), 0);
        if (!couple.joined) { /* the handle came back with the joiner's failure */
            if (random_below(&random, 2))
                weft_cancel(couple.target);
            CHECK(must_join(couple.target) != 0);
        }
    }
    return 0;
}

/* The joiner takes the result or leaves the handle valid, exactly one of the two; a wake that is
 * sent to a joiner that has gone would hit whatever it waits for next. */
WORKER_TEST(cancel_join_race, one_owner_at_any_time, STRESS_TIMEOUT_S)
{
    uint64_t seed = random_seed("cancel_join_race");

    cr_expect_eq(run_workers(*workers, race_couples, &seed), 0);
}
