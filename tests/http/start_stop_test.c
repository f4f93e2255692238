/* SPDX-License-Identifier: MIT */
/* The command line, what can go wrong at the start, and the orderly end. */
#include "check.h"
#include "http_client.h"
#include "server_process.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>

enum { LONG_ANSWER = 20000000, BUFFERED_ANSWER = 600000, LINGER_MS_SURE = 1500 };

static unsigned line_count(const char *text)
{
    unsigned count = 0;

    for (; *text != '\0'; text++)
        count += *text == '\n';
    return count;
}

HTTP_TEST(start, taken_port_is_one_line_and_exit_status_1)
{
    struct server_process first;
    struct server_end end;
    struct launch launch = {0};

    server_start_with(&first, *number, NULL);
    launch.port = first.port;
    server_run(*number, &launch, &end);
    cr_expect_eq(end.exit_status, 1);
    cr_expect_str_empty(end.output);
    cr_expect_eq(line_count(end.errors), 1, "%s", end.errors);
    cr_expect_not_null(strstr(end.errors, "Address already in use"), "%s", end.errors);
    assert_serves(&first);
    server_stop(&first);
}

HTTP_TEST(start, wrong_options_are_one_line_and_exit_status_2)
{
    static const char *const wrong[] = {"--mode=warp",
                                        "--workers=many",
                                        "--workers=9999",
                                        "--pool=0",
                                        "--pool=9999",
                                        "--port=65536",
                                        "--max-connections=-1",
                                        "--body-limit=1k",
                                        "--idle-timeout-ms=0",
                                        "--header-timeout-ms=",
                                        "--unknown",
                                        "stray"};

    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        const char *arguments[] = {wrong[i], NULL};
        struct launch launch = {.arguments = arguments};
        struct server_end end;

        server_run(*number, &launch, &end);
        cr_expect_eq(end.exit_status, 2, "%s: %d", wrong[i], end.exit_status);
        cr_expect_str_empty(end.output);
        cr_expect_eq(line_count(end.errors), 1, "%s", end.errors);
    }
}

HTTP_TEST(start, missing_root_or_host_is_one_line_and_exit_status_1)
{
    static const char *const wrong[] = {"--root=/nonexistent", "--root=/etc/passwd",
                                        "--host=nowhere", "--host=203.0.113.1"};

    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        const char *arguments[] = {wrong[i], NULL};
        struct launch launch = {.arguments = arguments};
        struct server_end end;

        server_run(*number, &launch, &end);
        cr_expect_eq(end.exit_status, 1, "%s: %d", wrong[i], end.exit_status);
        cr_expect_str_empty(end.output);
        cr_expect_eq(line_count(end.errors), 1, "%s", end.errors);
    }
}

HTTP_TEST(start, help_names_every_option)
{
    static const char *const names[] = {"--mode",
                                        "--workers",
                                        "--pool",
                                        "--host",
                                        "--port",
                                        "--max-connections",
                                        "--root",
                                        "--header-timeout-ms",
                                        "--idle-timeout-ms",
                                        "--write-timeout-ms",
                                        "--body-limit",
                                        "--help"};
    const char *arguments[] = {"--help", NULL};
    struct launch launch = {.arguments = arguments};
    struct server_end end;

    server_run(*number, &launch, &end);
    cr_expect_eq(end.exit_status, 0);
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        cr_expect_not_null(strstr(end.output, names[i]), "%s", names[i]);
}

static bool runs_fibers(unsigned number)
{
    return strcmp(variant(number)->mode, "fiber") == 0;
}

static const int refusals[] = {EPERM, ENOSYS};

/* Whoever wants io_uring and nothing else must learn what to do where a sandbox forbids it. */
HTTP_TEST(start, refused_io_uring_is_explained)
{
    if (!runs_fibers(*number))
        return; /* threads do not need it */
    cr_assert_eq(setenv("WEFT_BACKEND", "io_uring", 1), 0);
    for (size_t i = 0; i < sizeof refusals / sizeof *refusals; i++) {
        struct launch launch = {.refused_call = SYS_io_uring_setup, .refused_errno = refusals[i]};
        struct server_end end;

        server_run(*number, &launch, &end);
        cr_expect_eq(end.exit_status, 1);
        cr_expect_str_empty(end.output);
        cr_expect_not_null(strstr(end.errors, "io_uring"), "'%s'", end.errors);
    }
}

/* Containers forbid io_uring by default: the server runs there all the same, and says how. */
HTTP_TEST(start, refused_io_uring_stops_nobody)
{
    cr_assert_eq(unsetenv("WEFT_BACKEND"), 0);
    for (size_t i = 0; i < sizeof refusals / sizeof *refusals; i++) {
        struct launch launch = {.refused_call = SYS_io_uring_setup, .refused_errno = refusals[i]};
        struct server_process server;
        struct server_end end;

        server_start(&server, *number, &launch);
        assert_serves(&server);
        server_end(&server, SIGTERM, &end);
        cr_expect_eq(end.exit_status, 0);
        cr_expect_eq(strstr(end.errors, "epoll") != NULL, runs_fibers(*number), "'%s'", end.errors);
    }
}

static void end_with(unsigned number, int signal)
{
    struct server_process server;
    struct server_end end;

    server_start_with(&server, number, NULL);
    assert_serves(&server);
    server_end(&server, signal, &end);
    cr_expect_eq(end.exit_status, 0);
    cr_expect_str_empty(end.output);
    cr_expect_str_empty(end.errors);
}

HTTP_TEST(stop, both_signals_end_it_with_exit_status_0)
{
    end_with(*number, SIGTERM);
    end_with(*number, SIGINT);
}

/* The first answer proves that the request behind it has reached its handler. */
HTTP_TEST(stop, request_in_flight_is_finished_and_idle_connections_end)
{
    struct server_process server;
    struct server_end end;
    struct client busy, idle, fresh;
    struct answer answer;

    server_start_with(&server, *number, NULL);
    client_open(&fresh, &server);
    client_open(&idle, &server);
    client_get(&idle, "/plaintext", &answer);
    answer_free(&answer);
    client_open(&busy, &server);
    client_send_text(&busy, "GET /plaintext HTTP/1.1\r\nHost: test\r\n\r\n"
                            "GET /delay/1500 HTTP/1.1\r\nHost: test\r\n\r\n");
    client_expect(&busy, 200);

    cr_assert_eq(kill(server.pid, SIGTERM), 0);
    client_expect_end(&idle);
    client_expect_end(&fresh);
    client_receive(&busy, &answer);
    cr_expect_eq(answer.status, 200);
    cr_expect(answer_body_is(&answer, "Hello, World!"));
    cr_assert_not_null(answer_header(&answer, "Connection"));
    cr_expect_str_eq(answer_header(&answer, "Connection"), "close");
    answer_free(&answer);
    client_expect_end(&busy);

    server_end(&server, SIGTERM, &end); /* a second one changes nothing */
    cr_expect_eq(end.exit_status, 0);
    cr_expect_str_empty(end.errors);
    client_close(&busy);
    client_close(&idle);
    client_close(&fresh);
}

/* Receives so many bytes, or fewer if the connection ends before; returns how many are missing. */
static size_t receive_body(struct client *client, size_t left)
{
    char data[16384];
    size_t n;

    while (left > 0 &&
           (n = client_receive_raw(client, data, left < sizeof data ? left : sizeof data)) > 0)
        left -= n;
    return left;
}

/* Starts an answer that no socket buffers hold: it is being sent until the client has read on. */
static void begin_long_answer(struct client *client, const struct server_process *server,
                              const char *header)
{
    struct answer answer;

    client_open(client, server);
    client_printf(client, "GET /bytes/%d HTTP/1.1\r\nHost: test\r\n%s\r\n", LONG_ANSWER, header);
    client_receive_head(client, &answer);
    cr_assert_eq(answer.body_length, LONG_ANSWER);
}

/* A close with that request unread would reset the connection, and drop what is not sent yet. */
HTTP_TEST(stop, answer_in_flight_is_whole_although_more_is_asked)
{
    struct server_process server;
    struct server_end end;
    struct client client, idle;

    server_start_with(&server, *number, NULL);
    client_open(&idle, &server);
    begin_long_answer(&client, &server, "");
    cr_assert_eq(kill(server.pid, SIGTERM), 0);
    client_expect_end(&idle); /* the server is stopping now */
    client_send_text(&client, "GET /plaintext HTTP/1.1\r\nHost: test\r\n\r\n");
    cr_expect_eq(receive_body(&client, LONG_ANSWER), 0);
    client_expect_end(&client);
    server_end(&server, SIGTERM, &end);
    cr_expect_eq(end.exit_status, 0);
    cr_expect_str_empty(end.errors);
    client_close(&client);
    client_close(&idle);
}

/* The same without a signal; old clients send such a line end behind a request. */
HTTP_TEST(stop, last_answer_is_whole_although_more_is_sent)
{
    struct server_process server;
    struct client client;

    server_start_with(&server, *number, NULL);
    begin_long_answer(&client, &server, "Connection: close\r\n");
    client_send_text(&client, "\r\n");
    cr_expect_eq(receive_body(&client, LONG_ANSWER), 0);
    client_expect_end(&client);
    client_close(&client);
    server_stop(&server);
}

/* The server is done with such an answer when all of it is in the socket's buffer.  What comes
 * once it has closed would reset the connection as well; so it waits, though not for ever. */
HTTP_TEST(stop, answer_that_is_not_read_yet_is_whole_although_more_is_asked)
{
    static const char late[] = "GET /plaintext HTTP/1.1\r\nHost: test\r\n\r\n";
    const int size = 16384; /* less than the answer */
    struct server_process server;
    struct server_end end;
    struct client client, idle;
    struct answer answer;
    int64_t begun;

    server_start_with(&server, *number, NULL);
    client_open(&idle, &server);
    client_open(&client, &server);
    cr_assert_eq(setsockopt(client.fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof size), 0);
    client_printf(&client, "GET /bytes/%d HTTP/1.1\r\nHost: test\r\n\r\n", BUFFERED_ANSWER);
    client_receive_head(&client, &answer);
    begun = now_ms();
    cr_assert_eq(kill(server.pid, SIGTERM), 0);
    client_expect_end(&idle);
    client_try_send(&client, late, sizeof late - 1);
    if (now_ms() - begun < LINGER_MS_SURE) /* else this test was held up for too long */
        cr_expect_eq(receive_body(&client, BUFFERED_ANSWER), 0);
    client_close(&client);
    client_close(&idle);
    server_end(&server, SIGTERM, &end);
    cr_expect_eq(end.exit_status, 0);
    cr_expect_str_empty(end.errors);
}

/* A request of which only a part has arrived is in flight as well. */
HTTP_TEST(stop, request_that_is_being_received_is_finished)
{
    struct server_process server;
    struct server_end end;
    struct client client, idle;
    struct answer answer;

    server_start_with(&server, *number, NULL);
    client_open(&idle, &server);
    client_open(&client, &server);
    client_send_text(&client,
                     "GET /plaintext HTTP/1.1\r\nHost: test\r\n\r\n"
                     "POST /echo HTTP/1.1\r\nHost: test\r\nContent-Length: 10\r\n\r\nhello");
    client_expect(&client, 200);
    cr_assert_eq(kill(server.pid, SIGTERM), 0);
    client_expect_end(&idle); /* the server is stopping now */
    client_send_text(&client, "world");
    client_receive(&client, &answer);
    cr_expect(answer_body_is(&answer, "helloworld"));
    answer_free(&answer);
    client_expect_end(&client);
    server_end(&server, SIGTERM, &end);
    cr_expect_eq(end.exit_status, 0);
    client_close(&client);
    client_close(&idle);
}

HTTP_TEST(stop, requests_longer_than_the_grace_are_cut)
{
    struct server_process server;
    struct server_end end;
    struct client client;
    const int64_t begun = now_ms();

    server_start_with(&server, *number, NULL);
    client_open(&client, &server);
    client_send_text(&client, "GET /plaintext HTTP/1.1\r\nHost: test\r\n\r\n"
                              "GET /delay/60000 HTTP/1.1\r\nHost: test\r\n\r\n");
    client_expect(&client, 200);
    server_end(&server, SIGTERM, &end);
    cr_expect_eq(end.exit_status, 0);
    cr_expect_lt(now_ms() - begun, 50000, "it waited for the whole delay");
    cr_expect_not_null(strstr(end.errors, "1 connections were cut"), "%s", end.errors);
    client_expect_end(&client);
    client_close(&client);
}
