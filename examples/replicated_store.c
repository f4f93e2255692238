/* SPDX-License-Identifier: MIT */
/*
 * A store of one value that is kept on three servers, and a mistake in it that simulation finds.
 *
 * A client writes to all servers and is content with two answers; it reads from all and believes
 * the newer of two answers.  Any two answers to a read then include one of a server that has the
 * last write.  A version tells what is newer: the one client that writes counts it up.
 *
 * The mistake, which the argument "bug" turns on: a read is content with one answer.  As long as
 * every server gets every write in time, nobody notices.
 *
 *   replicated_store [bug]             runs for real
 *   replicated_store --simulate [bug]  runs in a simulation with faults: WEFT_SEED chooses which
 *
 * docs/simulation.md shows how the seed is found in which the mistake matters.
 */
#include <weft.h>

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

enum {
    SERVERS = 3,
    QUORUM = 2,
    WRITES = 20,
    PATIENCE_MS = 300, /* for one server's answer */
    PATIENCE_S = 30,   /* for two servers' answers to one question, asked again and again */
};

struct message {
    uint32_t is_write;
    uint32_t version;
};

struct server {
    int listener;
    struct sockaddr_in address;
    uint32_t version; /* what the value is does not matter here */
};

struct session {
    struct server *server;
    int fd;
};

static struct server servers[SERVERS];

static int answer(void *arg)
{
    struct session session = *(struct session *)arg;
    struct server *server = session.server;
    struct message message;

    free(arg);
    while (weft_read_exact(session.fd, &message, sizeof message, weft_after(WEFT_SECOND)) > 0) {
        if (message.is_write != 0 && message.version > server->version)
            server->version = message.version;
        message.version = server->version;
        if (weft_write_all(session.fd, &message, sizeof message, weft_after(WEFT_SECOND)) < 0)
            break;
    }
    weft_close(session.fd);
    return 0;
}

static int serve(void *arg)
{
    struct server *server = arg;
    weft_scope sessions = WEFT_SCOPE_INIT;
    int fd;

    while ((fd = weft_accept(server->listener, WEFT_FOREVER)) != -ECANCELED) {
        struct session *session = fd >= 0 ? malloc(sizeof *session) : NULL;

        if (session != NULL)
            *session = (struct session){server, fd};
        if (session != NULL && weft_scope_spawn(&sessions, answer, session) == 0)
            continue;
        free(session);
        if (fd >= 0)
            weft_close(fd);
        (void)weft_sleep(WEFT_MILLISECOND); /* no descriptor, or no memory, at the moment */
    }
    weft_scope_close(&sessions, 0);
    return 0;
}

/* Asks one server.  0 with its answer, or -errno. */
static int ask(const struct server *server, struct message *message)
{
    weft_time deadline = weft_after(PATIENCE_MS * WEFT_MILLISECOND);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    ssize_t n = -errno;

    if (fd < 0)
        return (int)n;
    n = weft_connect(fd, (const struct sockaddr *)(const void *)&server->address,
                     sizeof server->address, deadline);
    if (n == 0)
        n = weft_write_all(fd, message, sizeof *message, deadline);
    if (n > 0)
        n = weft_read_exact(fd, message, sizeof *message, deadline);
    weft_close(fd);
    return n > 0 ? 0 : n < 0 ? (int)n : -ENODATA;
}

struct question {
    const struct server *server;
    struct message message;
    int error;
};

static int ask_apart(void *arg)
{
    struct question *question = arg;

    question->error = ask(question->server, &question->message);
    return 0;
}

/* Asks all servers at once; the newest version of the first `wanted` that answered, -EHOSTDOWN if
 * there were too few of them, or another -errno. */
static int64_t ask_all(struct message message, int wanted)
{
    struct question questions[SERVERS];
    weft_scope scope = WEFT_SCOPE_INIT;
    int64_t newest = 0;
    int answers = 0;
    int error = 0;

    for (int i = 0; i < SERVERS && error == 0; i++) {
        questions[i] = (struct question){&servers[i], message, -EHOSTDOWN};
        error = weft_scope_spawn(&scope, ask_apart, &questions[i]);
    }
    error = weft_scope_close(&scope, error);
    if (error < 0)
        return error;
    for (int i = 0; i < SERVERS && answers < wanted; i++) {
        if (questions[i].error != 0)
            continue;
        answers++;
        if (questions[i].message.version > newest)
            newest = questions[i].message.version;
    }
    return answers == wanted ? newest : -EHOSTDOWN;
}

/* Asks until so many have answered; servers that are away for a while come back. */
static int64_t ask_until(struct message message, int wanted)
{
    weft_time deadline = weft_after(PATIENCE_S * WEFT_SECOND);
    int64_t answer;

    while ((answer = ask_all(message, wanted)) == -EHOSTDOWN && weft_now() < deadline) {
        int error = weft_sleep(50 * WEFT_MILLISECOND);

        if (error < 0)
            return error;
    }
    return answer;
}

/* Each write that was acknowledged must be seen by the reads that follow. */
static int use_store(bool has_bug)
{
    for (uint32_t version = 1; version <= WRITES; version++) {
        int64_t seen = ask_until((struct message){1, version}, QUORUM);

        if (seen >= 0)
            seen = ask_until((struct message){0, 0}, has_bug ? 1 : QUORUM);
        if (seen < 0)
            return (int)seen;
        if (seen < version) {
            fprintf(stderr, "version %u was acknowledged, and then version %lld was read\n",
                    version, (long long)seen);
            return -EBADMSG;
        }
    }
    printf("%d writes were read again\n", WRITES);
    return 0;
}

static int app(void *arg)
{
    weft_scope scope = WEFT_SCOPE_INIT;
    int result = 0;

    for (int i = 0; i < SERVERS; i++)
        servers[i].listener = -1;
    for (int i = 0; i < SERVERS && result == 0; i++) {
        socklen_t length = sizeof servers[i].address;

        servers[i] = (struct server){.listener = weft_listen_tcp("127.0.0.1", 0)};
        if (servers[i].listener < 0)
            result = servers[i].listener;
        else if (getsockname(servers[i].listener, (struct sockaddr *)(void *)&servers[i].address,
                             &length) < 0)
            result = -errno;
        else
            result = weft_scope_spawn(&scope, serve, &servers[i]);
    }
    if (result == 0)
        result = use_store(arg != NULL);
    weft_scope_cancel(&scope);
    weft_scope_close(&scope, 0);
    for (int i = 0; i < SERVERS; i++)
        if (servers[i].listener >= 0)
            weft_close(servers[i].listener);
    return result;
}

int main(int argc, char **argv)
{
    struct weft_sim_options options = WEFT_SIM_OPTIONS_INIT;
    bool is_simulated = argc > 1 && strcmp(argv[1], "--simulate") == 0;
    bool has_bug = argc > 1 && strcmp(argv[argc - 1], "bug") == 0;
    void *arg = has_bug ? &options : NULL;

    if (!is_simulated)
        return weft_run(NULL, app, arg) < 0;
    options.faults = WEFT_SIM_FAULTS_ALL;
    options.faults_for = 20 * WEFT_SECOND;
    options.limit = 300 * WEFT_SECOND;
    return weft_sim_run(&options, app, arg) < 0;
}
