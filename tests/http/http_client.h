/* SPDX-License-Identifier: MIT */
/*
 * A client of raw blocking sockets, which sends exactly the bytes that a test asks for.
 *
 * Everything here succeeds or ends the test with a message.  A receive that takes a minute counts
 * as a hang.
 */
#ifndef HTTP_TEST_HTTP_CLIENT_H
#define HTTP_TEST_HTTP_CLIENT_H

#include "server_process.h"

#include <stdbool.h>
#include <stddef.h>

enum { CLIENT_BUFFER_SIZE = 64 * 1024, ANSWER_HEAD_MAX = 4096 };

struct client {
    int fd;
    size_t start, end; /* what has been received and not looked at, in `buffer` */
    char *buffer;
};

struct answer {
    int status;
    char head[ANSWER_HEAD_MAX]; /* from the status line to the blank line */
    char *body;                 /* from malloc, with a zero behind it; NULL after HEAD */
    size_t body_length;         /* Content-Length, also after HEAD */
};

void client_open(struct client *client, const struct server_process *server);
void client_close(struct client *client);

/* Closes with a reset instead of an orderly end. */
void client_reset(struct client *client);

void client_send(struct client *client, const void *data, size_t length);
void client_send_text(struct client *client, const char *text);
void client_printf(struct client *client, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* Like client_send(), but returns false when the server has closed the connection meanwhile. */
bool client_try_send(struct client *client, const void *data, size_t length);

/* Receives one answer.  `answer->body` is to be freed with answer_free(). */
void client_receive(struct client *client, struct answer *answer);
void client_receive_head(struct client *client, struct answer *answer); /* of a HEAD request */

/* Receives one answer and asserts its status; the body is dropped. */
void client_expect(struct client *client, int status);

/* Asserts that the connection ends without another byte.  A reset counts as an end. */
void client_expect_end(struct client *client);

/* Whether something (bytes or the end) arrives within so long. */
bool client_is_readable(struct client *client, int timeout_ms);

/* Receives up to `length` raw bytes; 0 at the end of the connection, also by a reset. */
size_t client_receive_raw(struct client *client, char *data, size_t length);

/* Asks for `path` with GET on an open connection. */
void client_get(struct client *client, const char *path, struct answer *answer);

/* One request on a connection of its own: asserts that the server is well. */
void assert_serves(const struct server_process *server);

/* The value of a header, or NULL; valid until the next call. */
const char *answer_header(const struct answer *answer, const char *name);
bool answer_body_is(const struct answer *answer, const char *text);
void answer_free(struct answer *answer);

/* The byte at `offset` of any /bytes/<n>. */
char bytes_at(size_t offset);

#endif
