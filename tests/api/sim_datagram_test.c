/* SPDX-License-Identifier: MIT */
/* What simulated datagrams do: the same as real ones, and what the seed has befall them. */
#include "../support/simulate.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
    COUNT = 20,
    QUEUE = 64, /* what a socket keeps (io/sim_datagram.c) */
    REQUESTS = 20,
};

TestSuite(sim_datagram, .init = forget_backend, .timeout = TEST_TIMEOUT_S);

#define DATAGRAM_TEST(name, faults, ppm) SIM_TEST(sim_datagram, name, faults, ppm)

struct sockets {
    int sender, receiver;
    struct sockaddr_in address; /* the receiver's */
};

static int new_socket(void)
{
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

    CHECK(fd >= 0);
    return fd;
}

static void open_sockets(struct sockets *sockets)
{
    socklen_t length = sizeof sockets->address;

    sockets->sender = new_socket();
    sockets->receiver = new_socket();
    sockets->address = (struct sockaddr_in){.sin_family = AF_INET,
                                            .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    CHECK_EQ(bind(sockets->receiver, (struct sockaddr *)(void *)&sockets->address, length), 0);
    CHECK_EQ(getsockname(sockets->receiver, (struct sockaddr *)(void *)&sockets->address, &length),
             0);
}

static void close_sockets(const struct sockets *sockets)
{
    CHECK_EQ(weft_close(sockets->sender), 0);
    CHECK_EQ(weft_close(sockets->receiver), 0);
}

static ssize_t send_to(const struct sockets *sockets, const void *data, size_t length)
{
    return weft_sendto(sockets->sender, data, length, 0,
                       (const struct sockaddr *)(const void *)&sockets->address,
                       sizeof sockets->address, WEFT_FOREVER);
}

static void send_numbers(const struct sockets *sockets, int count)
{
    for (int i = 0; i < count; i++)
        CHECK_EQ(send_to(sockets, &i, sizeof i), sizeof i);
}

/* The next number, or -errno. */
static int receive_number(const struct sockets *sockets)
{
    int number = -1;
    ssize_t n = weft_recv(sockets->receiver, &number, sizeof number, 0, weft_after(WEFT_SECOND));

    CHECK(n < 0 || n == sizeof number);
    return n < 0 ? (int)n : number;
}

/* Also those that were sent before anybody asked weft about the receiver. */
DATAGRAM_TEST(they_arrive_in_order_and_are_answered, WEFT_SIM_LATE | WEFT_SIM_STALL, 100000)
{
    struct sockets sockets;
    struct sockaddr_in from;
    socklen_t length = sizeof from;
    int number;

    (void)arg;
    open_sockets(&sockets);
    send_numbers(&sockets, COUNT);
    (void)weft_sleep(WEFT_SECOND);
    for (int i = 0; i < COUNT - 1; i++)
        CHECK_EQ(receive_number(&sockets), i);
    CHECK_EQ(weft_recvfrom(sockets.receiver, &number, sizeof number, 0,
                           (struct sockaddr *)(void *)&from, &length, WEFT_FOREVER),
             sizeof number);
    CHECK_EQ(length, sizeof from);
    CHECK_EQ(from.sin_addr.s_addr, htonl(INADDR_LOOPBACK));
    CHECK_EQ(weft_sendto(sockets.receiver, "ok", 2, 0, (struct sockaddr *)(void *)&from, length,
                         WEFT_FOREVER),
             2);
    CHECK_EQ(weft_read(sockets.sender, &number, sizeof number, WEFT_FOREVER), 2);
    close_sockets(&sockets);
    return 0;
}

DATAGRAM_TEST(each_is_whole_or_cut, 0, 0)
{
    struct sockets sockets;
    char text[4] = "", large[70000] = "";

    (void)arg;
    open_sockets(&sockets);
    CHECK_EQ(send_to(&sockets, "abcdef", 6), 6);
    CHECK_EQ(send_to(&sockets, "", 0), 0);
    CHECK_EQ(weft_recv(sockets.receiver, text, 3, MSG_PEEK, WEFT_FOREVER), 3);
    CHECK_EQ(weft_recv(sockets.receiver, text, 3, MSG_TRUNC, WEFT_FOREVER), 6);
    CHECK_EQ(strcmp(text, "abc"), 0);
    CHECK_EQ(weft_recv(sockets.receiver, text, 3, 0, WEFT_FOREVER), 0);
    CHECK_EQ(send_to(&sockets, large, sizeof large), -EMSGSIZE);
    CHECK_EQ(weft_send(sockets.sender, "x", 1, 0, WEFT_FOREVER), -EDESTADDRREQ);
    close_sockets(&sockets);
    return 0;
}

DATAGRAM_TEST(a_connected_socket_has_one_peer, 0, 0)
{
    struct sockets sockets;
    int other = new_socket();
    struct sockaddr_in name = {.sin_family = AF_INET};
    socklen_t length = sizeof name;
    char byte;

    (void)arg;
    open_sockets(&sockets);
    CHECK_EQ(weft_connect(sockets.sender, (struct sockaddr *)(void *)&sockets.address,
                          sizeof sockets.address, WEFT_FOREVER),
             0);
    CHECK_EQ(weft_write(sockets.sender, "x", 1, WEFT_FOREVER), 1);
    CHECK_EQ(weft_read(sockets.receiver, &byte, 1, WEFT_FOREVER), 1);
    /* What others send to it is not for it. */
    CHECK_EQ(getsockname(sockets.sender, (struct sockaddr *)(void *)&name, &length), 0);
    CHECK_EQ(weft_sendto(other, "y", 1, 0, (struct sockaddr *)(void *)&name, length, WEFT_FOREVER),
             1);
    CHECK_EQ(weft_read(sockets.sender, &byte, 1, weft_after(WEFT_SECOND)), -ETIMEDOUT);
    CHECK_EQ(weft_close(sockets.receiver), 0);
    CHECK_EQ(weft_write(sockets.sender, "x", 1, WEFT_FOREVER), 1);
    CHECK_EQ(weft_read(sockets.sender, &byte, 1, WEFT_FOREVER), -ECONNREFUSED);
    CHECK_EQ(weft_read(sockets.sender, &byte, 1, weft_after(WEFT_SECOND)), -ETIMEDOUT);
    CHECK_EQ(weft_close(sockets.sender), 0);
    CHECK_EQ(weft_close(other), 0);
    return 0;
}

static int read_forever(void *arg)
{
    char byte;

    return (int)weft_read(*(int *)arg, &byte, 1, WEFT_FOREVER);
}

DATAGRAM_TEST(waits_end_by_readiness_deadline_and_cancel, 0, 0)
{
    struct sockets sockets;
    weft_fiber *reader;
    int result, events;
    weft_poll poll;
    struct weft_select_case cases[] = {WEFT_POLL_CASE(&poll, &events)};

    (void)arg;
    open_sockets(&sockets);
    poll = (weft_poll)WEFT_POLL_INIT(sockets.receiver, POLLIN);
    CHECK_EQ(weft_poll_fd(sockets.sender, POLLOUT, WEFT_FOREVER), POLLOUT);
    CHECK_EQ(weft_select(cases, 1, weft_after(WEFT_SECOND)), -ETIMEDOUT);
    CHECK_EQ(weft_poll_fd(sockets.receiver, POLLIN, weft_after(WEFT_SECOND)), -ETIMEDOUT);
    reader = must_spawn(read_forever, &sockets.receiver);
    (void)weft_sleep(WEFT_MILLISECOND);
    weft_cancel(reader);
    CHECK_EQ(weft_join(reader, &result, WEFT_FOREVER), 0);
    CHECK_EQ(result, -ECANCELED);
    send_numbers(&sockets, 1);
    CHECK_EQ(weft_select(cases, 1, WEFT_FOREVER), 0);
    CHECK_EQ(events, POLLIN);
    CHECK_EQ(weft_poll_fd(sockets.receiver, POLLIN, WEFT_FOREVER), POLLIN);
    close_sockets(&sockets);
    return 0;
}

DATAGRAM_TEST(what_does_not_fit_is_lost, 0, 0)
{
    struct sockets sockets;

    (void)arg;
    open_sockets(&sockets);
    send_numbers(&sockets, 2 * QUEUE);
    (void)weft_sleep(WEFT_SECOND);
    for (int i = 0; i < QUEUE; i++)
        CHECK_EQ(receive_number(&sockets), i);
    CHECK_EQ(receive_number(&sockets), -ETIMEDOUT);
    close_sockets(&sockets);
    return 0;
}

DATAGRAM_TEST(all_can_be_lost, WEFT_SIM_LOSE, 1000000)
{
    struct sockets sockets;

    (void)arg;
    open_sockets(&sockets);
    send_numbers(&sockets, COUNT);
    CHECK_EQ(receive_number(&sockets), -ETIMEDOUT);
    close_sockets(&sockets);
    return 0;
}

DATAGRAM_TEST(all_can_come_twice, WEFT_SIM_DUPLICATE, 1000000)
{
    struct sockets sockets;

    (void)arg;
    open_sockets(&sockets);
    send_numbers(&sockets, COUNT);
    for (int i = 0; i < 2 * COUNT; i++)
        CHECK_EQ(receive_number(&sockets), i / 2);
    CHECK_EQ(receive_number(&sockets), -ETIMEDOUT);
    close_sockets(&sockets);
    return 0;
}

/* Each comes once, and in at least one run not in order. */
static int receive_in_any_order(void *arg)
{
    bool *is_mixed = arg, seen[COUNT] = {false};
    struct sockets sockets;

    open_sockets(&sockets);
    send_numbers(&sockets, COUNT);
    for (int i = 0; i < COUNT; i++) {
        int number = receive_number(&sockets);

        CHECK(number >= 0 && number < COUNT && !seen[number]);
        seen[number] = true;
        *is_mixed |= number != i;
    }
    close_sockets(&sockets);
    return 0;
}

Test(sim_datagram, some_overtake_others)
{
    struct weft_sim_options options = WEFT_SIM_OPTIONS_INIT;
    bool is_mixed = false;

    options.faults = WEFT_SIM_REORDER;
    options.fault_ppm = 200000;
    for (options.seed = 1; options.seed <= SIMULATE_SEEDS; options.seed++)
        cr_assert_eq(simulate(&options, receive_in_any_order, &is_mixed), 0);
    cr_expect(is_mixed);
}

struct service {
    struct sockets sockets;
    int counted, asked;
    bool has_seen[REQUESTS];
};

/* Counts each request once, however often it comes. */
static int serve(void *arg)
{
    struct service *service = arg;
    struct sockaddr_in from;
    ssize_t n;

    do {
        socklen_t length = sizeof from;
        int number;

        n = weft_recvfrom(service->sockets.receiver, &number, sizeof number, 0,
                          (struct sockaddr *)(void *)&from, &length, WEFT_FOREVER);
        if (n != sizeof number)
            continue;
        service->counted += !service->has_seen[number];
        service->has_seen[number] = true;
        n = weft_sendto(service->sockets.receiver, &number, sizeof number, 0,
                        (struct sockaddr *)(void *)&from, length, WEFT_FOREVER);
    } while (n != -ECANCELED);
    return 0;
}

/* Asks until the answer is to this request. */
static void ask(struct service *service, int number)
{
    int answer = -1;

    while (answer != number) {
        ssize_t n = send_to(&service->sockets, &number, sizeof number);

        service->asked++;
        CHECK(n > 0 || n == -ENOBUFS);
        n = weft_recv(service->sockets.sender, &answer, sizeof answer, 0,
                      weft_after(200 * WEFT_MILLISECOND));
        CHECK(n > 0 || n == -ENOBUFS || n == -ETIMEDOUT);
    }
}

static int use_service(void *arg)
{
    struct service *service = arg;
    weft_fiber *server;

    open_sockets(&service->sockets);
    server = must_spawn(serve, service);
    for (int i = 0; i < REQUESTS; i++)
        ask(service, i);
    weft_cancel(server);
    CHECK_EQ(must_join(server), 0);
    CHECK_EQ(service->counted, REQUESTS);
    close_sockets(&service->sockets);
    return 0;
}

static int run_service(uint64_t seed, struct weft_sim_report *report)
{
    struct weft_sim_options options = WEFT_SIM_OPTIONS_INIT;
    struct service service = {.counted = 0};

    options.seed = seed;
    options.faults = WEFT_SIM_FAULTS_ALL;
    options.report = report;
    options.limit = 3600 * WEFT_SECOND;
    return simulate(&options, use_service, &service);
}

Test(sim_datagram, requests_that_are_repeated_get_through)
{
    uint32_t kinds = WEFT_SIM_LOSE | WEFT_SIM_DUPLICATE | WEFT_SIM_REORDER | WEFT_SIM_PARTITION |
                     WEFT_SIM_REFUSE;

    cr_expect_eq(faults_seen(run_service, kinds) & kinds, kinds);
}

Test(sim_datagram, a_seed_gives_the_same_run_each_time)
{
    assert_replays(run_service, 42);
}
