/* SPDX-License-Identifier: MIT */
#include "echo.h"

#include "harness/echo_rows.h"
#include "harness/spawn_load.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { CACHE_LINE = 64 };

uint64_t echo_compute(uint64_t steps)
{
    uint64_t x = steps;

    for (uint64_t i = 0; i < steps; i++) {
        x = x * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
        __asm__ volatile("" : "+r"(x)); /* a compiler could make one step of eight */
    }
    return x;
}

static int serve(void *arg)
{
    struct echo_connection *connection = arg;
    struct echo_server *server = connection->server;
    size_t size = bench_echo_buffer(server->bytes);
    char *message = server->buffers + size * (size_t)(connection - server->accepted);
    int fd = connection->fd;
    ssize_t n;

    while ((n = weft_read(fd, message, size, WEFT_FOREVER)) > 0) {
        echo_compute(server->work);
        if ((n = weft_write_all(fd, message, (size_t)n, WEFT_FOREVER)) < 0)
            break;
    }
    weft_close(fd);
    return 0;
}

static int accept_all(void *arg)
{
    struct echo_server *server = arg;
    unsigned accepted = 0;
    unsigned spawned = 0;
    int one = 1;
    int rc = 0;

    while (accepted < server->connections) {
        rc = weft_accept(server->listener, WEFT_FOREVER);
        if (rc < 0)
            break;
        setsockopt(rc, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
        server->accepted[accepted++] = (struct echo_connection){server, rc, NULL};
    }
    while (rc >= 0 && spawned < accepted) {
        struct echo_connection *connection = &server->accepted[spawned];

        rc = weft_spawn(&connection->fiber, serve, connection);
        spawned += rc == 0;
    }
    /* What nobody serves is closed, so that the load generator does not wait for it. */
    for (unsigned i = spawned; i < accepted; i++)
        weft_close(server->accepted[i].fd);
    /* relaxed: a flag that carries nothing. */
    atomic_store_explicit(&server->is_serving, 1, memory_order_relaxed);
    for (unsigned i = 0; i < spawned; i++) {
        int failure = weft_join(server->accepted[i].fiber, NULL, WEFT_FOREVER);

        rc = rc < 0 ? rc : failure;
    }
    return rc;
}

static void release(struct echo_server *server)
{
    weft_close(server->listener);
    free(server->accepted);
    free(server->buffers);
}

int echo_start(struct echo_server *server, unsigned connections, unsigned bytes, uint64_t work)
{
    int rc;

    memset(server, 0, sizeof *server);
    server->connections = connections;
    server->bytes = bytes;
    server->work = work;
    server->listener = weft_listen_tcp("127.0.0.1", 0);
    if (server->listener < 0)
        return server->listener;
    server->accepted = calloc(connections, sizeof *server->accepted);
    /* A page that nobody writes to costs nothing. */
    server->buffers = aligned_alloc(CACHE_LINE, (size_t)connections * bench_echo_buffer(bytes));
    rc = -ENOMEM;
    if (server->accepted != NULL && server->buffers != NULL)
        rc = weft_spawn(&server->acceptor, accept_all, server);
    if (rc < 0)
        release(server);
    return rc;
}

int echo_stop(struct echo_server *server)
{
    int result = 0;
    int rc;

    /* Had the load generator failed, the acceptor would wait for ever. */
    shutdown(server->listener, SHUT_RDWR);
    rc = weft_join(server->acceptor, &result, WEFT_FOREVER);
    release(server);
    return rc < 0 ? rc : result;
}

static int read_result(int fd, struct echo_result *result)
{
    char text[256] = "";
    size_t length = 0;
    ssize_t n = 1;

    while (n > 0 && length < sizeof text - 1) {
        n = weft_read(fd, text + length, sizeof text - 1 - length, WEFT_FOREVER);
        length += n > 0 ? (size_t)n : 0;
    }
    if (n < 0)
        return (int)n;
    text[length] = '\0';
    n = sscanf(text, "requests %llu p50_us %lf p99_us %lf p999_us %lf max_us %lf cpu_us %lf",
               &result->requests, &result->p50_us, &result->p99_us, &result->p999_us,
               &result->max_us, &result->cpu_us);
    return n == 6 ? 0 : -EPROTO;
}

int echo_load(struct echo_server *server, unsigned rate, unsigned window_ms,
              struct echo_result *result)
{
    struct sockaddr_in address;
    socklen_t length = sizeof address;
    char path[600], port[16], connections[16], rates[16], window[16], bytes[16];
    char *argv[] = {path, port, connections, rates, window, bytes, NULL};
    int fds[2];
    pid_t pid;
    int rc;

    rc = bench_load_path("bench-echo-load", path, sizeof path);
    if (rc < 0)
        return rc;
    if (getsockname(server->listener, (struct sockaddr *)&address, &length) != 0)
        return -errno;
    snprintf(port, sizeof port, "%u", ntohs(address.sin_port));
    snprintf(connections, sizeof connections, "%u", server->connections);
    snprintf(rates, sizeof rates, "%u", rate);
    snprintf(window, sizeof window, "%u", window_ms);
    snprintf(bytes, sizeof bytes, "%u", server->bytes);
    if (pipe2(fds, O_CLOEXEC) != 0)
        return -errno;
    rc = bench_load_spawn(argv, fds[1], &pid);
    close(fds[1]);
    if (rc == 0) {
        rc = read_result(fds[0], result);
        /* It has closed its output, so it is about to end. */
        waitpid(pid, NULL, 0);
    }
    weft_close(fds[0]);
    return rc;
}
