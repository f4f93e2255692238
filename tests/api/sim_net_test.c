/* SPDX-License-Identifier: MIT */
/* What the simulated network does: the same as a real one, and what the seed has befall it. */
#include "../sim/scenario.h"
#include "../support/child.h"
#include "../support/simulate.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
    SEEDS_FOR_A_BUG = 1000,
    LARGE = 200000, /* more than is ever on its way */
    BEATS = 3600,
    /* What can befall the network scenario: the rest is for others. */
    NETWORK_FAULTS = ((WEFT_SIM_REFUSE << 1) - 1) | WEFT_SIM_OVERFLOW | WEFT_SIM_LATE_CANCEL |
                     WEFT_SIM_CANCEL_FIRST,
};

TestSuite(sim_net, .init = forget_backend, .timeout = TEST_TIMEOUT_S);

/* Both ends of a connection, as a client and a server have them. */
struct pair {
    int listener;
    int client, server; /* -1: none */
    struct sockaddr_in address;
    int result;
};

static void listen_at(struct pair *pair)
{
    socklen_t length = sizeof pair->address;

    pair->listener = weft_listen_tcp("127.0.0.1", 0);
    CHECK(pair->listener >= 0);
    CHECK_EQ(getsockname(pair->listener, (struct sockaddr *)(void *)&pair->address, &length), 0);
}

static int new_socket(void)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    CHECK(fd >= 0);
    return fd;
}

static int connect_to(int fd, const struct pair *pair, weft_time deadline)
{
    return weft_connect(fd, (const struct sockaddr *)(const void *)&pair->address,
                        sizeof pair->address, deadline);
}

static void connect_pair(struct pair *pair)
{
    listen_at(pair);
    pair->client = new_socket();
    CHECK_EQ(connect_to(pair->client, pair, WEFT_FOREVER), 0);
    pair->server = weft_accept(pair->listener, WEFT_FOREVER);
    CHECK(pair->server >= 0);
}

static void close_pair(struct pair *pair)
{
    CHECK_EQ(weft_close(pair->client), 0);
    CHECK_EQ(weft_close(pair->server), 0);
    CHECK_EQ(weft_close(pair->listener), 0);
}

#define NET_TEST(name, faults, ppm) SIM_TEST(sim_net, name, faults, ppm)

NET_TEST(bytes_arrive_and_then_the_end, 0, 0)
{
    struct pair pair;
    char text[16] = "";

    (void)arg;
    connect_pair(&pair);
    CHECK_EQ(weft_write_all(pair.client, "hello", 5, WEFT_FOREVER), 5);
    CHECK_EQ(weft_read_exact(pair.server, text, 5, WEFT_FOREVER), 5);
    CHECK_EQ(strcmp(text, "hello"), 0);
    CHECK_EQ(weft_write_all(pair.server, "goodbye", 7, WEFT_FOREVER), 7);
    CHECK_EQ(weft_close(pair.server), 0);
    CHECK_EQ(weft_read_exact(pair.client, text, 7, WEFT_FOREVER), 7);
    CHECK_EQ(weft_read(pair.client, text, sizeof text, WEFT_FOREVER), 0);
    CHECK_EQ(weft_close(pair.client), 0);
    CHECK_EQ(weft_close(pair.listener), 0);
    return 0;
}

NET_TEST(nobody_listens, 0, 0)
{
    struct pair pair;
    int fd = new_socket();

    (void)arg;
    listen_at(&pair);
    CHECK_EQ(weft_close(pair.listener), 0);
    CHECK_EQ(connect_to(fd, &pair, WEFT_FOREVER), -ECONNREFUSED);
    CHECK_EQ(weft_close(fd), 0);
    return 0;
}

NET_TEST(two_cannot_listen_at_one_port, 0, 0)
{
    struct pair pair;

    (void)arg;
    listen_at(&pair);
    CHECK_EQ(weft_listen_tcp("127.0.0.1", ntohs(pair.address.sin_port)), -EADDRINUSE);
    CHECK_EQ(weft_close(pair.listener), 0);
    return 0;
}

static int read_forever(void *arg)
{
    struct pair *pair = arg;
    char byte;

    return (int)weft_read(pair->server, &byte, 1, WEFT_FOREVER);
}

NET_TEST(waits_end_by_deadline_cancel_and_close, 0, 0)
{
    struct pair pair;
    weft_fiber *reader;
    weft_time deadline = weft_after(WEFT_SECOND);
    char byte;
    int result;

    (void)arg;
    connect_pair(&pair);
    CHECK_EQ(weft_read(pair.server, &byte, 1, deadline), -ETIMEDOUT);
    CHECK(weft_now() >= deadline);
    CHECK_EQ(weft_accept(pair.listener, weft_after(WEFT_SECOND)), -ETIMEDOUT);
    CHECK_EQ(weft_spawn(&reader, read_forever, &pair), 0);
    (void)weft_sleep(WEFT_MILLISECOND);
    weft_cancel(reader);
    CHECK_EQ(weft_join(reader, &result, WEFT_FOREVER), 0);
    CHECK_EQ(result, -ECANCELED);
    close_pair(&pair);
    CHECK_EQ(weft_read(pair.server, &byte, 1, WEFT_FOREVER), -EBADF);
    return 0;
}

static int send_large(void *arg)
{
    struct pair *pair = arg;
    char *data = malloc(LARGE);
    ssize_t n;

    CHECK(data != NULL);
    for (int i = 0; i < LARGE; i++)
        data[i] = (char)(i % 251);
    n = weft_write_all(pair->client, data, LARGE, WEFT_FOREVER);
    free(data);
    return (int)n;
}

/* Also in pieces, and over a network that stops for a while now and then. */
NET_TEST(a_sender_waits_for_its_receiver,
         WEFT_SIM_SHORT | WEFT_SIM_LATE | WEFT_SIM_STALL | WEFT_SIM_PARTITION, 50000)
{
    struct pair pair;
    weft_fiber *sender;
    char *data = malloc(LARGE);
    int result;

    (void)arg;
    CHECK(data != NULL);
    connect_pair(&pair);
    CHECK_EQ(weft_spawn(&sender, send_large, &pair), 0);
    CHECK_EQ(weft_join(sender, &result, weft_after(10 * WEFT_SECOND)), -ETIMEDOUT);
    CHECK_EQ(weft_read_exact(pair.server, data, LARGE, WEFT_FOREVER), LARGE);
    for (int i = 0; i < LARGE; i++)
        CHECK_EQ(data[i], (char)(i % 251));
    CHECK_EQ(weft_join(sender, &result, WEFT_FOREVER), 0);
    CHECK_EQ(result, LARGE);
    free(data);
    close_pair(&pair);
    return 0;
}

NET_TEST(readiness_is_that_of_a_socket, 0, 0)
{
    struct pair pair;
    char byte;

    (void)arg;
    connect_pair(&pair);
    CHECK_EQ(weft_poll_fd(pair.client, POLLOUT, WEFT_FOREVER), POLLOUT);
    CHECK_EQ(weft_poll_fd(pair.server, POLLIN, weft_after(WEFT_SECOND)), -ETIMEDOUT);
    CHECK_EQ(weft_recv(pair.server, &byte, 1, MSG_DONTWAIT, WEFT_FOREVER), -EAGAIN);
    CHECK_EQ(weft_send(pair.client, "x", 1, 0, WEFT_FOREVER), 1);
    CHECK_EQ(weft_poll_fd(pair.server, POLLIN, WEFT_FOREVER), POLLIN);
    CHECK_EQ(weft_recv(pair.server, &byte, 1, MSG_PEEK, WEFT_FOREVER), 1);
    CHECK_EQ(weft_recv(pair.server, &byte, 1, MSG_OOB, WEFT_FOREVER), -EOPNOTSUPP);
    CHECK_EQ(weft_send(pair.client, &byte, 1, MSG_OOB, WEFT_FOREVER), -EOPNOTSUPP);
    CHECK_EQ(weft_recv(pair.server, &byte, 1, 0, WEFT_FOREVER), 1);
    CHECK_EQ(byte, 'x');
    close_pair(&pair);
    return 0;
}

/* Once per connection and side; what follows is the end, and no way to send. */
NET_TEST(a_reset_is_told_to_both_sides, WEFT_SIM_RESET, 1000000)
{
    struct pair pair = {.client = -1, .server = -1};
    char byte;

    (void)arg;
    listen_at(&pair);
    pair.client = new_socket();
    CHECK_EQ(connect_to(pair.client, &pair, WEFT_FOREVER), 0);
    CHECK_EQ(weft_accept(pair.listener, WEFT_FOREVER), -ECONNABORTED);
    CHECK_EQ(weft_read(pair.client, &byte, 1, WEFT_FOREVER), -ECONNRESET);
    CHECK_EQ(weft_read(pair.client, &byte, 1, WEFT_FOREVER), 0);
    CHECK_EQ(weft_write(pair.client, &byte, 1, WEFT_FOREVER), -EPIPE);
    CHECK_EQ(weft_close(pair.client), 0);
    CHECK_EQ(weft_close(pair.listener), 0);
    return 0;
}

NET_TEST(a_dead_peer_is_noticed_by_a_deadline_or_much_later, WEFT_SIM_HALF_OPEN, 1000000)
{
    struct pair pair;
    weft_time begun;
    char byte;

    (void)arg;
    connect_pair(&pair);
    begun = weft_now();
    CHECK_EQ(weft_write(pair.client, "x", 1, WEFT_FOREVER), 1);
    CHECK_EQ(weft_read(pair.server, &byte, 1, weft_after(60 * WEFT_SECOND)), -ETIMEDOUT);
    CHECK_EQ(weft_read(pair.client, &byte, 1, WEFT_FOREVER), -ETIMEDOUT);
    CHECK(weft_now() - begun > 900 * WEFT_SECOND);
    close_pair(&pair);
    return 0;
}

/* Each completion comes a poll later, and none is lost. */
NET_TEST(a_full_queue_of_completions_loses_nothing, WEFT_SIM_OVERFLOW | WEFT_SIM_LATE, 500000)
{
    struct pair pair;
    char text[16] = "";

    (void)arg;
    connect_pair(&pair);
    for (int i = 0; i < 20; i++) {
        CHECK_EQ(weft_write_all(pair.client, "hello", 5, WEFT_FOREVER), 5);
        CHECK_EQ(weft_read_exact(pair.server, text, 5, WEFT_FOREVER), 5);
        CHECK_EQ(weft_read(pair.server, text, 1, weft_after(WEFT_MILLISECOND)), -ETIMEDOUT);
    }
    close_pair(&pair);
    return 0;
}

/* A byte that comes before the cancel gets to the read is the read's. */
NET_TEST(a_late_cancel_loses_nothing, WEFT_SIM_LATE_CANCEL, 1000000)
{
    struct pair pair;
    weft_fiber *reader;
    char byte;
    int result;

    (void)arg;
    connect_pair(&pair);
    CHECK_EQ(weft_spawn(&reader, read_forever, &pair), 0);
    (void)weft_sleep(WEFT_MILLISECOND);
    CHECK_EQ(weft_write(pair.client, "x", 1, WEFT_FOREVER), 1);
    (void)weft_sleep((weft_time)(weft_sim_random() % 30) * WEFT_MILLISECOND);
    weft_cancel(reader);
    CHECK_EQ(weft_join(reader, &result, WEFT_FOREVER), 0);
    if (result == -ECANCELED)
        CHECK_EQ(weft_read(pair.server, &byte, 1, WEFT_FOREVER), 1);
    else
        CHECK_EQ(result, 1);
    CHECK_EQ(weft_read(pair.server, &byte, 1, weft_after(WEFT_MILLISECOND)), -ETIMEDOUT);
    close_pair(&pair);
    return 0;
}

static int beat(void *arg)
{
    struct pair *pair = arg;
    char byte = 'b';

    for (int i = 0; i < BEATS; i++) {
        CHECK_EQ(weft_write(pair->client, &byte, 1, WEFT_FOREVER), 1);
        (void)weft_sleep(WEFT_SECOND);
    }
    return 0;
}

static int hear_an_hour_of_beats(void *arg)
{
    struct pair pair;
    weft_fiber *heart;
    char byte;

    connect_pair(&pair);
    CHECK_EQ(weft_spawn(&heart, beat, &pair), 0);
    for (int i = 0; i < BEATS; i++)
        CHECK_EQ(weft_read(pair.server, &byte, 1, weft_after(2 * WEFT_SECOND)), 1);
    CHECK_EQ(weft_join(heart, NULL, WEFT_FOREVER), 0);
    *(weft_time *)arg = weft_now();
    close_pair(&pair);
    return 0;
}

Test(sim_net, an_hour_of_traffic_is_simulated)
{
    struct weft_sim_options options = WEFT_SIM_OPTIONS_INIT;
    weft_time end = 0;

    options.seed = 1;
    cr_assert_eq(simulate(&options, hear_an_hour_of_beats, &end), 0);
    cr_expect_geq(end, 3600 * WEFT_SECOND);
}

static int run_network(uint64_t seed, enum scenario_bug bug, struct weft_sim_report *report)
{
    struct weft_sim_options options = faulty_options(seed, bug != BUG_NONE, report);

    return weft_sim_run(&options, network_scenario, scenario_arg(bug));
}

static int run_plain(uint64_t seed, struct weft_sim_report *report)
{
    return run_network(seed, BUG_NONE, report);
}

Test(sim_net, a_seed_gives_the_same_run_each_time)
{
    assert_replays(run_plain, 42);
}

Test(sim_net, every_kind_of_fault_happens, .timeout = 2 * TEST_TIMEOUT_S)
{
    cr_expect_eq(faults_seen(run_plain, NETWORK_FAULTS), NETWORK_FAULTS);
}

/* A run that fails so leaves its memory behind: in a process of its own. */
CHILD(find_a_stale_reply)
{
    struct weft_sim_report report, again;

    for (uint64_t seed = parameter; seed < parameter + SEEDS_FOR_A_BUG; seed++) {
        int result = run_network(seed, BUG_STALE_REPLY, &report);

        if (result < 0)
            _exit(run_network(seed, BUG_STALE_REPLY, &again) == result &&
                          again.trace_hash == report.trace_hash
                      ? 0
                      : 2);
    }
    _exit(1);
}

Test(sim_net, a_planted_bug_is_found_and_replays)
{
    struct child_end end;

    run_child("find_a_stale_reply", 1, NULL, &end);
    cr_expect_eq(end.exit_status, 0, "%s", end.output);
}
