/* SPDX-License-Identifier: MIT */
/*
 * Clients that misbehave in time, and resources that run out.
 *
 * Times are only ever lower bounds or as generous as a hang: a slow machine fails nothing.
 */
#include "check.h"
#include "http_client.h"
#include "server_process.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>

/* In a second and a half of pausing; a loop that spins takes all of it. */
enum { CPU_MS_MAX = 700 };

/* Sends a byte now and then until the server has had enough; returns how long that took. */
static int64_t trickle(struct client *client, const char *start)
{
    const int64_t begun = now_ms();

    client_send_text(client, start);
    while (!client_is_readable(client, 20)) {
        if (!client_try_send(client, "a", 1))
            break;
        if (now_ms() - begun > 60000)
            cr_assert_fail("a client that trickles is served for ever");
    }
    return now_ms() - begun;
}

/* The deadline is for the whole: each byte by itself comes soon enough. */
HTTP_TEST(fault, trickled_header_ends_by_its_deadline)
{
    struct server_process server;
    struct client slow, other;
    struct answer answer;

    server_start_with(&server, *number, "--header-timeout-ms=400", NULL);
    client_open(&other, &server);
    client_open(&slow, &server);
    cr_expect_geq(trickle(&slow, "GET /plaintext HTTP/1.1\r\nHost: "), 300);
    client_expect(&slow, 408);
    client_expect_end(&slow);
    client_close(&slow);

    client_get(&other, "/plaintext", &answer);
    cr_expect_eq(answer.status, 200, "the other connection must not notice");
    answer_free(&answer);
    client_close(&other);
    server_stop(&server);
}

HTTP_TEST(fault, trickled_body_ends_by_its_deadline)
{
    struct server_process server;
    struct client client;

    server_start_with(&server, *number, "--header-timeout-ms=400", NULL);
    client_open(&client, &server);
    cr_expect_geq(trickle(&client, "POST /echo HTTP/1.1\r\nHost: test\r\n"
                                   "Content-Length: 1000000\r\n\r\n"),
                  300);
    client_expect(&client, 408);
    client_expect_end(&client);
    client_close(&client);

    client_open(&client, &server);
    trickle(&client, "POST /echo HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\r\n"
                     "f0000\r\n");
    client_expect(&client, 408);
    client_expect_end(&client);
    client_close(&client);
    server_stop(&server);
}

HTTP_TEST(fault, idle_connections_end_by_their_deadline)
{
    struct server_process server;
    struct client fresh, used;
    int64_t begun;

    server_start_with(&server, *number, "--idle-timeout-ms=400", NULL);
    begun = now_ms();
    client_open(&fresh, &server);
    client_expect_end(&fresh);
    cr_expect_geq(now_ms() - begun, 300);

    client_open(&used, &server);
    for (int i = 0; i < 5; i++) {
        struct answer answer;

        sleep_ms(20);
        client_get(&used, "/plaintext", &answer);
        cr_assert_eq(answer.status, 200);
        answer_free(&answer);
    }
    client_expect_end(&used);
    client_close(&used);
    client_close(&fresh);
    assert_serves(&server);
    server_stop(&server);
}

/* Waiting for a backend is not being idle. */
HTTP_TEST(fault, deadlines_do_not_cover_the_handler)
{
    struct server_process server;
    struct client client;
    struct answer answer;

    server_start_with(&server, *number, "--idle-timeout-ms=100", "--header-timeout-ms=100",
                      "--write-timeout-ms=100", NULL);
    client_open(&client, &server);
    client_get(&client, "/delay/600", &answer);
    cr_expect_eq(answer.status, 200);
    answer_free(&answer);
    client_close(&client);
    server_stop(&server);
}

/* After its answers are cut off a peer that never reads is gone from the server's descriptors. */
HTTP_TEST(fault, client_that_never_reads_ends_by_its_deadline)
{
    struct server_process server;
    struct client client;
    unsigned before;
    int64_t deadline = now_ms() + 60000;

    servers_have_no_spares();
    server_start_with(&server, *number, "--write-timeout-ms=400", NULL);
    assert_serves(&server);
    sleep_ms(50);
    before = server_descriptor_count(&server);
    client_open(&client, &server);
    client_send_text(&client, "GET /bytes/1073741824 HTTP/1.1\r\nHost: test\r\n\r\n");
    cr_assert(client_is_readable(&client, 60000));
    assert_serves(&server);
    while (server_descriptor_count(&server) > before && now_ms() < deadline)
        sleep_ms(10);
    cr_expect_leq(server_descriptor_count(&server), before, "it is still connected");
    client_close(&client);
    assert_serves(&server);
    server_stop(&server);
}

HTTP_TEST(fault, reset_during_an_answer_ends_only_that_connection)
{
    struct server_process server;
    struct client other;

    server_start_with(&server, *number, NULL);
    client_open(&other, &server);
    for (int i = 0; i < 50; i++) {
        struct client client;
        struct answer answer;

        client_open(&client, &server);
        client_send_text(&client, i % 2 == 0 ? "GET /bytes/50000000 HTTP/1.1\r\nHost: test\r\n\r\n"
                                             : "GET /delay/5 HTTP/1.1\r\nHost: test\r\n\r\n");
        if (i % 4 == 0)
            client_receive_head(&client, &answer);
        client_reset(&client);
        client_get(&other, "/plaintext", &answer);
        cr_assert_eq(answer.status, 200);
        answer_free(&answer);
    }
    client_close(&other);
    server_stop(&server);
}

/* `served` connections have been answered and are open; the rest of `clients` waits its turn. */
static void serve_the_rest(struct client *clients, int served, int count)
{
    for (int i = 0; i < count; i++) {
        if (i >= served)
            client_expect(&clients[i], 200);
        client_close(&clients[i]);
    }
}

HTTP_TEST(fault, accepting_pauses_while_descriptors_are_out)
{
    enum { FREE = 8, CLIENTS = 40 };
    struct server_process server;
    struct client clients[CLIENTS];
    struct rlimit limit;
    int64_t cpu_ms;
    int served = 0;

    servers_have_no_spares(); /* one that cannot have a ring says so */
    server_start_with(&server, *number, NULL);
    assert_serves(&server);
    limit.rlim_cur = limit.rlim_max = server_descriptor_highest(&server) + 1 + FREE;
    cr_assert_eq(prlimit(server.pid, RLIMIT_NOFILE, &limit, NULL), 0);

    for (int i = 0; i < CLIENTS; i++) {
        client_open(&clients[i], &server); /* the kernel's queue takes them */
        client_send_text(&clients[i], "GET /plaintext HTTP/1.1\r\nHost: test\r\n\r\n");
    }
    while (served < CLIENTS &&
           client_is_readable(&clients[served], served < FREE / 2 ? 60000 : 500))
        client_expect(&clients[served++], 200);
    cr_expect_geq(served, FREE / 2);
    cr_expect_lt(served, CLIENTS, "the descriptors did not run out");

    cpu_ms = server_cpu_ms(&server);
    sleep_ms(1500);
    cr_expect_leq(server_cpu_ms(&server) - cpu_ms, CPU_MS_MAX, "it spins");
    serve_the_rest(clients, served, CLIENTS);
    assert_serves(&server);
    server_stop(&server);
}

HTTP_TEST(fault, accepting_pauses_at_max_connections)
{
    enum { CLIENTS = 12 };
    struct server_process server;
    struct client clients[CLIENTS];
    int64_t cpu_ms;

    server_start_with(&server, *number, "--max-connections=4", NULL);
    for (int i = 0; i < CLIENTS; i++) {
        client_open(&clients[i], &server);
        client_send_text(&clients[i], "GET /plaintext HTTP/1.1\r\nHost: test\r\n\r\n");
    }
    for (int i = 0; i < 4; i++)
        client_expect(&clients[i], 200);
    cpu_ms = server_cpu_ms(&server);
    cr_expect_not(client_is_readable(&clients[4], 1500), "more than four were accepted");
    cr_expect_leq(server_cpu_ms(&server) - cpu_ms, CPU_MS_MAX, "it spins");
    serve_the_rest(clients, 4, CLIENTS);
    assert_serves(&server);
    server_stop(&server);
}
