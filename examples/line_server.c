/* SPDX-License-Identifier: MIT */
/*
 * A server whose requests are lines: "add N" and "sum", of which many may come in one packet.  Its
 * answers leave together when there is nothing left to answer.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <weft.h>

enum { IDLE = 5 /* seconds */, LINE_SIZE = 256, NUMBERS = 1000 };

static ssize_t answer(weft_writer *out, const char *line, long *sum)
{
    weft_time soon = weft_after(IDLE * WEFT_SECOND);

    if (strncmp(line, "add ", 4) == 0) {
        *sum += strtol(line + 4, NULL, 10);
        return weft_writer_printf(out, soon, "ok\n");
    }
    if (strcmp(line, "sum") == 0)
        return weft_writer_printf(out, soon, "%ld\n", *sum);
    return weft_writer_printf(out, soon, "unknown: %s\n", line);
}

static int serve(void *arg)
{
    int fd = *(int *)arg;
    char in_room[LINE_SIZE], out_room[1024], *line;
    weft_reader in;
    weft_writer out;
    ssize_t n = 0;
    long sum = 0;

    weft_reader_init(&in, fd, in_room, sizeof in_room);
    weft_writer_init(&out, fd, out_room, sizeof out_room);
    while (n >= 0) {
        /* A deadline of 0 takes what has arrived already.  Before a wait the answers go out. */
        n = weft_reader_line(&in, &line, 0);
        if (n == -ETIMEDOUT && (n = weft_writer_flush(&out, weft_after(IDLE * WEFT_SECOND))) == 0)
            n = weft_reader_line(&in, &line, weft_after(IDLE * WEFT_SECOND));
        if (n == 0)
            break;
        if (n > 0 && line[n - 1] == '\n') {
            line[n - 1] = '\0';
            n = answer(&out, line, &sum);
        }
    }
    if (n == 0)
        n = weft_writer_flush(&out, weft_after(IDLE * WEFT_SECOND));
    weft_close(fd);
    return n < 0 ? (int)n : 0;
}

static int ask(int fd)
{
    char in_room[LINE_SIZE], out_room[1024], *line;
    weft_reader in;
    weft_writer out;
    ssize_t n = 0;

    weft_reader_init(&in, fd, in_room, sizeof in_room);
    weft_writer_init(&out, fd, out_room, sizeof out_room);
    for (int i = 1; i <= NUMBERS && n >= 0; i++)
        n = weft_writer_printf(&out, WEFT_FOREVER, "add %d\n", i);
    if (n >= 0)
        n = weft_writer_write(&out, "sum\n", 4, WEFT_FOREVER);
    if (n >= 0)
        n = weft_writer_flush(&out, WEFT_FOREVER);
    for (int i = 0; i <= NUMBERS && n >= 0; i++)
        if ((n = weft_reader_line(&in, &line, WEFT_FOREVER)) == 0)
            n = -ENODATA; /* the server has hung up, and there is no line to look at */
    if (n < 0)
        return (int)n;
    line[n - 1] = '\0';
    printf("the sum of 1 to %d is %s\n", NUMBERS, line);
    return strtol(line, NULL, 10) == (long)NUMBERS * (NUMBERS + 1) / 2 ? 0 : -EIO;
}

static int connect_to(int listener, int *client)
{
    struct sockaddr_in address;
    socklen_t length = sizeof address;

    if (getsockname(listener, (struct sockaddr *)&address, &length) != 0)
        return -errno;
    *client = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (*client < 0)
        return -errno;
    return weft_connect(*client, (struct sockaddr *)&address, length, WEFT_FOREVER);
}

static int app(void *arg)
{
    weft_scope scope = WEFT_SCOPE_INIT;
    int listener = weft_listen_tcp("127.0.0.1", 0);
    int client = -1, connection = -1, result;

    (void)arg;
    if (listener < 0)
        return listener;
    result = connect_to(listener, &client);
    if (result == 0)
        result = connection = weft_accept(listener, WEFT_FOREVER);
    if (result >= 0)
        result = weft_scope_spawn(&scope, serve, &connection); /* which closes it */
    if (result == 0)
        result = ask(client);
    else if (connection >= 0)
        weft_close(connection);
    weft_close(client);
    result = weft_scope_close(&scope, result);
    weft_close(listener);
    return result;
}

int main(void)
{
    return weft_run(NULL, app, NULL) < 0;
}
