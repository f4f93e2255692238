/* SPDX-License-Identifier: MIT */
/* All open connections: how many there are, and which to wake when the server stops. */
#ifndef HTTP_REGISTRY_H
#define HTTP_REGISTRY_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

struct connection;

/*
 * The mutex guards every field.  It is held for a few instructions at a time and never across a
 * suspension point, so fibers may take it too.
 */
struct registry {
    pthread_mutex_t mutex;
    struct connection *first;
    uint32_t open_count; /* connections that still hold a descriptor */
    uint32_t limit;      /* --max-connections, UINT32_MAX if there is none */
    bool is_awaited;     /* the acceptor waits for the next one that ends */
    int release_event;   /* [I] eventfd, readable after an awaited connection has ended */
};

int registry_init(struct registry *registry, uint32_t limit);

/* Counts a descriptor as open.  Caller: whoever accepted it. */
void registry_admit(struct registry *registry);

/* Enters a connection that has been admitted. */
void registry_add(struct registry *registry, struct connection *connection);

/* Takes a connection out; it keeps counting as open until registry_release(). */
void registry_remove(struct registry *registry, struct connection *connection);

/* Counts a descriptor as closed, and tells the acceptor if it waits for that. */
void registry_release(struct registry *registry);

/*
 * Whether another connection may be accepted.  If not, release_event becomes readable when that
 * may have changed.
 */
bool registry_has_room(struct registry *registry);

/* Makes release_event readable at the next registry_release(): descriptors have run out. */
void registry_await_release(struct registry *registry);

/* Makes release_event unreadable again; never blocks. */
void registry_reset_event(struct registry *registry);

uint32_t registry_count(struct registry *registry);

/* Ends the input of every connection that is between two requests, which ends its wait. */
void registry_close_idle(struct registry *registry);

/* The same, for those that have been between requests since before `since_ns` of coarse_now(). */
void registry_close_idle_since(struct registry *registry, int64_t since_ns);

/* Makes every receive and send that is under way, and every later one, fail; but those of
 * connections that have been taken out, which only wait for their peers to be done. */
void registry_close_all(struct registry *registry);

#endif
