/* SPDX-License-Identifier: MIT */
/* A client of raw blocking sockets. */
#include "http_client.h"

#include "check.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

enum { HANG_S = 60 };

void client_open(struct client *client, const struct server_process *server)
{
    const struct sockaddr_in address = {.sin_family = AF_INET,
                                        .sin_port = htons(server->port),
                                        .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    const struct timeval hang = {.tv_sec = HANG_S};
    const int on = 1;

    *client = (struct client){.fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)};
    CHECK(client->fd >= 0);
    CHECK_EQ(setsockopt(client->fd, SOL_SOCKET, SO_RCVTIMEO, &hang, sizeof hang), 0);
    CHECK_EQ(setsockopt(client->fd, SOL_SOCKET, SO_SNDTIMEO, &hang, sizeof hang), 0);
    CHECK_EQ(setsockopt(client->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on), 0);
    if (connect(client->fd, (const struct sockaddr *)&address, sizeof address) < 0)
        check_fail(__FILE__, __LINE__, "connect: %s", strerror(errno));
    client->buffer = malloc(CLIENT_BUFFER_SIZE);
    CHECK(client->buffer != NULL);
}

void client_close(struct client *client)
{
    CHECK_EQ(close(client->fd), 0);
    free(client->buffer);
}

void client_reset(struct client *client)
{
    const struct linger linger = {.l_onoff = 1, .l_linger = 0};

    CHECK_EQ(setsockopt(client->fd, SOL_SOCKET, SO_LINGER, &linger, sizeof linger), 0);
    client_close(client);
}

bool client_try_send(struct client *client, const void *data, size_t length)
{
    size_t sent = 0;

    while (sent < length) {
        ssize_t n = send(client->fd, (const char *)data + sent, length - sent, MSG_NOSIGNAL);

        if (n < 0 && (errno == EPIPE || errno == ECONNRESET))
            return false;
        if (n < 0)
            check_fail(__FILE__, __LINE__, "send: %s", strerror(errno));
        sent += (size_t)n;
    }
    return true;
}

void client_send(struct client *client, const void *data, size_t length)
{
    CHECK(client_try_send(client, data, length));
}

void client_send_text(struct client *client, const char *text)
{
    client_send(client, text, strlen(text));
}

void client_printf(struct client *client, const char *format, ...)
{
    char text[8192];
    va_list list;
    int length;

    va_start(list, format);
    length = vsnprintf(text, sizeof text, format, list);
    va_end(list);
    CHECK(length >= 0 && (size_t)length < sizeof text);
    client_send(client, text, (size_t)length);
}

/* More bytes behind client->end; 0 at the end of the connection. */
static size_t receive_more(struct client *client)
{
    ssize_t n;

    if (client->start > 0) {
        memmove(client->buffer, client->buffer + client->start, client->end - client->start);
        client->end -= client->start;
        client->start = 0;
    }
    CHECK(client->end < CLIENT_BUFFER_SIZE);
    n = recv(client->fd, client->buffer + client->end, CLIENT_BUFFER_SIZE - client->end, 0);
    if (n < 0 && errno == ECONNRESET)
        return 0;
    if (n < 0)
        check_fail(__FILE__, __LINE__, "recv: %s", strerror(errno));
    client->end += (size_t)n;
    return (size_t)n;
}

static void receive_head(struct client *client, struct answer *answer)
{
    const char *blank;
    size_t length;
    const char *content_length;

    while ((blank = memmem(client->buffer + client->start, client->end - client->start, "\r\n\r\n",
                           4)) == NULL)
        if (receive_more(client) == 0)
            check_fail(__FILE__, __LINE__, "the connection ended instead of an answer: '%.*s'",
                       (int)(client->end - client->start), client->buffer + client->start);

    length = (size_t)(blank - (client->buffer + client->start)) + 4;
    CHECK(length < ANSWER_HEAD_MAX);
    *answer = (struct answer){0};
    memcpy(answer->head, client->buffer + client->start, length);
    client->start += length;
    if (sscanf(answer->head, "HTTP/1.1 %3d ", &answer->status) != 1)
        check_fail(__FILE__, __LINE__, "not an answer: '%s'", answer->head);
    content_length = answer_header(answer, "Content-Length");
    if (answer->status >= 200) {
        CHECK(content_length != NULL);
        answer->body_length = strtoull(content_length, NULL, 10);
    }
}

void client_receive_head(struct client *client, struct answer *answer)
{
    receive_head(client, answer);
}

void client_receive(struct client *client, struct answer *answer)
{
    size_t received = 0;

    receive_head(client, answer);
    answer->body = malloc(answer->body_length + 1);
    CHECK(answer->body != NULL);
    while (received < answer->body_length) {
        size_t n = client_receive_raw(client, answer->body + received,
                                      answer->body_length - received);

        if (n == 0)
            check_fail(__FILE__, __LINE__, "the connection ended after %zu of %zu bytes of a body",
                       received, answer->body_length);
        received += n;
    }
    answer->body[received] = '\0';
}

void client_expect(struct client *client, int status)
{
    struct answer answer;

    client_receive(client, &answer);
    if (answer.status != status)
        check_fail(__FILE__, __LINE__, "expected status %d, got: %s%s", status, answer.head,
                   answer.body);
    answer_free(&answer);
}

void client_expect_end(struct client *client)
{
    char rest[64] = "";

    if (client_receive_raw(client, rest, sizeof rest - 1) != 0)
        check_fail(__FILE__, __LINE__, "expected the end of the connection, got '%s'", rest);
}

bool client_is_readable(struct client *client, int timeout_ms)
{
    struct pollfd pollfd = {.fd = client->fd, .events = POLLIN};

    return client->end > client->start || poll(&pollfd, 1, timeout_ms) > 0;
}

size_t client_receive_raw(struct client *client, char *data, size_t length)
{
    if (client->start == client->end && receive_more(client) == 0)
        return 0;
    if (length > client->end - client->start)
        length = client->end - client->start;
    memcpy(data, client->buffer + client->start, length);
    client->start += length;
    return length;
}

void client_get(struct client *client, const char *path, struct answer *answer)
{
    client_printf(client, "GET %s HTTP/1.1\r\nHost: test\r\n\r\n", path);
    client_receive(client, answer);
}

void assert_serves(const struct server_process *server)
{
    struct client client;
    struct answer answer;

    client_open(&client, server);
    client_get(&client, "/plaintext", &answer);
    CHECK_EQ(answer.status, 200);
    CHECK(answer_body_is(&answer, "Hello, World!"));
    answer_free(&answer);
    client_close(&client);
}

const char *answer_header(const struct answer *answer, const char *name)
{
    static char value[512];
    const size_t name_length = strlen(name);

    for (const char *line = strstr(answer->head, "\r\n"); line != NULL;
         line = strstr(line + 2, "\r\n")) {
        const char *at = line + 2;

        if (strncasecmp(at, name, name_length) == 0 && at[name_length] == ':') {
            size_t length;

            at += name_length + 1;
            at += strspn(at, " ");
            length = strcspn(at, "\r");
            CHECK(length < sizeof value);
            memcpy(value, at, length);
            value[length] = '\0';
            return value;
        }
    }
    return NULL;
}

bool answer_body_is(const struct answer *answer, const char *text)
{
    return answer->body != NULL && answer->body_length == strlen(text) &&
           memcmp(answer->body, text, answer->body_length) == 0;
}

void answer_free(struct answer *answer)
{
    free(answer->body);
    answer->body = NULL;
}

char bytes_at(size_t offset)
{
    return "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"[offset % 64];
}
