/* SPDX-License-Identifier: MIT */
/*
 * Timers: a heartbeat that does not drift, and connections with an idle timeout that each message
 * moves.
 *
 *   build/release/examples/timers      under a second
 */
#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <weft.h>

enum { BEATS = 5, MESSAGES = 20 };

#define PERIOD (20 * WEFT_MILLISECOND)
#define IDLE (100 * WEFT_MILLISECOND)

/* Does something every PERIOD.  A beat that was missed because the machine was busy is not made up
 * for, and does not delay the next. */
static int beat(void *arg)
{
    weft_timer timer = WEFT_TIMER_INIT;
    weft_time start = weft_now();
    int64_t beats = 0;

    (void)arg;
    weft_timer_arm(&timer, start + PERIOD, PERIOD, WEFT_TIMER_SKIP);
    while (beats < BEATS) {
        int64_t count = weft_timer_wait(&timer, WEFT_FOREVER);

        if (count < 0)
            return (int)count;
        beats += count;
        printf("beat %lld after %lld ms\n", (long long)beats,
               (long long)((weft_now() - start) / WEFT_MILLISECOND));
    }
    return 0;
}

struct connection {
    weft_timer idle;
    _Atomic(int) messages;
};

/* A move costs next to nothing: the fiber that waits finds out when the old time comes. */
static int talk(void *arg)
{
    struct connection *connection = arg;

    for (int i = 0; i < MESSAGES; i++) {
        if (weft_timer_move(&connection->idle, weft_after(IDLE)) < 0)
            return 0; /* we were too slow: it has expired */
        (void)atomic_fetch_add(&connection->messages, 1);
        weft_sleep(WEFT_MILLISECOND);
    }
    return 0; /* and says no more */
}

static int watch(void *arg)
{
    struct connection *connection = arg;
    int64_t count = weft_timer_wait(&connection->idle, WEFT_FOREVER);

    if (count < 0)
        return (int)count;
    printf("idle after %d messages\n", atomic_load(&connection->messages));
    return 0;
}

/* A call at a later time is a fiber that waits for it, unless somebody cancels. */
static int remind(void *arg)
{
    weft_timer *timer = arg;
    int64_t count = weft_timer_wait(timer, WEFT_FOREVER);

    printf("%s\n", count > 0 ? "the time has come" : "cancelled");
    return count > 0 ? -EIO : 0;
}

static int app(void *arg)
{
    struct connection connection = {.idle = WEFT_TIMER_INIT};
    weft_timer reminder = WEFT_TIMER_INIT;
    weft_scope scope = WEFT_SCOPE_INIT;
    int error;

    (void)arg;
    weft_timer_arm(&connection.idle, weft_after(IDLE), 0, WEFT_TIMER_SKIP);
    weft_timer_arm(&reminder, weft_after(3600 * WEFT_SECOND), 0, WEFT_TIMER_SKIP);
    error = weft_scope_spawn(&scope, beat, NULL);
    if (error == 0)
        error = weft_scope_spawn(&scope, watch, &connection);
    if (error == 0)
        error = weft_scope_spawn(&scope, talk, &connection);
    if (error == 0)
        error = weft_scope_spawn(&scope, remind, &reminder);
    printf("the reminder is due in %lld s\n",
           (long long)((weft_timer_next(&reminder) - weft_now()) / WEFT_SECOND));
    weft_timer_cancel(&reminder);
    return weft_scope_close(&scope, error);
}

int main(void)
{
    int error = weft_run(NULL, app, NULL);

    if (error < 0)
        fprintf(stderr, "error %d\n", error);
    return error < 0;
}
