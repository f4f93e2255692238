/* SPDX-License-Identifier: MIT */
/*
 * An echo server of two loops, each on a thread of its own with a listener of its own on the same
 * port (SO_REUSEPORT), as a libuv server that uses several CPUs is built: handles belong to one
 * loop. An answer is written at once where the socket takes it (uv_try_write), and queued where
 * not.
 */
#include "harness/echo_client.h"
#include "libuv.h"

#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include <uv.h>

enum { LOOPS = 2 };

static size_t buffer_size; /* of a connection */

struct server {
    uv_loop_t loop;
    uv_tcp_t listener;
    uv_async_t stop;
    uv_thread_t thread;
};

struct connection {
    uv_tcp_t tcp;
    char message[];
};

struct answer {
    uv_write_t request;
    char message[];
};

static void free_handle(uv_handle_t *handle)
{
    free(handle);
}

static void give_buffer(uv_handle_t *handle, size_t size, uv_buf_t *buffer)
{
    struct connection *connection = (struct connection *)handle;

    (void)size;
    *buffer = uv_buf_init(connection->message, (unsigned)buffer_size);
}

static void on_written(uv_write_t *request, int status)
{
    (void)status;
    free(request);
}

/* What the socket did not take; the connection's own buffer is read into again meanwhile. */
static int write_later(uv_stream_t *stream, const char *message, size_t length)
{
    struct answer *answer = malloc(sizeof *answer + length);
    uv_buf_t buffer;

    if (answer == NULL)
        return UV_ENOMEM;
    memcpy(answer->message, message, length);
    buffer = uv_buf_init(answer->message, (unsigned)length);
    return uv_write(&answer->request, stream, &buffer, 1, on_written);
}

static void on_message(uv_stream_t *stream, ssize_t length, const uv_buf_t *buffer)
{
    uv_buf_t answer;
    int written = 0, rc = 0;

    if (length == 0)
        return;
    if (length > 0) {
        answer = uv_buf_init(buffer->base, (unsigned)length);
        written = uv_try_write(stream, &answer, 1);
        if (written == UV_EAGAIN)
            written = 0;
        rc = written < 0 ? written : 0;
        if (rc == 0 && written < length)
            rc = write_later(stream, buffer->base + written, (size_t)(length - written));
    }
    if (length < 0 || rc < 0)
        uv_close((uv_handle_t *)stream, free_handle);
}

static void on_connection(uv_stream_t *listener, int status)
{
    struct connection *connection = NULL;

    if (status == 0)
        connection = malloc(sizeof *connection + buffer_size);
    if (connection == NULL)
        return;
    uv_tcp_init(listener->loop, &connection->tcp);
    if (uv_accept(listener, (uv_stream_t *)&connection->tcp) != 0) {
        uv_close((uv_handle_t *)&connection->tcp, free_handle);
        return;
    }
    uv_tcp_nodelay(&connection->tcp, 1);
    uv_read_start((uv_stream_t *)&connection->tcp, give_buffer, on_message);
}

static void on_stop(uv_async_t *stop)
{
    struct server *server = stop->data;

    uv_close((uv_handle_t *)&server->listener, NULL);
    uv_close((uv_handle_t *)stop, NULL);
}

/* Ends when the listener and all connections are closed. */
static void run_loop(void *arg)
{
    struct server *server = arg;

    uv_run(&server->loop, UV_RUN_DEFAULT);
}

/* A listening socket at the port, or at any for 0; the port, or -1. */
static int listen_at(struct server *server, int port)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    socklen_t length = sizeof address;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    int one = 1;

    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &one, sizeof one) != 0 ||
        bind(fd, (struct sockaddr *)&address, sizeof address) != 0 ||
        getsockname(fd, (struct sockaddr *)&address, &length) != 0 ||
        uv_tcp_open(&server->listener, fd) != 0 ||
        uv_listen((uv_stream_t *)&server->listener, SOMAXCONN, on_connection) != 0)
        return -1;
    return ntohs(address.sin_port);
}

static int start(struct server *server, int port)
{
    uv_loop_init(&server->loop);
    uv_tcp_init(&server->loop, &server->listener);
    uv_async_init(&server->loop, &server->stop, on_stop);
    server->stop.data = server;
    port = listen_at(server, port);
    if (port < 0 || uv_thread_create(&server->thread, run_loop, server) != 0)
        return -1;
    return port;
}

static int serve_load(struct bench *b, const struct echo_load *load, struct echo_figures *figures)
{
    static struct server servers[LOOPS];
    int port = 0, rc;

    buffer_size = bench_echo_buffer(load->bytes);
    for (unsigned i = 0; i < LOOPS && port >= 0; i++)
        port = start(&servers[i], port);
    if (port < 0) {
        bench_fail(b, "the server did not start");
        return -1;
    }
    rc = echo_client_run(port, load, figures);
    if (rc != 0)
        bench_fail(b, "the load generator failed");
    for (unsigned i = 0; i < LOOPS; i++) {
        uv_async_send(&servers[i].stop);
        uv_thread_join(&servers[i].thread);
        uv_loop_close(&servers[i].loop);
    }
    return rc;
}

void bench_echo_tcp(struct bench *b)
{
    echo_client_tcp(b, serve_load);
}

void bench_echo_open(struct bench *b)
{
    echo_client_open(b, serve_load);
}
