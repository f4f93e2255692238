/* SPDX-License-Identifier: MIT */
/* Peers that do not say goodbye: killed in the middle of a transfer, and resets by the hundred. */
#define _GNU_SOURCE 1

#include "../support/child.h"
#include "../support/fixture.h"
#include "../support/net.h"

#include <errno.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>

/* Sends for as long as somebody is there, and reads nothing. */
CHILD(flood)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)parameter)};
    char bytes[4096] = "";
    int fd = make_tcp_socket();

    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    CHECK_EQ(connect(fd, (struct sockaddr *)&address, sizeof address), 0);
    while (send(fd, bytes, sizeof bytes, MSG_NOSIGNAL) > 0)
        ;
    return 0;
}

/* On epoll, and on what the machine has. */
static void run_on_both(unsigned workers, int (*fn)(void *))
{
    struct weft_config config = {.workers = workers, .backend = WEFT_BACKEND_EPOLL};

    cr_expect_eq(run_config(&config, fn, NULL), 0);
    config.backend = 0;
    cr_expect_eq(run_config(&config, fn, NULL), 0);
}

struct peer {
    int fd;
    pid_t pid;
};

static bool is_end(ssize_t result)
{
    return result == 0 || result == -ECONNRESET || result == -EPIPE;
}

static int read_and_kill(void *arg)
{
    struct peer *peer = arg;
    static char bytes[65536];
    size_t total = 0;
    ssize_t n;

    while ((n = weft_recv(peer->fd, bytes, sizeof bytes, 0, WEFT_FOREVER)) > 0) {
        total += (size_t)n;
        if (total > 4 * sizeof bytes && peer->pid > 0) {
            CHECK_EQ(kill(peer->pid, SIGKILL), 0);
            peer->pid = 0;
        }
    }
    CHECK(is_end(n));
    return 0;
}

static int write_for_ever(void *arg)
{
    struct peer *peer = arg;
    static char bytes[65536];
    ssize_t n;

    do
        n = weft_send(peer->fd, bytes, sizeof bytes, 0, WEFT_FOREVER);
    while (n > 0);
    CHECK(is_end(n));
    return 0;
}

/* One fiber reads and another waits for room to write, when the peer is gone. */
static int lose_peer(void *arg)
{
    int listener = weft_listen_tcp("127.0.0.1", 0), status;
    pid_t pid = start_child("flood", ntohs(local_address(listener).sin_port));
    struct peer peer = {.pid = pid};
    weft_fiber *reader, *writer;

    (void)arg;
    CHECK((peer.fd = weft_accept(listener, WEFT_FOREVER)) >= 0);
    writer = must_spawn(write_for_ever, &peer);
    reader = must_spawn(read_and_kill, &peer);
    CHECK_EQ(must_join(reader), 0);
    CHECK_EQ(must_join(writer), 0);
    CHECK_EQ(weft_close(peer.fd), 0);
    CHECK_EQ(weft_close(listener), 0);
    CHECK_EQ(weft_process_wait(pid, &status, WEFT_FOREVER), 0);
    CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
    return 0;
}

WORKER_TEST(lost_peer, a_peer_that_is_killed_ends_reads_and_writes, TEST_TIMEOUT_S)
{
    run_on_both(*workers, lose_peer);
}

enum { CONNECTIONS = 300 };

static int serve_until_end(void *arg)
{
    int fd = (int)(intptr_t)arg;
    char bytes[256];
    ssize_t n;

    while ((n = weft_recv(fd, bytes, sizeof bytes, 0, WEFT_FOREVER)) > 0)
        if ((n = weft_send_all(fd, bytes, (size_t)n, 0, WEFT_FOREVER)) < 0)
            break;
    CHECK(is_end(n));
    CHECK_EQ(weft_close(fd), 0);
    return 0;
}

static int accept_all(void *arg)
{
    int listener = *(int *)arg, count = 0;
    weft_scope clients = WEFT_SCOPE_INIT;

    while (count < CONNECTIONS) {
        int fd = weft_accept(listener, WEFT_FOREVER);

        CHECK(fd >= 0 || fd == -ECONNABORTED);
        count++;
        if (fd >= 0)
            CHECK_EQ(weft_scope_spawn(&clients, serve_until_end, (void *)(intptr_t)fd), 0);
    }
    return weft_scope_close(&clients, 0);
}

/* Some say nothing, some leave in the middle of an answer; all end by a reset. */
static int reset_all(void *arg)
{
    struct sockaddr_in address = local_address(*(int *)arg);
    struct linger at_once = {1, 0};

    for (int i = 0; i < CONNECTIONS; i++) {
        int fd = make_tcp_socket();
        char bytes[200] = "";

        CHECK_EQ(weft_connect(fd, (struct sockaddr *)&address, sizeof address, WEFT_FOREVER), 0);
        if (i % 3 != 0)
            CHECK_EQ(weft_send_all(fd, bytes, sizeof bytes, 0, WEFT_FOREVER), sizeof bytes);
        if (i % 3 == 2)
            CHECK(weft_recv(fd, bytes, 1, 0, WEFT_FOREVER) == 1);
        CHECK_EQ(setsockopt(fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once), 0);
        CHECK_EQ(weft_close(fd), 0);
    }
    return 0;
}

static int storm_of_resets(void *arg)
{
    int listener = weft_listen_tcp("127.0.0.1", 0);
    weft_fiber *server, *clients;

    (void)arg;
    CHECK(listener >= 0);
    server = must_spawn(accept_all, &listener);
    clients = must_spawn(reset_all, &listener);
    CHECK_EQ(must_join(clients), 0);
    CHECK_EQ(must_join(server), 0);
    CHECK_EQ(weft_close(listener), 0);
    return 0;
}

WORKER_TEST(lost_peer, a_storm_of_resets_ends_connections_only, TEST_TIMEOUT_S)
{
    run_on_both(*workers, storm_of_resets);
}
