/* SPDX-License-Identifier: MIT */
/* An answer is written at once where the socket takes it (uv_try_write), and queued where not. */
#include "harness/echo_client.h"
#include "harness/round_work.h"
#include "libuv.h"
#include "server.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

/* Of each connection. */
static size_t buffer_size;
static bool is_nodelay;

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
    if (is_nodelay)
        uv_tcp_nodelay(&connection->tcp, 1);
    uv_read_start((uv_stream_t *)&connection->tcp, give_buffer, on_message);
}

static int begin(struct server *server, int fd)
{
    uv_tcp_t *listener = &server->handle.listener;
    int error = uv_tcp_init(&server->loop, listener);

    error = error == 0 ? uv_tcp_open(listener, fd) : error;
    return error == 0 ? uv_listen((uv_stream_t *)listener, SOMAXCONN, on_connection) : error;
}

static int serve_load(struct bench *b, const struct echo_load *load, struct echo_figures *figures)
{
    struct sockaddr_in address;
    socklen_t length = sizeof address;
    int fd, rc;

    buffer_size = bench_echo_buffer(load->bytes);
    is_nodelay = true;
    fd = servers_start(SOCK_STREAM, begin);
    if (fd < 0 || getsockname(fd, (struct sockaddr *)&address, &length) != 0) {
        bench_fail(b, "the server did not start");
        return -1;
    }
    rc = echo_client_run(ntohs(address.sin_port), load, figures);
    if (rc != 0)
        bench_fail(b, "the load generator failed");
    servers_stop();
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

void bench_connect_churn(struct bench *b)
{
    buffer_size = ROUND_BYTES;
    is_nodelay = false;
    servers_answer_rounds(b, SOCK_STREAM, "churn", begin);
}
