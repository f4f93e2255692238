/* SPDX-License-Identifier: MIT */
/* A server whose idle connections have no buffers, with a limit for both. */
#include <errno.h>
#include <netinet/in.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <weft.h>

enum { CONNECTIONS_MAX = 8, BUFFERS_MAX = 2, CLIENTS = 20, MESSAGES = 10 };

static _Atomic(uint64_t) connections_at_most, buffers_at_most;

static void note(_Atomic(uint64_t) *most, uint64_t value)
{
    uint64_t before = atomic_load(most);

    while (value > before && !atomic_compare_exchange_weak(most, &before, value))
        ;
}

/* The buffer comes with the data, and goes back as soon as that is done with. */
static int serve(void *arg)
{
    int fd = (int)(intptr_t)arg;
    struct weft_stats stats;
    ssize_t sent = 0;
    void *data;
    ssize_t n;

    while (sent >= 0 && (n = weft_recv_lent(fd, &data, 0, weft_after(30 * WEFT_SECOND))) > 0) {
        if (weft_stats_read(&stats) == 0) {
            note(&connections_at_most, stats.connections);
            note(&buffers_at_most, stats.lent_buffers);
        }
        sent = weft_send_all(fd, data, (size_t)n, 0, weft_after(30 * WEFT_SECOND));
        weft_lent_return(data);
    }
    weft_close(fd);
    return 0; /* a client that fails is no reason to stop */
}

static int accept_all(void *arg)
{
    int listener = (int)(intptr_t)arg;
    weft_scope clients = WEFT_SCOPE_INIT;
    int error = 0;

    while (error == 0) {
        int fd = weft_accept_next(listener, WEFT_FOREVER);

        error = fd < 0 ? fd : weft_scope_spawn(&clients, serve, (void *)(intptr_t)fd);
        if (error < 0 && fd >= 0)
            weft_close(fd);
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
    char message[64] = "hello", answer[sizeof message];
    int error = weft_connect(fd, (const struct sockaddr *)address, sizeof *address, deadline);

    for (int i = 0; i < MESSAGES && error == 0; i++)
        if (weft_write_all(fd, message, sizeof message, deadline) != sizeof message ||
            weft_read_exact(fd, answer, sizeof answer, deadline) != sizeof answer ||
            memcmp(message, answer, sizeof answer) != 0)
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
    printf("%d clients were served by %llu connections and %llu buffers at a time at most\n",
           CLIENTS, (unsigned long long)connections_at_most, (unsigned long long)buffers_at_most);
    if (connections_at_most > CONNECTIONS_MAX || buffers_at_most > BUFFERS_MAX)
        return -EPROTO;
    return error;
}

int main(void)
{
    struct weft_config config = WEFT_CONFIG_INIT;

    config.max_connections = CONNECTIONS_MAX;
    config.max_buffer_memory_kib = BUFFERS_MAX * WEFT_LENT_SIZE / 1024;
    return weft_run(&config, app, NULL) < 0;
}
