/* SPDX-License-Identifier: MIT */
#include "server.h"

#include "harness/round_work.h"

#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

enum { SERVERS = 2 };

static struct server servers[SERVERS];

static void on_stop(uv_async_t *stop)
{
    struct server *server = stop->data;

    uv_close(&server->handle.any, NULL);
    uv_close((uv_handle_t *)stop, NULL);
}

/* Ends when the socket and all connections are closed. */
static void run_loop(void *arg)
{
    struct server *server = arg;

    uv_run(&server->loop, UV_RUN_DEFAULT);
}

/* At the address's port, or at any for 0; that port is then in the address. */
static int open_socket(int type, struct sockaddr_in *address)
{
    int fd = socket(AF_INET, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    socklen_t length = sizeof *address;
    int one = 1;

    if (fd >= 0 && setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &one, sizeof one) == 0 &&
        bind(fd, (struct sockaddr *)address, length) == 0 &&
        getsockname(fd, (struct sockaddr *)address, &length) == 0)
        return fd;
    if (fd >= 0)
        close(fd);
    return -1;
}

/* Returns the socket, which is the handle's, or -1. */
static int start(struct server *server, int type, struct sockaddr_in *address, server_begin *begin)
{
    int fd = open_socket(type, address);

    uv_loop_init(&server->loop);
    uv_async_init(&server->loop, &server->stop, on_stop);
    server->stop.data = server;
    if (fd < 0 || begin(server, fd) != 0 ||
        uv_thread_create(&server->thread, run_loop, server) != 0)
        return -1;
    return fd;
}

int servers_start(int type, server_begin *begin)
{
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_addr = {.s_addr = htonl(INADDR_LOOPBACK)}};
    int first = start(&servers[0], type, &address, begin);

    for (unsigned i = 1; i < SERVERS && first >= 0; i++)
        if (start(&servers[i], type, &address, begin) < 0)
            return -1;
    return first;
}

void servers_stop(void)
{
    for (unsigned i = 0; i < SERVERS; i++) {
        uv_async_send(&servers[i].stop);
        uv_thread_join(&servers[i].thread);
        uv_loop_close(&servers[i].loop);
    }
}

void servers_answer_rounds(struct bench *b, int type, const char *kind, server_begin *begin)
{
    int fd = servers_start(type, begin);

    if (fd < 0) {
        bench_fail(b, "the server did not start");
        return;
    }
    round_load(b, fd, kind, read);
    servers_stop();
}
