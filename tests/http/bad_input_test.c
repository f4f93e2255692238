/* SPDX-License-Identifier: MIT */
/* Requests that are wrong, by accident or on purpose. */
#include "check.h"
#include "http_client.h"
#include "random.h"
#include "server_process.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

/* Each is sent on a connection of its own, which must answer with `status` and end. */
static void expect_refusals(unsigned number, const char *const *requests, size_t count, int status)
{
    struct server_process server;

    server_start_with(&server, number, NULL);
    for (size_t i = 0; i < count; i++) {
        struct client client;
        struct answer answer;

        client_open(&client, &server);
        client_send_text(&client, requests[i]);
        client_receive(&client, &answer);
        cr_expect_eq(answer.status, status, "request %zu: %d", i, answer.status);
        cr_assert_not_null(answer_header(&answer, "Connection"));
        cr_expect_str_eq(answer_header(&answer, "Connection"), "close");
        answer_free(&answer);
        client_expect_end(&client);
        client_close(&client);
    }
    assert_serves(&server);
    server_stop(&server);
}

#define COUNT(array) (sizeof(array) / sizeof *(array))

HTTP_TEST(bad_input, malformed_is_400_and_close)
{
    static const char *const requests[] = {
        "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", /* someone tries TLS */
        "hello\r\n\r\n",
        "GET\r\n\r\n",
        "GET /plaintext\r\n\r\n",
        "GET /plaintext HTTP/1.1 x\r\nHost: test\r\n\r\n",
        "GET /plain text HTTP/1.1\r\nHost: test\r\n\r\n",
        "GET /plaintext HTP/1.1\r\nHost: test\r\n\r\n",
        "GET /plaintext HTTP/a.b\r\nHost: test\r\n\r\n",
        "GET /plaintext HTTP/1.1\r\nHost test\r\n\r\n",
        "GET /plaintext HTTP/1.1\r\nHost : test\r\n\r\n",
        "GET /plaintext HTTP/1.1\r\n: test\r\nHost: test\r\n\r\n",
        "GET /plaintext HTTP/1.1\r\nHost: test\r\nA\x01: b\r\n\r\n",
        "GET /plaintext HTTP/1.1\r\nHost: test\r\nA: b\x01\r\n\r\n",
        "GET /plaintext HTTP/1.1\rHost: test\r\r",
        "get /plaintext HTTP/1.1\r\nHost: test\r\n\r\n",
        "GET /plaintext HTTP/0.9\r\nHost: test\r\n\r\n",
        "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    };

    expect_refusals(*number, requests, COUNT(requests), 400);
}

HTTP_TEST(bad_input, host_must_be_there_once)
{
    static const char *const requests[] = {
        "GET /plaintext HTTP/1.1\r\n\r\n",
        "GET /plaintext HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
        "GET /plaintext HTTP/1.0\r\nHost: a\r\nHost: a\r\n\r\n",
    };

    expect_refusals(*number, requests, COUNT(requests), 400);
}

/* In each of these two parties could disagree where the request ends. */
HTTP_TEST(bad_input, smuggling_shapes_are_400_and_close)
{
#define POST "POST /echo HTTP/1.1\r\nHost: test\r\n"
    static const char *const requests[] = {
        POST "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        POST "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n",
        POST "Content-Length: 5\r\nContent-Length: 5\r\n\r\nhello",
        POST "Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello",
        POST "Content-Length: 5, 5\r\n\r\nhello",
        POST "Content-Length: +5\r\n\r\nhello",
        POST "Content-Length: -5\r\n\r\nhello",
        POST "Content-Length: 0x5\r\n\r\nhello",
        POST "Content-Length: 5 5\r\n\r\nhello",
        POST "Content-Length: \r\n\r\nhello",
        POST "Content-Length: 18446744073709551621\r\n\r\nhello",
        POST "Content-Length : 5\r\n\r\nhello",
        POST "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        POST "Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n",
        POST "Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n",
        POST "Transfer-Encoding: chunked\r\n\r\nx\r\n",
        POST "Transfer-Encoding: chunked\r\n\r\n-1\r\n",
        POST "Transfer-Encoding: chunked\r\n\r\n1 \r\nx\r\n0\r\n\r\n",
        POST "Transfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\n",
        POST "Transfer-Encoding: chunked\r\n\r\n1\r\nxx\r\n0\r\n\r\n",
        POST "Transfer-Encoding: chunked\r\n\r\n1\nx\n0\n\n",
        "POST /echo HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    };

    expect_refusals(*number, requests, COUNT(requests), 400);
}

/* A coding that the server does not have leaves the body without a meaning; so does a tunnel. */
HTTP_TEST(bad_input, unknown_transfer_coding_or_tunnel_is_501)
{
    static const char *const requests[] = {
        POST "Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
        POST "Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
        POST "Transfer-Encoding: identity\r\n\r\n",
        "CONNECT test:80 HTTP/1.1\r\nHost: test\r\n\r\nx",
    };

    expect_refusals(*number, requests, COUNT(requests), 501);
#undef POST
}

HTTP_TEST(bad_input, other_major_version_is_505)
{
    static const char *const requests[] = {
        "GET /plaintext HTTP/2.0\r\nHost: test\r\n\r\n",
    };

    expect_refusals(*number, requests, COUNT(requests), 505);
}

/* `size` bytes of header section: one long header line, or many short ones. */
static char *make_head(size_t size, bool is_one_line)
{
    static const char start[] = "GET /plaintext HTTP/1.1\r\nHost: test\r\n";
    char *head = malloc(size + 1);
    size_t at = sizeof start - 1;

    cr_assert_not_null(head);
    memcpy(head, start, at);
    while (!is_one_line && size - at > 100) {
        memcpy(head + at, "A: bcdefgh\r\n", 12);
        at += 12;
    }
    memcpy(head + at, "A: ", 3);
    memset(head + at + 3, 'x', size - at - 3);
    memcpy(head + size - 4, "\r\n\r\n", 5);
    return head;
}

HTTP_TEST(bad_input, header_section_over_16_kib_is_431)
{
    struct server_process server;

    server_start_with(&server, *number, NULL);
    for (int is_one_line = 0; is_one_line < 2; is_one_line++) {
        static const size_t sizes[] = {768, 769, 4096, 4097, 16383, 16384, 16385, 40000};

        for (size_t i = 0; i < COUNT(sizes); i++) {
            char *head = make_head(sizes[i], is_one_line);
            struct client client;

            client_open(&client, &server);
            client_send(&client, head, sizes[i]);
            client_expect(&client, sizes[i] <= 16384 ? 200 : 431);
            if (sizes[i] > 16384)
                client_expect_end(&client);
            client_close(&client);
            free(head);
        }
    }
    assert_serves(&server);
    server_stop(&server);
}

/* The limit is for each request, not for what a client sends in one go. */
HTTP_TEST(bad_input, large_headers_may_be_pipelined)
{
    struct server_process server;
    struct client client;
    char *head = make_head(9000, false);

    server_start_with(&server, *number, NULL);
    client_open(&client, &server);
    for (int i = 0; i < 10; i++)
        client_send(&client, head, 9000);
    for (int i = 0; i < 10; i++)
        client_expect(&client, 200);
    client_close(&client);
    free(head);
    server_stop(&server);
}

HTTP_TEST(bad_input, endless_target_or_empty_lines_are_431)
{
    struct server_process server;
    char *endless = malloc(20000);

    cr_assert_not_null(endless);
    server_start_with(&server, *number, NULL);
    for (int is_target = 0; is_target < 2; is_target++) {
        struct client client;

        for (size_t i = 0; i < 20000; i++)
            endless[i] = is_target ? 'a' : i % 2 == 0 ? '\r' : '\n';
        if (is_target)
            memcpy(endless, "GET /", 5);
        client_open(&client, &server);
        client_send(&client, endless, 20000);
        client_expect(&client, 431);
        client_expect_end(&client);
        client_close(&client);
    }
    free(endless);
    server_stop(&server);
}

HTTP_TEST(bad_input, good_requests_before_a_bad_one_are_answered)
{
    struct server_process server;
    struct client client;

    server_start_with(&server, *number, NULL);
    client_open(&client, &server);
    client_send_text(&client, "GET /plaintext HTTP/1.1\r\nHost: test\r\n\r\n"
                              "GET /json HTTP/1.1\r\nHost: test\r\n\r\n"
                              "bad\r\n\r\n"
                              "GET /json HTTP/1.1\r\nHost: test\r\n\r\n");
    client_expect(&client, 200);
    client_expect(&client, 200);
    client_expect(&client, 400);
    client_expect_end(&client);
    client_close(&client);
    server_stop(&server);
}

/* An upgrade is an offer that a server may ignore. */
HTTP_TEST(bad_input, upgrade_is_ignored)
{
    struct server_process server;
    struct client client;

    server_start_with(&server, *number, NULL);
    client_open(&client, &server);
    for (int i = 0; i < 2; i++) {
        client_send_text(&client, "GET /plaintext HTTP/1.1\r\nHost: test\r\n"
                                  "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n"
                                  "HTTP2-Settings: AAMAAABkAAQCAAAAAAIAAAAA\r\n\r\n");
        client_expect(&client, 200);
    }
    client_close(&client);
    server_stop(&server);
}

static const char *const fuzz_seeds[] = {
    "GET /plaintext HTTP/1.1\r\nHost: test\r\n\r\n",
    "HEAD /bytes/100 HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n",
    "POST /echo HTTP/1.1\r\nHost: test\r\nContent-Length: 5\r\n\r\nhello",
    ("POST /echo HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\r\n"
     "5\r\nhello\r\n0\r\nA: b\r\n\r\n"),
    "GET /file/%2e%2e/x HTTP/1.0\r\nConnection: keep-alive\r\n\r\n",
    "POST /echo HTTP/1.1\r\nHost: test\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\nabc",
};

enum { FUZZ_LENGTH_MAX = 2048, FUZZ_CONNECTIONS = 800 };

/* One to three requests, a few of whose bytes are changed, doubled, dropped or cut off. */
static size_t make_garbage(struct random *random, char *out)
{
    size_t length = 0;

    for (unsigned i = 1 + random_below(random, 3); i > 0; i--) {
        const char *seed = fuzz_seeds[random_below(random, COUNT(fuzz_seeds))];

        memcpy(out + length, seed, strlen(seed));
        length += strlen(seed);
    }
    for (unsigned i = random_below(random, 6); i > 0 && length > 1; i--) {
        size_t at = random_below(random, (unsigned)length);

        switch (random_below(random, 4)) {
        case 0:
            out[at] = (char)random_next(random);
            break;
        case 1:
            memmove(out + at, out + at + 1, length - at - 1);
            length--;
            break;
        case 2:
            memmove(out + at + 1, out + at, length - at);
            length++;
            break;
        default:
            length = at + 1;
        }
    }
    return length;
}

/* Whatever comes back must look like answers, and the server must live. */
HTTP_TEST(bad_input, garbage_never_hurts_the_server)
{
    static char garbage[FUZZ_LENGTH_MAX], reply[16384];
    const uint64_t seed = 20261121 + *number;
    struct random random = random_stream(seed, 1);
    struct server_process server;

    fprintf(stderr, "garbage_never_hurts_the_server: seed %llu\n", (unsigned long long)seed);
    server_start_with(&server, *number, "--root=/tmp", NULL);
    for (int i = 0; i < FUZZ_CONNECTIONS; i++) {
        size_t length = make_garbage(&random, garbage);
        struct client client;
        size_t received = 0, n;

        client_open(&client, &server);
        if (client_try_send(&client, garbage, length))
            (void)shutdown(client.fd, SHUT_WR);
        while (received < sizeof reply &&
               (n = client_receive_raw(&client, reply + received, sizeof reply - received)) > 0)
            received += n;
        cr_assert(received == 0 || (received > 9 && memcmp(reply, "HTTP/1.1 ", 9) == 0),
                  "connection %d: '%.*s'", i, (int)received, reply);
        client_close(&client);
    }
    assert_serves(&server);
    server_stop(&server);
}
