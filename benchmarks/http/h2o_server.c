/* SPDX-License-Identifier: MIT */
/*
 * http-h2o: the routes of weft-http on libh2o, the library of the h2o server: the C server beside
 * nginx.  Why this one: it is made for load, and Debian packages it as a library, so that it
 * answers from memory and can wait and compute as well, which a configuration of lighttpd cannot.
 *
 * As its examples do it: a loop for each thread, handlers by path, its own timers.  Each thread has
 * a listener of its own on the same port (SO_REUSEPORT), as a connection belongs to one loop.
 */
#include "floor.h"
#include "listener.h"
#include "plaintext.h"

#include <h2o.h>
#include <netinet/in.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
    ACCEPTS_MAX = 16, /* in a row, as in the h2o server */
    DELAY_MS = 10,
};

struct server_thread {
    int listener;
    h2o_context_t context;
    h2o_accept_ctx_t accepting;
    h2o_timeout_t delay;
};

/* An answer that waits. */
struct delayed {
    h2o_timeout_entry_t entry;
    h2o_req_t *request;
};

static h2o_globalconf_t configuration;
static struct server_thread threads[FLOOR_THREADS_MAX];

static void answer(h2o_req_t *request, const char *type, size_t type_length, const char *body,
                   size_t length)
{
    request->res.status = 200;
    request->res.reason = "OK";
    request->res.content_length = length; /* or it comes in chunks */
    h2o_add_header(&request->pool, &request->res.headers, H2O_TOKEN_CONTENT_TYPE, NULL, type,
                   type_length);
    h2o_send_inline(request, body, length);
}

static int on_plaintext(h2o_handler_t *handler, h2o_req_t *request)
{
    (void)handler;
    answer(request, H2O_STRLIT("text/plain"), H2O_STRLIT(HTTP_PLAINTEXT_BODY));
    return 0;
}

static int on_json(h2o_handler_t *handler, h2o_req_t *request)
{
    (void)handler;
    answer(request, H2O_STRLIT("application/json"), H2O_STRLIT(HTTP_JSON_BODY));
    return 0;
}

static void on_time(h2o_timeout_entry_t *entry)
{
    struct delayed *delayed = H2O_STRUCT_FROM_MEMBER(struct delayed, entry, entry);

    on_plaintext(NULL, delayed->request);
}

/* The connection may end while the answer waits. */
static void forget_delayed(void *memory)
{
    struct delayed *delayed = memory;

    if (h2o_timeout_is_linked(&delayed->entry))
        h2o_timeout_unlink(&delayed->entry);
}

static int on_delay(h2o_handler_t *handler, h2o_req_t *request)
{
    struct server_thread *thread = H2O_STRUCT_FROM_MEMBER(struct server_thread, context,
                                                          request->conn->ctx);
    struct delayed *delayed = h2o_mem_alloc_shared(&request->pool, sizeof *delayed, forget_delayed);

    (void)handler;
    *delayed = (struct delayed){.entry.cb = on_time, .request = request};
    h2o_timeout_link(thread->context.loop, &thread->delay, &delayed->entry);
    return 0;
}

/* What handle_compute() does. */
static int on_compute(h2o_handler_t *handler, h2o_req_t *request)
{
    const char *path = request->path_normalized.base;
    uint64_t thousands = 0, x;
    char body[17];

    (void)handler;
    for (size_t i = sizeof "/compute/" - 1; i < request->path_normalized.len; i++) {
        if (path[i] < '0' || path[i] > '9' || thousands > 1000)
            return -1; /* 404 */
        thousands = thousands * 10 + (uint64_t)(path[i] - '0');
    }
    x = thousands;
    for (uint64_t i = 0; i < thousands * 1000; i++)
        x = x * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    snprintf(body, sizeof body, "%016llx", (unsigned long long)x);
    answer(request, H2O_STRLIT("text/plain"), body, sizeof body - 1);
    return 0;
}

static void add_route(h2o_hostconf_t *host, const char *path,
                      int (*on_request)(h2o_handler_t *, h2o_req_t *))
{
    h2o_pathconf_t *route = h2o_config_register_path(host, path, 0);
    h2o_handler_t *handler = h2o_create_handler(route, sizeof *handler);

    handler->on_req = on_request;
}

static void configure(void)
{
    h2o_hostconf_t *host;

    h2o_config_init(&configuration);
    configuration.server_name = h2o_iovec_init(H2O_STRLIT("h2o"));
    host = h2o_config_register_host(&configuration, h2o_iovec_init(H2O_STRLIT("default")), 65535);
    add_route(host, "/plaintext", on_plaintext);
    add_route(host, "/json", on_json);
    add_route(host, "/delay/10", on_delay);
    add_route(host, "/compute", on_compute);
}

static void on_connection(h2o_socket_t *listener, const char *error)
{
    struct server_thread *thread = listener->data;

    for (int i = 0; error == NULL && i < ACCEPTS_MAX; i++) {
        h2o_socket_t *connection = h2o_evloop_socket_accept(listener);

        if (connection == NULL)
            return;
        h2o_accept(&thread->accepting, connection);
    }
}

/* A listening socket at the port, or at any for 0, with the options of the other servers'. */
static int listen_at(uint16_t port)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    int on = 1;

    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof on) != 0 ||
        bind(fd, (struct sockaddr *)&address, sizeof address) != 0 || listen(fd, INT32_MAX) != 0) {
        perror("http-h2o: listen");
        exit(1);
    }
    return fd;
}

static uint16_t port_of(int fd)
{
    struct sockaddr_in address;
    socklen_t length = sizeof address;

    getsockname(fd, (struct sockaddr *)&address, &length);
    return ntohs(address.sin_port);
}

static void *serve(void *arg)
{
    struct server_thread *thread = arg;
    h2o_socket_t *listener;

    h2o_context_init(&thread->context, h2o_evloop_create(), &configuration);
    /* Its clock counts whole milliseconds: one more, or some answers would come early. */
    h2o_timeout_init(thread->context.loop, &thread->delay, DELAY_MS + 1);
    thread->accepting.ctx = &thread->context;
    thread->accepting.hosts = configuration.hosts;
    listener = h2o_evloop_socket_create(thread->context.loop, thread->listener,
                                        H2O_SOCKET_FLAG_DONT_READ);
    listener->data = thread;
    h2o_socket_read_start(listener, on_connection);
    while (h2o_evloop_run(thread->context.loop, INT32_MAX) == 0)
        continue;
    return NULL;
}

int main(int argc, char **argv)
{
    unsigned count = 2;
    uint16_t port = floor_parse_options(argc, argv, "usage: http-h2o [--port=N] [--threads=N]\n",
                                        &count);
    pthread_t other;

    signal(SIGPIPE, SIG_IGN);
    listener_raise_descriptor_limit();
    configure();
    for (unsigned i = 0; i < count; i++) {
        threads[i].listener = listen_at(port);
        port = port_of(threads[i].listener);
    }
    if (listener_announce(threads[0].listener, "h2o") < 0)
        return 1;
    for (unsigned i = 1; i < count; i++) {
        if (pthread_create(&other, NULL, serve, &threads[i]) != 0)
            return 1;
    }
    serve(&threads[0]);
    return 1;
}
