/* SPDX-License-Identifier: MIT */
/* Gather, race, any and groups of futures, whose waiters are cancelled and whose deadlines pass
 * while the futures succeed, fail and are cancelled: each is waited for to its end, and its result
 * is that of all who see one. */
#include "../support/race.h"
#include "../support/random.h"
#include "stress.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>

enum { FUTURES_MAX = 6, MANAGERS = 6, ONLOOKERS = 2, TURNS = 4, FAILED = -EIO };

struct one {
    weft_future future;
    bool is_promise; /* else there is a fiber behind it */
    int wanted;      /* what comes of it, unless it is cancelled */
    struct random random;
    _Atomic(int) begun, ended; /* of its fiber */
    int returned;              /* by its fiber: plain on purpose, the future publishes it */
    bool was_kept;             /* the promise */
};

enum way { BY_GATHER, BY_RACE, BY_ANY, BY_GROUP, WAYS };

struct gathering {
    struct one all[FUTURES_MAX];
    unsigned count;
    enum way way;
    weft_time deadline;
    struct random waiters_random, keepers_random;
    ssize_t outcome;  /* of the waiter's call */
    int result;       /* what it says of the one that decided */
    unsigned taken;   /* out of the group: a bit for each */
    bool was_stopped; /* the waiter, or one of the futures */
};

/* A fiber, or a thread that does not keep a worker from others while it is waited for. */
struct actor {
    int (*fn)(void *);
    void *arg;
    weft_fiber *fiber; /* NULL: it is a thread */
    pthread_t thread;
    weft_event has_ended; /* the thread */
};

static void *act_in_thread(void *arg)
{
    struct actor *actor = arg;

    CHECK_EQ(actor->fn(actor->arg), 0);
    weft_event_set(&actor->has_ended);
    return NULL;
}

static void start(struct actor *actor, bool as_thread)
{
    if (as_thread)
        CHECK_EQ(pthread_create(&actor->thread, NULL, act_in_thread, actor), 0);
    else
        actor->fiber = must_spawn(actor->fn, actor->arg);
}

static void finish(struct actor *actor)
{
    if (actor->fiber != NULL) {
        CHECK_EQ(must_join(actor->fiber), 0);
        return;
    }
    CHECK_EQ(weft_event_wait(&actor->has_ended, WEFT_FOREVER), 0);
    CHECK_EQ(pthread_join(actor->thread, NULL), 0);
}

/* Some end at once, some when they are cancelled, some whenever they like. */
static int dawdle(struct random *random)
{
    unsigned turns = random_below(random, 8);
    int error = 0;

    switch (random_below(random, 4)) {
    case 0:
        return 0;
    case 1:
        for (; turns > 0 && error == 0; turns--)
            error = weft_yield();
        return error;
    case 2:
        return weft_sleep(random_below(random, 150) * WEFT_MICROSECOND);
    default:
        for (; turns > 0; turns--)
            (void)weft_yield();
        return 0;
    }
}

static int run_one(void *arg)
{
    struct one *one = arg;
    int error;

    CHECK_EQ(atomic_fetch_add(&one->begun, 1), 0);
    error = dawdle(&one->random);
    CHECK(error == 0 || error == -ECANCELED);
    one->returned = error != 0 ? error : one->wanted;
    (void)atomic_fetch_add(&one->ended, 1);
    return one->returned;
}

static int keep_promises(void *arg)
{
    struct gathering *gathering = arg;

    for (unsigned i = 0; i < gathering->count; i++) {
        struct one *one = &gathering->all[i];
        int error;

        if (!one->is_promise)
            continue;
        if (weft_self() != NULL)
            (void)dawdle(&gathering->keepers_random);
        error = weft_future_set(&one->future, one->wanted, one);
        CHECK(error == 0 || error == -EALREADY);
        one->was_kept = error == 0;
    }
    return 0;
}

/* Without a look at more of them than it likes. */
static void take_one_by_one(struct gathering *gathering)
{
    weft_future_group group = WEFT_FUTURE_GROUP_INIT;
    weft_future *next;

    for (unsigned i = 0; i < gathering->count; i++)
        weft_future_group_add(&group, &gathering->all[i].future);
    do {
        gathering->outcome = weft_future_group_next(&group, &next, gathering->deadline);
        if (gathering->outcome == 0) {
            ptrdiff_t index = (struct one *)(void *)next - gathering->all;

            CHECK(index >= 0 && index < gathering->count);
            CHECK((gathering->taken & (1U << index)) == 0);
            CHECK(weft_future_is_done(next));
            gathering->taken |= 1U << index;
        }
    } while (gathering->outcome == 0 && random_below(&gathering->waiters_random, 10) != 0);
    weft_future_group_close(&group);
}

static int wait_for_all(void *arg)
{
    struct gathering *gathering = arg;
    weft_future *futures[FUTURES_MAX];

    for (unsigned i = 0; i < gathering->count; i++)
        futures[i] = &gathering->all[i].future;
    if (gathering->way == BY_GROUP) {
        take_one_by_one(gathering);
        return 0;
    }
    if (gathering->way == BY_GATHER)
        gathering->outcome = weft_gather(futures, gathering->count, gathering->deadline);
    else if (gathering->way == BY_RACE)
        gathering->outcome = weft_race(futures, gathering->count, &gathering->result,
                                       gathering->deadline);
    else
        gathering->outcome = weft_any(futures, gathering->count, &gathering->result,
                                      gathering->deadline);
    /* Whatever came of it, nothing goes on behind it. */
    for (unsigned i = 0; i < gathering->count; i++) {
        struct one *one = &gathering->all[i];

        CHECK(weft_future_is_done(futures[i]));
        CHECK_EQ(atomic_load(&one->ended), !one->is_promise);
    }
    return 0;
}

struct onlooker {
    struct one *one;
    struct random random;
    bool has_seen;
    int seen;
};

static int look_on(void *arg)
{
    struct onlooker *onlooker = arg;
    weft_time deadline = race_deadline(&onlooker->random);
    struct weft_select_case cases[] = {WEFT_FUTURE_CASE(&onlooker->one->future, &onlooker->seen)};
    int error;

    if (random_below(&onlooker->random, 2) == 0)
        error = weft_future_await(&onlooker->one->future, &onlooker->seen, deadline);
    else
        error = weft_select(cases, 1, deadline);
    CHECK(error == 0 || error == -ETIMEDOUT);
    onlooker->has_seen = error == 0;
    return 0;
}

static void begin(struct gathering *gathering, struct random *random)
{
    gathering->count = 1 + random_below(random, FUTURES_MAX);
    gathering->way = random_below(random, WAYS);
    gathering->deadline = race_deadline(random);
    gathering->waiters_random.state = random_next(random);
    gathering->keepers_random.state = random_next(random);
    for (unsigned i = 0; i < gathering->count; i++) {
        struct one *one = &gathering->all[i];

        one->is_promise = random_below(random, 3) == 0;
        one->wanted = random_below(random, 3) == 0 ? FAILED : (int)i;
        one->random.state = random_next(random);
        if (!one->is_promise)
            CHECK_EQ(weft_future_spawn(&one->future, run_one, one), 0);
    }
}

/* Cancels the waiter, or some of what it waits for, while that may have ended. */
static void disturb(struct gathering *gathering, const struct actor *waiter, struct random *random)
{
    for (unsigned left = random_below(random, 3); left > 0; left--) {
        for (unsigned yields = random_below(random, 16); yields > 0; yields--)
            CHECK_EQ(weft_yield(), 0);
        gathering->was_stopped = true;
        if (waiter->fiber != NULL && random_below(random, 2) == 0)
            weft_cancel(waiter->fiber);
        else
            weft_future_cancel(&gathering->all[random_below(random, gathering->count)].future);
    }
}

static bool any_is(const int *results, unsigned count, bool is_failure)
{
    for (unsigned i = 0; i < count; i++)
        if ((results[i] < 0) == is_failure)
            return true;
    return false;
}

static void expect_outcome(const struct gathering *gathering, const int *results)
{
    ssize_t outcome = gathering->outcome;

    if (gathering->way == BY_GROUP) {
        CHECK(outcome != -ENOENT || gathering->taken == (1U << gathering->count) - 1);
    } else if (outcome >= 0 && gathering->way == BY_GATHER) {
        CHECK_EQ(outcome, 0);
        CHECK(!any_is(results, gathering->count, true));
    } else if (outcome >= 0) {
        CHECK(outcome < (ssize_t)gathering->count);
        CHECK_EQ(gathering->result, results[outcome]);
        CHECK(gathering->way == BY_RACE || gathering->result >= 0);
        /* The first one has not been cancelled by the call, which does that to the others. */
        CHECK(gathering->was_stopped || gathering->result != -ECANCELED);
    }
    switch (outcome) {
    case -ETIMEDOUT:
        CHECK(gathering->deadline != WEFT_FOREVER);
        break;
    case -ECANCELED:
        CHECK(gathering->was_stopped);
        break;
    case FAILED:
        CHECK(gathering->way == BY_GATHER || gathering->way == BY_ANY);
        CHECK(any_is(results, gathering->count, true));
        CHECK(gathering->way != BY_ANY || !any_is(results, gathering->count, false));
        break;
    default:
        CHECK(outcome >= 0 || (outcome == -ENOENT && gathering->way == BY_GROUP));
    }
}

/* The waiter has returned, and so have all others. */
static void settle(struct gathering *gathering, const struct onlooker *onlookers)
{
    bool is_group = gathering->way == BY_GROUP;
    int results[FUTURES_MAX];

    for (unsigned i = 0; i < gathering->count; i++) {
        struct one *one = &gathering->all[i];
        bool was_given = one->is_promise && one->was_kept;

        if (is_group) /* which leaves them alone */
            weft_future_cancel(&one->future);
        CHECK_EQ(weft_future_await(&one->future, &results[i], is_group ? WEFT_FOREVER : 0), 0);
        CHECK_EQ(atomic_load(&one->begun), !one->is_promise);
        CHECK_EQ(atomic_load(&one->ended), !one->is_promise);
        if (one->is_promise)
            CHECK_EQ(results[i], was_given ? one->wanted : -ECANCELED);
        else
            CHECK_EQ(results[i], one->returned);
        CHECK(weft_future_value(&one->future) == (was_given ? one : NULL));
        for (int j = 0; j < ONLOOKERS; j++)
            if (onlookers[j].one == one && onlookers[j].has_seen)
                CHECK_EQ(onlookers[j].seen, results[i]);
        weft_future_close(&one->future);
    }
    expect_outcome(gathering, results);
}

static void gather_once(struct random *random)
{
    struct gathering gathering = {.count = 0};
    struct actor waiter = {.fn = wait_for_all, .arg = &gathering};
    struct actor keeper = {.fn = keep_promises, .arg = &gathering};
    struct onlooker onlookers[ONLOOKERS];
    weft_fiber *looking[ONLOOKERS];

    begin(&gathering, random);
    start(&keeper, random_below(random, 16) == 0);
    start(&waiter, random_below(random, 16) == 0);
    for (int i = 0; i < ONLOOKERS; i++) {
        onlookers[i] = (struct onlooker){
            .one = &gathering.all[random_below(random, gathering.count)],
            .random.state = random_next(random)};
        looking[i] = must_spawn(look_on, &onlookers[i]);
    }
    disturb(&gathering, &waiter, random);
    finish(&keeper);
    finish(&waiter);
    for (int i = 0; i < ONLOOKERS; i++)
        CHECK_EQ(must_join(looking[i]), 0);
    settle(&gathering, onlookers);
}

static int manage(void *arg)
{
    struct random random = {.state = *(uint64_t *)arg};

    for (int i = 0; i < TURNS; i++)
        gather_once(&random);
    return 0;
}

struct plan {
    weft_time end;
    uint64_t seed;
};

static int gather_often(void *arg)
{
    const struct plan *plan = arg;
    struct random random = random_stream(plan->seed, 0);

    do {
        uint64_t seeds[MANAGERS];
        weft_fiber *managers[MANAGERS];

        for (int i = 0; i < MANAGERS; i++) {
            seeds[i] = random_next(&random);
            managers[i] = must_spawn(manage, &seeds[i]);
        }
        for (int i = 0; i < MANAGERS; i++)
            CHECK_EQ(must_join(managers[i]), 0);
    } while (weft_now() < plan->end);
    return 0;
}

/* A future that is left behind runs on in a frame that is gone; one that is waited for twice waits
 * for ever; one that decides twice gives two answers. */
WORKER_TEST(gather_stress, each_future_ends_once_whoever_gives_up, STRESS_TIMEOUT_S)
{
    struct plan plan = {.end = stress_end(), .seed = random_seed("gather_stress")};

    cr_expect_eq(run_workers(*workers, gather_often, &plan), 0);
}
