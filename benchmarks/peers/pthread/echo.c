/* SPDX-License-Identifier: MIT */
/* An echo server with a thread for each connection.  Questions and methods are those of weft's
 * benchmarks of the same names. */
#include "echo.h"
#include "harness/echo_client.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { STACK_SIZE = 64 * 1024 };

struct server {
    int listener;
    unsigned connections;
    pthread_t acceptor;
    pthread_t *threads;
    int *fds;
};

void echo_until_closed(int fd)
{
    char message[256];
    ssize_t n;

    while ((n = read(fd, message, sizeof message)) > 0)
        if (write(fd, message, (size_t)n) != n)
            break;
    close(fd);
}

static void *serve(void *arg)
{
    echo_until_closed(*(int *)arg);
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
        int fd = accept(server->listener, NULL, NULL);

        if (fd < 0)
            break;
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
        server->fds[accepted] = fd;
        if (pthread_create(&server->threads[accepted], &attr, serve, &server->fds[accepted]) != 0) {
            close(fd);
            break;
        }
    }
    pthread_attr_destroy(&attr);
    for (unsigned i = 0; i < accepted; i++)
        pthread_join(server->threads[i], NULL);
    return NULL;
}

/* Returns the port, or -1. */
static int start(struct server *server)
{
    struct sockaddr_in address = {.sin_family = AF_INET};
    socklen_t length = sizeof address;

    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    server->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (server->listener < 0 ||
        bind(server->listener, (struct sockaddr *)&address, sizeof address) != 0 ||
        listen(server->listener, SOMAXCONN) != 0 ||
        getsockname(server->listener, (struct sockaddr *)&address, &length) != 0 ||
        pthread_create(&server->acceptor, NULL, accept_all, server) != 0)
        return -1;
    return ntohs(address.sin_port);
}

static int serve_load(struct bench *b, unsigned connections, unsigned rate,
                      struct echo_figures *figures)
{
    struct server server = {.connections = connections};
    int port;
    int rc;

    server.threads = calloc(connections, sizeof *server.threads);
    server.fds = calloc(connections, sizeof *server.fds);
    port = server.threads && server.fds ? start(&server) : -1;
    if (port < 0) {
        bench_fail(b, "the server did not start");
        return -1;
    }
    rc = echo_client_run(port, connections, rate, echo_window_ms(b), figures);
    /* Had the load generator failed, the acceptor would wait for ever. */
    shutdown(server.listener, SHUT_RDWR);
    pthread_join(server.acceptor, NULL);
    close(server.listener);
    free(server.threads);
    free(server.fds);
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
