/* SPDX-License-Identifier: MIT */
/*
 * Network: servers that echo, and clients that connect, send requests of random sizes, check what
 * comes back, and begin anew where a connection fails.
 *
 * What must hold whatever befalls the connections: bytes arrive as they were sent, in order; a
 * reply is one to the request that was sent; a request that was answered has been served; an
 * operation ends early only with a cause that it may have; and when the faults are over, every
 * client comes to its end.
 */
#include "scenario.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
    SERVERS_MAX = 3,
    CLIENTS_MAX = 6,
    REQUESTS_MAX = 8, /* of a client */
    BODY_MAX = 40000,
    PATIENCE_MS = 1500, /* of a client, for one request */
    IDLE_MS = 10000,    /* of a server, for the next one */
};

struct header {
    uint32_t id;
    uint32_t length;
};

struct world {
    enum scenario_bug bug;
    int listeners[SERVERS_MAX];
    struct sockaddr_in addresses[SERVERS_MAX];
    unsigned servers, clients;
    uint32_t next_id;
    uint8_t served[CLIENTS_MAX * REQUESTS_MAX + 1]; /* by id: 1 once */
    unsigned answered, wanted;
    const char *failure;
};

struct client {
    struct world *world;
    int fd; /* -1: not connected */
};

static void require(struct world *world, bool holds, const char *rule)
{
    if (!holds && world->failure == NULL) {
        world->failure = rule;
        fprintf(stderr, "scenario: broken rule: %s\n", rule);
    }
}

/* What a request's bytes are. */
static char byte_of(uint32_t id, size_t i)
{
    return (char)(id * 31 + i * 7 + (i >> 8));
}

/* Anything that the network can do to an operation. */
static bool is_mishap(ssize_t error)
{
    return error == -ECONNRESET || error == -EPIPE || error == -ETIMEDOUT || error == -ENOBUFS ||
           error == -ECANCELED || error == -ENODATA || error == -ECONNREFUSED || error == -ENOMEM ||
           error == -EMFILE || error == -ECONNABORTED;
}

static ssize_t read_fully(int fd, char *data, size_t length, weft_time deadline)
{
    size_t done = 0;

    if (scenario_draw(3) > 0)
        return weft_read_exact(fd, data, length, deadline);
    while (done < length) {
        ssize_t n = scenario_draw(2) == 0 ? weft_poll_fd(fd, POLLIN, deadline) : 1;

        if (n >= 0)
            n = weft_recv(fd, data + done, length - done, 0, deadline);
        if (n == 0)
            return done == 0 ? 0 : -ENODATA;
        if (n < 0)
            return n;
        done += (size_t)n;
    }
    return (ssize_t)length;
}

static ssize_t write_message(int fd, const struct header *header, const char *body,
                             weft_time deadline)
{
    ssize_t n;

    if (scenario_draw(2) == 0) {
        n = weft_write_all(fd, header, sizeof *header, deadline);
        if (n >= 0)
            n = weft_send_all(fd, body, header->length, 0, deadline);
    } else {
        char buffer[512];
        weft_writer writer;

        weft_writer_init(&writer, fd, buffer, sizeof buffer);
        n = weft_writer_write(&writer, header, sizeof *header, deadline);
        if (n >= 0)
            n = weft_writer_write(&writer, body, header->length, deadline);
        if (n >= 0)
            n = weft_writer_flush(&writer, deadline);
    }
    return n;
}

/* A message into a new buffer.  Its length, 0 at the end, or -errno. */
static ssize_t read_message(struct world *world, int fd, struct header *header, char **body,
                            weft_time deadline)
{
    ssize_t n = read_fully(fd, (char *)header, sizeof *header, deadline);

    if (n <= 0)
        return n;
    require(world, header->length <= BODY_MAX && header->id <= world->next_id,
            "bytes arrive as they were sent");
    if (world->failure != NULL)
        return -EPROTO;
    *body = malloc(header->length + 1);
    if (*body == NULL)
        return -ENOMEM;
    n = header->length > 0 ? read_fully(fd, *body, header->length, deadline) : 1;
    for (size_t i = 0; n > 0 && i < header->length; i++)
        require(world, (*body)[i] == byte_of(header->id, i), "bytes arrive in their order");
    if (n > 0)
        return n;
    free(*body);
    return n == 0 ? -ENODATA : n;
}

struct session {
    struct world *world;
    int fd;
};

static int serve(void *arg)
{
    struct session session = *(struct session *)arg;
    struct world *world = session.world;
    struct header header;
    char *body;
    ssize_t n;

    free(arg);
    while ((n = read_message(world, session.fd, &header, &body,
                             weft_after(IDLE_MS * WEFT_MILLISECOND))) > 0) {
        if (scenario_draw(4) == 0)
            (void)weft_sleep(scenario_draw(50) * WEFT_MILLISECOND);
        world->served[header.id] = 1;
        n = write_message(session.fd, &header, body, weft_after(IDLE_MS * WEFT_MILLISECOND));
        free(body);
        if (n < 0)
            break;
    }
    require(world, n == 0 || is_mishap(n), "a server's operation fails with a cause");
    (void)weft_close(session.fd);
    return 0;
}

static int accept_all(void *arg)
{
    struct session *server = arg;
    weft_scope sessions = WEFT_SCOPE_INIT;

    if (weft_scope_open(&sessions, WEFT_FOREVER) != 0)
        return 0;
    for (;;) {
        int fd = weft_accept(server->fd, WEFT_FOREVER);
        struct session *session;

        if (fd == -ECANCELED)
            break;
        if (fd < 0) {
            require(server->world, is_mishap(fd), "an accept fails with a cause");
            (void)weft_sleep(WEFT_MILLISECOND);
            continue;
        }
        session = malloc(sizeof *session);
        if (session != NULL)
            *session = (struct session){server->world, fd};
        if (session == NULL || weft_scope_spawn(&sessions, serve, session) != 0) {
            free(session);
            (void)weft_close(fd);
        }
    }
    (void)weft_scope_close(&sessions, 0);
    return 0;
}

static int connect_to_any(struct client *client, weft_time deadline)
{
    struct world *world = client->world;
    const struct sockaddr_in *address = &world->addresses[scenario_draw(world->servers)];
    int error;

    client->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (client->fd < 0)
        return -errno;
    error = weft_connect(client->fd, (const struct sockaddr *)(const void *)address,
                         sizeof *address, deadline);
    if (error == 0)
        return 0;
    (void)weft_close(client->fd);
    client->fd = -1;
    return error;
}

/* One request, on a connection that is there or a new one.  0, or the mishap. */
static ssize_t request(struct client *client, const struct header *header, const char *body)
{
    struct world *world = client->world;
    weft_time deadline = weft_after(PATIENCE_MS * WEFT_MILLISECOND);
    struct header reply;
    char *answer = NULL;
    ssize_t n = client->fd >= 0 ? 0 : connect_to_any(client, deadline);

    if (n == 0)
        n = write_message(client->fd, header, body, deadline);
    if (n >= 0)
        n = read_message(world, client->fd, &reply, &answer, deadline);
    if (n <= 0)
        return n == 0 ? -ENODATA : n;
    free(answer);
    require(world, reply.id == header->id && reply.length == header->length,
            "a reply is to the request that was sent");
    require(world, world->served[header->id] != 0, "what was answered has been served");
    return 0;
}

static void hang_up(struct client *client)
{
    if (client->fd >= 0)
        (void)weft_close(client->fd);
    client->fd = -1;
}

static int be_client(void *arg)
{
    struct client *client = arg;
    struct world *world = client->world;
    unsigned wanted = 1 + scenario_draw(REQUESTS_MAX);

    world->wanted += wanted;
    for (unsigned i = 0; i < wanted && world->failure == NULL; i++) {
        struct header header = {++world->next_id, scenario_draw(8) == 0 ? scenario_draw(BODY_MAX)
                                                                        : scenario_draw(300)};
        char *body = malloc(header.length + 1);
        ssize_t error;

        for (size_t j = 0; body != NULL && j < header.length; j++)
            body[j] = byte_of(header.id, j);
        while (body != NULL && (error = request(client, &header, body)) < 0 &&
               world->failure == NULL) {
            require(world, is_mishap(error), "a client's operation fails with a cause");
            /* What a late reply belongs to is not known: a new connection. */
            if (world->bug != BUG_STALE_REPLY || error != -ETIMEDOUT)
                hang_up(client);
            (void)weft_sleep(scenario_draw(100) * WEFT_MILLISECOND);
        }
        free(body);
        world->answered++;
        if (scenario_draw(4) == 0)
            hang_up(client);
    }
    hang_up(client);
    return 0;
}

static int start_servers(struct world *world)
{
    for (unsigned i = 0; i < world->servers; i++) {
        socklen_t length = sizeof world->addresses[i];
        int fd = weft_listen_tcp("127.0.0.1", 0);

        if (fd < 0)
            return fd;
        world->listeners[i] = fd;
        if (getsockname(fd, (struct sockaddr *)(void *)&world->addresses[i], &length) != 0)
            return -errno;
    }
    return 0;
}

static void run_clients(struct world *world)
{
    struct client clients[CLIENTS_MAX];
    weft_fiber *fibers[CLIENTS_MAX];
    unsigned count = 0;

    while (count < world->clients) {
        clients[count] = (struct client){world, -1};
        if (weft_spawn(&fibers[count], be_client, &clients[count]) != 0)
            break;
        count++;
    }
    for (unsigned i = 0; i < count; i++)
        require(world, weft_join(fibers[i], NULL, WEFT_FOREVER) == 0, "every client ends");
}

int network_scenario(void *arg)
{
    struct world world = {.bug = (enum scenario_bug)(intptr_t)arg,
                          .servers = 1 + scenario_draw(SERVERS_MAX),
                          .clients = 1 + scenario_draw(CLIENTS_MAX)};
    struct session servers[SERVERS_MAX];
    weft_scope scope = WEFT_SCOPE_INIT;
    int error = start_servers(&world);

    if (error == 0)
        error = weft_scope_open(&scope, WEFT_FOREVER);
    if (error != 0)
        return error;
    for (unsigned i = 0; i < world.servers; i++) {
        servers[i] = (struct session){&world, world.listeners[i]};
        if (weft_scope_spawn(&scope, accept_all, &servers[i]) != 0)
            return -ENOMEM;
    }
    run_clients(&world);
    (void)weft_scope_cancel(&scope);
    (void)weft_scope_close(&scope, 0);
    for (unsigned i = 0; i < world.servers; i++)
        (void)weft_close(world.listeners[i]);
    require(&world, world.answered == world.wanted, "every request is answered");
    return world.failure == NULL ? 0 : -EPROTO;
}
