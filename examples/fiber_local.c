/* SPDX-License-Identifier: MIT */
/*
 * A request's name goes with all fibers that work for it, without a parameter for it: a fiber-local
 * value that children inherit.
 *
 *   build/release/examples/fiber_local
 */
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <weft.h>

enum { REQUESTS = 3, STEPS = 2 };

/* Shared by all fibers of a request: the last one frees it. */
struct request {
    _Atomic(int) users;
    int number;
};

static weft_local_key request_key;
static _Atomic(int) freed;

static void drop_request(void *value)
{
    struct request *request = value;

    if (atomic_fetch_sub(&request->users, 1) == 1) {
        free(request);
        (void)atomic_fetch_add(&freed, 1);
    }
}

static int share_request(void *value, void **copy)
{
    struct request *request = value;

    (void)atomic_fetch_add(&request->users, 1);
    *copy = request;
    return 0;
}

/* Deep inside, where nobody handed the request over. */
static void write_log(const char *text)
{
    struct request *request = weft_local_get(request_key);

    printf("request %d: %s\n", request != NULL ? request->number : -1, text);
}

static int do_step(void *arg)
{
    write_log(arg);
    return weft_sleep(WEFT_MILLISECOND);
}

static int serve(void *arg)
{
    struct request *request = calloc(1, sizeof *request);
    weft_scope steps = WEFT_SCOPE_INIT;
    int error;

    if (request == NULL)
        return -1;
    request->users = 1;
    request->number = (int)(intptr_t)arg;
    error = weft_local_set(request_key, request); /* destroyed when this fiber ends */
    if (error < 0) {
        free(request);
        return error;
    }
    for (int i = 0; i < STEPS && error == 0; i++)
        error = weft_scope_spawn(&steps, do_step, "a step");
    error = weft_scope_close(&steps, error);
    write_log("done");
    return error;
}

static int app(void *arg)
{
    weft_scope requests = WEFT_SCOPE_INIT;
    int error = 0;

    (void)arg;
    for (int i = 1; i <= REQUESTS && error == 0; i++)
        error = weft_scope_spawn(&requests, serve, (void *)(intptr_t)i);
    return weft_scope_close(&requests, error);
}

int main(void)
{
    struct weft_local_attr attr = {.destroy = drop_request, .copy = share_request, .inherit = true};
    int error = weft_local_key_create(&request_key, &attr);

    if (error == 0)
        error = weft_run(NULL, app, NULL);
    if (error == 0)
        weft_local_key_delete(request_key);
    if (error < 0 || freed != REQUESTS) {
        fprintf(stderr, "error %d, %d of %d requests freed\n", error, freed, REQUESTS);
        return 1;
    }
    return 0;
}
