/* SPDX-License-Identifier: MIT */
/* Adds up numbers in pieces, on fibers and on a plain thread.  A latch holds all of them back until
 * the last one is ready, the one that makes the numbers among them; a wait group tells when the
 * pieces are done, however many there were. */
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <weft.h>

enum { WORKERS = 4, NUMBERS = 100000, PIECE = 1000 };

struct sum {
    int numbers[NUMBERS]; /* made before the latch opens */
    weft_latch is_ready;
    weft_wait_group pieces;
    _Atomic int64_t next;
    _Atomic int64_t total;
};

static int add_up(struct sum *sum)
{
    int error = weft_latch_arrive_and_wait(&sum->is_ready, weft_after(10 * WEFT_SECOND));
    int64_t from;

    while (error == 0 && (from = atomic_fetch_add(&sum->next, PIECE)) < NUMBERS) {
        int64_t part = 0;

        for (int64_t number = from; number < from + PIECE; number++)
            part += sum->numbers[number];
        atomic_fetch_add(&sum->total, part);
        weft_wait_group_done(&sum->pieces);
    }
    return error;
}

static int add_in_fiber(void *arg)
{
    return add_up(arg);
}

static void *add_in_thread(void *arg)
{
    return (void *)(intptr_t)add_up(arg);
}

static int app(void *arg)
{
    struct sum *sum = arg;
    weft_scope workers = WEFT_SCOPE_INIT;
    int error = 0;

    weft_wait_group_add(&sum->pieces, NUMBERS / PIECE); /* before anybody can be done */
    for (int i = 0; i < WORKERS && error == 0; i++)
        error = weft_scope_spawn(&workers, add_in_fiber, sum);
    for (int i = 0; i < NUMBERS; i++)
        sum->numbers[i] = i + 1;
    weft_latch_arrive(&sum->is_ready); /* and goes on */
    if (error == 0)
        error = weft_latch_wait(&sum->is_ready, weft_after(10 * WEFT_SECOND));
    printf("all have begun\n");
    if (error == 0)
        error = weft_wait_group_wait(&sum->pieces, weft_after(10 * WEFT_SECOND));
    printf("the sum is %lld\n", (long long)sum->total);
    return weft_scope_close(&workers, error);
}

int main(void)
{
    static struct sum sum = {.is_ready = WEFT_LATCH_INIT(WORKERS + 2),
                             .pieces = WEFT_WAIT_GROUP_INIT};
    pthread_t thread;
    void *result;

    if (pthread_create(&thread, NULL, add_in_thread, &sum) != 0)
        return 1;
    if (weft_run(NULL, app, &sum) < 0 || pthread_join(thread, &result) != 0)
        return 1;
    return result != NULL || sum.total != (int64_t)NUMBERS * (NUMBERS + 1) / 2;
}
