/* SPDX-License-Identifier: MIT */
/* Requests to the one fiber that owns what they are about.  Each has a channel for its answer: in
 * the frame of the one who asks, if that one waits to the end, and else in memory of its own. */
#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <weft.h>

enum { CLIENTS = 10, REQUESTS = 20, SLOW = -1 };

WEFT_CHANNEL_DEFINE(answers, long)

struct request {
    long amount; /* to add to the account; SLOW: the answer takes long */
    answers answer;
    bool is_allocated;
    long room;        /* the buffer of the answer, if it is allocated */
    atomic_int users; /* then the last of two frees it */
};

WEFT_CHANNEL_DEFINE(requests, struct request *)

static requests account; /* without a buffer: whoever has sent is being served */
static weft_event given_up = WEFT_EVENT_INIT;

static void leave(struct request *request)
{
    if (atomic_fetch_sub(&request->users, 1) == 1)
        free(request);
}

/* Nobody else touches the balance, so there is no lock.  In a shield: whoever has asked must hear,
 * so this ends when the channel is closed, and not sooner. */
static int serve(void *arg)
{
    weft_scope shield = WEFT_SCOPE_INIT;
    struct request *request;
    long balance = 0;
    int error = weft_scope_open_shielded(&shield, WEFT_FOREVER);

    (void)arg;
    while (error == 0 && (error = requests_receive(&account, &request, WEFT_FOREVER)) == 0) {
        bool is_allocated = request->is_allocated; /* else it may be gone once it has the answer */

        if (request->amount == SLOW)
            error = weft_event_wait(&given_up, WEFT_FOREVER);
        else
            balance += request->amount;
        if (error == 0)
            error = answers_send(&request->answer, balance, WEFT_FOREVER);
        if (is_allocated)
            leave(request);
    }
    return weft_scope_close(&shield, error == -ENODATA ? 0 : error);
}

/* Waits to the end, in a shield, so the answer finds this frame. */
static int ask(long amount, long *balance)
{
    weft_scope shield = WEFT_SCOPE_INIT;
    struct request request = {.amount = amount};
    int error = weft_scope_open_shielded(&shield, WEFT_FOREVER);

    if (error == 0)
        error = answers_init(&request.answer, NULL, 0);
    if (error == 0)
        error = requests_send(&account, &request, WEFT_FOREVER);
    if (error == 0)
        error = answers_receive(&request.answer, balance, WEFT_FOREVER);
    return weft_scope_close(&shield, error);
}

/* May give up.  The answer has a buffer to wait in, so nobody waits for one who is gone. */
static int ask_until(long amount, long *balance, weft_time deadline)
{
    struct request *request = calloc(1, sizeof *request);
    int error;

    if (request == NULL)
        return -ENOMEM;
    request->amount = amount;
    request->is_allocated = true;
    atomic_init(&request->users, 2);
    error = answers_init(&request->answer, &request->room, 1);
    if (error == 0)
        error = requests_send(&account, request, WEFT_FOREVER);
    if (error < 0) {
        free(request); /* nobody has it */
        return error;
    }
    error = answers_receive(&request->answer, balance, deadline);
    leave(request);
    return error;
}

static int pay_in(void *arg)
{
    long before, after;
    int error = 0;

    (void)arg;
    for (int i = 0; i < REQUESTS && error == 0; i += 2)
        if ((error = ask(1, &before)) == 0 && (error = ask_until(1, &after, WEFT_FOREVER)) == 0 &&
            after <= before)
            error = -EPROTO;
    return error;
}

static int app(void *arg)
{
    weft_scope clients = WEFT_SCOPE_INIT;
    weft_fiber *server;
    long balance = 0;
    int result, error = requests_init(&account, NULL, 0);

    (void)arg;
    if (error < 0 || (error = weft_spawn(&server, serve, NULL)) < 0)
        return error;
    for (int i = 0; i < CLIENTS && error == 0; i++)
        error = weft_scope_spawn(&clients, pay_in, NULL);
    error = weft_scope_close(&clients, error);
    if (error == 0 && ask_until(SLOW, &balance, weft_after(WEFT_MILLISECOND)) != -ETIMEDOUT)
        error = -EPROTO;
    weft_event_set(&given_up);
    if (error == 0)
        error = ask(0, &balance);
    requests_close(&account);
    if (weft_join(server, &result, WEFT_FOREVER) < 0 || result < 0)
        return -EIO;
    if (error < 0)
        return error;
    printf("the balance is %ld\n", balance);
    return balance == (long)CLIENTS * REQUESTS ? 0 : -EPROTO;
}

int main(void)
{
    return weft_run(NULL, app, NULL) < 0;
}
