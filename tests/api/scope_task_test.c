/* SPDX-License-Identifier: MIT */
/* scope.h, task.h: what a scope around a fiber means for its tasks that others have taken. */
#include "../support/fixture.h"

#include <errno.h>
#include <stdatomic.h>

static int nap(void *arg)
{
    (void)arg;
    return weft_sleep(WEFT_MILLISECOND / 10);
}

struct cleaning {
    int depth;
    _Atomic(int) pieces;
    _Atomic(int) refused;
};

static void clean_piece(size_t begin, size_t end, void *arg)
{
    struct cleaning *cleaning = arg;
    weft_scope scope = WEFT_SCOPE_INIT;
    int result = nap(NULL);

    (void)begin, (void)end;
    if (result == 0)
        result = weft_scope_spawn(&scope, nap, NULL);
    result = weft_scope_close(&scope, result); /* takes no shield along */
    if (result == 0)
        result = weft_yield();
    if (result == 0 && cleaning->depth > 0) {
        struct cleaning inner = {.depth = cleaning->depth - 1};

        weft_parallel_for(0, 6, 1, clean_piece, &inner);
        result = inner.pieces == 6 ? -inner.refused : -1;
    }
    (void)atomic_fetch_add(&cleaning->pieces, 1);
    if (result != 0)
        (void)atomic_fetch_add(&cleaning->refused, 1);
}

static int clean_up_by_tasks(void *arg)
{
    weft_scope shield = WEFT_SCOPE_INIT;
    struct cleaning cleaning = {.depth = 1};

    (void)arg;
    CHECK_EQ(weft_scope_open_shielded(&shield, weft_after(3600 * WEFT_SECOND)), 0);
    CHECK_EQ(weft_stop(weft_runtime_self()), 0);
    weft_cancel(weft_self());
    weft_parallel_for(0, 24, 1, clean_piece, &cleaning);
    CHECK_EQ(cleaning.pieces, 24);
    CHECK_EQ(cleaning.refused, 0);
    CHECK_EQ(weft_scope_close(&shield, 0), 0);
    CHECK_EQ(weft_yield(), -ECANCELED);
    return 0;
}

/* Pieces that others take are made in fibers of their own, which are in no scope. */
WORKER_TEST(scope_task, a_shield_covers_stolen_tasks, TEST_TIMEOUT_S)
{
    cr_expect_eq(run_workers(*workers, clean_up_by_tasks, NULL), 0);
    if (*workers > 1)
        cr_expect_gt(run_stats().tasks_stolen, 0);
}

struct hanging {
    weft_scope shield;
    int reason;
    _Atomic(int) begun;
    _Atomic(int) ended;
};

static void hang(size_t begin, size_t end, void *arg)
{
    struct hanging *hanging = arg;

    (void)begin, (void)end;
    (void)atomic_fetch_add(&hanging->begun, 1);
    CHECK_EQ(weft_sleep_until(WEFT_FOREVER), hanging->reason);
    CHECK_EQ(weft_yield(), hanging->reason);
    (void)atomic_fetch_add(&hanging->ended, 1);
}

static int cancel_shield(void *arg)
{
    struct hanging *hanging = arg;

    while (atomic_load(&hanging->begun) < 1)
        CHECK_EQ(weft_yield(), 0);
    CHECK_EQ(weft_sleep(WEFT_MILLISECOND), 0);
    return weft_scope_cancel(&hanging->shield);
}

static int hang_in_shield(void *arg)
{
    CHECK_EQ(weft_stop(weft_runtime_self()), 0);
    for (int round = 0; round < 10; round++) {
        struct hanging hanging = {.shield = WEFT_SCOPE_INIT,
                                  .reason = round % 2 == 0 ? -ETIMEDOUT : -ECANCELED};
        weft_time deadline = weft_after(hanging.reason == -ETIMEDOUT ? 2 * WEFT_MILLISECOND
                                                                     : 3600 * WEFT_SECOND);

        CHECK_EQ(weft_scope_open_shielded(&hanging.shield, deadline), 0);
        if (hanging.reason == -ECANCELED)
            CHECK_EQ(weft_scope_spawn(&hanging.shield, cancel_shield, &hanging), 0);
        weft_parallel_for(0, 16, 1, hang, &hanging);
        CHECK_EQ(hanging.ended, 16);
        CHECK_EQ(weft_scope_close(&hanging.shield, 0), 0);
    }
    (void)arg;
    return 0;
}

/* What keeps off the end of the run must let the shield's own cancel through, or nothing ends. */
WORKER_TEST(scope_task, a_shields_own_end_reaches_stolen_tasks, TEST_TIMEOUT_S)
{
    cr_expect_eq(run_workers(*workers, hang_in_shield, NULL), 0);
    if (*workers > 1)
        cr_expect_gt(run_stats().tasks_stolen, 0);
}
