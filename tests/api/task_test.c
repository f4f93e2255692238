/* SPDX-License-Identifier: MIT */
/* task.h: fork and join give what calls would have given, wherever the tasks run. */
#include "../support/child.h"
#include "../support/fib.h"
#include "../support/fixture.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <unistd.h>

static int run_fib(void *arg)
{
    (void)arg;
    for (int i = 0; i < 20; i++)
        CHECK_EQ(fib_call(15), 610);
    CHECK_EQ(fib_call(25), 75025);
    return 0;
}

/* A task that is lost, or run by its owner and a thief, gives another sum. */
WORKER_TEST(task, a_tree_of_tasks_adds_up, TEST_TIMEOUT_S)
{
    cr_expect_eq(run_workers(*workers, run_fib, NULL), 0);
}

/* On a plain thread there is nobody to share with; the answer is the same. */
Test(task, plain_threads_run_tasks_in_place)
{
    cr_expect_eq(fib_call(15), 610);
}

struct leaf {
    int n;
    int how; /* what a leaf does */
    const int *pipe;
};

enum { LEAF_SLEEPS, LEAF_YIELDS, LEAF_READS };

static void block(const struct leaf *leaf)
{
    char byte = 'x';

    if (leaf->how == LEAF_SLEEPS)
        CHECK_EQ(weft_sleep(WEFT_MILLISECOND / 10), 0);
    else if (leaf->how == LEAF_YIELDS)
        CHECK_EQ(weft_yield(), 0);
    else {
        CHECK_EQ(weft_read(leaf->pipe[0], &byte, 1, WEFT_FOREVER), 1);
        CHECK_EQ(weft_write(leaf->pipe[1], &byte, 1, WEFT_FOREVER), 1);
    }
}

WEFT_TASK(blocking_fib, uint64_t, struct leaf)

static uint64_t blocking_fib(weft_team team, struct leaf leaf)
{
    struct blocking_fib_task left;
    struct leaf less = leaf;
    uint64_t right;

    if (leaf.n < 2) {
        block(&leaf);
        return (uint64_t)leaf.n;
    }
    less.n = leaf.n - 1;
    blocking_fib_fork(&team, &left, less);
    less.n = leaf.n - 2;
    right = blocking_fib(team, less);
    return blocking_fib_join(&team, &left) + right;
}

static int run_blocking_fib(void *arg)
{
    int fds[2];

    (void)arg;
    CHECK_EQ(pipe(fds), 0);
    CHECK_EQ(write(fds[1], "ab", 2), 2);
    for (int how = LEAF_SLEEPS; how <= LEAF_READS; how++)
        CHECK_EQ(blocking_fib_call((struct leaf){12, how, fds}), 144);
    return close(fds[0]) + close(fds[1]);
}

/* Every leaf blocks: the fiber parks with tasks below it, others take them, and it comes back,
 * perhaps on another worker. */
WORKER_TEST(task, leaves_may_block, TEST_TIMEOUT_S)
{
    struct weft_config config = {.workers = *workers};

    for (config.chaos = 1; config.chaos <= 2; config.chaos++)
        cr_expect_eq(run_config(&config, run_blocking_fib, NULL), 0);
}

struct matrix {
    double cells[9];
};

WEFT_TASK(scale, struct matrix, struct matrix)

static struct matrix scale(weft_team team, struct matrix matrix)
{
    (void)team;
    for (int i = 0; i < 9; i++)
        matrix.cells[i] *= 2;
    return matrix;
}

WEFT_TASK_VOID(count_up, _Atomic(int) *)

static void count_up(weft_team team, _Atomic(int) *counter)
{
    (void)team;
    (void)atomic_fetch_add(counter, 1);
}

WEFT_TASK(use_types, double, int)

static double use_types(weft_team team, int rounds)
{
    struct matrix matrix = {{1, 2, 3, 4, 5, 6, 7, 8, 9}};
    _Atomic(int) counter = 0;
    double sum = 0;

    for (int i = 0; i < rounds; i++) {
        struct scale_task big;
        struct count_up_task none;

        scale_fork(&team, &big, matrix);
        count_up_fork(&team, &none, &counter);
        CHECK_EQ(weft_yield(), 0); /* others can take both */
        count_up_join(&team, &none);
        sum += scale_join(&team, &big).cells[8];
    }
    CHECK_EQ(counter, rounds);
    return sum;
}

static int run_types(void *arg)
{
    (void)arg;
    CHECK(use_types_call(100) == 1800.0);
    return 0;
}

/* Large values and none at all pass through a join, whoever has run the task. */
WORKER_TEST(task, arguments_and_results_have_any_type, TEST_TIMEOUT_S)
{
    cr_expect_eq(run_workers(*workers, run_types, NULL), 0);
}

WEFT_TASK(fork_many, int, int)

static int fork_many(weft_team team, int count)
{
    struct count_up_task *tasks = malloc((size_t)count * sizeof *tasks);
    _Atomic(int) counter = 0;

    CHECK(tasks != NULL);
    for (int i = 0; i < count; i++)
        count_up_fork(&team, &tasks[i], &counter);
    CHECK_EQ(weft_yield(), 0);
    CHECK_EQ(fib_call(10), 55); /* with the deque full, every fork runs in place */
    for (int i = count; i-- > 0;)
        count_up_join(&team, &tasks[i]);
    free(tasks);
    return counter;
}

static int run_many(void *arg)
{
    (void)arg;
    CHECK_EQ(fork_many_call(50000), 50000);
    CHECK_EQ(fork_many_call(100), 100);
    return 0;
}

/* More tasks than a deque has room for: the rest runs in place, and none is lost. */
WORKER_TEST(task, a_full_deque_loses_nothing, TEST_TIMEOUT_S)
{
    cr_expect_eq(run_workers(*workers, run_many, NULL), 0);
}

struct promise {
    int fds[2];
    _Atomic(int) writers;
};

WEFT_TASK_VOID(keep, struct promise *)

static void keep(weft_team team, struct promise *promise)
{
    (void)team;
    promise->writers++;
    CHECK_EQ(weft_write(promise->fds[1], "x", 1, WEFT_FOREVER), 1);
}

WEFT_TASK(wait_for_task, int, struct promise *)

static int wait_for_task(weft_team team, struct promise *promise)
{
    struct keep_task task;
    char byte;

    keep_fork(&team, &task, promise);
    CHECK_EQ(weft_read(promise->fds[0], &byte, 1, WEFT_FOREVER), 1);
    keep_join(&team, &task);
    return promise->writers;
}

static int run_waiter(void *arg)
{
    struct promise promise = {{0, 0}, 0};

    (void)arg;
    CHECK_EQ(pipe(promise.fds), 0);
    for (int i = 1; i <= 50; i++)
        CHECK_EQ(wait_for_task_call(&promise), i);
    return close(promise.fds[0]) + close(promise.fds[1]);
}

/* The fiber waits for something that only its own task, forked before and not yet joined, will do.
 * A parked fiber's tasks are there for all to take, even with a single worker. */
WORKER_TEST(task, tasks_of_a_parked_fiber_run, TEST_TIMEOUT_S)
{
    cr_expect_eq(run_workers(*workers, run_waiter, NULL), 0);
    cr_expect_eq(run_stats().tasks_stolen, 50);
}

struct pair {
    _Atomic(int) here, there;
};

WEFT_TASK_VOID(answer, struct pair *)

static void answer(weft_team team, struct pair *pair)
{
    (void)team;
    atomic_store(&pair->there, 1);
    while (atomic_load(&pair->here) == 0)
        continue;
}

WEFT_TASK_VOID(compute_beside, struct pair *)

static void compute_beside(weft_team team, struct pair *pair)
{
    struct answer_task task;

    answer_fork(&team, &task, pair);
    atomic_store(&pair->here, 1);
    while (atomic_load(&pair->there) == 0)
        continue;
    answer_join(&team, &task);
}

static int run_pair(void *arg)
{
    struct pair pair = {0, 0};

    (void)arg;
    compute_beside_call(&pair);
    return 0;
}

/* One fork, and then the fiber computes without a call: a sleeping worker must have been woken by
 * that one fork, or two halves of a problem would run one after the other. */
WORKER_TEST(task, one_fork_is_enough_to_be_helped, TEST_TIMEOUT_S)
{
    if (*workers > 1)
        cr_expect_eq(run_workers(*workers, run_pair, NULL), 0);
}

struct cancelled {
    _Atomic(int) started;
    _Atomic(int) result;
};

WEFT_TASK(sleep_long, int, struct cancelled *)

static int sleep_long(weft_team team, struct cancelled *state)
{
    (void)team;
    atomic_store(&state->started, 1);
    return weft_sleep_until(WEFT_FOREVER);
}

WEFT_TASK(join_sleeper, int, struct cancelled *)

static int join_sleeper(weft_team team, struct cancelled *state)
{
    struct sleep_long_task task;

    sleep_long_fork(&team, &task, state);
    while (atomic_load(&state->started) == 0 && weft_sleep(WEFT_MILLISECOND / 10) == 0)
        continue;
    return sleep_long_join(&team, &task);
}

static int call_join_sleeper(void *arg)
{
    return join_sleeper_call(arg);
}

static int cancel_joiner(void *arg)
{
    for (int i = 0; i < 20; i++) {
        struct cancelled state = {0, 0};
        weft_fiber *fiber = must_spawn(call_join_sleeper, &state);

        if (i % 2 == 0)
            await_flag(&state.started);
        if (i % 4 == 0)
            CHECK_EQ(weft_sleep(WEFT_MILLISECOND), 0);
        weft_cancel(fiber);
        CHECK_EQ(must_join(fiber), -ECANCELED);
    }
    (void)arg;
    return 0;
}

/* The task was taken and sleeps for ever; the fiber that joins it is cancelled.  Unless the cancel
 * reaches the task, nothing ever ends. */
WORKER_TEST(task, a_cancel_reaches_the_stolen_task, TEST_TIMEOUT_S)
{
    cr_expect_eq(run_workers(*workers, cancel_joiner, NULL), 0);
}

static int join_sleeper_left_alone(void *arg)
{
    CHECK_EQ(weft_spawn(NULL, call_join_sleeper, arg), 0);
    await_flag(&((struct cancelled *)arg)->started);
    return 0;
}

/* The end of the run cancels what is left, and a join waits for its task all the same. */
WORKER_TEST(task, the_end_of_a_run_ends_stolen_tasks, TEST_TIMEOUT_S)
{
    struct cancelled state = {0, 0};

    cr_expect_eq(run_workers(*workers, join_sleeper_left_alone, &state), 0);
}

static int run_limited(void *arg)
{
    CHECK_EQ(run_fib(arg), 0);
    return run_blocking_fib(arg);
}

/* Where no fiber can be had for a thief, the owner runs its tasks itself. */
WORKER_TEST(task, a_limit_on_fibers_only_takes_the_help_away, TEST_TIMEOUT_S)
{
    struct weft_config config = {.workers = *workers, .max_fibers = 1};

    cr_expect_eq(run_config(&config, run_limited, NULL), 0);
    cr_expect_eq(run_stats().tasks_stolen, 0);
}

WEFT_TASK(break_rule, int, int)

static int break_rule(weft_team team, int rule)
{
    struct break_rule_task first, second;

    if (rule < 0)
        return 0;
    break_rule_fork(&team, &first, -1);
    break_rule_fork(&team, &second, -1);
    if (rule == 0)
        return break_rule_join(&team, &first) + break_rule_join(&team, &second);
    return break_rule_join(&team, &second);
}

static int call_break_rule(void *arg)
{
    return break_rule_call((int)(intptr_t)arg);
}

CHILD(broken_rule)
{
    struct weft_config config = {.workers = 1};

    return weft_run(&config, call_break_rule, (void *)(intptr_t)parameter);
}

/* A join out of order, or none at all, would leave a dead frame's address for thieves. */
Test(task, broken_rules_abort, .timeout = TEST_TIMEOUT_S)
{
    static const char *const messages[] = {"not the youngest", "not joined"};

    for (unsigned rule = 0; rule < 2; rule++)
        expect_abort("broken_rule", rule, messages[rule]);
}
