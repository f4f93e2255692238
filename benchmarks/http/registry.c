/* SPDX-License-Identifier: MIT */
/*
 * All open connections.
 *
 * A connection is ended from outside by shutdown(2), never by close(2): its owner may be using
 * the descriptor at that moment, and only the owner closes it.  It leaves the list before it
 * closes, so that no descriptor in the list can belong to somebody else by now.
 */
#include "registry.h"

#include "connection.h"

#include <errno.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

int registry_init(struct registry *registry, uint32_t limit)
{
    *registry = (struct registry){.limit = limit > 0 ? limit : UINT32_MAX};
    pthread_mutex_init(&registry->mutex, NULL);
    registry->release_event = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    return registry->release_event < 0 ? -errno : 0;
}

void registry_admit(struct registry *registry)
{
    pthread_mutex_lock(&registry->mutex);
    registry->open_count++;
    pthread_mutex_unlock(&registry->mutex);
}

void registry_add(struct registry *registry, struct connection *connection)
{
    pthread_mutex_lock(&registry->mutex);
    connection->previous = NULL;
    connection->next = registry->first;
    if (registry->first != NULL)
        registry->first->previous = connection;
    registry->first = connection;
    pthread_mutex_unlock(&registry->mutex);
}

void registry_remove(struct registry *registry, struct connection *connection)
{
    pthread_mutex_lock(&registry->mutex);
    if (connection->previous != NULL)
        connection->previous->next = connection->next;
    else
        registry->first = connection->next;
    if (connection->next != NULL)
        connection->next->previous = connection->previous;
    pthread_mutex_unlock(&registry->mutex);
}

/* Kept out of line: errno must not be looked up in a function that suspends. */
static void signal_release(struct registry *registry)
{
    const uint64_t one = 1;
    ssize_t ignored = write(registry->release_event, &one, sizeof one);

    (void)ignored; /* it fails only when the event is readable beyond counting */
}

void registry_release(struct registry *registry)
{
    bool is_awaited;

    pthread_mutex_lock(&registry->mutex);
    registry->open_count--;
    is_awaited = registry->is_awaited;
    registry->is_awaited = false;
    pthread_mutex_unlock(&registry->mutex);
    if (is_awaited)
        signal_release(registry);
}

bool registry_has_room(struct registry *registry)
{
    bool has_room;

    pthread_mutex_lock(&registry->mutex);
    has_room = registry->open_count < registry->limit;
    registry->is_awaited = !has_room;
    pthread_mutex_unlock(&registry->mutex);
    return has_room;
}

void registry_await_release(struct registry *registry)
{
    pthread_mutex_lock(&registry->mutex);
    registry->is_awaited = true;
    pthread_mutex_unlock(&registry->mutex);
}

void registry_reset_event(struct registry *registry)
{
    uint64_t count;
    ssize_t ignored = read(registry->release_event, &count, sizeof count);

    (void)ignored; /* EAGAIN: it was not readable */
}

uint32_t registry_count(struct registry *registry)
{
    uint32_t count;

    pthread_mutex_lock(&registry->mutex);
    count = registry->open_count;
    pthread_mutex_unlock(&registry->mutex);
    return count;
}

void registry_close_idle_since(struct registry *registry, int64_t since_ns)
{
    pthread_mutex_lock(&registry->mutex);
    for (struct connection *c = registry->first; c != NULL; c = c->next) {
        /* acquire: pairs with the release in connection_mark_idle(), for idle_since_ns. */
        int64_t idle_since_ns = atomic_load_explicit(&c->idle_since_ns, memory_order_acquire);

        /* If a request arrives at this very moment its bytes are still read: Linux hands out
         * what is queued before it reports the shutdown. */
        if (idle_since_ns < since_ns) {
            c->is_shut = true;
            shutdown(c->transport.fd, SHUT_RD);
        }
    }
    pthread_mutex_unlock(&registry->mutex);
}

void registry_close_idle(struct registry *registry)
{
    registry_close_idle_since(registry, CONNECTION_BUSY);
}

void registry_close_all(struct registry *registry)
{
    pthread_mutex_lock(&registry->mutex);
    for (struct connection *c = registry->first; c != NULL; c = c->next)
        shutdown(c->transport.fd, SHUT_RDWR);
    pthread_mutex_unlock(&registry->mutex);
}
