/* SPDX-License-Identifier: MIT */
/* What echo/udp and connect/churn of weft and its peers have in common: all but the server. */
#ifndef WEFT_BENCH_ROUND_WORK_H
#define WEFT_BENCH_ROUND_WORK_H

#include "harness/bench.h"
#include "harness/spawn_load.h"

#include <fcntl.h>
#include <limits.h>
#include <netinet/in.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

enum {
    ROUND_BYTES = 64,
    ROUND_CLIENTS = 64, /* that ask at a time */
    ROUND_SERVERS = 16, /* receives of one datagram socket under way */
    ROUND_WINDOW_MS = 1000,
    ROUND_WINDOW_MS_QUICK = 500,
};

/* A socket of its own port on 127.0.0.1, which listens if it is of TCP; -1 if there is none. */
static inline int round_socket(struct bench *b, int type)
{
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_addr = {.s_addr = htonl(INADDR_LOOPBACK)}};
    int fd = socket(AF_INET, type | SOCK_CLOEXEC, 0);

    if (bind(fd, (struct sockaddr *)&address, sizeof address) == 0 &&
        (type == SOCK_DGRAM || listen(fd, INT_MAX) == 0))
        return fd;
    bench_fail(b, "no socket");
    return -1;
}

/* Starts the load generator for the server at `fd`.  Returns where its output comes from, or -1. */
static inline int round_start(int fd, const char *kind, int is_quick, pid_t *pid)
{
    char path[600], port[16], clients[16], window[16];
    char *argv[] = {path, (char *)(uintptr_t)kind, port, clients, window, NULL};
    struct sockaddr_in address;
    socklen_t length = sizeof address;
    int out[2], error;

    if (bench_load_path("bench-round-load", path, sizeof path) != 0 ||
        getsockname(fd, (struct sockaddr *)&address, &length) != 0 || pipe2(out, O_CLOEXEC) != 0)
        return -1;
    snprintf(port, sizeof port, "%u", ntohs(address.sin_port));
    snprintf(clients, sizeof clients, "%d", ROUND_CLIENTS);
    snprintf(window, sizeof window, "%d", is_quick ? ROUND_WINDOW_MS_QUICK : ROUND_WINDOW_MS);
    error = bench_load_spawn(argv, out[1], pid);
    close(out[1]);
    if (error == 0)
        return out[0];
    close(out[0]);
    return -1;
}

/* Reports what the load generator has printed; `cpu_ns` is what the server has used. */
static inline void round_report(struct bench *b, const char *text, uint64_t cpu_ns)
{
    unsigned long long requests, total;

    if (sscanf(text, "requests %llu total %llu", &requests, &total) != 2 || requests == 0) {
        bench_fail(b, "the load generator failed");
        return;
    }
    bench_report(b, "requests_per_s", 1,
                 (double)requests * 1000 / (b->is_quick ? ROUND_WINDOW_MS_QUICK : ROUND_WINDOW_MS));
    bench_report(b, "cpu_us_per_request", 0, (double)cpu_ns / 1e3 / (double)total);
}

/* Reads some of a descriptor, for as long as it takes. */
typedef ssize_t round_read_fn(int fd, void *buffer, size_t length);

/* Runs the load generator against the server at `fd`, which runs already, to its end. */
static inline void round_load(struct bench *b, int fd, const char *kind, round_read_fn *read_some)
{
    uint64_t before = bench_cpu_ns();
    char text[128] = "";
    size_t length = 0;
    ssize_t n = 1;
    pid_t pid;
    int out = round_start(fd, kind, b->is_quick, &pid);

    if (out < 0) {
        bench_fail(b, "the load generator did not start");
        return;
    }
    while (n > 0 && length < sizeof text - 1) {
        n = read_some(out, text + length, sizeof text - 1 - length);
        length += n > 0 ? (size_t)n : 0;
    }
    close(out);
    waitpid(pid, NULL, 0); /* it has closed its output, so it is about to end */
    round_report(b, text, bench_cpu_ns() - before);
}

#endif
