/* SPDX-License-Identifier: MIT */
/* scope.h: what every kind of wait says when the scope around it comes to its deadline, or is
 * cancelled, before the wait or in the midst of it.  (I/O: scope_io_test.c.) */
#define WEFT_LOCK_CHECKS 0 /* a fiber waits for a lock of its own */

#include "../support/fixture.h"
#include "../support/net.h"
#include "../support/reasons.h"

#include <errno.h>
#include <poll.h>
#include <stdatomic.h>
#include <unistd.h>

#define HOUR (3600 * WEFT_SECOND)

/* What another fiber has until all waits are over. */
static struct {
    weft_fiber *holder;
    weft_once once;
    weft_key_bucket buckets[2];
    weft_singleflight flights;
    weft_mutex mutex;
    weft_recursive_mutex recursive;
    weft_rwlock written;
    weft_keyed_mutex keyed;
    weft_event is_over;
    _Atomic(int) is_held;
} held = {
    .flights = WEFT_SINGLEFLIGHT_INIT(int, &held.buckets[0], 1),
    .mutex = WEFT_MUTEX_INIT,
    .recursive = WEFT_RECURSIVE_MUTEX_INIT,
    .written = WEFT_RWLOCK_INIT,
    .keyed = WEFT_KEYED_MUTEX_INIT(&held.buckets[1], 1),
};

static int hold_locks(void *arg, void *result)
{
    weft_key_hold hold = WEFT_KEY_HOLD_INIT;

    (void)arg;
    (void)result;
    CHECK_EQ(weft_mutex_lock(&held.mutex, WEFT_FOREVER), 0);
    CHECK_EQ(weft_recursive_mutex_lock(&held.recursive, WEFT_FOREVER), 0);
    CHECK_EQ(weft_rwlock_write_lock(&held.written, WEFT_FOREVER), 0);
    CHECK_EQ(weft_keyed_mutex_lock(&held.keyed, &hold, "k", 1, WEFT_FOREVER), 0);
    atomic_store(&held.is_held, 1);
    CHECK_EQ(weft_event_wait(&held.is_over, WEFT_FOREVER), 0);
    weft_keyed_mutex_unlock(&held.keyed, &hold);
    weft_rwlock_unlock(&held.written);
    weft_recursive_mutex_unlock(&held.recursive);
    weft_mutex_unlock(&held.mutex);
    return 0;
}

static int run_flight(void *arg)
{
    int result;

    return weft_singleflight_do(&held.flights, "k", 1, hold_locks, arg, &result, sizeof result,
                                WEFT_FOREVER);
}

static int hold_all(void *arg)
{
    return weft_once_run(&held.once, run_flight, arg, WEFT_FOREVER);
}

static int run_never(void *arg)
{
    (void)arg;
    CHECK(false);
    return 0;
}

static int load_never(void *arg, void *result)
{
    (void)result;
    return run_never(arg);
}

/* Each waits for what does not come, and undoes what it did for that. */

static int sleep_long(void)
{
    return weft_sleep(HOUR);
}

static int sleep_until_never(void)
{
    return weft_sleep_until(WEFT_FOREVER);
}

static int yield_on(void)
{
    int error;

    do
        error = weft_yield();
    while (error == 0);
    return error;
}

static int join_holder(void)
{
    return weft_join(held.holder, NULL, WEFT_FOREVER);
}

static int linger(void *arg)
{
    (void)arg;
    return weft_sleep_until(WEFT_FOREVER);
}

static int close_inner_scope(void)
{
    weft_scope inner = WEFT_SCOPE_INIT;
    int error = weft_scope_spawn(&inner, linger, NULL);

    return weft_scope_close(&inner, error);
}

static int lock_mutex(void)
{
    return weft_mutex_lock(&held.mutex, WEFT_FOREVER);
}

static int lock_checked_mutex(void)
{
    return weft_mutex_lock_checked(&held.mutex, WEFT_FOREVER);
}

static int lock_recursive_mutex(void)
{
    return weft_recursive_mutex_lock(&held.recursive, WEFT_FOREVER);
}

static int lock_to_read(void)
{
    return weft_rwlock_read_lock(&held.written, WEFT_FOREVER);
}

static int lock_to_write(void)
{
    return weft_rwlock_write_lock(&held.written, WEFT_FOREVER);
}

static int lock_to_write_behind_readers(void)
{
    weft_rwlock lock = WEFT_RWLOCK_INIT;
    int result;

    CHECK_EQ(weft_rwlock_read_lock(&lock, WEFT_FOREVER), 0);
    result = weft_rwlock_write_lock(&lock, WEFT_FOREVER);
    weft_rwlock_unlock(&lock);
    weft_rwlock_destroy(&lock); /* aborts if somebody has it still */
    return result;
}

static int lock_key(void)
{
    weft_key_hold hold = WEFT_KEY_HOLD_INIT;

    return weft_keyed_mutex_lock(&held.keyed, &hold, "k", 1, WEFT_FOREVER);
}

static int wait_for_condition(void)
{
    weft_condition condition = WEFT_CONDITION_INIT;
    weft_mutex mutex = WEFT_MUTEX_INIT;
    int result;

    CHECK_EQ(weft_mutex_lock(&mutex, WEFT_FOREVER), 0);
    result = weft_condition_wait(&condition, &mutex, WEFT_FOREVER);
    weft_mutex_unlock(&mutex);
    return result;
}

static int acquire_permit(void)
{
    weft_semaphore semaphore = WEFT_SEMAPHORE_INIT(1);

    return weft_semaphore_acquire(&semaphore, 2, WEFT_FOREVER);
}

static int wait_for_event(void)
{
    weft_event event = WEFT_EVENT_INIT;

    return weft_event_wait(&event, WEFT_FOREVER);
}

static int wait_at_barrier(void)
{
    weft_barrier barrier = WEFT_BARRIER_INIT(2);
    int result = weft_barrier_wait(&barrier, WEFT_FOREVER);

    CHECK(weft_barrier_is_broken(&barrier));
    return result;
}

static int wait_for_latch(void)
{
    weft_latch latch = WEFT_LATCH_INIT(1);

    return weft_latch_wait(&latch, WEFT_FOREVER);
}

static int arrive_and_wait(void)
{
    weft_latch latch = WEFT_LATCH_INIT(2);

    return weft_latch_arrive_and_wait(&latch, WEFT_FOREVER);
}

static int wait_for_group(void)
{
    weft_wait_group group = WEFT_WAIT_GROUP_INIT;

    weft_wait_group_add(&group, 1);
    return weft_wait_group_wait(&group, WEFT_FOREVER);
}

static int run_once(void)
{
    return weft_once_run(&held.once, run_never, NULL, WEFT_FOREVER);
}

static int join_flight(void)
{
    int result;

    return weft_singleflight_do(&held.flights, "k", 1, load_never, NULL, &result, sizeof result,
                                WEFT_FOREVER);
}

static int acquire_turn(void)
{
    weft_rate_limiter limiter = WEFT_RATE_LIMITER_INIT(1, HOUR, 1);

    CHECK_EQ(weft_rate_limiter_try_acquire(&limiter, 1), 0);
    return weft_rate_limiter_acquire(&limiter, 1, WEFT_FOREVER);
}

static int wait_for_timer(void)
{
    weft_timer timer = WEFT_TIMER_INIT;
    int64_t result;

    weft_timer_arm(&timer, weft_after(HOUR), 0, WEFT_TIMER_SKIP);
    result = weft_timer_wait(&timer, WEFT_FOREVER);
    CHECK(weft_timer_cancel(&timer));
    return (int)result;
}

static int wait_on_address(void)
{
    uint32_t word = 1;

    return weft_wait_on(&word, 1, sizeof word, WEFT_FOREVER);
}

static int await_future(void)
{
    weft_future future = WEFT_FUTURE_INIT;
    int result = weft_future_await(&future, NULL, WEFT_FOREVER);

    weft_future_close(&future);
    return result;
}

static int await_group(void)
{
    weft_future future = WEFT_FUTURE_INIT, *next;
    weft_future_group group = WEFT_FUTURE_GROUP_INIT;
    int result;

    weft_future_group_add(&group, &future);
    result = weft_future_group_next(&group, &next, WEFT_FOREVER);
    weft_future_group_close(&group);
    weft_future_close(&future);
    return result;
}

enum { BY_GATHER, BY_RACE, BY_ANY };

static int await_two(int way)
{
    weft_future futures[2] = {WEFT_FUTURE_INIT};
    weft_future *all[2] = {&futures[0], &futures[1]};
    ssize_t result = way == BY_GATHER ? weft_gather(all, 2, WEFT_FOREVER)
                     : way == BY_RACE ? weft_race(all, 2, NULL, WEFT_FOREVER)
                                      : weft_any(all, 2, NULL, WEFT_FOREVER);

    for (int i = 0; i < 2; i++) {
        int of_one = 0;

        CHECK_EQ(weft_future_await(all[i], &of_one, 0), 0);
        CHECK_EQ(of_one, -ECANCELED);
        weft_future_close(all[i]);
    }
    return (int)result;
}

static int gather_two(void)
{
    return await_two(BY_GATHER);
}

static int race_two(void)
{
    return await_two(BY_RACE);
}

static int any_of_two(void)
{
    return await_two(BY_ANY);
}

static int send_to_nobody(void)
{
    weft_channel channel = WEFT_CHANNEL_INIT(int, NULL, 0);
    int item = 1, result = weft_channel_send(&channel, &item, sizeof item, WEFT_FOREVER);

    weft_channel_destroy(&channel);
    return result;
}

static int send_to_the_full(void)
{
    int buffer[1];
    weft_channel channel = WEFT_CHANNEL_INIT(int, buffer, 1);
    int item = 1, result;

    CHECK_EQ(weft_channel_try_send(&channel, &item, sizeof item), 0);
    result = weft_channel_send(&channel, &item, sizeof item, WEFT_FOREVER);
    CHECK_EQ(weft_channel_length(&channel), 1);
    weft_channel_destroy(&channel);
    return result;
}

static int receive_nothing(void)
{
    weft_channel channel = WEFT_CHANNEL_INIT(int, NULL, 0);
    int item, result = weft_channel_receive(&channel, &item, sizeof item, WEFT_FOREVER);

    weft_channel_destroy(&channel);
    return result;
}

static int receive_no_news(void)
{
    int ring[1], item, result;
    weft_broadcast news = WEFT_BROADCAST_INIT(int, ring, 1);
    weft_broadcast_receiver receiver;

    weft_broadcast_subscribe(&news, &receiver);
    result = weft_broadcast_receive(&receiver, &item, sizeof item, WEFT_FOREVER);
    weft_broadcast_destroy(&news);
    return result;
}

static int select_nothing(void)
{
    return weft_select(NULL, 0, WEFT_FOREVER);
}

static int fds[2]; /* a pipe with nothing in it */

static int select_among_all(void)
{
    weft_channel channels[2] = {WEFT_CHANNEL_INIT(int, NULL, 0), WEFT_CHANNEL_INIT(int, NULL, 0)};
    weft_timer timer = WEFT_TIMER_INIT;
    weft_future future = WEFT_FUTURE_INIT;
    weft_poll poll = WEFT_POLL_INIT(fds[0], POLLIN);
    int items[2] = {0}, value, held_events, result;
    int64_t count;
    struct weft_select_case cases[] = {
        WEFT_SEND_CASE(&channels[0], &items[0]), WEFT_RECEIVE_CASE(&channels[1], &items[1]),
        WEFT_TIMER_CASE(&timer, &count),         WEFT_FUTURE_CASE(&future, &value),
        WEFT_POLL_CASE(&poll, &held_events),
    };

    weft_timer_arm(&timer, weft_after(HOUR), 0, WEFT_TIMER_SKIP);
    result = weft_select(cases, sizeof cases / sizeof *cases, WEFT_FOREVER);
    CHECK(weft_timer_cancel(&timer));
    weft_future_close(&future);
    weft_channel_destroy(&channels[0]);
    weft_channel_destroy(&channels[1]);
    return result;
}

static const struct wait_kind kinds[] = {
    WAIT_KIND(sleep_long),
    WAIT_KIND(sleep_until_never),
    WAIT_KIND(yield_on),
    WAIT_KIND(join_holder),
    WAIT_KIND(close_inner_scope),
    WAIT_KIND(lock_mutex),
    WAIT_KIND(lock_checked_mutex),
    WAIT_KIND(lock_recursive_mutex),
    WAIT_KIND(lock_to_read),
    WAIT_KIND(lock_to_write),
    WAIT_KIND(lock_to_write_behind_readers),
    WAIT_KIND(lock_key),
    WAIT_KIND(wait_for_condition),
    WAIT_KIND(acquire_permit),
    WAIT_KIND(wait_for_event),
    WAIT_KIND(wait_at_barrier),
    WAIT_KIND(wait_for_latch),
    WAIT_KIND(arrive_and_wait),
    WAIT_KIND(wait_for_group),
    WAIT_KIND(run_once),
    WAIT_KIND(join_flight),
    WAIT_KIND(acquire_turn),
    WAIT_KIND(wait_for_timer),
    WAIT_KIND(wait_on_address),
    WAIT_KIND(await_future),
    WAIT_KIND(await_group),
    WAIT_KIND(gather_two),
    WAIT_KIND(race_two),
    WAIT_KIND(any_of_two),
    WAIT_KIND(send_to_nobody),
    WAIT_KIND(send_to_the_full),
    WAIT_KIND(receive_nothing),
    WAIT_KIND(receive_no_news),
    WAIT_KIND(select_nothing),
    WAIT_KIND(select_among_all),
};

static int wait_in_scopes(void *arg)
{
    (void)arg;
    make_pipe(fds);
    held.holder = must_spawn(hold_all, NULL);
    await_flag(&held.is_held);
    expect_reasons(kinds, sizeof kinds / sizeof *kinds);
    weft_event_set(&held.is_over);
    CHECK_EQ(must_join(held.holder), 0);
    (void)close(fds[0]);
    (void)close(fds[1]);
    return 0;
}

/* Whatever waits says which of the two it was: the deadline of the scope, or a cancel. */
WORKER_TEST(scope_wait, every_kind_of_wait_names_the_deadline, TEST_TIMEOUT_S)
{
    cr_expect_eq(run_workers(*workers, wait_in_scopes, NULL), 0);
}
