/* SPDX-License-Identifier: MIT */
/* What the server answers to requests that are in order. */
#include "http_client.h"
#include "server_process.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

HTTP_TEST(routes, plaintext_and_json_have_their_bodies_and_types)
{
    struct server_process server;
    struct client client;
    struct answer answer;

    server_start_with(&server, *number, NULL);
    client_open(&client, &server);

    client_get(&client, "/plaintext", &answer);
    cr_expect_eq(answer.status, 200);
    cr_expect(answer_body_is(&answer, "Hello, World!"));
    cr_expect_str_eq(answer_header(&answer, "Content-Type"), "text/plain");
    cr_expect_str_eq(answer_header(&answer, "Server"), "weft");
    answer_free(&answer);

    client_get(&client, "/json", &answer);
    cr_expect_eq(answer.status, 200);
    cr_expect(answer_body_is(&answer, "{\"message\":\"Hello, World!\"}"));
    cr_expect_str_eq(answer_header(&answer, "Content-Type"), "application/json");
    answer_free(&answer);

    client_close(&client);
    server_stop(&server);
}

/* The value was computed elsewhere; each count of steps has one of its own. */
HTTP_TEST(routes, compute_tells_what_the_steps_come_to)
{
    struct server_process server;
    struct client client;
    struct answer answer;

    server_start_with(&server, *number, NULL);
    client_open(&client, &server);
    client_get(&client, "/compute/3", &answer);
    cr_expect_eq(answer.status, 200);
    cr_expect(answer_body_is(&answer, "374ea455679bd2bb"));
    answer_free(&answer);
    client_get(&client, "/compute/0", &answer);
    cr_expect(answer_body_is(&answer, "0000000000000000"));
    answer_free(&answer);
    client_get(&client, "/compute/10001", &answer);
    cr_expect_eq(answer.status, 404, "more than a server should be asked for");
    answer_free(&answer);
    client_close(&client);
    server_stop(&server);
}

/* A wrong day or month would not be noticed by anything else. */
HTTP_TEST(routes, date_is_the_current_time)
{
    struct server_process server;
    struct client client;
    struct answer answer;
    struct tm tm = {0};
    char again[64];
    const char *date;
    time_t seconds;

    server_start_with(&server, *number, NULL);
    client_open(&client, &server);
    client_get(&client, "/plaintext", &answer);
    date = answer_header(&answer, "Date");
    cr_assert_not_null(date);
    cr_assert_not_null(strptime(date, "%a, %d %b %Y %H:%M:%S GMT", &tm));
    seconds = timegm(&tm);
    cr_expect_leq(llabs((long long)(time(NULL) - seconds)), 60);
    strftime(again, sizeof again, "%a, %d %b %Y %H:%M:%S GMT", gmtime(&seconds));
    cr_expect_str_eq(date, again, "the day of the week must fit the date");
    answer_free(&answer);
    client_close(&client);
    server_stop(&server);
}

HTTP_TEST(routes, bytes_have_the_asked_length_and_pattern)
{
    static const size_t lengths[] = {0, 1, 63, 64, 3000, 4096, 65535, 65536, 65537, 1000000};
    struct server_process server;
    struct client client;

    server_start_with(&server, *number, NULL);
    client_open(&client, &server);
    for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++) {
        struct answer answer;
        char path[64];
        size_t at = 0;

        snprintf(path, sizeof path, "/bytes/%zu", lengths[i]);
        client_get(&client, path, &answer);
        cr_assert_eq(answer.status, 200);
        cr_assert_eq(answer.body_length, lengths[i]);
        while (at < answer.body_length && answer.body[at] == bytes_at(at))
            at++;
        cr_assert_eq(at, lengths[i], "byte %zu of %zu is wrong", at, lengths[i]);
        answer_free(&answer);
    }
    client_close(&client);
    server_stop(&server);
}

HTTP_TEST(routes, delay_waits_at_least_so_long)
{
    struct server_process server;
    struct client client;
    struct answer answer;
    int64_t start;

    server_start_with(&server, *number, NULL);
    client_open(&client, &server);
    start = now_ms();
    client_get(&client, "/delay/50", &answer);
    cr_expect_geq(now_ms() - start, 49);
    cr_expect_eq(answer.status, 200);
    cr_expect(answer_body_is(&answer, "Hello, World!"));
    answer_free(&answer);
    client_get(&client, "/delay/0", &answer);
    cr_expect_eq(answer.status, 200);
    answer_free(&answer);
    client_close(&client);
    server_stop(&server);
}

HTTP_TEST(routes, echo_returns_the_body)
{
    struct server_process server;
    struct client client;
    struct answer answer;

    server_start_with(&server, *number, NULL);
    client_open(&client, &server);
    client_send_text(&client,
                     "POST /echo HTTP/1.1\r\nHost: test\r\nContent-Length: 5\r\n\r\nhello");
    client_receive(&client, &answer);
    cr_expect_eq(answer.status, 200);
    cr_expect(answer_body_is(&answer, "hello"));
    answer_free(&answer);
    client_send_text(&client, "POST /echo HTTP/1.1\r\nHost: test\r\nContent-Length: 0\r\n\r\n");
    client_receive(&client, &answer);
    cr_expect_eq(answer.status, 200);
    cr_expect_eq(answer.body_length, 0);
    answer_free(&answer);
    client_close(&client);
    server_stop(&server);
}

/* An answer to HEAD that had a body would be taken for the start of the next answer. */
HTTP_TEST(routes, head_has_the_length_of_get_and_no_body)
{
    static const struct {
        const char *path;
        size_t length;
    } cases[] = {{"/plaintext", 13},
                 {"/json", 27},
                 {"/delay/1", 13},
                 {"/bytes/0", 0},
                 {"/bytes/100000", 100000}};
    struct server_process server;
    struct client client;
    struct answer answer;

    server_start_with(&server, *number, NULL);
    client_open(&client, &server);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        client_printf(&client, "HEAD %s HTTP/1.1\r\nHost: test\r\n\r\n", cases[i].path);
        client_receive_head(&client, &answer);
        cr_expect_eq(answer.status, 200);
        cr_expect_eq(answer.body_length, cases[i].length);
    }
    client_send_text(&client, "HEAD /nowhere HTTP/1.1\r\nHost: test\r\n\r\n");
    client_receive_head(&client, &answer);
    cr_expect_eq(answer.status, 404);
    client_get(&client, "/plaintext", &answer);
    cr_expect_eq(answer.status, 200);
    answer_free(&answer);
    client_close(&client);
    server_stop(&server);
}

HTTP_TEST(routes, query_and_absolute_form_lead_to_the_same_route)
{
    static const char *const targets[] = {"/plaintext?a=b", "/plaintext?", "http://test/plaintext",
                                          "HTTP://test:80/plaintext?x=/json"};
    struct server_process server;
    struct client client;

    server_start_with(&server, *number, NULL);
    client_open(&client, &server);
    for (size_t i = 0; i < sizeof targets / sizeof *targets; i++) {
        struct answer answer;

        client_get(&client, targets[i], &answer);
        cr_expect_eq(answer.status, 200, "%s: %d", targets[i], answer.status);
        cr_expect(answer_body_is(&answer, "Hello, World!"));
        answer_free(&answer);
    }
    client_close(&client);
    server_stop(&server);
}

HTTP_TEST(routes, unknown_route_is_404_and_the_connection_goes_on)
{
    static const char *const targets[] = {"/",
                                          "/plaintex",
                                          "/plaintextt",
                                          "/plaintext/",
                                          "/PLAINTEXT",
                                          "/delay/",
                                          "/delay/x",
                                          "/delay/-1",
                                          "/delay/60001",
                                          "/bytes/1073741825",
                                          "/bytes/1e3",
                                          "/bytes/+1",
                                          "/delay/99999999999999999999",
                                          "/file/x",
                                          "/echo/",
                                          "//plaintext",
                                          "/%70laintext",
                                          "http://test",
                                          "http://test?/plaintext",
                                          "http://test?q=http://test/plaintext"};
    struct server_process server;
    struct client client;
    struct answer answer;

    server_start_with(&server, *number, NULL);
    client_open(&client, &server);
    for (size_t i = 0; i < sizeof targets / sizeof *targets; i++) {
        client_get(&client, targets[i], &answer);
        cr_expect_eq(answer.status, 404, "%s: %d", targets[i], answer.status);
        answer_free(&answer);
    }
    client_get(&client, "/plaintext", &answer);
    cr_expect_eq(answer.status, 200);
    answer_free(&answer);
    client_close(&client);
    server_stop(&server);
}

HTTP_TEST(routes, wrong_method_is_405_with_allow)
{
    static const struct {
        const char *request, *allow;
    } cases[] = {{"POST /plaintext", "GET, HEAD"},
                 {"DELETE /json", "GET, HEAD"},
                 {"PUT /delay/1", "GET, HEAD"},
                 {"OPTIONS /bytes/1", "GET, HEAD"},
                 {"PATCH /file/x", "GET, HEAD"},
                 {"GET /echo", "POST"},
                 {"PUT /echo", "POST"}};
    struct server_process server;
    struct client client;

    server_start_with(&server, *number, NULL);
    client_open(&client, &server);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct answer answer;

        client_printf(&client, "%s HTTP/1.1\r\nHost: test\r\nContent-Length: 3\r\n\r\nabc",
                      cases[i].request);
        client_receive(&client, &answer);
        cr_assert_eq(answer.status, 405, "%s: %d", cases[i].request, answer.status);
        cr_expect_str_eq(answer_header(&answer, "Allow"), cases[i].allow);
        answer_free(&answer);
    }
    client_close(&client);
    server_stop(&server);
}
