/* SPDX-License-Identifier: MIT */
/* How the C programs of peers have their echo server loaded, and what they report of it. */
#ifndef WEFT_BENCH_ECHO_CLIENT_H
#define WEFT_BENCH_ECHO_CLIENT_H

#include "harness/bench.h"
#include "harness/echo_rows.h"
#include "harness/spawn_load.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

struct echo_figures {
    double requests, p50_us, p99_us, p999_us, max_us, cpu_us;
};

static inline unsigned echo_window_ms(const struct bench *b)
{
    return b->is_quick ? BENCH_ECHO_WINDOW_MS_QUICK : BENCH_ECHO_WINDOW_MS;
}

/* A listening socket at a port of its own; or -1. */
static inline int echo_client_listen(int *port)
{
    struct sockaddr_in address = {.sin_family = AF_INET};
    socklen_t length = sizeof address;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (fd < 0 || bind(fd, (struct sockaddr *)&address, sizeof address) != 0 ||
        listen(fd, SOMAXCONN) != 0 || getsockname(fd, (struct sockaddr *)&address, &length) != 0)
        return -1;
    *port = ntohs(address.sin_port);
    return fd;
}

struct echo_load {
    unsigned connections;
    unsigned bytes; /* of a message */
    unsigned rate;  /* of the load generator */
    unsigned window_ms;
};

/* Starts the load generator, which lies beside this program.  Returns where its output comes from,
 * or -1. */
static inline int echo_client_start(int port, const struct echo_load *load, pid_t *pid)
{
    char path[600], ports[16], connections[16], rate[16], window[16], bytes[16];
    char *argv[] = {path, ports, connections, rate, window, bytes, NULL};
    int out[2], error;

    if (bench_load_path("bench-echo-load", path, sizeof path) != 0 || pipe2(out, O_CLOEXEC) != 0)
        return -1;
    snprintf(ports, sizeof ports, "%d", port);
    snprintf(connections, sizeof connections, "%u", load->connections);
    snprintf(rate, sizeof rate, "%u", load->rate);
    snprintf(window, sizeof window, "%u", load->window_ms);
    snprintf(bytes, sizeof bytes, "%u", load->bytes);
    error = bench_load_spawn(argv, out[1], pid);
    close(out[1]);
    if (error == 0)
        return out[0];
    close(out[0]);
    return -1;
}

/* Runs the load generator, and waits for it.  Returns 0 or -1. */
static inline int echo_client_run(int port, const struct echo_load *load,
                                  struct echo_figures *figures)
{
    pid_t pid;
    int out = echo_client_start(port, load, &pid), found = 0, status = -1;
    FILE *output = out >= 0 ? fdopen(out, "r") : NULL;

    if (output == NULL)
        return -1;
    found = fscanf(output, "requests %lf p50_us %lf p99_us %lf p999_us %lf max_us %lf cpu_us %lf",
                   &figures->requests, &figures->p50_us, &figures->p99_us, &figures->p999_us,
                   &figures->max_us, &figures->cpu_us);
    fclose(output);
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
        continue;
    return status == 0 && found == 6 && figures->requests > 0 ? 0 : -1;
}

/* Serves so many connections while they are loaded; 0 or -1. */
typedef int echo_serve(struct bench *b, const struct echo_load *load, struct echo_figures *figures);

static inline void echo_client_tcp(struct bench *b, echo_serve *serve)
{
    struct echo_load load = {.connections = bench_echo_connections(b->spec->parameter),
                             .bytes = bench_echo_bytes(b->spec->parameter),
                             .window_ms = echo_window_ms(b)};
    struct echo_figures figures;

    if (serve(b, &load, &figures) != 0)
        return;
    bench_report(b, "requests_per_s", 1, figures.requests * 1000 / load.window_ms);
    bench_report(b, "cpu_us_per_request", 0, figures.cpu_us / figures.requests);
}

static inline void echo_client_open(struct bench *b, echo_serve *serve)
{
    struct echo_load load = {.connections = BENCH_ECHO_OPEN_CONNECTIONS,
                             .bytes = BENCH_ECHO_BYTES,
                             .rate = (unsigned)b->spec->parameter,
                             .window_ms = echo_window_ms(b)};
    struct echo_figures figures;

    if (serve(b, &load, &figures) != 0)
        return;
    bench_report(b, "p50_us", 0, figures.p50_us);
    bench_report(b, "p99_us", 0, figures.p99_us);
    bench_report(b, "p999_us", 0, figures.p999_us);
    bench_report(b, "max_us", 0, figures.max_us);
    bench_report(b, "cpu_us_per_request", 0, figures.cpu_us / figures.requests);
}

#endif
