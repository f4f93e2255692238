/* SPDX-License-Identifier: MIT */
/* An echo server with a thread for each connection.  Questions and methods are those of weft's
 * benchmarks of the same names. */
#include "echo.h"
#include "harness/echo_client.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

enum { STACK_SIZE = 64 * 1024 };

struct server {
    int listener;
    unsigned connections;
    size_t buffer_size;
    pthread_t acceptor;
    struct connection {
        const struct server *server;
        int fd;
        pthread_t thread;
    } * accepted;
};

/* A write that may block ends early only where a signal or an error ends it. */
void echo_until_closed(int fd, char *buffer, size_t size)
{
    ssize_t n;

    while ((n = read(fd, buffer, size)) > 0)
        if (write(fd, buffer, (size_t)n) != n)
            break;
    close(fd);
}

static void *serve(void *arg)
{
    struct connection *connection = arg;
    size_t size = connection->server->buffer_size;
    char *buffer = malloc(size);

    /* Without a buffer it is closed at once, which the load generator finds out. */
    echo_until_closed(connection->fd, buffer, buffer ? size : 0);
    free(buffer);
    return NULL;
}

static void *accept_all(void *arg)
{
    struct server *server = arg;
    unsigned accepted = 0;
    pthread_attr_t attr;
    int one = 1;

    pthread_attr_init(&attr);
    pthread_attr_setstacksize(&attr, STACK_SIZE);
    for (; accepted < server->connections; accepted++) {
        struct connection *connection = &server->accepted[accepted];

        *connection = (struct connection){.server = server,
                                          .fd = accept(server->listener, NULL, NULL)};
        if (connection->fd < 0)
            break;
        setsockopt(connection->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
        if (pthread_create(&connection->thread, &attr, serve, connection) != 0) {
            close(connection->fd);
            break;
        }
    }
    pthread_attr_destroy(&attr);
    for (unsigned i = 0; i < accepted; i++)
        pthread_join(server->accepted[i].thread, NULL);
    return NULL;
}

/* Returns the port, or -1. */
static int start(struct server *server)
{
    int port;

    server->listener = echo_client_listen(&port);
    if (server->listener < 0 || pthread_create(&server->acceptor, NULL, accept_all, server) != 0)
        return -1;
    return port;
}

static int serve_load(struct bench *b, const struct echo_load *load, struct echo_figures *figures)
{
    struct server server = {.connections = load->connections,
                            .buffer_size = bench_echo_buffer(load->bytes)};
    int port;
    int rc;

    server.accepted = calloc(load->connections, sizeof *server.accepted);
    port = server.accepted ? start(&server) : -1;
    if (port < 0) {
        bench_fail(b, "the server did not start");
        return -1;
    }
    rc = echo_client_run(port, load, figures);
    /* Had the load generator failed, the acceptor would wait for ever. */
    shutdown(server.listener, SHUT_RDWR);
    pthread_join(server.acceptor, NULL);
    close(server.listener);
    free(server.accepted);
    if (rc != 0)
        bench_fail(b, "the load generator failed");
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
