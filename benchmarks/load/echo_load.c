/* SPDX-License-Identifier: MIT */
/*
 * The load generator of the echo benchmarks, the same for weft and its peers: a process of its own,
 * so that what a server does to its own threads cannot disturb the measuring.
 *
 * usage: bench-echo-load PORT CONNECTIONS RATE WINDOW_MS BYTES
 *
 * Each connection sends so many bytes RATE times a second, evenly spread, and waits for the echo
 * before it sends again; RATE 0 sends as soon as the echo is there.  RATE 1,000,000 + P is P per
 * cent of what the server can do, which is measured first, with RATE 0 for CAPACITY_MS.  A latency
 * counts from the time that the message was due, not from when it went out: a server that stalls
 * gets no credit for the messages that it held up.  What is unanswered at the end counts with the
 * time that it has waited, and so does each message that was due behind it and could not be sent.
 * Every byte of an echo is compared.
 *
 * Every 10,000 connections come from another address, 127.0.0.1 and those after it.
 *
 * Prints "requests R p50_us A p99_us B p999_us C max_us D cpu_us E" over the window, which begins
 * when each connection has had an echo and WARM_UP_MS more have passed.  E is what the process that
 * has started this one, which is the server, has used of the CPUs in the window; the kernel tells
 * it of any process, so that all servers are measured alike.  Exits with 1 on a wrong echo, a
 * broken connection, or if RATE is 0 and a connection had no echo in the whole window, while all
 * together had ECHOES_FAIR for each.
 */
#include "harness/bench.h"
#include "harness/load_place.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum {
    CONNECTIONS_MAX = 50000,
    CONNECTIONS_OF_SOURCE = 10000, /* an address has some 28,000 ports to connect from */
    MESSAGE_BYTES_MAX = 1 << 20,
    STRETCHES_LOG = 16, /* so many messages differ */
    LATENCIES_MAX = 4 * 1000 * 1000,
    WARM_UP_MS = 300,
    CAPACITY_MS = 500,
    CONNECT_MS = 20000,
    UNACCEPTED_MAX = 64, /* twice as many are within any server's backlog */
    EVENTS_MAX = 256,
    PART_OF_CAPACITY = 1000000,
    ECHOES_FAIR = 32, /* for each; a server that has favourites by chance misses nobody then */
};

struct connection {
    int fd;
    uint64_t due_ns; /* when the message in flight, or else the next one, is or was due */
    uint64_t number; /* of the message in flight; its bytes prove the echo */
    size_t sent;     /* bytes of it so far */
    size_t received; /* bytes of its echo so far */
    bool is_waiting; /* for the echo */
    bool is_stuck;   /* the socket did not take all of it */
    bool was_echoed; /* in the window */
};

struct load {
    unsigned count;     /* of connections */
    size_t bytes;       /* of a message */
    uint64_t period_ns; /* 0: as fast as the echoes come */
    struct connection *connections;
    unsigned char *random; /* what messages are stretches of */
    unsigned char *echo;   /* what has just come */
    int epoll;
    bool is_measuring;
    uint64_t echoes;
    size_t latency_count;
    double *latencies_us;
};

static _Noreturn void die(const char *what)
{
    fprintf(stderr, "bench-echo-load: %s%s%s\n", what, errno ? ": " : "",
            errno ? strerror(errno) : "");
    exit(1);
}

/* Without a port of its own before it connects, so that ports in use elsewhere can serve again. */
static void take_source(int fd, unsigned number)
{
    struct sockaddr_in source = {.sin_family = AF_INET};
    int one = 1;

    source.sin_addr.s_addr = htonl(INADDR_LOOPBACK + number);
    if (setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &one, sizeof one) != 0 ||
        bind(fd, (struct sockaddr *)&source, sizeof source) != 0)
        die("bind");
}

static int connect_to(uint16_t port, unsigned source)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port)};
    int one = 1;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (fd < 0)
        die("socket");
    take_source(fd, source);
    if (connect(fd, (struct sockaddr *)&address, sizeof address) != 0)
        die("connect");
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    fcntl(fd, F_SETFL, O_NONBLOCK);
    return fd;
}

static void make_messages(struct load *load)
{
    uint64_t state = 1;

    load->echo = malloc(load->bytes);
    load->random = malloc(load->bytes + (1 << STRETCHES_LOG));
    if (!load->echo || !load->random)
        die("no memory");
    for (size_t i = 0; i < load->bytes + (1 << STRETCHES_LOG); i++) {
        state = state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
        load->random[i] = (unsigned char)(state >> 56);
    }
}

/* The message in flight: a stretch of random bytes that begins elsewhere for each message, so that
 * neither bytes out of order nor those of another message pass for its echo. */
static const unsigned char *message_of(const struct load *load, unsigned index)
{
    uint64_t number = load->connections[index].number * CONNECTIONS_MAX + index;

    return load->random + (number * UINT64_C(0x9e3779b97f4a7c15) >> (64 - STRETCHES_LOG));
}

/* As much as the socket takes; the rest when it tells that it has room. */
static void send_rest(struct load *load, unsigned index)
{
    struct connection *connection = &load->connections[index];
    struct epoll_event event = {.events = EPOLLIN, .data.u32 = index};
    ssize_t n = send(connection->fd, message_of(load, index) + connection->sent,
                     load->bytes - connection->sent, MSG_NOSIGNAL);

    if (n < 0 && errno != EAGAIN)
        die("send");
    connection->sent += n > 0 ? (size_t)n : 0;
    if (connection->is_stuck == (connection->sent < load->bytes))
        return;
    connection->is_stuck = !connection->is_stuck;
    if (connection->is_stuck)
        event.events |= EPOLLOUT;
    if (epoll_ctl(load->epoll, EPOLL_CTL_MOD, connection->fd, &event) != 0)
        die("epoll_ctl");
}

static void send_message(struct load *load, unsigned index)
{
    struct connection *connection = &load->connections[index];

    connection->number++;
    connection->is_waiting = true;
    connection->sent = 0;
    connection->received = 0;
    send_rest(load, index);
}

static void record(struct load *load, uint64_t latency_ns)
{
    if (load->is_measuring && load->latency_count < LATENCIES_MAX)
        load->latencies_us[load->latency_count++] = (double)latency_ns / 1e3;
}

/* Takes what has come; returns true if the echo is complete. */
static bool receive_echo(struct load *load, unsigned index)
{
    struct connection *connection = &load->connections[index];
    ssize_t n = recv(connection->fd, load->echo, load->bytes - connection->received, 0);

    if (n < 0 && errno == EAGAIN)
        return false;
    if (n <= 0)
        die(n == 0 ? "the server closed a connection" : "recv");
    errno = 0;
    if (memcmp(message_of(load, index) + connection->received, load->echo, (size_t)n) != 0)
        die("a wrong echo");
    connection->received += (size_t)n;
    connection->is_waiting = connection->received < load->bytes;
    return !connection->is_waiting;
}

static void finish_echo(struct load *load, unsigned index, uint64_t now_ns)
{
    struct connection *connection = &load->connections[index];

    load->echoes++;
    connection->was_echoed = true;
    record(load, now_ns - connection->due_ns);
    /* The schedule goes on as if nothing had been late. */
    connection->due_ns = load->period_ns ? connection->due_ns + load->period_ns : now_ns;
}

/* Sends what is due; returns when the next message is.  Only at a fixed rate does one have to wait
 * for its time, so only then are all connections looked at. */
static uint64_t send_due(struct load *load, uint64_t now_ns, uint64_t end_ns)
{
    uint64_t next_ns = end_ns;

    if (load->period_ns == 0)
        return end_ns;
    for (unsigned i = 0; i < load->count; i++) {
        struct connection *connection = &load->connections[i];

        if (!connection->is_waiting && connection->due_ns <= now_ns)
            send_message(load, i);
        if (!connection->is_waiting && connection->due_ns < next_ns)
            next_ns = connection->due_ns;
    }
    return next_ns;
}

static int wait_for_echoes(struct load *load, struct epoll_event *events, uint64_t until_ns)
{
    uint64_t now_ns = bench_now_ns();
    uint64_t wait_ns = until_ns > now_ns ? until_ns - now_ns : 0;
    struct timespec timeout = {(time_t)(wait_ns / 1000000000u), (long)(wait_ns % 1000000000u)};
    int count = epoll_pwait2(load->epoll, events, EVENTS_MAX, &timeout, NULL);

    if (count < 0 && errno != EINTR)
        die("epoll_pwait2");
    return count;
}

/* Sends what is due, takes what comes, until `end_ns` or until so many echoes have come. */
static void run(struct load *load, uint64_t end_ns, uint64_t echoes_max)
{
    struct epoll_event events[EVENTS_MAX];
    uint64_t now_ns = bench_now_ns();

    while (now_ns < end_ns && load->echoes < echoes_max) {
        uint64_t next_ns = send_due(load, now_ns, end_ns);
        int count = wait_for_echoes(load, events, next_ns);

        now_ns = bench_now_ns();
        for (int i = 0; i < count; i++) {
            unsigned index = events[i].data.u32;

            if (load->connections[index].is_stuck)
                send_rest(load, index);
            if (!receive_echo(load, index))
                continue;
            finish_echo(load, index, now_ns);
            if (load->period_ns == 0)
                send_message(load, index);
        }
    }
}

/* What is unanswered has waited for at least so long; at a fixed rate so have those messages that a
 * connection held back meanwhile: one record for each connection would make a server that never
 * answers again look better than one that answers late. */
static void record_unanswered(struct load *load)
{
    uint64_t now_ns = bench_now_ns();

    for (unsigned i = 0; i < load->count; i++) {
        struct connection *connection = &load->connections[i];

        if (load->period_ns == 0 && connection->is_waiting && now_ns > connection->due_ns)
            record(load, now_ns - connection->due_ns);
        for (uint64_t due_ns = connection->due_ns; load->period_ns != 0 && due_ns < now_ns;
             due_ns += load->period_ns)
            record(load, now_ns - due_ns);
    }
}

/* An instrument must not itself wait for a CPU.  It may go first only when its own work is
 * bounded; where priorities are not permitted, its wait is part of every figure. */
static void raise_priority(void)
{
    struct sched_param first = {.sched_priority = 1};

    if (sched_setscheduler(0, SCHED_FIFO, &first) != 0)
        (void)setpriority(PRIO_PROCESS, 0, -20);
}

static void raise_file_limit(void)
{
    struct rlimit limit;

    if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
        limit.rlim_cur = limit.rlim_max;
        (void)setrlimit(RLIMIT_NOFILE, &limit);
    }
}

/* How many connections wait to be accepted at the port.  The kernel lists listening sockets first,
 * so that this stays quick with many connections; without /proc it is 0. */
static unsigned count_unaccepted(uint16_t port)
{
    enum { LISTENING = 10 };
    FILE *sockets = fopen("/proc/net/tcp", "re");
    unsigned local, state = LISTENING, waiting, all = 0;
    char line[256];

    while (sockets && state == LISTENING && fgets(line, sizeof line, sockets)) {
        if (sscanf(line, "%*u: %*8[0-9A-F]:%x %*8[0-9A-F]:%*x %x %*x:%x", &local, &state,
                   &waiting) == 3 &&
            state == LISTENING && local == port)
            all += waiting;
    }
    if (sockets)
        fclose(sockets);
    return all;
}

/* What finds the server's queue full the kernel drops, and tries again after a second. */
static void let_accept(uint16_t port, uint64_t end_ns)
{
    const struct timespec moment = {.tv_nsec = 200000};

    while (count_unaccepted(port) > UNACCEPTED_MAX) {
        errno = 0;
        if (bench_now_ns() > end_ns)
            die("the server does not accept");
        nanosleep(&moment, NULL);
    }
}

static void add_connection(struct load *load, unsigned index, uint16_t port)
{
    struct epoll_event event = {.events = EPOLLIN, .data.u32 = index};

    load->connections[index].fd = connect_to(port, index / CONNECTIONS_OF_SOURCE);
    if (epoll_ctl(load->epoll, EPOLL_CTL_ADD, load->connections[index].fd, &event) != 0)
        die("epoll_ctl");
}

/* Connects all, and waits for one echo on each. */
static void start(struct load *load, uint16_t port)
{
    uint64_t now_ns = bench_now_ns(), end_ns = now_ns + CONNECT_MS * UINT64_C(1000000);

    load->epoll = epoll_create1(EPOLL_CLOEXEC);
    for (unsigned i = 0; i < load->count; i++) {
        if (i > 0 && i % UNACCEPTED_MAX == 0)
            let_accept(port, end_ns);
        add_connection(load, i, port);
    }
    now_ns = bench_now_ns();
    for (unsigned i = 0; i < load->count; i++)
        load->connections[i].due_ns = now_ns;
    /* So long that there is one message each. */
    load->period_ns = 10 * CONNECT_MS * UINT64_C(1000000);
    run(load, now_ns + CONNECT_MS * UINT64_C(1000000), load->count);
    errno = 0;
    if (load->echoes < load->count)
        die("no echo on some connections");
}

/* From here on at this rate, or as fast as the echoes come; what is on its way counts as due. */
static void set_period(struct load *load, uint64_t period_ns)
{
    uint64_t now_ns = bench_now_ns();

    load->period_ns = period_ns;
    for (unsigned i = 0; i < load->count; i++) {
        load->connections[i].due_ns = now_ns + period_ns * i / load->count;
        if (period_ns == 0 && !load->connections[i].is_waiting)
            send_message(load, i);
    }
}

static void run_for(struct load *load, uint64_t ms)
{
    run(load, bench_now_ns() + ms * UINT64_C(1000000), UINT64_MAX);
}

/* The period of each connection at so many per cent of what the server can do. */
static uint64_t period_of_part(struct load *load, uint64_t percent)
{
    uint64_t before, echoes;

    set_period(load, 0);
    run_for(load, WARM_UP_MS);
    before = load->echoes;
    run_for(load, CAPACITY_MS);
    echoes = load->echoes - before;
    errno = 0;
    if (echoes == 0)
        die("no echo at all");
    return CAPACITY_MS * UINT64_C(1000000) * load->count * 100 / (echoes * percent);
}

static uint64_t parse(const char *text, uint64_t max)
{
    char *end;
    unsigned long long value = strtoull(text, &end, 10);

    if (end == text || *end != '\0' || value > max) {
        fprintf(stderr, "bench-echo-load: not a number up to %llu: %s\n", (unsigned long long)max,
                text);
        exit(2);
    }
    return value;
}

/* User and system time of all threads of the server.  What runs at this moment may be missing from
 * the last tick on, at both ends of a window alike. */
static uint64_t server_cpu_ns(void)
{
    struct timespec used;
    clockid_t clock;

    errno = clock_getcpuclockid(getppid(), &clock);
    if (errno != 0 || clock_gettime(clock, &used) != 0)
        die("the server's CPU time");
    return (uint64_t)used.tv_sec * 1000000000u + (uint64_t)used.tv_nsec;
}

/* Runs through the window; returns the CPU time that the server has used in it. */
static uint64_t measure(struct load *load, uint64_t window_ms)
{
    uint64_t before_ns = server_cpu_ns();

    load->is_measuring = true;
    load->echoes = 0;
    for (unsigned i = 0; i < load->count; i++)
        load->connections[i].was_echoed = false;
    run_for(load, window_ms);
    return server_cpu_ns() - before_ns;
}

/* In a closed loop one that starves is missing from all figures but the longest latency.  With so
 * few echoes that each had its turn hardly more than once, nobody can tell. */
static void look_for_starved(const struct load *load)
{
    errno = 0;
    if (load->period_ns != 0 || load->echoes / ECHOES_FAIR < load->count)
        return;
    for (unsigned i = 0; i < load->count; i++)
        if (!load->connections[i].was_echoed)
            die("no echo on some connections in the whole window");
}

static void print_figures(const struct load *load, uint64_t cpu_ns)
{
    double *all = load->latencies_us;
    size_t n = load->latency_count;

    printf("requests %llu p50_us %.1f p99_us %.1f p999_us %.1f max_us %.1f cpu_us %.1f\n",
           (unsigned long long)load->echoes, bench_percentile(all, n, 0.5),
           bench_percentile(all, n, 0.99), bench_percentile(all, n, 0.999),
           bench_percentile(all, n, 1), (double)cpu_ns / 1e3);
}

int main(int argc, char **argv)
{
    static struct load load;

    if (argc != 6) {
        fputs("usage: bench-echo-load PORT CONNECTIONS RATE WINDOW_MS BYTES\n", stderr);
        return 2;
    }
    uint64_t port = parse(argv[1], 65535);
    uint64_t rate = parse(argv[3], PART_OF_CAPACITY + 100);
    uint64_t window_ms = parse(argv[4], 600000);

    load.count = (unsigned)parse(argv[2], CONNECTIONS_MAX);
    load.bytes = parse(argv[5], MESSAGE_BYTES_MAX);
    load.connections = calloc(load.count, sizeof *load.connections);
    load.latencies_us = malloc(LATENCIES_MAX * sizeof *load.latencies_us);
    if (!load.connections || !load.latencies_us)
        die("no memory");
    make_messages(&load);
    load_place();
    raise_file_limit();
    start(&load, (uint16_t)port);
    uint64_t period_ns = rate == 0 ? 0 : 1000000000u / rate;
    if (rate > PART_OF_CAPACITY)
        period_ns = period_of_part(&load, rate - PART_OF_CAPACITY);
    if (rate != 0)
        raise_priority();
    set_period(&load, period_ns);
    run_for(&load, WARM_UP_MS);
    uint64_t cpu_ns = measure(&load, window_ms);
    look_for_starved(&load);
    record_unanswered(&load);
    print_figures(&load, cpu_ns);
    return 0;
}
