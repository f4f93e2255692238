/* SPDX-License-Identifier: MIT */
/*
 * A runtime beside a main loop that is not weft's, as in a program with a user interface.  Threads
 * of the program hand work to fibers and wait for it, and the main loop goes on meanwhile.
 */
#include <poll.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <unistd.h>
#include <weft.h>

enum { THREADS = 3, REQUESTS = 20 };

struct program {
    weft_runtime *runtime;
    int done[2]; /* a pipe: each thread that has finished writes a byte for the main loop */
};

/* A fiber: waits without holding a thread, and returns a result. */
static int serve(void *arg)
{
    int error = weft_sleep(WEFT_MILLISECOND);

    return error < 0 ? error : (int)(intptr_t)arg + 1;
}

/* A plain thread.  weft_join() blocks it, and it alone. */
static void *request(void *arg)
{
    struct program *program = arg;
    int sum = 0;

    for (int i = 0; i < REQUESTS; i++) {
        weft_fiber *fiber;
        int result = 0;

        if (weft_spawn_on(program->runtime, NULL, &fiber, serve, (void *)(intptr_t)i) < 0 ||
            weft_join(fiber, &result, WEFT_FOREVER) < 0)
            break;
        sum += result;
    }
    return write(program->done[1], "", 1) == 1 ? (void *)(intptr_t)sum : NULL;
}

/* The program's own loop: it would also draw, read keys, and so on. */
static void main_loop(struct program *program)
{
    struct pollfd event = {.fd = program->done[0], .events = POLLIN};
    char bytes[THREADS];

    for (ssize_t left = THREADS, n; left > 0; left -= n) {
        if (poll(&event, 1, -1) < 1 || (n = read(event.fd, bytes, sizeof bytes)) < 1)
            return;
    }
}

int main(void)
{
    struct program program;
    pthread_t threads[THREADS];
    int failures = 0;

    /* Without a first fiber the runtime lives until it is stopped. */
    if (pipe(program.done) < 0 || weft_start(NULL, NULL, NULL, &program.runtime) < 0)
        return 1;
    for (int i = 0; i < THREADS; i++)
        if (pthread_create(&threads[i], NULL, request, &program) != 0)
            return 1;
    main_loop(&program);
    for (int i = 0; i < THREADS; i++) {
        void *sum = NULL;

        failures += pthread_join(threads[i], &sum) != 0 ||
                    (intptr_t)sum != REQUESTS * (REQUESTS + 1) / 2;
    }
    printf("%d threads, %d requests each, %d failures\n", THREADS, REQUESTS, failures);

    /* Two steps: anyone may ask for the end; its owner waits for it and gives the handle up. */
    if (weft_stop(program.runtime) < 0 || weft_wait(program.runtime, NULL, WEFT_FOREVER) < 0)
        return 1;
    return failures > 0;
}
