/* SPDX-License-Identifier: MIT */
#include "weft_bench.h"

#include "harness/round_work.h"

#include <weft.h>

static ssize_t read_some(int fd, void *buffer, size_t length)
{
    return weft_read(fd, buffer, length, WEFT_FOREVER);
}

static int serve_datagrams(void *arg)
{
    int fd = *(int *)arg;
    char message[ROUND_BYTES];
    struct sockaddr_in from;
    ssize_t n;

    do {
        socklen_t length = sizeof from;

        n = weft_recvfrom(fd, message, sizeof message, 0, (struct sockaddr *)&from, &length,
                          WEFT_FOREVER);
        if (n > 0)
            n = weft_sendto(fd, message, (size_t)n, 0, (struct sockaddr *)&from, length,
                            WEFT_FOREVER);
    } while (n > 0);
    return 0;
}

/*
 * echo/udp
 *
 * Question  What does a datagram cost that comes in and goes out again?
 * Method    64 clients ask by 64 bytes, and again as soon as they have the answer; 16 fibers
 *           receive from one socket and send back.  Each answer is compared.
 * Includes  requests_per_s; cpu_us_per_request: the server's own CPU time.
 * Excludes  losses: loopback has none with so few under way, and one makes the run fail.
 * Distrust  requests_per_s on few CPUs, which the load generator shares.
 */
void bench_echo_udp(struct bench *b)
{
    int fd = round_socket(b, SOCK_DGRAM);
    weft_scope scope = WEFT_SCOPE_INIT;
    int error = 0;

    if (fd < 0)
        return;
    for (int i = 0; i < ROUND_SERVERS && error == 0; i++)
        error = weft_scope_spawn(&scope, serve_datagrams, &fd);
    round_load(b, fd, "udp", read_some);
    weft_scope_cancel(&scope);
    error = weft_scope_close(&scope, error);
    weft_close(fd);
    if (error != 0 && error != -ECANCELED)
        bench_fail(b, "the server failed");
}

static int serve_one(void *arg)
{
    int fd = (int)(intptr_t)arg;
    char message[ROUND_BYTES];
    ssize_t n;

    while ((n = weft_read(fd, message, sizeof message, WEFT_FOREVER)) > 0)
        if (weft_write_all(fd, message, (size_t)n, WEFT_FOREVER) < 0)
            break;
    return weft_close(fd);
}

static int accept_all(void *arg)
{
    weft_scope scope = WEFT_SCOPE_INIT;
    int listener = *(int *)arg;
    int fd;

    while ((fd = weft_accept(listener, WEFT_FOREVER)) >= 0)
        if (weft_scope_spawn(&scope, serve_one, (void *)(intptr_t)fd) != 0)
            weft_close(fd);
    return weft_scope_close(&scope, 0);
}

/*
 * connect/churn
 *
 * Question  What does a connection cost that is opened for one request?
 * Method    64 clients connect, ask by 64 bytes, compare the answer, close and begin again; a fiber
 *           accepts and spawns one for each connection.
 * Includes  requests_per_s; cpu_us_per_request: the server's own CPU time, with accept, spawn and
 *           close.
 * Excludes  what the kernel does for the clients.
 * Distrust  requests_per_s on few CPUs, which the load generator shares.
 */
void bench_connect_churn(struct bench *b)
{
    int listener = round_socket(b, SOCK_STREAM);
    weft_fiber *acceptor;
    int result;

    if (listener < 0)
        return;
    if (weft_spawn(&acceptor, accept_all, &listener) == 0) {
        round_load(b, listener, "churn", read_some);
        shutdown(listener, SHUT_RDWR);
        if (weft_join(acceptor, &result, WEFT_FOREVER) != 0 || result != 0)
            bench_fail(b, "the server failed");
    } else {
        bench_fail(b, "no fiber");
    }
    weft_close(listener);
}
