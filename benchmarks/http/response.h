/* SPDX-License-Identifier: MIT */
/* The head of an answer. */
#ifndef HTTP_RESPONSE_H
#define HTTP_RESPONSE_H

#include "connection.h"

#include <stddef.h>
#include <stdint.h>

/* A whole answer with status 200 that never changes: the rest of its head, and its body. */
struct ready_response {
    const char *head_rest; /* from the line after Date to the blank line */
    size_t head_rest_length;
    const char *body;
    size_t body_length;
};

void response_ready(struct connection *connection, const struct ready_response *response);

/* The head of a 200 with a body of `content_length` bytes, which the caller writes. */
void response_head(struct connection *connection, const char *content_type,
                   uint64_t content_length);

/* A whole answer with an error status. */
void response_error(struct connection *connection, uint16_t status);

/* 100 Continue. */
void response_continue(struct connection *connection);

#endif
