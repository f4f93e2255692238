/* SPDX-License-Identifier: MIT */
/* A scope is cancelled from outside while its owner closes it: nothing of that cancel comes after
 * the close. */
#include "../support/random.h"
#include "stress.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <string.h>

enum { ROUNDS_MIN = 200, SPIN_MAX = 600, TURNS = 4, OVER = -1 };

/* The owner of the scope and its canceller go through the rounds together. */
struct rounds {
    weft_scope scope;
    uint64_t seed;
    bool is_shield;
    _Atomic(int) begun;   /* the owner writes: which one, or OVER */
    _Atomic(int) visited; /* the canceller writes: its calls have returned up to this one */
};

static void spin(struct random *random)
{
    for (unsigned i = random_below(random, SPIN_MAX); i > 0; i--)
        atomic_signal_fence(memory_order_seq_cst);
}

static int cancel_each_round(struct rounds *rounds, bool is_fiber)
{
    struct random random = random_stream(rounds->seed, 1);
    int last = 0;

    for (;;) {
        int round = atomic_load(&rounds->begun);

        if (round == OVER)
            return 0;
        if (round == last) {
            if (is_fiber)
                (void)weft_yield();
            else
                (void)sched_yield();
            continue;
        }
        last = round;
        spin(&random);
        CHECK_EQ(weft_scope_cancel(&rounds->scope), 0);
        atomic_store(&rounds->visited, round);
    }
}

static void *cancel_in_thread(void *arg)
{
    (void)cancel_each_round(arg, false);
    return NULL;
}

static int cancel_in_fiber(void *arg)
{
    return cancel_each_round(arg, true);
}

/* After this call nobody has a right to the scope's memory. */
static void run_round(struct rounds *rounds, int round, struct random *random)
{
    CHECK_EQ(rounds->is_shield ? weft_scope_open_shielded(&rounds->scope, WEFT_FOREVER)
                               : weft_scope_open(&rounds->scope, WEFT_FOREVER),
             0);
    atomic_store(&rounds->begun, round);
    spin(random);
    CHECK_EQ(weft_scope_close(&rounds->scope, round), round);
    while (atomic_load(&rounds->visited) != round)
        (void)sched_yield(); /* the next turn is not for the fiber that cancels, if there is one */
}

static int close_each_round(void *arg)
{
    static const weft_scope unused = WEFT_SCOPE_INIT;
    struct rounds *rounds = arg;
    struct random random = random_stream(rounds->seed, 2);
    weft_time end = stress_end();

    for (int round = 1; round <= ROUNDS_MIN || weft_now() < end; round++) {
        rounds->is_shield = round % 2 == 0;
        run_round(rounds, round, &random);
        rounds->scope = unused;
        for (int i = 0; i < TURNS; i++)
            CHECK_EQ(weft_yield(), 0);
        CHECK(memcmp(&rounds->scope, &unused, sizeof unused) == 0);
    }
    atomic_store(&rounds->begun, OVER);
    return 0;
}

static int race_with_thread(void *arg)
{
    pthread_t thread;

    CHECK_EQ(pthread_create(&thread, NULL, cancel_in_thread, arg), 0);
    CHECK_EQ(close_each_round(arg), 0);
    return pthread_join(thread, NULL);
}

/* It is a fiber that cancels, for the thread, and that one needs the scope to stay. */
WORKER_TEST(scope_stress, a_close_waits_for_the_cancel_of_a_thread, STRESS_TIMEOUT_S)
{
    struct rounds rounds = {.seed = random_seed("scope_stress")};

    cr_expect_eq(run_workers(*workers, race_with_thread, &rounds), 0);
}

/* For a fiber of another runtime the same. */
WORKER_TEST(scope_stress, a_close_waits_for_the_cancel_of_another_runtime, STRESS_TIMEOUT_S)
{
    struct rounds rounds = {.seed = random_seed("scope_stress_runtimes")};
    weft_runtime *owner = must_start(*workers, close_each_round, &rounds);
    weft_runtime *canceller = must_start(1, cancel_in_fiber, &rounds);

    cr_expect_eq(must_end(owner), 0);
    cr_expect_eq(must_end(canceller), 0);
}
