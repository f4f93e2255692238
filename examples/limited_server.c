/* SPDX-License-Identifier: MIT */
/* A server that has so many connections at most: further clients wait, and none is refused. */
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <weft.h>

enum { CONNECTIONS_MAX = 4, CLIENTS = 20 };

static weft_semaphore places = WEFT_SEMAPHORE_INIT(CONNECTIONS_MAX);
static weft_mutex lock = WEFT_MUTEX_INIT;
static int open_now, open_at_most; /* under the lock */

static int count_connection(int change)
{
    int error = weft_mutex_lock(&lock, WEFT_FOREVER);

    if (error < 0)
        return error;
    open_now += change;
    if (open_now > open_at_most)
        open_at_most = open_now;
    weft_mutex_unlock(&lock);
    return 0;
}

static int serve(void *arg)
{
    int fd = (int)(intptr_t)arg;
    char byte;

    (void)count_connection(1);
    while (weft_read(fd, &byte, 1, weft_after(30 * WEFT_SECOND)) == 1)
        if (weft_write(fd, &byte, 1, weft_after(30 * WEFT_SECOND)) != 1)
            break;
    (void)count_connection(-1);
    weft_close(fd);
    weft_semaphore_release(&places, 1);
    return 0; /* a client that fails is no reason to stop */
}

/* A place first, then a connection for it: who has no place yet waits in the kernel's backlog. */
static int accept_all(void *arg)
{
    int listener = (int)(intptr_t)arg;
    weft_scope clients = WEFT_SCOPE_INIT;
    int error;

    while ((error = weft_semaphore_acquire(&places, 1, WEFT_FOREVER)) == 0) {
        int fd = weft_accept_next(listener, WEFT_FOREVER);

        error = fd < 0 ? fd : weft_scope_spawn(&clients, serve, (void *)(intptr_t)fd);
        if (error < 0) {
            if (fd >= 0)
                weft_close(fd);
            break;
        }
    }
    if (error != -ECANCELED)
        fprintf(stderr, "the server has failed: %s\n", strerror(-error));
    weft_close(listener); /* who waits for a turn is told */
    return weft_scope_close(&clients, error);
}

static int ask(void *arg)
{
    const struct sockaddr_in *address = arg;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    weft_time deadline = weft_after(20 * WEFT_SECOND);
    char byte = 'x';
    int error = weft_connect(fd, (const struct sockaddr *)address, sizeof *address, deadline);

    for (int i = 0; i < 10 && error == 0; i++)
        if (weft_write(fd, &byte, 1, deadline) != 1 || weft_read(fd, &byte, 1, deadline) != 1)
            error = -EIO;
    weft_close(fd);
    return error;
}

static int app(void *arg)
{
    struct sockaddr_in address;
    socklen_t size = sizeof address;
    weft_scope clients = WEFT_SCOPE_INIT;
    int listener = weft_listen_tcp("127.0.0.1", 0);
    int error = listener < 0 ? listener : weft_spawn(NULL, accept_all, (void *)(intptr_t)listener);

    (void)arg;
    if (error < 0 || getsockname(listener, (struct sockaddr *)&address, &size) != 0)
        return error < 0 ? error : -errno;
    for (int i = 0; i < CLIENTS && error == 0; i++)
        error = weft_scope_spawn(&clients, ask, &address);
    error = weft_scope_close(&clients, error);
    printf("%d clients were served, %d at a time at most\n", CLIENTS, open_at_most);
    return open_at_most <= CONNECTIONS_MAX ? error : -EPROTO;
}

int main(void)
{
    return weft_run(NULL, app, NULL) < 0;
}
