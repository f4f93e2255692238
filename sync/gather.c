/* SPDX-License-Identifier: MIT */
/* Many futures at once: all of them, the first one, the first that succeeds.
 *
 * There is no model: this is a caller of future.h and of groups, in one fiber, and shares nothing
 * else. */
#include "runtime/check.h"

#include <errno.h>
#include <weft/future.h>
#include <weft/scope.h>

enum goal {
    GOAL_ALL,     /* decided by the first failure */
    GOAL_FIRST,   /* by the first result */
    GOAL_SUCCESS, /* by the first success */
};

struct gathering {
    weft_future *const *futures;
    size_t count;
    enum goal goal;
    weft_future_group group;
    weft_future *winner; /* what decided; NULL: nothing */
    int result;          /* the winner's, or why there is none */
    int failure;         /* the first one */
};

/* Those that have results go on: who gave one early may be cleaning up. */
static void cancel_rest(const struct gathering *gathering)
{
    for (size_t i = 0; i < gathering->count; i++)
        weft_future_cancel(gathering->futures[i]);
}

/* Returns true if that decides. */
static bool count_in(struct gathering *gathering, weft_future *future)
{
    bool is_failure;
    int result = 0;
    int error = weft_future_await(future, &result, 0); /* it is complete */

    WF_ASSERT(error == 0);
    is_failure = result < 0;
    if (is_failure && gathering->failure == 0)
        gathering->failure = result;
    if (gathering->winner != NULL || gathering->result != 0)
        return false; /* too late */
    if (gathering->goal == GOAL_ALL ? !is_failure : gathering->goal == GOAL_SUCCESS && is_failure)
        return false;
    gathering->winner = future;
    gathering->result = result;
    return true;
}

static void await_rest(struct gathering *gathering)
{
    weft_scope shield = WEFT_SCOPE_INIT;
    bool is_shielded = weft_scope_open_shielded(&shield, WEFT_FOREVER) == 0;
    weft_future *future;

    while (weft_future_group_next(&gathering->group, &future, WEFT_FOREVER) == 0)
        (void)count_in(gathering, future);
    if (is_shielded)
        (void)weft_scope_close(&shield, 0);
}

static void gather(struct gathering *gathering, weft_time deadline)
{
    weft_future *future;
    int error;

    for (size_t i = 0; i < gathering->count; i++)
        weft_future_group_add(&gathering->group, gathering->futures[i]);
    while ((error = weft_future_group_next(&gathering->group, &future, deadline)) == 0)
        if (count_in(gathering, future))
            break;
    if (error == -ENOENT)
        return;
    gathering->result = error != 0 ? error : gathering->result;
    cancel_rest(gathering);
    await_rest(gathering);
}

int weft_gather(weft_future *const *futures, size_t count, weft_time deadline)
{
    struct gathering gathering = {.futures = futures, .count = count, .goal = GOAL_ALL};

    gather(&gathering, deadline);
    return gathering.result;
}

static ssize_t index_of(const struct gathering *gathering)
{
    for (size_t i = 0; i < gathering->count; i++)
        if (gathering->futures[i] == gathering->winner)
            return (ssize_t)i;
    return gathering->result != 0 ? gathering->result : gathering->failure;
}

static ssize_t pick(weft_future *const *futures, size_t count, enum goal goal, int *result,
                    weft_time deadline)
{
    struct gathering gathering = {.futures = futures, .count = count, .goal = goal};
    ssize_t index;

    if (count == 0)
        return -EINVAL;
    gather(&gathering, deadline);
    index = index_of(&gathering);
    if (index >= 0 && result != NULL)
        *result = gathering.result;
    return index;
}

ssize_t weft_race(weft_future *const *futures, size_t count, int *result, weft_time deadline)
{
    return pick(futures, count, GOAL_FIRST, result, deadline);
}

ssize_t weft_any(weft_future *const *futures, size_t count, int *result, weft_time deadline)
{
    return pick(futures, count, GOAL_SUCCESS, result, deadline);
}
