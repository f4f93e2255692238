/* SPDX-License-Identifier: MIT */
/* What the server does for each route: one source for fibers and threads. */
#ifndef HTTP_HANDLERS_H
#define HTTP_HANDLERS_H

#include "connection.h"

enum { HANDLE_DELAY_MS_MAX = 60000, HANDLE_BYTES_MAX = 1 << 30, HANDLE_COMPUTE_MAX = 10000 };

/* Each answers connection->request, which is complete, by way of the output buffer. */
void handle_plaintext(struct connection *connection);
void handle_json(struct connection *connection);
void handle_delay(struct connection *connection);
void handle_compute(struct connection *connection);
void handle_bytes(struct connection *connection);
void handle_file(struct connection *connection);
void handle_echo(struct connection *connection);

/* Prepares what the handlers share.  Caller: main, before any other thread exists. */
void handlers_start(void);

#endif
