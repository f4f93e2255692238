/* SPDX-License-Identifier: MIT */
/*
 * An echo server that owns its connections: a scope waits for them all, a failure of one cancels
 * the others, and each has an idle timeout that every message extends.
 *
 *   build/release/examples/scope_server      serves three clients of its own, then ends
 */
#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <weft.h>

enum { CLIENTS = 3, MESSAGES = 5 };

static void close_descriptor(void *arg)
{
    weft_close((int)(intptr_t)arg);
}

static int serve(void *arg)
{
    int fd = (int)(intptr_t)arg;
    char buf[4096];
    ssize_t n;
    weft_scope idle = WEFT_SCOPE_INIT;

    if (weft_defer(close_descriptor, arg) < 0) {
        weft_close(fd);
        return -ENOMEM;
    }
    do {
        weft_scope_set_deadline(&idle, weft_after(30 * WEFT_SECOND));
        n = weft_read(fd, buf, sizeof buf, WEFT_FOREVER);
        if (n > 0)
            n = weft_write_all(fd, buf, (size_t)n, WEFT_FOREVER);
    } while (n > 0);
    return weft_scope_close(&idle, (int)n);
}

static int talk(void *arg)
{
    struct sockaddr_in address = *(struct sockaddr_in *)arg;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    char byte = 'x';
    int error;

    if (fd < 0)
        return -errno;
    error = weft_connect(fd, (struct sockaddr *)&address, sizeof address, WEFT_FOREVER);
    for (int i = 0; i < MESSAGES && error >= 0; i++) {
        error = (int)weft_write_all(fd, &byte, 1, WEFT_FOREVER);
        if (error >= 0)
            error = (int)weft_read(fd, &byte, 1, WEFT_FOREVER);
    }
    weft_close(fd);
    return error < 0 ? error : 0;
}

static int run_clients(void *arg)
{
    weft_scope clients = WEFT_SCOPE_INIT;
    int error = 0;

    for (int i = 0; i < CLIENTS && error == 0; i++)
        error = weft_scope_spawn(&clients, talk, arg);
    error = weft_scope_close(&clients, error);
    printf("clients: %d\n", error);
    return error < 0 ? error : -ESHUTDOWN; /* the end of the server, too */
}

static int app(void *arg)
{
    weft_scope server = WEFT_SCOPE_INIT; /* owns its fibers; closing it joins them */
    int listener = weft_listen_tcp("127.0.0.1", 0);
    struct sockaddr_in address;
    socklen_t length = sizeof address;
    struct weft_fiber_attr attr = WEFT_FIBER_ATTR_INIT;
    int fd;

    (void)arg;
    if (listener < 0 || getsockname(listener, (struct sockaddr *)&address, &length) < 0)
        return -EIO;
    attr.name = "clients";
    fd = weft_scope_spawn_with(&server, &attr, run_clients, &address);
    while (fd >= 0 && (fd = weft_accept_next(listener, WEFT_FOREVER)) >= 0)
        if (weft_scope_spawn(&server, serve, (void *)(intptr_t)fd) < 0)
            weft_close(fd);
    if (fd != -ECANCELED)
        fprintf(stderr, "the server has failed: %s\n", strerror(-fd));
    fd = weft_scope_close(&server, fd); /* the failure, not the -ECANCELED that it caused here */
    printf("ended by \"%s\": %d\n", weft_scope_failed_name(&server), fd);
    weft_close(listener);
    return fd == -ESHUTDOWN ? 0 : fd;
}

int main(void)
{
    return weft_run(NULL, app, NULL) < 0; /* one pinned worker per allowed core */
}
