/* SPDX-License-Identifier: MIT */
/*
 * What the HTTP server of the benchmarks receives: parser, buffers, routes and answers.
 *
 * The same bytes come once in one piece and once in many.  TCP does not promise which, so the
 * answers must be the same.  The first bytes of an input say how it is cut.
 */
#include "connection.h"
#include "date.h"
#include "driver.h"
#include "handlers.h"
#include "server.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum {
    CUT_BYTES = 4, /* how the rest is cut */
    OUTPUT_KEPT = 128 * 1024,
    BODY_LIMIT = 5000,
};

static struct run {
    const uint8_t *data;
    size_t size, at;
    uint8_t cuts[CUT_BYTES];
    unsigned pieces;
    bool is_whole;
    size_t sent; /* also what is not kept */
    char output[OUTPUT_KEPT];
} runs[2], *current;

/* The clock stands still. */
void date_copy(char *out)
{
    memcpy(out, "Sat, 01 Jan 2000 00:00:00 GMT\r\n", DATE_ROOM);
}

int64_t coarse_now(void)
{
    return 1000000000;
}

static ssize_t receive(struct transport *transport, void *buf, size_t len, int64_t timeout_ns)
{
    size_t rest = current->size - current->at;
    size_t piece = current->is_whole ? rest : 1U + current->cuts[current->pieces++ % CUT_BYTES];

    (void)transport;
    (void)timeout_ns;
    piece = piece < rest ? piece : rest;
    piece = piece < len ? piece : len;
    memcpy(buf, current->data + current->at, piece);
    current->at += piece;
    return (ssize_t)piece;
}

static int send_out(struct transport *transport, const void *buf, size_t len, int flags)
{
    size_t room = sizeof current->output - current->sent;

    (void)transport;
    (void)flags;
    if (current->sent < sizeof current->output)
        memcpy(current->output + current->sent, buf, len < room ? len : room);
    current->sent += len;
    return 0;
}

static int send_file(struct transport *transport, int file, uint64_t len)
{
    (void)transport;
    (void)file;
    (void)len;
    abort(); /* there is no folder with files */
}

static int do_not_sleep(struct transport *transport, int64_t ns)
{
    (void)transport;
    (void)ns;
    return 0;
}

static void close_nothing(struct transport *transport)
{
    (void)transport;
}

static const struct transport_ops operations = {.recv = receive,
                                                .send = send_out,
                                                .send_file = send_file,
                                                .sleep = do_not_sleep,
                                                .close = close_nothing};

static void serve(struct run *run, bool is_whole, const uint8_t *data, size_t size)
{
    static struct server server;
    static struct connection connection;

    if (server.options.body_limit == 0) {
        server.options = (struct options){.header_timeout_ns = 1,
                                          .idle_timeout_ns = 1,
                                          .write_timeout_ns = 1,
                                          .body_limit = BODY_LIMIT};
        server.root_fd = -1;
        if (registry_init(&server.registry, 0) != 0)
            abort();
        handlers_start();
    }
    current = run;
    memcpy(run->cuts, data, CUT_BYTES);
    run->data = data + CUT_BYTES;
    run->size = size - CUT_BYTES;
    run->is_whole = is_whole;
    run->at = run->sent = 0;
    run->pieces = 0;
    registry_admit(&server.registry);
    connection_init(&connection, &server, &operations, -1);
    connection_serve(&connection);
}

static void fail(const char *what)
{
    (void)fprintf(stderr, "%s\n", what);
    for (unsigned i = 0; i < 2; i++)
        (void)fprintf(stderr, "== %s:\n%.*s\n", i == 0 ? "in one piece" : "in pieces",
                      (int)(runs[i].sent < 4000 ? runs[i].sent : 4000), runs[i].output);
    abort();
}

/* Whether and when a client is asked to go on depends on what has come of its body. */
static bool expects(const uint8_t *data, size_t size)
{
    for (size_t i = 0; i + 6 <= size; i++)
        if (strncasecmp((const char *)data + i, "expect", 6) == 0)
            return true;
    return false;
}

void fuzz_one(const uint8_t *data, size_t size)
{
    size_t kept;

    if (size < CUT_BYTES)
        return;
    for (unsigned i = 0; i < 2; i++)
        serve(&runs[i], i == 0, data, size);
    for (unsigned i = 0; i < 2; i++)
        if (runs[i].sent > 0 && memcmp(runs[i].output, "HTTP/1.1 ", 9) != 0)
            fail("this is no answer");
    if (expects(data + CUT_BYTES, size - CUT_BYTES))
        return;
    kept = runs[0].sent < OUTPUT_KEPT ? runs[0].sent : OUTPUT_KEPT;
    if (runs[0].sent != runs[1].sent || memcmp(runs[0].output, runs[1].output, kept) != 0)
        fail("the answers differ");
}
