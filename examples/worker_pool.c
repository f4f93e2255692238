/* SPDX-License-Identifier: MIT */
/*
 * A pool of workers: a fixed number of fibers take jobs from one channel.  The channel's buffer is
 * how many jobs may wait; when it is full, whoever submits one waits.
 */
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <weft.h>

enum { WORKERS = 4, WAITING = 8, JOBS = 500 };

struct job {
    uint64_t start;
    int steps; /* the result: the worker writes it, who closed the pool reads it */
};

WEFT_CHANNEL_DEFINE(jobs, struct job *)

static struct job *waiting[WAITING];
static jobs queue;

/* How many steps the Collatz sequence takes to 1. */
static int count_steps(uint64_t number)
{
    int steps = 0;

    for (; number != 1; steps++)
        number = number % 2 == 0 ? number / 2 : 3 * number + 1;
    return steps;
}

static int work(void *arg)
{
    struct job *job;
    int error;

    (void)arg;
    while ((error = jobs_receive(&queue, &job, WEFT_FOREVER)) == 0)
        job->steps = count_steps(job->start);
    return error == -ENODATA ? 0 : error; /* the queue is closed and empty */
}

static int app(void *arg)
{
    static struct job all[JOBS];
    weft_scope pool = WEFT_SCOPE_INIT;
    int error = jobs_init(&queue, waiting, WAITING);
    int longest = 0;

    (void)arg;
    for (int i = 0; i < WORKERS && error == 0; i++)
        error = weft_scope_spawn(&pool, work, NULL);
    for (int i = 0; i < JOBS && error == 0; i++) {
        all[i].start = (uint64_t)i + 1;
        error = jobs_send(&queue, &all[i], WEFT_FOREVER);
    }
    jobs_close(&queue); /* the workers do what is left, and end */
    error = weft_scope_close(&pool, error);
    for (int i = 0; i < JOBS; i++)
        if (all[i].steps > all[longest].steps)
            longest = i;
    printf("from %d it takes %d steps\n", longest + 1, all[longest].steps);
    return error != 0 ? error : longest + 1 == 327 && all[longest].steps == 143 ? 0 : -EIO;
}

int main(void)
{
    return weft_run(NULL, app, NULL) < 0;
}
