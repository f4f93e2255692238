/* SPDX-License-Identifier: MIT */
/*
 * The load generator of echo/udp and connect/churn, the same for weft and its peers: a process of
 * its own, with clients that ask again as soon as they have the answer.
 *
 * usage: bench-round-load udp|churn PORT CLIENTS WINDOW_MS
 *
 * A round is 64 bytes to 127.0.0.1:PORT and the same ones back; with churn each round has a TCP
 * connection of its own, which the client closes.  Prints "requests R total T": the rounds in the
 * window, which begins WARM_UP_MS after the start, and all; the last round of each client, which it
 * waits for after the window, is among the latter.  Exits with 1 on a wrong answer, a broken
 * connection, when no answer comes for PATIENCE_MS, so too when one was lost, or if a client had
 * none in the whole window, while all together had ROUNDS_FAIR for each.
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
    ROUNDS_FAIR = 32, /* for each; a server that has favourites by chance misses nobody then */
    SOURCES = 200,    /* addresses to connect from: one has some 28,000 ports, held for a minute */
};

struct client {
    uint64_t round;
    uint64_t round_before; /* the window */
    size_t received;       /* bytes of the answer so far */
    unsigned char answer[MESSAGE_BYTES];
};

static struct load {
    bool is_churn;
    bool is_over; /* nobody asks again */
    struct sockaddr_in address;
    unsigned count;
    struct client clients[CLIENTS_MAX];
    struct pollfd fds[CLIENTS_MAX];
    unsigned asking; /* clients that wait for their answers */
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
    load.asking++;
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
    load.asking--;
    if (load.is_over) {
        close(load.fds[i].fd);
        load.fds[i].fd = -1; /* poll() leaves it out */
        return;
    }
    if (load.is_churn) {
        close(load.fds[i].fd);
        open_client(i);
    }
    ask(i);
}

static void run_until(uint64_t end_ns)
{
    while (load.asking > 0 && bench_now_ns() < end_ns) {
        int ready = poll(load.fds, load.count, PATIENCE_MS);

        errno = ready == 0 ? ETIMEDOUT : errno;
        if (ready == 0)
            die("no answer to some clients");
        if (ready < 0 && errno != EINTR)
            die("poll");
        for (unsigned i = 0; i < load.count; i++)
            if (load.fds[i].revents != 0)
                hear(i);
    }
}

/* One that starves, or whose datagram was lost, asks no more, and the others would hide it.
 * Returns how many rounds there were in the window. */
static uint64_t measure(uint64_t window_ns)
{
    uint64_t rounds = load.rounds;

    for (unsigned i = 0; i < load.count; i++)
        load.clients[i].round_before = load.clients[i].round;
    run_until(bench_now_ns() + window_ns);
    rounds = load.rounds - rounds;
    errno = ETIMEDOUT;
    for (unsigned i = 0; i < load.count && rounds / ROUNDS_FAIR >= load.count; i++)
        if (load.clients[i].round == load.clients[i].round_before)
            die("no answer to some clients in the whole window");
    load.is_over = true;
    run_until(UINT64_MAX);
    return rounds;
}

int main(int argc, char **argv)
{
    uint64_t window_ns, rounds;

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
    rounds = measure(window_ns);
    printf("requests %llu total %llu\n", (unsigned long long)rounds,
           (unsigned long long)load.rounds);
    return 0;
}
