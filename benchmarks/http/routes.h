/* SPDX-License-Identifier: MIT */
/* From the target of a request to the function that answers it. */
#ifndef HTTP_ROUTES_H
#define HTTP_ROUTES_H

#include "connection.h"

#include <stdbool.h>
#include <stdint.h>

/*
 * Finds the route of a request whose head is complete; request.status is 404 or 405 if none fits.
 * It is done before the body arrives, which may then be refused.
 */
void routes_resolve(struct connection *connection, uint8_t method);

/* Whether the body matters to the route; if not it is received and dropped. */
bool routes_wants_body(const struct request *request);

/* The methods of the route, as an Allow header line. */
const char *routes_allow(const struct request *request);

/* Answers a complete request. */
void routes_answer(struct connection *connection);

#endif
