/* SPDX-License-Identifier: MIT */
/* runtime/split.h at its real size.  tests/model has the interleavings of a small one. */
#include "runtime/split.h"

#include "check.h"
#include "random.h"

#include <criterion/criterion.h>
#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>

enum { TIMEOUT_S = 120, SLOTS = 256, STEPS = 200000, THIEVES = 3, TASKS = 200000 };

struct deque {
    struct wf_split split;
    struct wf_task *slots[SLOTS + 1];
    struct wf_task **head;
};

static void init(struct deque *deque)
{
    memset(deque, 0, sizeof *deque);
    wf_split_init(&deque->split, deque->slots, SLOTS + 1);
    deque->head = deque->split.first;
}

/* What the header's inline half of a fork does. */
static void push(struct deque *deque, struct wf_task *task)
{
    *deque->head++ = task;
}

/* What a join does.  Returns false if the youngest task has been stolen. */
static bool pop(struct deque *deque, struct wf_task *task)
{
    bool is_private = deque->head[-1] == task;

    if (!is_private) {
        CHECK(deque->head[-1] == wf_split_mark(task));
        if (!wf_split_take_back(&deque->split, deque->head))
            return false;
    }
    *--deque->head = NULL;
    return true;
}

/* Without an ask nothing is shared, and what is not shared cannot be claimed: a claim of a private
 * task would race with the owner's plain stores. */
Test(split, private_tasks_cannot_be_claimed, .timeout = TIMEOUT_S)
{
    struct deque deque;
    struct wf_task tasks[3] = {0};

    init(&deque);
    for (int i = 0; i < 3; i++)
        push(&deque, &tasks[i]);
    cr_expect_eq(wf_split_private(&deque.split, deque.head), 3);
    cr_expect_not(wf_split_has_shared(&deque.split));
    cr_expect_null(wf_split_claim(&deque.split));
    for (int i = 3; i-- > 0;)
        cr_expect(pop(&deque, &tasks[i]));
    cr_expect(deque.head == deque.split.first);
}

/* Thieves get the oldest, which are the largest in a recursion, and the owner half of the rest. */
Test(split, thieves_take_the_oldest_and_the_owner_half_of_the_rest, .timeout = TIMEOUT_S)
{
    struct deque deque;
    struct wf_task tasks[8] = {0};

    init(&deque);
    for (int i = 0; i < 8; i++)
        push(&deque, &tasks[i]);
    wf_split_share(&deque.split, 8);
    cr_expect_eq(wf_split_private(&deque.split, deque.head), 0);
    cr_expect(wf_split_claim(&deque.split) == &tasks[0]);
    cr_expect(wf_split_claim(&deque.split) == &tasks[1]);
    cr_expect(pop(&deque, &tasks[7]));
    cr_expect_eq(wf_split_private(&deque.split, deque.head), 2, "half of six, less the one popped");
    for (int i = 6; i >= 2; i--)
        cr_expect(pop(&deque, &tasks[i]));
    for (int i = 1; i >= 0; i--) {
        cr_expect_not(pop(&deque, &tasks[i]), "task %d is a thief's", i);
        wf_split_forget(&deque.split, deque.head--);
    }
    cr_expect(deque.head == deque.split.first);
}

/* The owner keeps its head in a register; the library finds it again by the first null slot, also
 * where that would be beyond the last slot. */
Test(split, the_head_is_found_wherever_it_is, .timeout = TIMEOUT_S)
{
    struct deque deque;
    struct wf_task tasks[SLOTS] = {0};

    init(&deque);
    for (int i = 0; i < SLOTS; i++) {
        cr_assert(wf_split_head(&deque.split) == deque.head);
        push(&deque, &tasks[i]);
    }
    cr_expect(deque.head == deque.split.end);
    cr_expect(wf_split_head(&deque.split) == deque.head);
    wf_split_share(&deque.split, SLOTS);
    cr_expect(wf_split_head(&deque.split) == deque.head);
}

/* An ask is seen by the owner's comparison at its next fork and stays until it is served. */
Test(split, an_ask_stays_until_the_owner_stops_watching, .timeout = TIMEOUT_S)
{
    struct deque deque;

    init(&deque);
    wf_split_watch(&deque.split, false);
    cr_expect_not(wf_split_is_asked(&deque.split));
    wf_split_ask(&deque.split);
    wf_split_ask(&deque.split);
    cr_expect(wf_split_is_asked(&deque.split));
    wf_split_watch(&deque.split, false);
    cr_expect_not(wf_split_is_asked(&deque.split));
}

/* A waiter is handed over exactly once: to the thief if it came first, else it must not sleep. */
Test(split, a_completion_and_a_waiter_always_meet, .timeout = TIMEOUT_S)
{
    struct wf_task early = {0}, late = {0};
    int waiter;

    cr_expect(wf_task_await(&early, &waiter));
    cr_expect_not(wf_task_is_done(&early));
    cr_expect(wf_task_complete(&early) == &waiter);
    cr_expect(wf_task_is_done(&early));
    cr_expect_null(wf_task_complete(&late));
    cr_expect_not(wf_task_await(&late, &waiter), "it is done already");
}

/* Random operations of all kinds against indices of an array: a wrong half of the word, or a mark
 * that is left behind, shows as another task than expected. */
Test(split, behaves_like_an_array, .timeout = TIMEOUT_S)
{
    struct random random = random_stream(random_seed("split"), 0);
    static struct wf_task tasks[SLOTS];
    unsigned stolen = 0, count = 0, shared = 0, claims = 0; /* stolen <= shared <= count */
    struct deque deque;

    init(&deque);
    for (unsigned step = 0; step < STEPS; step++) {
        unsigned choice = random_below(&random, 8);

        if (choice < 4 && count < SLOTS) {
            push(&deque, &tasks[count++]);
        } else if (choice == 4 && count > shared && shared == stolen) {
            unsigned some = 1 + random_below(&random, count - shared);

            wf_split_share(&deque.split, some);
            shared += some;
        } else if (choice == 5) {
            struct wf_task *expected = stolen < shared ? &tasks[stolen] : NULL;

            cr_assert(wf_split_claim(&deque.split) == expected, "claim in step %u", step);
            stolen += expected != NULL;
            claims += expected != NULL;
        } else if (choice > 5 && count > 0) {
            bool is_ours = count > stolen;

            cr_assert_eq(pop(&deque, &tasks[count - 1]), is_ours, "pop in step %u", step);
            if (is_ours && count == shared)
                shared = stolen + (shared - stolen) / 2;
            count--;
            if (!is_ours) {
                wf_split_forget(&deque.split, deque.head--);
                stolen = shared = count;
            }
        }
        cr_assert_eq(wf_split_has_shared(&deque.split), stolen < shared);
        cr_assert_eq(wf_split_private(&deque.split, deque.head), count - shared);
        cr_assert(wf_split_head(&deque.split) == deque.head);
    }
    cr_expect_gt(claims, STEPS / 100, "hardly anything was stolen");
}

struct contest {
    struct deque deque;
    struct wf_task tasks[SLOTS];
    int payload[SLOTS]; /* plain memory: ThreadSanitizer sees a claim that missed its share */
    int result[SLOTS];
    _Atomic(int) is_over;
    _Atomic(unsigned) stolen;
};

static void *run_thief(void *arg)
{
    struct contest *contest = arg;

    while (atomic_load(&contest->is_over) == 0) {
        struct wf_task *task = wf_split_claim(&contest->deque.split);
        size_t i;

        if (task == NULL) {
            wf_split_ask(&contest->deque.split);
            sched_yield();
            continue;
        }
        i = (size_t)(task - contest->tasks);
        contest->result[i] += contest->payload[i];
        (void)atomic_fetch_add(&contest->stolen, 1);
        CHECK(wf_task_complete(task) == NULL);
    }
    return NULL;
}

/* Joins the youngest task; whoever ran it, its result is there exactly once. */
static void join(struct contest *contest, size_t i, int payload)
{
    if (pop(&contest->deque, &contest->tasks[i])) {
        contest->result[i] += contest->payload[i];
    } else {
        while (!wf_task_is_done(&contest->tasks[i]))
            sched_yield();
        wf_split_forget(&contest->deque.split, contest->deque.head--);
    }
    CHECK_EQ(contest->result[i], payload);
}

static void run_owner(struct contest *contest, struct random *random)
{
    struct deque *deque = &contest->deque;
    int payloads[SLOTS];
    size_t count = 0;

    for (int done = 0; done < TASKS || count > 0;) {
        if (done < TASKS && count < SLOTS && random_below(random, 2) == 0) {
            payloads[count] = contest->payload[count] = ++done;
            contest->result[count] = 0;
            push(deque, &contest->tasks[count++]);
            if (wf_split_is_asked(&deque->split) && !wf_split_has_shared(&deque->split)) {
                wf_split_watch(&deque->split, false);
                wf_split_share(&deque->split,
                               (wf_split_private(&deque->split, deque->head) + 1) / 2);
            }
        } else if (count > 0) {
            count--;
            join(contest, count, payloads[count]);
        }
    }
}

/* An owner and thieves at full speed: each task is run once and its result is seen by the join.
 * The same slots hold thousands of tasks, so the word comes back to the same values again and
 * again while a thief is between its look and its claim. */
Test(split, every_task_runs_once_and_its_result_is_seen, .timeout = TIMEOUT_S)
{
    static struct contest contest;
    struct random random = random_stream(random_seed("split_contest"), 0);
    pthread_t thieves[THIEVES];

    init(&contest.deque);
    for (int i = 0; i < THIEVES; i++)
        cr_assert_eq(pthread_create(&thieves[i], NULL, run_thief, &contest), 0);
    do
        run_owner(&contest, &random);
    while (atomic_load(&contest.stolen) == 0); /* the test's timeout ends it */
    atomic_store(&contest.is_over, 1);
    for (int i = 0; i < THIEVES; i++)
        cr_assert_eq(pthread_join(thieves[i], NULL), 0);
    cr_expect_null(wf_split_claim(&contest.deque.split));
}
