/* SPDX-License-Identifier: MIT */
/* The input buffer and the request body. */
#ifndef HTTP_INPUT_H
#define HTTP_INPUT_H

#include "connection.h"

/* Gives a large buffer back that the last burst had no use for.  Caller: between two requests. */
void input_rest(struct connection *connection);

/*
 * Makes room to receive into, keeping what the current request still needs.  Returns the room, 0
 * if the header section fills all that it may, or -ENOMEM.
 */
ssize_t input_make_room(struct connection *connection);

/* Adds to the request's body; 0 or -ENOMEM. */
int body_append(struct connection *connection, const char *data, size_t length);

void body_free(struct body *body);

#endif
