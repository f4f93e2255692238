/* SPDX-License-Identifier: MIT */
/*
 * The watcher accepts connections and looks after those that wait for a request, in the modes where
 * a connection has no thread of its own meanwhile.
 *
 * A connection is owned by the watcher or by who serves it, never by both.
 */
#ifndef HTTP_WATCHER_H
#define HTTP_WATCHER_H

struct connection;
struct server;

/*
 * Makes ready; 0 or -errno.  Connections that have input go to `start`, on the thread of
 * watcher_run(); if it is NULL, to whoever calls watcher_take().
 */
int watcher_set_up(struct server *server, void (*start)(struct connection *connection));

/* Serves until a signal has come and the connections are gone; returns the exit status.
 * `error` is what the preparations came to: it says so and serves nobody if it is not 0. */
int watcher_run(struct server *server, int error);

/* Blocks until a connection has input; it is the caller's then.  Any thread. */
struct connection *watcher_take(void);

/* Answers what has arrived, and gives the connection back to the watcher or ends it. */
void watcher_serve(struct connection *connection);

/* Gives it back as it is. */
void watcher_return(struct connection *connection);

#endif
