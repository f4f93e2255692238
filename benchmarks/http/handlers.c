/* SPDX-License-Identifier: MIT */
/* What the server does for each route: one source for fibers and threads. */
#include "handlers.h"

#include "file.h"
#include "output.h"
#include "plaintext.h"
#include "response.h"
#include "server.h"

#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* What /bytes sends, over and over: a multiple of the alphabet that repeats in it. */
static char bytes_pattern[TRANSPORT_SEND_MAX];

void handlers_start(void)
{
    static const char alphabet[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

    _Static_assert(sizeof bytes_pattern % (sizeof alphabet - 1) == 0, "the pattern must repeat");
    for (size_t i = 0; i < sizeof bytes_pattern; i += sizeof alphabet - 1)
        memcpy(bytes_pattern + i, alphabet, sizeof alphabet - 1);
}

void handle_plaintext(struct connection *c)
{
    static const struct ready_response response = {
        HTTP_PLAINTEXT_HEAD_REST, sizeof HTTP_PLAINTEXT_HEAD_REST - 1, HTTP_PLAINTEXT_BODY,
        sizeof HTTP_PLAINTEXT_BODY - 1};

    response_ready(c, &response);
}

void handle_json(struct connection *c)
{
    static const struct ready_response response = {HTTP_JSON_HEAD_REST,
                                                   sizeof HTTP_JSON_HEAD_REST - 1, HTTP_JSON_BODY,
                                                   sizeof HTTP_JSON_BODY - 1};

    response_ready(c, &response);
}

/* A wait for some backend, followed by the plain text. */
void handle_delay(struct connection *c)
{
    output_flush(c, 0); /* earlier answers of the burst need not wait as well */
    if (c->transport.ops->sleep(&c->transport, (int64_t)c->request.argument * 1000000) < 0) {
        c->is_closing = true;
        return;
    }
    handle_plaintext(c);
}

/* Some thousands of dependent steps, and what they come to: a request that takes its CPU. */
void handle_compute(struct connection *c)
{
    uint64_t x = c->request.argument;
    char body[17];

    for (uint64_t i = 0; i < c->request.argument * 1000; i++)
        x = x * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    snprintf(body, sizeof body, "%016llx", (unsigned long long)x);
    response_head(c, "text/plain", sizeof body - 1);
    if (!c->request.is_head_method)
        output_write(c, body, sizeof body - 1);
}

void handle_bytes(struct connection *c)
{
    uint64_t left = c->request.argument;

    response_head(c, "application/octet-stream", left);
    if (c->request.is_head_method)
        return;
    while (left > 0 && !c->is_broken) {
        size_t piece = left < sizeof bytes_pattern ? (size_t)left : sizeof bytes_pattern;

        output_write(c, bytes_pattern, piece);
        left -= piece;
    }
}

void handle_file(struct connection *c)
{
    struct request *request = &c->request;
    char *name = c->input.data + c->input.start + request->target_offset;
    uint64_t size = 0;
    int file = file_open(c->server->root_fd, name, request->target_length, &size);

    if (file < 0) {
        response_error(c, file_error_status(file));
        return;
    }
    response_head(c, "application/octet-stream", size);
    if (!request->is_head_method && size > 0) {
        output_flush(c, MSG_MORE);
        /* The head has promised `size` bytes: if they do not come, only closing says so. */
        if (!c->is_broken && c->transport.ops->send_file(&c->transport, file, size) < 0)
            c->is_broken = c->is_closing = true;
    }
    close(file);
}

void handle_echo(struct connection *c)
{
    response_head(c, "application/octet-stream", c->request.body.length);
    output_write(c, c->request.body.data, c->request.body.length);
}
