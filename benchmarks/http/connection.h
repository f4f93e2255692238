/* SPDX-License-Identifier: MIT */
/* One connection: its buffers, its parser, and the loop that serves it. */
#ifndef HTTP_CONNECTION_H
#define HTTP_CONNECTION_H

#include "transport.h"

#include <llhttp.h>

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

struct server;

enum {
    HEADER_SECTION_MAX = 16 * 1024, /* request line and headers; more is answered with 431 */

    /*
     * The first buffers are part of the connection and small: a connection that waits is then
     * little more than its stack.  They hold one usual request and its answer; whoever pipelines
     * or sends more gets larger ones until it rests.
     */
    INPUT_SIZE_MIN = 768,
    INPUT_SIZE_MAX = HEADER_SECTION_MAX,
    OUTPUT_SIZE_MIN = 512,
    OUTPUT_SIZE_MAX = 16 * 1024
};

#define CONNECTION_BUSY INT64_MAX /* as idle_since_ns: a request is being received or served */

/*
 * Received bytes.  [start, parsed) belong to the request that is being parsed, [parsed, length)
 * have not been looked at.
 */
struct input {
    char *data; /* input_inline or from malloc */
    uint32_t capacity, start, parsed, length;
};

/* Bytes to send, collected so that the answers to one burst of requests go in one call. */
struct output {
    char *data; /* output_inline or from malloc */
    uint32_t capacity, length;
};

/* The body of a request: a view into the input while it is all there, else a copy of its own. */
struct body {
    char *data;
    size_t length, capacity; /* capacity 0: a view */
};

enum header { HEADER_OTHER, HEADER_HOST, HEADER_EXPECT, HEADER_TRANSFER_ENCODING };

/* The request that is being parsed or served.  Offsets count from input.start. */
struct request {
    uint32_t target_offset, target_length;
    uint32_t field_offset, field_length;
    uint32_t value_offset, value_length;
    uint8_t header; /* enum header: whose value is being parsed */
    uint8_t route;  /* enum route, valid once is_head_complete */
    uint8_t hosts;  /* Host headers seen, at most 2 */
    bool is_head_complete;
    bool is_keep_alive;
    bool is_http_1_0;
    bool is_head_method;
    bool expects_continue;
    bool has_transfer_encoding;
    bool has_body_deadline;
    uint16_t status;   /* 0: the route's handler answers; else the error to answer with */
    uint16_t reject;   /* the error that ends parsing and the connection, or 0 */
    uint64_t argument; /* of /delay/<ms> and /bytes/<n> */
    uint64_t body_received;
    int64_t deadline_ns; /* for the part that is being received; 0: not set yet */
    struct body body;
};

/* Used by the fiber or thread that serves it, but for what says otherwise. */
struct connection {
    struct transport transport;
    struct server *server;              /* [I] */
    struct connection *next, *previous; /* guarded by the registry's mutex */
    _Atomic(int64_t) idle_since_ns;     /* [A] when it began to wait; or CONNECTION_BUSY */
    bool is_closing;                    /* nothing more is to be received */
    bool is_broken;                     /* a send failed: nothing more is to be sent */
    bool must_linger;                   /* unread input would turn close(2) into a reset */
    bool closes_first;                  /* input that is on its way would do so as well */
    bool is_shut;                       /* the registry's until it is out of it: input was ended */
    struct request request;
    struct input input;
    struct output output;
    llhttp_t parser;
    char output_inline[OUTPUT_SIZE_MIN];
    char input_inline[INPUT_SIZE_MIN];
};

/*
 * Starts a connection for a descriptor that registry_admit() has counted.  The caller provides the
 * storage: the stack of whoever serves it, where that is one and the same for its life.
 */
void connection_init(struct connection *connection, struct server *server,
                     const struct transport_ops *ops, int fd);

/*
 * Receives once and answers every request that is complete; if the last one is not, goes on until
 * it is.  Returns false when the connection is to be closed.
 */
bool connection_serve_burst(struct connection *connection);

/* Serves until the connection is to be closed, and closes it. */
void connection_serve(struct connection *connection);

/* The two halves of that, for a loop that receives and sends by itself: whether what comes next
 * begins a request, and answering every request that is complete into the output. */
bool connection_is_between_requests(const struct connection *connection);
void connection_answer_all(struct connection *connection);

/* Closes it and gives back what it holds; the storage is the caller's again. */
void connection_close(struct connection *connection);

/* Publishes that the connection waits for a request, or that it no longer does. */
void connection_mark_idle(struct connection *connection);
void connection_mark_busy(struct connection *connection);

#endif
