/* SPDX-License-Identifier: MIT */
/*
 * The output buffer.  Answers are collected in it and go out together: when the burst of requests
 * that was received has been answered, before a handler waits, or when the buffer is full.
 *
 * A send that fails marks the connection as broken; from then on all of this does nothing.
 */
#ifndef HTTP_OUTPUT_H
#define HTTP_OUTPUT_H

#include "connection.h"

/* The next `length` bytes of the buffer, at most OUTPUT_SIZE_MIN; NULL if the connection broke. */
char *output_reserve(struct connection *connection, size_t length);

/* Says how many of the reserved bytes were used. */
void output_commit(struct connection *connection, size_t length);

/* Adds `length` bytes, of which much is sent at once and from where it is. */
void output_write(struct connection *connection, const char *data, size_t length);

/* Sends what has been collected; `flags` as for the transport's send. */
void output_flush(struct connection *connection, int flags);

/* Gives a large buffer back that the last burst had no use for.  Caller: after a flush. */
void output_rest(struct connection *connection, size_t last_burst);

#endif
