/* SPDX-License-Identifier: MIT */
/*
 * A server that turns away at once what it cannot do at once: no call here waits for another
 * request. That is what the `try` functions are for, of which each object has one.
 */
#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <weft.h>

enum { SLOTS = 4, CLIENTS = 12, REQUESTS = 100, LOG_CAPACITY = 8 };

enum answer { SERVED, CLOSED, TOO_OFTEN, TOO_MUCH, IN_USE, ANSWERS };

WEFT_CHANNEL_DEFINE(lines, int)

static weft_event is_open = WEFT_EVENT_INIT; /* reset for as long as the server rests */
static weft_rate_limiter rate;
static weft_semaphore slots = WEFT_SEMAPHORE_INIT(SLOTS);
static weft_key_bucket buckets[16];
static weft_keyed_mutex users = WEFT_KEYED_MUTEX_INIT(buckets, 16);

static weft_rwlock settings_lock = WEFT_RWLOCK_INIT_PREFER_READERS;
static int price = 1; /* under the lock */

static weft_mutex cache_lock = WEFT_MUTEX_INIT;
static long refreshes; /* under the lock */

static int log_buffer[LOG_CAPACITY];
static lines log_lines = {WEFT_CHANNEL_INIT(int, log_buffer, LOG_CAPACITY)};
static atomic_long answers[ANSWERS], dropped;
static long logged;

/* One that comes while they are being changed takes the price of before. */
static int current_price(void)
{
    int result = 1;

    if (weft_rwlock_try_read_lock(&settings_lock) == 0) {
        result = price;
        weft_rwlock_unlock(&settings_lock);
    }
    return result;
}

/* Whoever finds the cache old refreshes it, unless another is just doing that. */
static void refresh(void)
{
    if (weft_mutex_try_lock(&cache_lock) == 0) {
        refreshes++;
        (void)weft_yield();
        weft_mutex_unlock(&cache_lock);
    }
}

static void work(int user)
{
    int line = user * current_price();

    refresh();
    if (lines_try_send(&log_lines, line) != 0) /* a log that does not keep up loses some */
        (void)atomic_fetch_add(&dropped, 1);
}

/* A large request takes two of the slots. */
static enum answer answer(int user, int size)
{
    weft_key_hold hold = WEFT_KEY_HOLD_INIT;
    enum answer result = IN_USE;

    if (!weft_event_is_set(&is_open))
        return CLOSED;
    if (weft_rate_limiter_try_acquire(&rate, 1) != 0)
        return TOO_OFTEN;
    if (weft_semaphore_try_acquire(&slots, (uint64_t)size) != 0)
        return TOO_MUCH;
    /* One request of a user at a time. */
    if (weft_keyed_mutex_try_lock(&users, &hold, &user, sizeof user) == 0) {
        work(user);
        weft_keyed_mutex_unlock(&users, &hold);
        result = SERVED;
    }
    weft_semaphore_release(&slots, (uint64_t)size);
    return result;
}

static int ask_often(void *arg)
{
    int number = (int)(intptr_t)arg;
    int error = 0;

    for (int i = 0; i < REQUESTS && error == 0; i++) {
        enum answer result = answer(number % (CLIENTS / 2), 1 + i % 2);

        (void)atomic_fetch_add(&answers[result], 1);
        /* It has been told when to come back. */
        if (result == TOO_OFTEN)
            error = weft_sleep_until(weft_rate_limiter_due(&rate, 1));
        else if (result == CLOSED)
            error = weft_event_wait(&is_open, WEFT_FOREVER);
        else
            error = weft_yield();
    }
    return error;
}

/* Closes the server for a moment, and changes the settings when nobody looks at them. */
static int operate(void *arg)
{
    int error;

    (void)arg;
    weft_event_reset(&is_open);
    error = weft_sleep(2 * WEFT_MILLISECOND);
    weft_event_set(&is_open);
    while (error == 0 && weft_rwlock_try_write_lock(&settings_lock) != 0)
        error = weft_yield();
    if (error == 0) {
        price = 2;
        weft_rwlock_unlock(&settings_lock);
    }
    return error;
}

static int write_log(void *arg)
{
    int line;

    (void)arg;
    while (lines_receive(&log_lines, &line, WEFT_FOREVER) == 0)
        logged++;
    return 0;
}

static int app(void *arg)
{
    weft_scope clients = WEFT_SCOPE_INIT;
    weft_fiber *writer;
    int error = weft_rate_limiter_init(&rate, 50, WEFT_MILLISECOND, 20);

    (void)arg;
    if (error != 0 || (error = weft_spawn(&writer, write_log, NULL)) != 0)
        return error;
    weft_event_set(&is_open);
    for (intptr_t i = 0; i < CLIENTS && error == 0; i++)
        error = weft_scope_spawn(&clients, ask_often, (void *)i);
    if (error == 0)
        error = weft_scope_spawn(&clients, operate, NULL);
    error = weft_scope_close(&clients, error);
    lines_close(&log_lines);
    return weft_join(writer, NULL, WEFT_FOREVER) < 0 ? -EIO : error;
}

int main(void)
{
    int error = weft_run(NULL, app, NULL);
    long all = 0;

    for (int i = 0; i < ANSWERS; i++)
        all += answers[i];
    printf("of %ld requests %ld were served; %ld came while it was closed, %ld too often, %ld for "
           "too much, %ld for what was in use\n",
           all, answers[SERVED], answers[CLOSED], answers[TOO_OFTEN], answers[TOO_MUCH],
           answers[IN_USE]);
    printf("%ld lines of the log, %ld lost; %ld refreshes\n", logged, dropped, refreshes);
    return error < 0 || all != CLIENTS * REQUESTS || answers[SERVED] == 0 ||
           logged + dropped != answers[SERVED] || weft_semaphore_available(&slots) != SLOTS;
}
