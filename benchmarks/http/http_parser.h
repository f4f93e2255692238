/* SPDX-License-Identifier: MIT */
/* llhttp behind three calls. */
#ifndef HTTP_PARSER_H
#define HTTP_PARSER_H

#include "connection.h"

enum parse_result {
    PARSE_MORE,     /* all input is parsed; the request goes on or none has begun */
    PARSE_COMPLETE, /* connection->request is complete; there may be input behind it */
    PARSE_REJECTED  /* connection->request.reject says which error to answer with */
};

void http_parser_init(struct connection *connection);

/* Parses the input up to the end of one request. */
enum parse_result http_parser_run(struct connection *connection);

/* Makes ready for the next request.  Caller: after PARSE_COMPLETE. */
void http_parser_next(struct connection *connection);

#endif
