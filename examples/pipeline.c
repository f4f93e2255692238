/* SPDX-License-Identifier: MIT */
/* A pipeline: one fiber makes numbers, three square them side by side, one adds them up.  Closing a
 * channel is what tells the next stage to end, and the one before that nobody receives any more. */
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <weft.h>

enum { NUMBERS = 1000, SQUARERS = 3, CAPACITY = 16 };

WEFT_CHANNEL_DEFINE(numbers, int64_t)

struct pipeline {
    numbers made;
    numbers squared;
};

static int make(void *arg)
{
    struct pipeline *pipeline = arg;
    int error = 0;

    for (int64_t i = 1; i <= NUMBERS && error == 0; i++)
        error = numbers_send(&pipeline->made, i, WEFT_FOREVER);
    numbers_close(&pipeline->made);
    return error;
}

/* Fan-out: several receive from one channel, and each value goes to one of them. */
static int square(void *arg)
{
    struct pipeline *pipeline = arg;
    int64_t number;
    int error;

    while ((error = numbers_receive(&pipeline->made, &number, WEFT_FOREVER)) == 0)
        if ((error = numbers_send(&pipeline->squared, number * number, WEFT_FOREVER)) != 0)
            break;
    if (error == -ENODATA)
        return 0;
    numbers_close(&pipeline->made); /* the stage before must not wait for one that has failed */
    return error;
}

/* Fan-in: several send to one channel, and the last of them closes it. */
static int square_side_by_side(void *arg)
{
    struct pipeline *pipeline = arg;
    weft_fiber *squarers[SQUARERS];
    int started = 0;
    int error = 0;

    while (started < SQUARERS && error == 0)
        if ((error = weft_spawn(&squarers[started], square, pipeline)) == 0)
            started++;
    for (int i = 0; i < started; i++) {
        int result = 0;

        if (weft_join(squarers[i], &result, WEFT_FOREVER) != 0 || result != 0)
            error = -EIO;
    }
    numbers_close(&pipeline->made); /* open yet if no squarer was started */
    numbers_close(&pipeline->squared);
    return error;
}

static int app(void *arg)
{
    static int64_t made_buffer[CAPACITY];
    static int64_t squared_buffer[CAPACITY];
    static struct pipeline pipeline; /* a stage may see it until the runtime has ended */
    weft_fiber *stages[2];
    int64_t square_number;
    int64_t sum = 0;
    int errors = 0;

    (void)arg;
    if (numbers_init(&pipeline.made, made_buffer, CAPACITY) != 0 ||
        numbers_init(&pipeline.squared, squared_buffer, CAPACITY) != 0 ||
        weft_spawn(&stages[0], make, &pipeline) != 0 ||
        weft_spawn(&stages[1], square_side_by_side, &pipeline) != 0)
        return -ENOMEM; /* ends the runtime, and with it the stage that waits */
    while (numbers_receive(&pipeline.squared, &square_number, WEFT_FOREVER) == 0)
        sum += square_number;
    for (int i = 0; i < 2; i++) {
        int result = 0;

        errors |= weft_join(stages[i], &result, WEFT_FOREVER) | result;
    }
    printf("the sum of the squares is %lld\n", (long long)sum);
    return errors == 0 && sum == (int64_t)NUMBERS * (NUMBERS + 1) * (2 * NUMBERS + 1) / 6 ? 0
                                                                                          : -EIO;
}

int main(void)
{
    return weft_run(NULL, app, NULL) < 0;
}
