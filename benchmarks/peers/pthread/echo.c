/* SPDX-License-Identifier: MIT */
/* An echo server with a thread for each connection.  Questions and methods are those of weft's
 * benchmarks of the same names. */
#include "echo.h"
#include "harness/echo_rows.h"

#include <libgen.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { WINDOW_MS = 2000, WINDOW_MS_QUICK = 500 };
enum { STACK_SIZE = 64 * 1024 };

struct server {
    int listener;
    unsigned connections;
    pthread_t acceptor;
    pthread_t *threads;
    int *fds;
};

struct figures {
    double requests, p50_us, p99_us, p999_us, max_us, total, cpu_us;
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

/* The load generator lies beside this program. */
static int load(int port, unsigned connections, unsigned rate, unsigned window_ms,
                struct figures *figures)
{
    char self[512], command[700];
    ssize_t n = readlink("/proc/self/exe", self, sizeof self - 1);
    int found = 0;
    FILE *output;

    if (n < 0)
        return -1;
    self[n] = '\0';
    snprintf(command, sizeof command, "exec '%s/bench-echo-load' %d %u %u %u", dirname(self), port,
             connections, rate, window_ms);
    output = popen(command, "r");
    if (!output)
        return -1;
    found = fscanf(output, "requests %lf p50_us %lf p99_us %lf p999_us %lf max_us %lf total %lf",
                   &figures->requests, &figures->p50_us, &figures->p99_us, &figures->p999_us,
                   &figures->max_us, &figures->total);
    return pclose(output) == 0 && found == 6 ? 0 : -1;
}

static int serve_load(struct bench *b, unsigned connections, unsigned rate, struct figures *figures)
{
    struct server server = {.connections = connections};
    int port;
    uint64_t before;
    int rc;

    server.threads = calloc(connections, sizeof *server.threads);
    server.fds = calloc(connections, sizeof *server.fds);
    port = server.threads && server.fds ? start(&server) : -1;
    before = bench_cpu_ns();
    if (port < 0) {
        bench_fail(b, "the server did not start");
        return -1;
    }
    rc = load(port, connections, rate, b->is_quick ? WINDOW_MS_QUICK : WINDOW_MS, figures);
    figures->cpu_us = (double)(bench_cpu_ns() - before) / 1e3;
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
    struct figures figures;

    if (serve_load(b, (unsigned)b->spec->parameter, 0, &figures) != 0)
        return;
    bench_report(b, "requests_per_s", 1,
                 figures.requests * 1000 / (b->is_quick ? WINDOW_MS_QUICK : WINDOW_MS));
    bench_report(b, "cpu_us_per_request", 0, figures.cpu_us / figures.total);
}

void bench_echo_open(struct bench *b)
{
    struct figures figures;

    if (serve_load(b, BENCH_ECHO_OPEN_CONNECTIONS, (unsigned)b->spec->parameter, &figures) != 0)
        return;
    bench_report(b, "p50_us", 0, figures.p50_us);
    bench_report(b, "p99_us", 0, figures.p99_us);
    bench_report(b, "p999_us", 0, figures.p999_us);
    bench_report(b, "max_us", 0, figures.max_us);
    bench_report(b, "cpu_us_per_request", 0, figures.cpu_us / figures.total);
}
