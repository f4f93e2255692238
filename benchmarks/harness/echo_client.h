/* SPDX-License-Identifier: MIT */
/* How the C programs of peers have their echo server loaded, and what they report of it. */
#ifndef WEFT_BENCH_ECHO_CLIENT_H
#define WEFT_BENCH_ECHO_CLIENT_H

#include "harness/bench.h"
#include "harness/echo_rows.h"

#include <libgen.h>
#include <netinet/in.h>
#include <stdio.h>
#include <sys/socket.h>
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

/* Runs the load generator, which lies beside this program, and waits for it.  Returns 0 or -1. */
static inline int echo_client_run(int port, const struct echo_load *load,
                                  struct echo_figures *figures)
{
    char self[512], command[700];
    ssize_t n = readlink("/proc/self/exe", self, sizeof self - 1);
    int found = 0;
    FILE *output;

    if (n < 0)
        return -1;
    self[n] = '\0';
    snprintf(command, sizeof command, "exec '%s/bench-echo-load' %d %u %u %u %u", dirname(self),
             port, load->connections, load->rate, load->window_ms, load->bytes);
    output = popen(command, "r");
    if (!output)
        return -1;
    found = fscanf(output, "requests %lf p50_us %lf p99_us %lf p999_us %lf max_us %lf cpu_us %lf",
                   &figures->requests, &figures->p50_us, &figures->p99_us, &figures->p999_us,
                   &figures->max_us, &figures->cpu_us);
    return pclose(output) == 0 && found == 6 && figures->requests > 0 ? 0 : -1;
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
