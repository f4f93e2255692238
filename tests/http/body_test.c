/* SPDX-License-Identifier: MIT */
/* Request bodies: both framings, every way to be torn apart, limits, and 100-continue. */
#include "http_client.h"
#include "server_process.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

static void assert_echo_is(struct client *client, const char *expected)
{
    struct answer answer;

    client_receive(client, &answer);
    cr_assert_eq(answer.status, 200);
    cr_assert(answer_body_is(&answer, expected), "'%s'", answer.body);
    answer_free(&answer);
}

/* Sends a request in two pieces, cut at each of its bytes in turn, and one piece per byte. */
static void echo_in_pieces(const struct server_process *server, const char *request,
                           const char *expected)
{
    const size_t length = strlen(request);
    struct client client;

    client_open(&client, server);
    for (size_t cut = 1; cut < length; cut++) {
        client_send(&client, request, cut);
        if (cut % 4 == 0)
            sleep_ms(1); /* otherwise both pieces tend to be received as one */
        client_send(&client, request + cut, length - cut);
        assert_echo_is(&client, expected);
    }
    for (size_t i = 0; i < length; i++)
        client_send(&client, request + i, 1);
    assert_echo_is(&client, expected);
    client_close(&client);
}

HTTP_TEST(body, chunked_may_be_split_at_every_byte)
{
    struct server_process server;

    server_start_with(&server, *number, NULL);
    echo_in_pieces(&server,
                   "POST /echo HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\r\n"
                   "5\r\nhello\r\n1;name=value\r\n,\r\nB\r\n wide world\r\n0\r\n"
                   "X-Trailer: Host\r\nHost: trailer\r\n\r\n",
                   "hello, wide world");
    server_stop(&server);
}

HTTP_TEST(body, content_length_may_be_split_at_every_byte)
{
    struct server_process server;

    server_start_with(&server, *number, NULL);
    echo_in_pieces(&server,
                   "POST /echo HTTP/1.1\r\nContent-Length: 12\r\nHost: test\r\n\r\nGET / HTTP/1",
                   "GET / HTTP/1");
    server_stop(&server);
}

static char *make_body(size_t length)
{
    char *body = malloc(length);

    cr_assert_not_null(body);
    for (size_t i = 0; i < length; i++)
        body[i] = (char)(i * 31 + i / 251);
    return body;
}

HTTP_TEST(body, any_size_up_to_the_limit_is_echoed)
{
    static const size_t sizes[] = {1, 600, 767, 768, 769, 4095, 4096, 4097, 16384, 70000, 1048576};
    struct server_process server;
    struct client client;

    server_start_with(&server, *number, NULL);
    client_open(&client, &server);
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        char *body = make_body(sizes[i]);
        struct answer answer;

        client_printf(&client, "POST /echo HTTP/1.1\r\nHost: test\r\nContent-Length: %zu\r\n\r\n",
                      sizes[i]);
        client_send(&client, body, sizes[i]);
        client_receive(&client, &answer);
        cr_assert_eq(answer.status, 200);
        cr_assert_eq(answer.body_length, sizes[i]);
        cr_assert_eq(memcmp(answer.body, body, sizes[i]), 0, "%zu bytes", sizes[i]);
        answer_free(&answer);
        free(body);
    }
    client_close(&client);
    server_stop(&server);
}

/* The body need not arrive for that: the header says enough. */
HTTP_TEST(body, announced_over_the_limit_is_413)
{
    struct server_process server;
    struct client client;

    server_start_with(&server, *number, "--body-limit=1000", NULL);
    client_open(&client, &server);
    client_send_text(&client, "POST /echo HTTP/1.1\r\nHost: test\r\nContent-Length: 1001\r\n\r\n");
    client_expect(&client, 413);
    client_expect_end(&client);
    client_close(&client);

    client_open(&client, &server);
    client_send_text(&client, "POST /echo HTTP/1.1\r\nHost: test\r\n"
                              "Content-Length: 18446744073709551615\r\n\r\n");
    client_expect(&client, 413);
    client_close(&client);

    client_open(&client, &server);
    client_printf(&client,
                  "POST /echo HTTP/1.1\r\nHost: test\r\nContent-Length: 1000\r\n\r\n%01000d", 0);
    client_expect(&client, 200);
    client_close(&client);
    server_stop(&server);
}

/* Also where the route has no use for a body: it would be read for nothing, without end. */
HTTP_TEST(body, chunks_over_the_limit_are_413)
{
    static const char *const targets[] = {"POST /echo", "GET /plaintext", "POST /nowhere"};
    static const char filler[100];
    struct server_process server;

    server_start_with(&server, *number, "--body-limit=1000", NULL);
    for (size_t i = 0; i < sizeof targets / sizeof *targets; i++) {
        struct client client;

        client_open(&client, &server);
        client_printf(&client, "%s HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\r\n",
                      targets[i]);
        for (int chunk = 0; chunk < 20; chunk++)
            if (!client_try_send(&client, "64\r\n", 4) ||
                !client_try_send(&client, filler, sizeof filler) ||
                !client_try_send(&client, "\r\n", 2))
                break;
        client_expect(&client, 413);
        client_expect_end(&client);
        client_close(&client);
    }
    server_stop(&server);
}

/* The answer must survive although the client is still in the middle of sending. */
HTTP_TEST(body, client_that_sends_on_still_reads_its_413)
{
    enum { SIZE = 4 << 20 };
    struct server_process server;
    struct client client;
    char *body = make_body(SIZE);

    server_start_with(&server, *number, NULL);
    client_open(&client, &server);
    client_printf(&client, "POST /echo HTTP/1.1\r\nHost: test\r\nContent-Length: %d\r\n\r\n", SIZE);
    client_send(&client, body, SIZE);
    client_expect(&client, 413);
    client_close(&client);
    free(body);
    server_stop(&server);
}

HTTP_TEST(body, unused_body_is_skipped_and_the_next_request_served)
{
    struct server_process server;
    struct client client;
    struct answer answer;

    server_start_with(&server, *number, NULL);
    client_open(&client, &server);
    client_send_text(&client, "GET /plaintext HTTP/1.1\r\nHost: test\r\nContent-Length: 26\r\n\r\n"
                              "GET /nowhere HTTP/1.1\r\n\r\nx\n"
                              "POST /nowhere HTTP/1.1\r\nHost: test\r\n"
                              "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"
                              "GET /json HTTP/1.1\r\nHost: test\r\n\r\n");
    client_expect(&client, 200);
    client_expect(&client, 404);
    client_receive(&client, &answer);
    cr_expect_eq(answer.body_length, 27);
    answer_free(&answer);
    client_close(&client);
    server_stop(&server);
}

HTTP_TEST(body, expectation_is_answered_with_continue)
{
    struct server_process server;
    struct client client;
    struct answer answer;

    server_start_with(&server, *number, NULL);
    client_open(&client, &server);
    client_send_text(&client, "POST /echo HTTP/1.1\r\nHost: test\r\nContent-Length: 5\r\n"
                              "Expect: 100-Continue\r\n\r\n");
    client_receive_head(&client, &answer);
    cr_assert_eq(answer.status, 100);
    client_send_text(&client, "hello");
    assert_echo_is(&client, "hello");

    /* A body that did not wait makes the leave superfluous. */
    client_send_text(&client, "POST /echo HTTP/1.1\r\nHost: test\r\nContent-Length: 5\r\n"
                              "Expect: 100-continue\r\n\r\nagain");
    assert_echo_is(&client, "again");
    client_close(&client);
    server_stop(&server);
}

/* llhttp refuses a tab behind the values that frame a body, which is safe; behind others it may be.
 */
HTTP_TEST(body, whitespace_around_a_value_is_none_of_it)
{
    static const struct {
        const char *before, *behind, *behind_framing;
    } cases[] = {{"", " ", " "}, {" ", "  ", "  "}, {"\t", "\t", "   "}, {" \t ", " \t ", " "}};
    struct server_process server;
    struct client client;

    server_start_with(&server, *number, NULL);
    client_open(&client, &server);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct answer answer;

        client_printf(&client,
                      "POST /echo HTTP/1.1\r\nHost: test\r\n"
                      "Transfer-Encoding:%schunked%s\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
                      cases[i].before, cases[i].behind_framing);
        assert_echo_is(&client, "hello");
        client_printf(&client,
                      "POST /echo HTTP/1.1\r\nHost: test\r\nContent-Length: 5\r\n"
                      "Expect:%s100-continue%s\r\n\r\n",
                      cases[i].before, cases[i].behind);
        client_receive_head(&client, &answer);
        cr_assert_eq(answer.status, 100);
        client_send_text(&client, "again");
        assert_echo_is(&client, "again");
    }
    client_close(&client);
    server_stop(&server);
}

HTTP_TEST(body, expectation_is_refused_without_reading_the_body)
{
    static const struct {
        const char *request;
        int status;
    } cases[] = {
        {"POST /nowhere HTTP/1.1\r\nHost: test\r\nContent-Length: 5\r\nExpect: 100-continue", 404},
        {"POST /json HTTP/1.1\r\nHost: test\r\nContent-Length: 5\r\nExpect: 100-continue", 405},
        {"POST /echo HTTP/1.1\r\nHost: test\r\nContent-Length: 9999999\r\nExpect: 100-continue",
         413},
        {"POST /echo HTTP/1.1\r\nHost: test\r\nContent-Length: 5\r\nExpect: a miracle", 417},
    };
    struct server_process server;

    server_start_with(&server, *number, NULL);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct client client;

        client_open(&client, &server);
        client_printf(&client, "%s\r\n\r\n", cases[i].request);
        client_expect(&client, cases[i].status);
        client_expect_end(&client);
        client_close(&client);
    }
    server_stop(&server);
}
