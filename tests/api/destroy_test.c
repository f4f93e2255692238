/* SPDX-License-Identifier: MIT */
/* What was destroyed, or is destroyed while somebody waits there, ends the program with the rule's
 * name.  (Mutexes and readers-writer locks: mutex_rules_test.c and rwlock_rules_test.c.) */
#define _GNU_SOURCE 1

#include "../support/child.h"
#include "../support/fixture.h"

#include <stdlib.h>
#include <string.h>

/* A call that misses the mistake must not wait for ever. */
#define SOON weft_after(10 * WEFT_SECOND)

static weft_event event = WEFT_EVENT_INIT;
static weft_barrier barrier = WEFT_BARRIER_INIT(2);
static weft_condition condition = WEFT_CONDITION_INIT;
static weft_mutex mutex = WEFT_MUTEX_INIT;
static weft_semaphore semaphore = WEFT_SEMAPHORE_INIT(0);
static weft_wait_group group = WEFT_WAIT_GROUP_INIT;
static weft_latch latch = WEFT_LATCH_INIT(2);
static weft_channel channel = WEFT_CHANNEL_INIT(int, NULL, 0);
static int ring[1];
static weft_broadcast news = WEFT_BROADCAST_INIT(int, ring, 1);
static weft_broadcast_receiver receiver;
static int item;
static struct weft_select_case receive_case[] = {WEFT_RECEIVE_CASE(&channel, &item)};

static int lock_and_wait(void)
{
    CHECK_EQ(weft_mutex_lock(&mutex, WEFT_FOREVER), 0);
    return weft_condition_wait(&condition, &mutex, SOON);
}

static int lock_and_look(void)
{
    CHECK_EQ(weft_mutex_lock(&mutex, WEFT_FOREVER), 0);
    return weft_condition_wait(&condition, &mutex, 0);
}

/* Each does something with an object, or waits there. */
#define CALL(name, expression)    \
    static int name(void)         \
    {                             \
        return (int)(expression); \
    }

CALL(destroy_event, (weft_event_destroy(&event), 0))
CALL(set_event, (weft_event_set(&event), 0))
CALL(reset_event, (weft_event_reset(&event), 0))
CALL(wait_for_event, weft_event_wait(&event, SOON))
CALL(look_at_event, weft_event_is_set(&event))
CALL(destroy_barrier, (weft_barrier_destroy(&barrier), 0))
CALL(wait_at_barrier, weft_barrier_wait(&barrier, SOON))
CALL(break_barrier, (weft_barrier_break(&barrier), 0))
CALL(reset_barrier, (weft_barrier_reset(&barrier), 0))
CALL(look_at_barrier, weft_barrier_is_broken(&barrier))
CALL(destroy_condition, (weft_condition_destroy(&condition), 0))
CALL(signal_condition, (weft_condition_signal(&condition), 0))
CALL(broadcast_condition, (weft_condition_broadcast(&condition), 0))
CALL(destroy_semaphore, (weft_semaphore_destroy(&semaphore), 0))
CALL(acquire, weft_semaphore_acquire(&semaphore, 1, SOON))
CALL(acquire_nothing, weft_semaphore_acquire(&semaphore, 0, SOON))
CALL(try_acquire, weft_semaphore_try_acquire(&semaphore, 1))
CALL(release, (weft_semaphore_release(&semaphore, 1), 0))
CALL(count_permits, weft_semaphore_available(&semaphore))
CALL(destroy_group, (weft_wait_group_destroy(&group), 0))
CALL(add_to_group, (weft_wait_group_add(&group, 1), 0))
CALL(end_one_of_group, (weft_wait_group_done(&group), 0))
CALL(wait_for_group, weft_wait_group_wait(&group, SOON))
CALL(destroy_latch, (weft_latch_destroy(&latch), 0))
CALL(arrive, (weft_latch_arrive(&latch), 0))
CALL(wait_for_latch, weft_latch_wait(&latch, SOON))
CALL(arrive_and_wait, weft_latch_arrive_and_wait(&latch, SOON))
CALL(destroy_channel, (weft_channel_destroy(&channel), 0))
CALL(send_value, weft_channel_send(&channel, &item, sizeof item, SOON))
CALL(receive_value, weft_channel_receive(&channel, &item, sizeof item, SOON))
CALL(try_to_send, weft_channel_try_send(&channel, &item, sizeof item))
CALL(try_to_receive, weft_channel_try_receive(&channel, &item, sizeof item))
CALL(count_values, weft_channel_length(&channel))
CALL(close_channel, (weft_channel_close(&channel), 0))
CALL(select_channel, weft_select(receive_case, 1, SOON))
CALL(destroy_news, (weft_broadcast_destroy(&news), 0))
CALL(subscribe, (weft_broadcast_subscribe(&news, &receiver), 0))
CALL(tell, weft_broadcast_send(&news, &item, sizeof item))
CALL(hear, weft_broadcast_receive(&receiver, &item, sizeof item, SOON))
CALL(try_to_hear, weft_broadcast_try_receive(&receiver, &item, sizeof item))
CALL(close_news, (weft_broadcast_close(&news), 0))

static const struct {
    int (*destroy)(void);
    int (*use)(void);
} uses[] = {
    {destroy_event, destroy_event},
    {destroy_event, set_event},
    {destroy_event, reset_event},
    {destroy_event, wait_for_event},
    {destroy_event, look_at_event},
    {destroy_barrier, destroy_barrier},
    {destroy_barrier, wait_at_barrier},
    {destroy_barrier, break_barrier},
    {destroy_barrier, reset_barrier},
    {destroy_barrier, look_at_barrier},
    {destroy_condition, destroy_condition},
    {destroy_condition, signal_condition},
    {destroy_condition, broadcast_condition},
    {destroy_condition, lock_and_wait},
    {destroy_condition, lock_and_look},
    {destroy_semaphore, destroy_semaphore},
    {destroy_semaphore, acquire},
    {destroy_semaphore, acquire_nothing},
    {destroy_semaphore, try_acquire},
    {destroy_semaphore, release},
    {destroy_semaphore, count_permits},
    {destroy_group, destroy_group},
    {destroy_group, add_to_group},
    {destroy_group, end_one_of_group},
    {destroy_group, wait_for_group},
    {destroy_latch, destroy_latch},
    {destroy_latch, arrive},
    {destroy_latch, wait_for_latch},
    {destroy_latch, arrive_and_wait},
    {destroy_channel, destroy_channel},
    {destroy_channel, send_value},
    {destroy_channel, receive_value},
    {destroy_channel, try_to_send},
    {destroy_channel, try_to_receive},
    {destroy_channel, count_values},
    {destroy_channel, close_channel},
    {destroy_channel, select_channel},
    {destroy_news, destroy_news},
    {destroy_news, subscribe},
    {destroy_news, tell},
    {destroy_news, hear},
    {destroy_news, try_to_hear},
    {destroy_news, close_news},
};

enum { USES = sizeof uses / sizeof *uses };

CHILD(use_what_was_destroyed)
{
    (void)subscribe();
    (void)uses[parameter].destroy();
    return uses[parameter].use();
}

/* What is waited for there would never come, or come to a queue of others. */
Test(destroy, use_after_it_aborts, .timeout = TEST_TIMEOUT_S)
{
    for (unsigned i = 0; i < USES; i++)
        expect_abort("use_what_was_destroyed", i, "destroyed");
}

static weft_future future = WEFT_FUTURE_INIT;
static weft_future_group futures = WEFT_FUTURE_GROUP_INIT;
static struct weft_select_case future_case[] = {WEFT_FUTURE_CASE(&future, &item)};

CALL(close_future, (weft_future_close(&future), 0))
CALL(set_future, weft_future_set(&future, 1, NULL))
CALL(await_future, weft_future_await(&future, NULL, SOON))
CALL(look_at_future, weft_future_is_done(&future))
CALL(take_value, weft_future_value(&future) != NULL)
CALL(cancel_future, (weft_future_cancel(&future), 0))
CALL(gather_future, (weft_future_group_add(&futures, &future), 0))
CALL(select_future, weft_select(future_case, 1, SOON))

static int (*const future_uses[])(void) = {close_future,   set_future,   await_future,
                                           look_at_future, take_value,   cancel_future,
                                           gather_future,  select_future};

enum { FUTURE_USES = sizeof future_uses / sizeof *future_uses };

CHILD(use_a_closed_future)
{
    if (parameter >= FUTURE_USES) /* one that has had a result */
        (void)set_future();
    (void)close_future();
    return future_uses[parameter % FUTURE_USES]();
}

/* A promise that is kept too late would write into whatever lies there now. */
Test(destroy, use_of_a_closed_future_aborts, .timeout = TEST_TIMEOUT_S)
{
    for (unsigned i = 0; i < 2 * FUTURE_USES; i++)
        expect_abort("use_a_closed_future", i, "closed");
}

static const struct {
    int (*wait)(void);
    int (*destroy)(void);
    void *const *queue;
} waits[] = {
    {wait_for_event, destroy_event, &event.queue},
    {wait_at_barrier, destroy_barrier, &barrier.queue},
    {lock_and_wait, destroy_condition, &condition.queue},
    {acquire, destroy_semaphore, &semaphore.queue},
    {wait_for_group, destroy_group, &group.queue},
    {wait_for_latch, destroy_latch, &latch.queue},
    {arrive_and_wait, destroy_latch, &latch.queue},
};

enum { WAITS = sizeof waits / sizeof *waits };

static int call(void *arg)
{
    int (*const *function)(void) = arg;

    return (*function)();
}

static int destroy_beneath(void *arg)
{
    unsigned number = *(unsigned *)arg;
    int (*wait)(void) = waits[number].wait;
    weft_fiber *fiber;

    (void)add_to_group();
    fiber = must_spawn(call, (void *)&wait);
    while (!has_waiters(waits[number].queue))
        (void)weft_yield();
    (void)waits[number].destroy();
    return must_join(fiber);
}

CHILD(destroy_what_is_waited_for)
{
    struct weft_config config = {.workers = parameter / WAITS};
    unsigned number = parameter % WAITS;

    return weft_run(&config, destroy_beneath, &number);
}

/* Nobody would ever wake the one that waits there. */
WORKER_TEST(destroy, with_somebody_waiting_aborts, TEST_TIMEOUT_S)
{
    for (unsigned i = 0; i < WAITS; i++)
        expect_abort("destroy_what_is_waited_for", *workers * WAITS + i, "somebody waits");
}

/* The last ones to use these objects may still be in the call that let us through. */
struct objects {
    weft_event event;
    weft_semaphore semaphore;
    weft_latch latch;
    weft_wait_group group;
    weft_barrier barrier;
    weft_condition condition;
    weft_mutex mutex;
    int is_said; /* under the mutex */
};

static int let_through(void *arg)
{
    struct objects *objects = arg;
    int result;

    weft_event_set(&objects->event);
    weft_semaphore_release(&objects->semaphore, 1);
    weft_latch_arrive(&objects->latch);
    weft_wait_group_done(&objects->group);
    CHECK_EQ(weft_mutex_lock(&objects->mutex, WEFT_FOREVER), 0);
    objects->is_said = 1;
    weft_condition_signal(&objects->condition);
    weft_mutex_unlock(&objects->mutex);
    result = weft_barrier_wait(&objects->barrier, WEFT_FOREVER);
    CHECK(result == 0 || result == WEFT_BARRIER_SERIAL);
    return 0;
}

static void pass(struct objects *objects)
{
    int result;

    CHECK_EQ(weft_event_wait(&objects->event, WEFT_FOREVER), 0);
    weft_event_destroy(&objects->event);
    CHECK_EQ(weft_semaphore_acquire(&objects->semaphore, 1, WEFT_FOREVER), 0);
    weft_semaphore_destroy(&objects->semaphore);
    CHECK_EQ(weft_latch_wait(&objects->latch, WEFT_FOREVER), 0);
    weft_latch_destroy(&objects->latch);
    CHECK_EQ(weft_wait_group_wait(&objects->group, WEFT_FOREVER), 0);
    weft_wait_group_destroy(&objects->group);
    CHECK_EQ(weft_mutex_lock(&objects->mutex, WEFT_FOREVER), 0);
    while (!objects->is_said)
        CHECK_EQ(weft_condition_wait(&objects->condition, &objects->mutex, WEFT_FOREVER), 0);
    weft_mutex_unlock(&objects->mutex);
    result = weft_barrier_wait(&objects->barrier, WEFT_FOREVER);
    CHECK(result == 0 || result == WEFT_BARRIER_SERIAL);
    weft_barrier_destroy(&objects->barrier);
}

static int pass_often(void *arg)
{
    (void)arg;
    for (int i = 0; i < 200; i++) {
        struct objects *objects = malloc(sizeof *objects);
        weft_fiber *fiber;

        CHECK(objects != NULL);
        *objects = (struct objects){.semaphore = WEFT_SEMAPHORE_INIT(0),
                                    .latch = WEFT_LATCH_INIT(1),
                                    .barrier = WEFT_BARRIER_INIT(2)};
        weft_wait_group_add(&objects->group, 1);
        fiber = must_spawn(let_through, objects);
        for (int j = i % 3; j > 0; j--)
            CHECK_EQ(weft_yield(), 0);
        pass(objects);
        CHECK_EQ(must_join(fiber), 0);
        /* It is the signaller's until that one has unlocked the mutex. */
        weft_condition_destroy(&objects->condition);
        weft_mutex_destroy(&objects->mutex);
        free(objects);
    }
    return 0;
}

/* A check that cries where nothing is wrong would be left out. */
WORKER_TEST(destroy, who_came_through_may, TEST_TIMEOUT_S)
{
    cr_expect_eq(run_workers(*workers, pass_often, NULL), 0);
}

/* As weft/mutex.h says of mutexes. */
Test(destroy, it_can_be_initialised_anew, .timeout = TEST_TIMEOUT_S)
{
    weft_semaphore_destroy(&semaphore);
    semaphore = (weft_semaphore)WEFT_SEMAPHORE_INIT(3);
    cr_expect_eq(weft_semaphore_available(&semaphore), 3);
    cr_expect_eq(weft_semaphore_acquire(&semaphore, 3, 0), 0);
    weft_event_destroy(&event);
    event = (weft_event)WEFT_EVENT_AUTO_INIT;
    weft_event_set(&event);
    cr_expect_eq(weft_event_wait(&event, 0), 0);
}
