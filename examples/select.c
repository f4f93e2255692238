/* SPDX-License-Identifier: MIT */
/* One fiber listens to two sources at once, until it is told to stop by the close of a channel.  By
 * a timer it hands out what it has every now and then, if there is room for it. */
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <weft.h>

WEFT_CHANNEL_DEFINE(readings, int)

struct source {
    readings *channel;
    int first;
    int count;
};

static int measure(void *arg)
{
    const struct source *source = arg;
    int error = 0;

    for (int i = 0; i < source->count && error == 0; i++)
        error = readings_send(source->channel, source->first + i, WEFT_FOREVER);
    return error;
}

struct listener {
    readings temperatures;
    readings pressures;
    readings stop; /* nothing is sent on it */
    readings shown;
    int shown_buffer[1];
    int sum;
};

static int listen_to_both(void *arg)
{
    struct listener *listener = arg;
    weft_timer beat = WEFT_TIMER_INIT;
    bool is_due = false;
    int value = 0;
    int64_t beats;
    int winner;

    weft_timer_arm(&beat, weft_now(), WEFT_MILLISECOND, WEFT_TIMER_SKIP);
    do {
        struct weft_select_case cases[] = {
            WEFT_RECEIVE_CASE(&listener->stop.base, &value),
            WEFT_RECEIVE_CASE(&listener->temperatures.base, &value),
            WEFT_RECEIVE_CASE(&listener->pressures.base, &value),
            WEFT_TIMER_CASE(&beat, &beats),
            WEFT_SEND_CASE(is_due ? &listener->shown.base : NULL, &listener->sum), /* NULL: never */
        };

        winner = weft_select(cases, 5, weft_after(10 * WEFT_SECOND));
        if (winner == 1 || winner == 2)
            listener->sum += value;
        else if (winner == 3 || winner == 4)
            is_due = winner == 3;
    } while (winner > 0);
    weft_timer_cancel(&beat);
    return winner;
}

static int app(void *arg)
{
    static struct listener listener; /* fibers may see it until the runtime has ended */
    static struct source sources[2] = {{&listener.temperatures, 20, 10},
                                       {&listener.pressures, 1000, 10}};
    weft_fiber *fibers[3];
    int errors = 0;
    int shown = 0;

    (void)arg;
    errors |= readings_init(&listener.temperatures, NULL, 0);
    errors |= readings_init(&listener.pressures, NULL, 0);
    errors |= readings_init(&listener.stop, NULL, 0);
    errors |= readings_init(&listener.shown, listener.shown_buffer, 1);
    for (int i = 0; i < 2 && errors == 0; i++)
        errors |= weft_spawn(&fibers[i], measure, &sources[i]);
    if (errors != 0 || weft_spawn(&fibers[2], listen_to_both, &listener) != 0)
        return -ENOMEM;
    for (int i = 0; i < 3; i++) {
        int result = 0;

        if (i == 2) /* both sources have been heard: without a buffer, what is sent is received */
            readings_close(&listener.stop);
        errors |= weft_join(fibers[i], &result, WEFT_FOREVER) | result;
    }
    printf("the readings add up to %d\n", listener.sum);
    if (readings_try_receive(&listener.shown, &shown) == 0)
        printf("at some moment it was %d\n", shown);
    return errors == 0 && listener.sum == 245 + 10045 ? 0 : -EIO;
}

int main(void)
{
    return weft_run(NULL, app, NULL) < 0;
}
