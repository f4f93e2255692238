/* SPDX-License-Identifier: MIT */
/* A runtime that has nothing to do does nothing. */
#include "../support/fixture.h"
#include "../support/silence.h"

#include <pthread.h>
#include <stdint.h>
#include <unistd.h>

static int read_pipe(void *arg)
{
    char byte;

    return (int)weft_read(*(int *)arg, &byte, 1, WEFT_FOREVER);
}

/* Half of them with a timer, minutes and days away. */
static int sleep_for_long(void *arg)
{
    intptr_t number = (intptr_t)arg;

    return weft_sleep_until(number % 2 == 0 ? WEFT_FOREVER
                                            : weft_now() + number * 100 * WEFT_SECOND);
}

static int park_many(void *arg)
{
    int count = TEST_FIBERS_ALIVE_MAX / 2;

    for (int i = 0; i < count; i++)
        CHECK_EQ(weft_spawn(NULL, sleep_for_long, (void *)(intptr_t)(i + 1)), 0);
    return read_pipe(arg);
}

/* Thousands of parked fibers cost nothing: after a while not one thread of the runtime runs, the
 * monitor least of all. */
WORKER_TEST(idle, nobody_makes_a_system_call, TEST_TIMEOUT_S)
{
    /* Long once: a worker that woke on the way to far timers did so every ten seconds or so. */
    struct silence silence = {.seconds = *workers == 2 ? 10 : 2};
    int pipe_fds[2];
    pthread_t watcher;
    struct resources before = resources_now();

    cr_assert_eq(pipe(pipe_fds), 0);
    silence.end = pipe_fds[1];
    cr_assert_eq(pthread_create(&watcher, NULL, await_silence, &silence), 0);
    cr_expect_eq(weft_run(&(struct weft_config){.workers = *workers}, park_many, &pipe_fds[0]), 1);
    cr_assert_eq(pthread_join(watcher, NULL), 0);
    (void)close(pipe_fds[0]);
    (void)close(pipe_fds[1]);
    assert_resources_return_to(before);
}
