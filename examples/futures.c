/* SPDX-License-Identifier: MIT */
/*
 * Asks three replicas at once and takes the first answer; the others are cancelled.  Then asks for
 * all of three parts, within a deadline.
 */
#include <stdio.h>
#include <weft.h>

enum { REPLICAS = 3 };

static int answer(void *arg)
{
    int number = *(int *)arg;
    int error = weft_sleep(number * WEFT_MILLISECOND); /* a slow network */

    return error < 0 ? error : 100 + number;
}

static int app(void *arg)
{
    static int delays[REPLICAS] = {3000, 5, 2000};
    static int parts[REPLICAS] = {1, 2, 3};
    weft_future futures[2 * REPLICAS] = {WEFT_FUTURE_INIT};
    weft_future *all[2 * REPLICAS];
    int result = 0;
    int error;
    ssize_t first;

    (void)arg;
    for (int i = 0; i < 2 * REPLICAS; i++) {
        all[i] = &futures[i];
        error = weft_future_spawn(all[i], answer, i < REPLICAS ? &delays[i] : &parts[i - REPLICAS]);
        if (error < 0)
            weft_future_set(all[i], error, NULL);
    }
    first = weft_race(all, REPLICAS, &result, weft_after(10 * WEFT_SECOND));
    printf("replica %zd was first: %d\n", first, result);
    error = weft_gather(all + REPLICAS, REPLICAS, weft_after(10 * WEFT_SECOND));
    for (int i = 0; i < 2 * REPLICAS; i++)
        weft_future_close(all[i]);
    return first < 0 ? (int)first : error;
}

int main(void)
{
    return weft_run(NULL, app, NULL) < 0;
}
