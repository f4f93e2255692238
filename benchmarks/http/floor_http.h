/* SPDX-License-Identifier: MIT */
/*
 * The parser, the routes and the answers of weft-http, for a loop that receives and sends by
 * itself.  Only what is answered at once: /plaintext, /json.
 */
#ifndef HTTP_FLOOR_HTTP_H
#define HTTP_FLOOR_HTTP_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

struct floor_http;

/* Before all else; 0 or -errno. */
int floor_http_start(void);

/* NULL: no memory.  The second closes the descriptor. */
struct floor_http *floor_http_open(int fd);
void floor_http_close(struct floor_http *http);

/* Where to receive, and how much there is room for; 0: the connection is to be dropped. */
size_t floor_http_room(struct floor_http *http, char **room);

/* Answers what is complete once `length` bytes have been received.  Returns the length of the
 * answers, which stay where they are until the next call; -EPIPE: drop the connection. */
ssize_t floor_http_answer(struct floor_http *http, size_t length, const char **answers);

/* Whether the connection ends with those answers. */
bool floor_http_is_last(const struct floor_http *http);

#endif
