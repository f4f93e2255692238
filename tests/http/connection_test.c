/* SPDX-License-Identifier: MIT */
/* How connections live: keep-alive, pipelining, many at once, and how each of them ends. */
#include "check.h"
#include "fixture.h"
#include "http_client.h"
#include "server_process.h"

#include <criterion/criterion.h>
#include <linux/tcp.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>

enum { CONNECTIONS = 200, PIPELINED = 64 };

HTTP_TEST(connection, keep_alive_serves_one_request_after_the_other)
{
    struct server_process server;
    struct client client;
    struct answer answer;

    server_start_with(&server, *number, NULL);
    client_open(&client, &server);
    for (int i = 0; i < 100; i++) {
        client_get(&client, i % 2 == 0 ? "/plaintext" : "/json", &answer);
        cr_assert_eq(answer.status, 200);
        cr_assert_null(answer_header(&answer, "Connection"));
        cr_assert_eq(answer.body_length, i % 2 == 0 ? 13 : 27);
        answer_free(&answer);
    }
    client_close(&client);
    server_stop(&server);
}

HTTP_TEST(connection, close_ends_it_after_the_answer)
{
    static const char *const requests[] = {
        "GET /plaintext HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n",
        "GET /plaintext HTTP/1.1\r\nHost: test\r\nConnection: Keep-Alive, Close\r\n\r\n",
        "GET /plaintext HTTP/1.0\r\n\r\n",
        "GET /plaintext HTTP/1.0\r\nHost: test\r\n\r\n",
        /* What is sent behind it is not a request any more. */
        ("GET /plaintext HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n"
         "GET /json HTTP/1.1\r\nHost: test\r\n\r\n"),
    };
    struct server_process server;

    server_start_with(&server, *number, NULL);
    for (size_t i = 0; i < sizeof requests / sizeof *requests; i++) {
        struct client client;
        struct answer answer;

        client_open(&client, &server);
        client_send_text(&client, requests[i]);
        client_receive(&client, &answer);
        cr_expect_eq(answer.status, 200);
        cr_expect(answer_body_is(&answer, "Hello, World!"));
        cr_assert_not_null(answer_header(&answer, "Connection"), "request %zu", i);
        cr_expect_str_eq(answer_header(&answer, "Connection"), "close");
        answer_free(&answer);
        client_expect_end(&client);
        client_close(&client);
    }
    server_stop(&server);
}

HTTP_TEST(connection, http_1_0_keeps_alive_when_asked)
{
    struct server_process server;
    struct client client;

    server_start_with(&server, *number, NULL);
    client_open(&client, &server);
    for (int i = 0; i < 3; i++) {
        struct answer answer;

        client_send_text(&client, "GET /plaintext HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
        client_receive(&client, &answer);
        cr_assert_eq(answer.status, 200);
        cr_assert_str_eq(answer_header(&answer, "Connection"), "keep-alive");
        answer_free(&answer);
    }
    client_close(&client);
    server_stop(&server);
}

/* Bodies of very different sizes, so that every way through the output buffer is taken. */
HTTP_TEST(connection, pipelined_answers_come_in_order_and_whole)
{
    static const char *const echoed = "POST /echo HTTP/1.1\r\nHost: test\r\nContent-Length: 4\r\n"
                                      "\r\n%04d";
    static const char *const bytes = "GET /bytes/%d HTTP/1.1\r\nHost: test\r\n\r\n";
    struct server_process server;
    struct client client;
    char burst[PIPELINED * 80];
    size_t length = 0;

    server_start_with(&server, *number, NULL);
    client_open(&client, &server);
    for (int i = 0; i < PIPELINED; i++)
        length += (size_t)snprintf(burst + length, sizeof burst - length,
                                   i % 2 == 0 ? echoed : bytes, i % 2 == 0 ? i : i * i * 7);
    client_send(&client, burst, length);
    for (int i = 0; i < PIPELINED; i++) {
        struct answer answer;
        char expected[8];

        client_receive(&client, &answer);
        cr_assert_eq(answer.status, 200);
        snprintf(expected, sizeof expected, "%04d", i);
        if (i % 2 == 0)
            cr_assert(answer_body_is(&answer, expected), "%d: '%s'", i, answer.body);
        else
            cr_assert_eq(answer.body_length, (size_t)(i * i * 7));
        for (size_t at = 0; i % 2 != 0 && at < answer.body_length; at++)
            cr_assert_eq(answer.body[at], bytes_at(at));
        answer_free(&answer);
    }
    client_close(&client);
    server_stop(&server);
}

/* One send for each answer would be 16 segments; they may be a few when a burst is torn apart. */
HTTP_TEST(connection, pipelined_answers_share_segments)
{
    struct server_process server;
    struct client client;
    struct tcp_info info = {0};
    socklen_t info_length = sizeof info;
    char burst[1024] = "";

    server_start_with(&server, *number, NULL);
    client_open(&client, &server);
    for (int i = 0; i < 16; i++)
        strcat(burst, "GET /plaintext HTTP/1.1\r\nHost: test\r\n\r\n");
    client_send_text(&client, burst);
    for (int i = 0; i < 16; i++)
        client_expect(&client, 200);
    cr_assert_eq(getsockopt(client.fd, IPPROTO_TCP, TCP_INFO, &info, &info_length), 0);
    cr_expect_leq(info.tcpi_data_segs_in, 4, "%u segments", info.tcpi_data_segs_in);
    client_close(&client);
    server_stop(&server);
}

HTTP_TEST(connection, requests_may_arrive_byte_by_byte)
{
    static const char request[] = "GET /json HTTP/1.1\r\nHost: test\r\nX-Long-Name: a b c\r\n\r\n"
                                  "GET /plaintext HTTP/1.1\r\nHost: test\r\n\r\n";
    struct server_process server;
    struct client client;
    struct answer answer;

    server_start_with(&server, *number, NULL);
    client_open(&client, &server);
    for (size_t i = 0; i < sizeof request - 1; i++) {
        client_send(&client, request + i, 1);
        if (i % 8 == 0)
            sleep_ms(1);
    }
    client_receive(&client, &answer);
    cr_expect_eq(answer.body_length, 27);
    answer_free(&answer);
    client_receive(&client, &answer);
    cr_expect_eq(answer.body_length, 13);
    answer_free(&answer);
    client_close(&client);
    server_stop(&server);
}

HTTP_TEST(connection, half_close_still_gets_its_answer)
{
    struct server_process server;
    struct client client;

    server_start_with(&server, *number, NULL);
    client_open(&client, &server);
    client_send_text(&client, "GET /delay/20 HTTP/1.1\r\nHost: test\r\n\r\n"
                              "GET /plaintext HTTP/1.1\r\nHost: test\r\n\r\n");
    cr_assert_eq(shutdown(client.fd, SHUT_WR), 0);
    client_expect(&client, 200);
    client_expect(&client, 200);
    client_expect_end(&client);
    client_close(&client);

    /* Half a request is not one. */
    client_open(&client, &server);
    client_send_text(&client, "GET /plaintext HTTP/1.1\r\nHo");
    cr_assert_eq(shutdown(client.fd, SHUT_WR), 0);
    client_expect_end(&client);
    client_close(&client);
    server_stop(&server);
}

/* All are open at once, and all requests are out before the first answer is read. */
HTTP_TEST(connection, two_hundred_at_once)
{
    struct server_process server;
    struct client clients[CONNECTIONS];

    server_start_with(&server, *number, NULL);
    for (int i = 0; i < CONNECTIONS; i++)
        client_open(&clients[i], &server);
    for (int round = 0; round < 5; round++) {
        for (int i = 0; i < CONNECTIONS; i++)
            client_printf(&clients[i],
                          "GET /bytes/%d HTTP/1.1\r\nHost: test\r\n\r\n"
                          "GET /delay/%d HTTP/1.1\r\nHost: test\r\n\r\n",
                          round * 1000 + i, i % 10);
        for (int i = 0; i < CONNECTIONS; i++) {
            struct answer answer;

            client_receive(&clients[i], &answer);
            cr_assert_eq(answer.body_length, (size_t)(round * 1000 + i));
            answer_free(&answer);
            client_expect(&clients[i], 200);
        }
    }
    for (int i = 0; i < CONNECTIONS; i++)
        client_close(&clients[i]);
    server_stop(&server);
}

/* The descriptors are the proof that nothing of a connection stays behind. */
HTTP_TEST(connection, every_way_to_end_gives_its_descriptor_back)
{
    struct server_process server;
    int64_t deadline;
    unsigned before;

    servers_have_no_spares();
    server_start_with(&server, *number, NULL);
    assert_serves(&server);
    sleep_ms(50);
    before = server_descriptor_count(&server);
    for (int i = 0; i < 200; i++) {
        struct client client;

        client_open(&client, &server);
        if (i % 4 == 1)
            client_send_text(&client, "GET /bytes/3000000 HTTP/1.1\r\nHost: test\r\n\r\n");
        if (i % 4 == 2)
            client_send_text(&client, "POST /echo HTTP/1.1\r\nHost: test\r\nContent-Le");
        if (i % 4 == 3)
            client_send_text(&client, "GET /delay/30 HTTP/1.1\r\nHost: test\r\n\r\n");
        if (i % 8 < 4)
            client_reset(&client);
        else
            client_close(&client);
    }
    assert_serves(&server);
    deadline = now_ms() + 30000;
    while (server_descriptor_count(&server) > before && now_ms() < deadline)
        sleep_ms(10);
    cr_expect_leq(server_descriptor_count(&server), before);
    server_stop(&server);
}

HTTP_TEST(connection, large_answer_to_a_slow_reader_is_whole)
{
    enum { SIZE = 8000000, PIECE = 16384 };
    static char piece[PIECE];
    struct server_process server;
    struct client client;
    struct answer answer;
    size_t received = 0, n;

    server_start_with(&server, *number, NULL);
    client_open(&client, &server);
    client_printf(&client, "GET /bytes/%d HTTP/1.1\r\nHost: test\r\n\r\n", SIZE);
    client_receive_head(&client, &answer);
    cr_assert_eq(answer.body_length, SIZE);
    while (received < SIZE && (n = client_receive_raw(&client, piece, sizeof piece)) > 0) {
        for (size_t i = 0; i < n; i++)
            if (piece[i] != bytes_at(received + i))
                cr_assert_fail("byte %zu is wrong", received + i);
        received += n;
        if (received / PIECE % 4 == 0)
            sleep_ms(1);
    }
    cr_assert_eq(received, SIZE);
    client_close(&client);
    server_stop(&server);
}

enum { BURST = 32, LONG_HEADER = 3000 };

/* Requests that want larger buffers than a connection begins with, for input and for output. */
static void ask_for_much(struct client *client)
{
    struct answer answer;

    client_printf(client, "GET /plaintext HTTP/1.1\r\nHost: test\r\nLong: %0*d\r\n\r\n",
                  LONG_HEADER, 0);
    client_expect(client, 200);
    for (int i = 0; i < BURST; i++)
        client_send_text(client, "GET /plaintext HTTP/1.1\r\nHost: test\r\n\r\n");
    for (int i = 0; i < BURST; i++)
        client_expect(client, 200);
    client_get(client, "/plaintext", &answer);
    cr_assert_eq(answer.status, 200);
    answer_free(&answer);
}

enum { WARM = 50, IDLE_MAX = 10000, OTHER_DESCRIPTORS = 200 };

/* So many as servers are to hold, or as the limit of descriptors allows, which is that of the
 * server as well: each has one end of each connection. */
static int count_idle(void)
{
    struct rlimit limit;

    cr_assert_eq(getrlimit(RLIMIT_NOFILE, &limit), 0);
    limit.rlim_cur = limit.rlim_max;
    cr_assert_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);
    return limit.rlim_max >= WARM + IDLE_MAX + OTHER_DESCRIPTORS
               ? IDLE_MAX
               : (int)limit.rlim_max - WARM - OTHER_DESCRIPTORS;
}

/* What a connection is between two requests: one page, with the fiber and the buffers for requests
 * and answers of usual size.  Larger ones, which it once needed, it has given back.  With what each
 * worker knows of each descriptor that is 4.03 KiB; a second page would be too much.  The first
 * connections are there for what is made once. */
HTTP_TEST(connection, idle_ones_hold_no_buffers)
{
    enum { KIB_EACH = 6 };
    static struct client clients[WARM + IDLE_MAX];
    struct server_process server;
    int64_t before = 0;
    int idle;

    if (variant(*number)->workers == 0 || TEST_IS_SANITIZED)
        cr_skip_test("counts the memory of fibers, which sanitizers enlarge");
    idle = count_idle();
    server_start_with(&server, *number, NULL);
    for (int i = 0; i < WARM + idle; i++) {
        if (i == WARM)
            before = server_resident_kib(&server);
        client_open(&clients[i], &server);
        ask_for_much(&clients[i]);
    }
    cr_log_info("%d idle connections: %.2f KiB each", idle,
                (double)(server_resident_kib(&server) - before) / idle);
    cr_expect_leq(server_resident_kib(&server) - before, (int64_t)idle * KIB_EACH);
    /* An orderly end would take their ports away for a minute. */
    for (int i = 0; i < WARM + idle; i++)
        client_reset(&clients[i]);
    server_stop(&server);
}

/* A gigabyte that nobody reads must not become a gigabyte of memory. */
HTTP_TEST(connection, unread_answer_takes_bounded_memory)
{
    struct server_process server;
    struct client client;
    struct answer answer;
    int64_t before;

    server_start_with(&server, *number, NULL);
    assert_serves(&server);
    before = server_resident_kib(&server);
    client_open(&client, &server);
    client_send_text(&client, "GET /bytes/1073741824 HTTP/1.1\r\nHost: test\r\n\r\n");
    client_receive_head(&client, &answer);
    sleep_ms(300);
    cr_expect_leq(server_resident_kib(&server) - before, 64 * 1024);
    client_reset(&client);
    assert_serves(&server);
    server_stop(&server);
}
