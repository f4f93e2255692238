/* SPDX-License-Identifier: MIT */
/* A race: runners wait at the start for one manual event, which lets them all go at once; each
 * rings an automatic one when it is done, and the judge hears the rings one by one. */
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <weft.h>

enum { RUNNERS = 5 };

struct race {
    weft_event start; /* manual */
    weft_event bell;  /* automatic */
    weft_event heard; /* automatic */
    weft_mutex rope;  /* one rings, and waits until it was heard, at a time */
    int finished;     /* under the rope; the judge reads it between ring and heard */
};

static int run(struct race *race)
{
    int error = weft_event_wait(&race->start, weft_after(10 * WEFT_SECOND));

    if (error != 0 || (error = weft_mutex_lock(&race->rope, WEFT_FOREVER)) != 0)
        return error;
    race->finished++;
    weft_event_set(&race->bell);
    error = weft_event_wait(&race->heard, weft_after(10 * WEFT_SECOND));
    weft_mutex_unlock(&race->rope);
    return error;
}

static int run_as_fiber(void *arg)
{
    return run(arg);
}

/* A plain thread blocks where a fiber would park. */
static void *run_as_thread(void *arg)
{
    return (void *)(intptr_t)run(arg);
}

static int judge(void *arg)
{
    struct race *race = arg;
    weft_scope runners = WEFT_SCOPE_INIT;
    int error = 0;

    for (int i = 1; i < RUNNERS && error == 0; i++)
        error = weft_scope_spawn(&runners, run_as_fiber, race);
    weft_event_set(&race->start);
    for (int i = 1; i <= RUNNERS && error == 0; i++) {
        error = weft_event_wait(&race->bell, weft_after(10 * WEFT_SECOND));
        printf("%d in the goal\n", race->finished);
        weft_event_set(&race->heard);
    }
    return weft_scope_close(&runners, error);
}

int main(void)
{
    struct race race = {WEFT_EVENT_INIT, WEFT_EVENT_AUTO_INIT, WEFT_EVENT_AUTO_INIT,
                        WEFT_MUTEX_INIT, 0};
    pthread_t thread;
    void *result;

    if (pthread_create(&thread, NULL, run_as_thread, &race) != 0)
        return 1;
    if (weft_run(NULL, judge, &race) < 0)
        return 1;
    return pthread_join(thread, &result) != 0 || result != NULL || race.finished != RUNNERS;
}
