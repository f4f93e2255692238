/* SPDX-License-Identifier: MIT */
/* echo_server [PORT]: sends back what it gets.  Without a port it serves one client of its own. */
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <weft.h>

static int serve(void *arg)
{
    int fd = (int)(intptr_t)arg;
    char buf[4096];
    ssize_t n;

    while ((n = weft_read(fd, buf, sizeof buf, weft_after(30 * WEFT_SECOND))) > 0)
        if ((n = weft_write_all(fd, buf, (size_t)n, weft_after(30 * WEFT_SECOND))) < 0)
            break;
    weft_close(fd);
    return (int)n;
}

static int accept_all(void *arg)
{
    int listener = (int)(intptr_t)arg;
    int fd;

    while ((fd = weft_accept_next(listener, WEFT_FOREVER)) >= 0)
        if (weft_spawn(NULL, serve, (void *)(intptr_t)fd) < 0) /* NULL: nobody joins it */
            weft_close(fd);
    if (fd != -ECANCELED)
        fprintf(stderr, "the server has failed: %s\n", strerror(-fd));
    weft_close(listener); /* who waits for a turn is told */
    return fd;
}

static int try_it(int listener, weft_time deadline)
{
    struct sockaddr_in address;
    socklen_t size = sizeof address;
    char reply[6] = "";
    int fd;

    if (getsockname(listener, (struct sockaddr *)&address, &size) < 0 ||
        (fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) < 0)
        return -errno;
    if (weft_connect(fd, (struct sockaddr *)&address, size, deadline) == 0 &&
        weft_write_all(fd, "hello", 5, deadline) == 5 &&
        weft_recv(fd, reply, 5, MSG_WAITALL, deadline) == 5)
        printf("the server says %s\n", reply);
    weft_close(fd);
    return strcmp(reply, "hello") == 0 ? 0 : -EIO;
}

static int app(void *port)
{
    int listener = weft_listen_tcp("127.0.0.1", (uint16_t)(port ? atoi(port) : 0));
    int error;

    if (listener < 0) {
        fprintf(stderr, "cannot listen: %s\n", strerror(-listener));
        return listener;
    }
    if (port)
        return accept_all((void *)(intptr_t)listener);
    error = weft_spawn(NULL, accept_all, (void *)(intptr_t)listener);
    /* Fibers that still run when this one returns are cancelled. */
    return error < 0 ? error : try_it(listener, weft_after(5 * WEFT_SECOND));
}

int main(int argc, char **argv)
{
    return weft_run(NULL, app, argc > 1 ? argv[1] : NULL) < 0;
}
