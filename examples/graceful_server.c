/* SPDX-License-Identifier: MIT */
/*
 * An echo server with idle timeouts and a graceful shutdown: cancelling its scope ends the accept
 * and every connection that waits for a request, and a request that has come in is still answered.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <weft.h>

enum { TALKERS = 3, MESSAGES = 5 };

#define IDLE_TIMEOUT (300 * WEFT_MILLISECOND)
#define GRACE (2 * WEFT_SECOND)

static weft_scope server = WEFT_SCOPE_INIT;
static struct sockaddr_in address;
static weft_semaphore talked = WEFT_SEMAPHORE_INIT(0);

/* The shield keeps the shutdown away from the answer, for as long as the grace lasts. */
static ssize_t answer(int fd, const char *buf, size_t len)
{
    weft_scope shield = WEFT_SCOPE_INIT;
    ssize_t n;

    weft_scope_open_shielded(&shield, weft_after(GRACE));
    n = weft_write_all(fd, buf, len, WEFT_FOREVER);
    return weft_scope_close(&shield, (int)n);
}

static int serve(void *arg)
{
    int fd = (int)(intptr_t)arg;
    char buf[4096];
    ssize_t n;

    while ((n = weft_read(fd, buf, sizeof buf, weft_after(IDLE_TIMEOUT))) > 0)
        if ((n = answer(fd, buf, (size_t)n)) < 0)
            break;
    if (n == -ETIMEDOUT)
        printf("server: an idle connection is dropped\n");
    weft_close(fd);
    return 0; /* what befalls one connection does not end the others */
}

static int accept_all(void *arg)
{
    int listener = (int)(intptr_t)arg;
    int fd;

    while ((fd = weft_accept_next(listener, WEFT_FOREVER)) >= 0)
        if (weft_scope_spawn(&server, serve, (void *)(intptr_t)fd) < 0)
            weft_close(fd);
    if (fd != -ECANCELED)
        fprintf(stderr, "the server has failed: %s\n", strerror(-fd));
    weft_close(listener); /* who waits for a turn is told */
    return fd == -ECANCELED ? 0 : fd;
}

/* Sends some messages, and then nothing; stays until the server hangs up. */
static int talk(void *arg)
{
    int messages = (int)(intptr_t)arg;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    char byte = 'x';
    ssize_t n;

    if (fd < 0)
        return -errno;
    n = weft_connect(fd, (struct sockaddr *)&address, sizeof address, WEFT_FOREVER);
    for (int i = 0; i < messages && n >= 0; i++)
        if ((n = weft_write_all(fd, &byte, 1, WEFT_FOREVER)) > 0)
            n = weft_read(fd, &byte, 1, WEFT_FOREVER);
    if (messages > 0)
        weft_semaphore_release(&talked, 1);
    if (n >= 0)
        n = weft_read(fd, &byte, 1, WEFT_FOREVER); /* 0 when the server hangs up */
    if (messages == 0)
        weft_semaphore_release(&talked, 1);
    weft_close(fd);
    /* Were we so slow that the server dropped us in the middle, that is its right. */
    return n == -ECONNRESET || n == -EPIPE ? 0 : (int)n;
}

static int app(void *arg)
{
    weft_scope clients = WEFT_SCOPE_INIT; /* around the server's, so that they see it end */
    int listener = weft_listen_tcp("127.0.0.1", 0);
    socklen_t length = sizeof address;
    int error;

    (void)arg;
    if (listener < 0 || getsockname(listener, (struct sockaddr *)&address, &length) < 0)
        return -EIO;
    weft_scope_open(&clients, weft_after(20 * WEFT_SECOND));
    error = weft_scope_spawn(&server, accept_all, (void *)(intptr_t)listener);
    for (int i = 0; i <= TALKERS && error == 0; i++) /* the first one never says a word */
        error = weft_scope_spawn(&clients, talk, (void *)(intptr_t)(i == 0 ? 0 : MESSAGES));
    if (error == 0)
        error = weft_semaphore_acquire(&talked, TALKERS + 1, WEFT_FOREVER);
    printf("server: shuts down\n"); /* a real one does on SIGTERM, which it reads from a signalfd */
    weft_scope_cancel(&server);
    error = weft_scope_close(&server, error);
    return weft_scope_close(&clients, error);
}

int main(void)
{
    return weft_run(NULL, app, NULL) < 0;
}
