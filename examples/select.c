/* SPDX-License-Identifier: MIT */
/* One fiber listens to two sources at once, until it is told to stop by the close of a channel. */
#include <errno.h>
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
    int sum;
};

static int listen_to_both(void *arg)
{
    struct listener *listener = arg;
    int value = 0;
    int winner;

    do {
        struct weft_select_case cases[] = {
            WEFT_RECEIVE_CASE(&listener->temperatures.base, &value),
            WEFT_RECEIVE_CASE(&listener->pressures.base, &value),
            WEFT_RECEIVE_CASE(&listener->stop.base, &value),
        };

        winner = weft_select(cases, 3, weft_after(10 * WEFT_SECOND));
        if (winner == 0 || winner == 1)
            listener->sum += value;
    } while (winner == 0 || winner == 1);
    return winner == 2 ? 0 : winner;
}

static int app(void *arg)
{
    static struct listener listener; /* fibers may see it until the runtime has ended */
    static struct source sources[2] = {{&listener.temperatures, 20, 10},
                                       {&listener.pressures, 1000, 10}};
    weft_fiber *fibers[3];
    int errors = 0;

    (void)arg;
    errors |= readings_init(&listener.temperatures, NULL, 0);
    errors |= readings_init(&listener.pressures, NULL, 0);
    errors |= readings_init(&listener.stop, NULL, 0);
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
    return errors == 0 && listener.sum == 245 + 10045 ? 0 : -EIO;
}

int main(void)
{
    return weft_run(NULL, app, NULL) < 0;
}
