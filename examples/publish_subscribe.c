/* SPDX-License-Identifier: MIT */
/*
 * Publish and subscribe: every subscriber sees every message.  One that does not keep up misses the
 * oldest, and is told how many: neither the publisher nor the other subscribers wait for it.
 */
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <weft.h>

enum { SUBSCRIBERS = 4, MESSAGES = 100, KEPT = 8 };

WEFT_BROADCAST_DEFINE(topic, int)

struct subscriber {
    topic_receiver receiver;
    int got;
    int missed;
};

/* Returns false at the end. */
static bool count(struct subscriber *subscriber, int error)
{
    if (error == 0)
        subscriber->got++;
    else if (error == -EOVERFLOW)
        subscriber->missed += (int)subscriber->receiver.base.missed;
    return error == 0 || error == -EOVERFLOW;
}

static int follow(void *arg)
{
    struct subscriber *subscriber = arg;
    int message;
    int error;

    do
        error = topic_receive(&subscriber->receiver, &message, WEFT_FOREVER);
    while (count(subscriber, error));
    return error == -ENODATA ? 0 : error; /* -ENODATA: the topic is closed */
}

/* All that is there, without waiting for more. */
static int catch_up(struct subscriber *subscriber)
{
    int message;
    int error;

    do
        error = topic_try_receive(&subscriber->receiver, &message);
    while (count(subscriber, error));
    return error == -EAGAIN || error == -ENODATA ? 0 : error;
}

static int app(void *arg)
{
    static struct subscriber subscribers[SUBSCRIBERS];
    static int kept[KEPT];
    static topic news;
    struct subscriber *late = &subscribers[SUBSCRIBERS - 1]; /* looks when all is over */
    weft_scope scope = WEFT_SCOPE_INIT;
    int error = topic_init(&news, kept, KEPT);

    (void)arg;
    for (int i = 0; i < SUBSCRIBERS && error == 0; i++) {
        topic_subscribe(&news, &subscribers[i].receiver);
        if (&subscribers[i] != late)
            error = weft_scope_spawn(&scope, follow, &subscribers[i]);
    }
    for (int i = 0; i < MESSAGES && error == 0; i++)
        if ((error = topic_send(&news, i)) == 0)
            error = weft_yield();
    topic_close(&news); /* each still sees what is kept */
    if (error == 0)
        error = catch_up(late);
    error = weft_scope_close(&scope, error);
    for (int i = 0; i < SUBSCRIBERS; i++) {
        printf("subscriber %d got %d, missed %d\n", i, subscribers[i].got, subscribers[i].missed);
        if (error == 0 && subscribers[i].got + subscribers[i].missed != MESSAGES)
            error = -EIO;
    }
    return error != 0 ? error : late->got == KEPT ? 0 : -EIO;
}

int main(void)
{
    return weft_run(NULL, app, NULL) < 0;
}
