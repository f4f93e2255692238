/* SPDX-License-Identifier: MIT */
/*
 * Publish and subscribe: each subscriber has a channel of its own, with a buffer, and a message
 * goes into all of them.  One that does not keep up loses messages, and is told how many: neither
 * the publisher nor the other subscribers wait for it.
 */
#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <weft.h>

enum { SUBSCRIBERS = 3, MESSAGES = 100, BUFFER = 8 };

WEFT_CHANNEL_DEFINE(inbox, int)

struct subscriber {
    struct subscriber *next; /* under the topic's mutex */
    inbox inbox;
    int buffer[BUFFER];
    atomic_int lost;
    int got;
};

struct topic {
    weft_mutex mutex;
    struct subscriber *subscribers;
};

static int subscribe(struct topic *topic, struct subscriber *subscriber)
{
    int error = inbox_init(&subscriber->inbox, subscriber->buffer, BUFFER);

    if (error != 0 || (error = weft_mutex_lock(&topic->mutex, WEFT_FOREVER)) != 0)
        return error;
    subscriber->next = topic->subscribers;
    topic->subscribers = subscriber;
    weft_mutex_unlock(&topic->mutex);
    return 0;
}

static int publish(struct topic *topic, int message)
{
    int error = weft_mutex_lock(&topic->mutex, WEFT_FOREVER);

    if (error != 0)
        return error;
    for (struct subscriber *s = topic->subscribers; s != NULL; s = s->next)
        if (inbox_try_send(&s->inbox, message) == -EAGAIN)
            atomic_fetch_add(&s->lost, 1);
    weft_mutex_unlock(&topic->mutex);
    return 0;
}

/* The end of the topic: each subscriber still gets what is in its channel. */
static int end_topic(struct topic *topic)
{
    int error = weft_mutex_lock(&topic->mutex, WEFT_FOREVER);

    if (error != 0)
        return error;
    for (struct subscriber *s = topic->subscribers; s != NULL; s = s->next)
        inbox_close(&s->inbox);
    weft_mutex_unlock(&topic->mutex);
    return 0;
}

static int listen_to_topic(void *arg)
{
    struct subscriber *subscriber = arg;
    int before = -1;
    int message;
    int error;

    while ((error = inbox_receive(&subscriber->inbox, &message, WEFT_FOREVER)) == 0) {
        if (message <= before)
            return -EIO; /* they come in order, with gaps */
        before = message;
        subscriber->got++;
    }
    return error == -ENODATA ? 0 : error;
}

static int app(void *arg)
{
    static struct subscriber subscribers[SUBSCRIBERS + 1];
    static struct topic topic = {.mutex = WEFT_MUTEX_INIT};
    struct subscriber *absent = &subscribers[SUBSCRIBERS]; /* has subscribed, and looks late */
    weft_scope listeners = WEFT_SCOPE_INIT;
    int error = subscribe(&topic, absent);

    (void)arg;
    for (int i = 0; i < SUBSCRIBERS && error == 0; i++)
        if ((error = subscribe(&topic, &subscribers[i])) == 0)
            error = weft_scope_spawn(&listeners, listen_to_topic, &subscribers[i]);
    for (int i = 0; i < MESSAGES && error == 0; i++)
        if ((error = publish(&topic, i)) == 0)
            error = weft_yield();
    if (error == 0)
        error = end_topic(&topic);
    if (error == 0)
        error = weft_scope_spawn(&listeners, listen_to_topic, absent);
    error = weft_scope_close(&listeners, error);
    for (int i = 0; i <= SUBSCRIBERS; i++) {
        printf("subscriber %d got %d, lost %d\n", i, subscribers[i].got, subscribers[i].lost);
        if (error == 0 && subscribers[i].got + subscribers[i].lost != MESSAGES)
            error = -EIO;
    }
    return error != 0 ? error : absent->got == BUFFER ? 0 : -EIO;
}

int main(void)
{
    return weft_run(NULL, app, NULL) < 0;
}
