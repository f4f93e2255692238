/* SPDX-License-Identifier: MIT */
/* What all connections of the process share, and the four ways to run them. */
#ifndef HTTP_SERVER_H
#define HTTP_SERVER_H

#include "options.h"
#include "registry.h"

#include <stdatomic.h>
#include <stdbool.h>

enum {
    STACK_SIZE_KIB = 64,  /* of a connection's thread, and of its fiber */
    GRACE_MS = 5000,      /* for requests in flight once a signal has come */
    DRAIN_TICK_MS = 5,    /* how often idle connections are looked for meanwhile */
    ACCEPT_PAUSE_MS = 100 /* at most, when descriptors, memory or threads have run out */
};

struct server {
    struct options options;    /* [I] set before the mode starts */
    int listener;              /* the mode's: it closes it when it stops accepting */
    int root_fd;               /* [I] folder of /file/, -1 if there is none */
    int stop_fd;               /* [I] readable once a signal has come */
    _Atomic(bool) is_draining; /* [A] set once: answers say Connection: close from then on */
    struct registry registry;  /* has its own lock */
};

/* Each serves until a signal has come and the connections are gone; returns the exit status. */
int mode_fiber_run(struct server *server);
int mode_thread_per_connection_run(struct server *server);
int mode_thread_per_request_run(struct server *server);
int mode_thread_pool_run(struct server *server);

static inline bool server_is_draining(struct server *server)
{
    /* relaxed: nothing is published with the flag, and whoever misses it looks again. */
    return atomic_load_explicit(&server->is_draining, memory_order_relaxed);
}

/* Makes answers say that the connection ends with them. */
void server_stop_accepting(struct server *server);

/* Caller: the mode, once nobody accepts any more. */
void server_close_listener(struct server *server);

enum accept_failure {
    ACCEPT_RETRY, /* a connection died before it was taken: take the next one */
    ACCEPT_PAUSE  /* descriptors or memory have run out: taking the next one would fail too */
};

enum accept_failure server_classify_accept_error(int error);

/* Writes the line that says where the server listens; 0 or the exit status. */
int server_announce(const struct server *server);

/* The end of every mode: closes by force what the grace was too short for, and says so. */
void server_cut_remaining(struct server *server);

#endif
