/* SPDX-License-Identifier: MIT */
/* Servers of threads that may block.  Questions and methods are those of weft's benchmarks of the
 * same names. */
#include "rounds.h"

#include "echo.h"
#include "harness/round_work.h"

#include <pthread.h>
#include <stdint.h>

enum { STACK_SIZE = 64 * 1024 };

static void *serve_datagrams(void *arg)
{
    int fd = *(int *)arg;
    char message[ROUND_BYTES];
    struct sockaddr_in from;
    ssize_t n;

    do {
        socklen_t length = sizeof from;

        n = recvfrom(fd, message, sizeof message, 0, (struct sockaddr *)&from, &length);
        if (n > 0)
            n = sendto(fd, message, (size_t)n, 0, (struct sockaddr *)&from, length);
    } while (n > 0);
    return NULL;
}

void bench_echo_udp(struct bench *b)
{
    int fd = round_socket(b, SOCK_DGRAM), started = 0;
    pthread_t threads[ROUND_SERVERS];

    if (fd < 0)
        return;
    while (started < ROUND_SERVERS &&
           pthread_create(&threads[started], NULL, serve_datagrams, &fd) == 0)
        started++;
    if (started == ROUND_SERVERS)
        round_load(b, fd, "udp", read);
    else
        bench_fail(b, "no threads");
    (void)shutdown(fd, SHUT_RDWR); /* says that it is not connected, and wakes those that wait */
    for (int i = 0; i < started; i++)
        pthread_join(threads[i], NULL);
    close(fd);
}

static void *serve_one(void *arg)
{
    char message[ROUND_BYTES];

    echo_until_closed((int)(intptr_t)arg, message, sizeof message);
    return NULL;
}

/* A thread for each connection. */
static void *accept_all(void *arg)
{
    pthread_attr_t attr;
    pthread_t thread;
    int fd;

    pthread_attr_init(&attr);
    pthread_attr_setstacksize(&attr, STACK_SIZE);
    pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
    while ((fd = accept(*(int *)arg, NULL, NULL)) >= 0)
        if (pthread_create(&thread, &attr, serve_one, (void *)(intptr_t)fd) != 0)
            close(fd);
    pthread_attr_destroy(&attr);
    return NULL;
}

void bench_connect_churn(struct bench *b)
{
    int listener = round_socket(b, SOCK_STREAM);
    pthread_t acceptor;

    if (listener < 0)
        return;
    if (pthread_create(&acceptor, NULL, accept_all, &listener) == 0) {
        round_load(b, listener, "churn", read);
        shutdown(listener, SHUT_RDWR);
        pthread_join(acceptor, NULL);
    } else {
        bench_fail(b, "no thread");
    }
    close(listener);
}
