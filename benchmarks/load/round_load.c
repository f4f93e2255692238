/* SPDX-License-Identifier: MIT */
/*
 * The load generator of echo/udp and connect/churn, the same for weft and its peers: a process of
 * its own, with clients that ask again as soon as they have the answer.
 *
 * usage: bench-round-load udp|churn PORT CLIENTS WINDOW_MS
 *
 * A round is 64 bytes to 127.0.0.1:PORT and the same ones back; with churn each round has a TCP
 * connection of its own, which the client closes.  Prints "requests R total T": the rounds in the
 * window, which begins WARM_UP_MS after the start, and all.  Exits with 1 on a wrong answer, a
 * broken connection, or when no answer comes for PATIENCE_MS.
 */
#include "harness/bench.h"
#include "harness/load_place.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
    CLIENTS_MAX = 1024,
    MESSAGE_BYTES = 64,
    WARM_UP_MS = 300,
    PATIENCE_MS = 10000,
    SOURCES = 200, /* addresses to connect from: one has some 28,000 ports, held for a minute */
};

struct client {
    uint64_t round;
    size_t received; /* bytes of the answer so far */
    unsigned char answer[MESSAGE_BYTES];
};

static struct load {
    bool is_churn;
    struct sockaddr_in address;
    unsigned count;
    struct client clients[CLIENTS_MAX];
    struct pollfd fds[CLIENTS_MAX];
    uint64_t rounds;
} load;

static _Noreturn void die(const char *what)
{
    fprintf(stderr, "bench-round-load: %s: %s\n", what, strerror(errno));
    exit(1);
}

/* Without a port of its own before it connects, so that one port can serve many connections. */
static void take_source(int fd)
{
    static unsigned number;
    struct sockaddr_in source = {.sin_family = AF_INET};
    int one = 1;

    source.sin_addr.s_addr = htonl(INADDR_LOOPBACK + 1 + number++ % SOURCES);
    if (setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &one, sizeof one) != 0 ||
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one) != 0 ||
        bind(fd, (struct sockaddr *)&source, sizeof source) != 0)
        die("bind");
}

static void open_client(unsigned i)
{
    int fd = socket(AF_INET, (load.is_churn ? SOCK_STREAM : SOCK_DGRAM) | SOCK_CLOEXEC, 0);

    if (fd < 0)
        die("socket");
    if (load.is_churn)
        take_source(fd);
    if (connect(fd, (struct sockaddr *)&load.address, sizeof load.address) != 0)
        die("connect");
    load.fds[i] = (struct pollfd){.fd = fd, .events = POLLIN};
}

static void fill_message(unsigned char *message, unsigned i)
{
    memset(message, (int)(i & 0xff), MESSAGE_BYTES);
    memcpy(message, &load.clients[i].round, sizeof load.clients[i].round);
}

static void ask(unsigned i)
{
    unsigned char message[MESSAGE_BYTES];

    load.clients[i].round++;
    load.clients[i].received = 0;
    fill_message(message, i);
    if (send(load.fds[i].fd, message, sizeof message, MSG_NOSIGNAL) != MESSAGE_BYTES)
        die("send");
}

/* Takes what has come, and asks again where that is the whole answer. */
static void hear(unsigned i)
{
    struct client *client = &load.clients[i];
    unsigned char expected[MESSAGE_BYTES];
    ssize_t n = recv(load.fds[i].fd, client->answer + client->received,
                     MESSAGE_BYTES - client->received, MSG_DONTWAIT);

    if (n < 0 && errno == EAGAIN)
        return;
    if (n <= 0)
        die("recv");
    client->received += (size_t)n;
    if (client->received < MESSAGE_BYTES)
        return;
    fill_message(expected, i);
    errno = EPROTO;
    if (memcmp(expected, client->answer, MESSAGE_BYTES) != 0)
        die("a wrong answer");
    load.rounds++;
    if (load.is_churn) {
        close(load.fds[i].fd);
        open_client(i);
    }
    ask(i);
}

static void run_until(uint64_t end_ns)
{
    while (bench_now_ns() < end_ns) {
        int ready = poll(load.fds, load.count, PATIENCE_MS);

        errno = ready == 0 ? ETIMEDOUT : errno;
        if (ready == 0 || (ready < 0 && errno != EINTR))
            die("poll");
        for (unsigned i = 0; i < load.count; i++)
            if (load.fds[i].revents != 0)
                hear(i);
    }
}

int main(int argc, char **argv)
{
    uint64_t before, window_ns;

    if (argc != 5 || (strcmp(argv[1], "udp") != 0 && strcmp(argv[1], "churn") != 0) ||
        atoi(argv[3]) < 1 || atoi(argv[3]) > CLIENTS_MAX) {
        fputs("usage: bench-round-load udp|churn PORT CLIENTS WINDOW_MS\n", stderr);
        return 2;
    }
    load.is_churn = strcmp(argv[1], "churn") == 0;
    load.address = (struct sockaddr_in){.sin_family = AF_INET,
                                        .sin_port = htons((uint16_t)atoi(argv[2])),
                                        .sin_addr = {.s_addr = htonl(INADDR_LOOPBACK)}};
    load.count = (unsigned)atoi(argv[3]);
    window_ns = (uint64_t)atoi(argv[4]) * 1000000;
    load_place();
    for (unsigned i = 0; i < load.count; i++) {
        open_client(i);
        ask(i);
    }
    run_until(bench_now_ns() + WARM_UP_MS * UINT64_C(1000000));
    before = load.rounds;
    run_until(bench_now_ns() + window_ns);
    printf("requests %llu total %llu\n", (unsigned long long)(load.rounds - before),
           (unsigned long long)load.rounds);
    return 0;
}
