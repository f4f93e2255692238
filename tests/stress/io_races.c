/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE 1

#include "io_races.h"

#include "../support/check.h"
#include "../support/net.h"

#include <errno.h>
#include <netdb.h>
#include <poll.h>
#include <spawn.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

static void begin_sockets(struct scene *scene)
{
    make_narrow_socket_pair(scene->fds);
}

static void begin_pipes(struct scene *scene)
{
    make_pipe(scene->fds);
    make_pipe(scene->other);
}

/* What waits for bytes. */

static void put_text(struct scene *scene)
{
    CHECK_EQ(write(scene->fds[1], race_text, LENGTH), LENGTH);
}

static struct iovec part_of(struct scene *scene)
{
    return (struct iovec){scene->buffer, LENGTH};
}

static long long read_text(struct scene *scene)
{
    return weft_read(scene->fds[0], scene->buffer, LENGTH, scene->deadline);
}

static long long readv_text(struct scene *scene)
{
    struct iovec part = part_of(scene);

    return weft_readv(scene->fds[0], &part, 1, scene->deadline);
}

static long long recv_text(struct scene *scene)
{
    return weft_recv(scene->fds[0], scene->buffer, LENGTH, 0, scene->deadline);
}

static long long recvmsg_text(struct scene *scene)
{
    struct iovec part = part_of(scene);
    struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};

    return weft_recvmsg(scene->fds[0], &message, 0, scene->deadline);
}

static long long recvfrom_text(struct scene *scene)
{
    struct sockaddr_storage address;
    socklen_t length = sizeof address;

    return weft_recvfrom(scene->fds[0], scene->buffer, LENGTH, 0, (struct sockaddr *)&address,
                         &length, scene->deadline);
}

static long long recv_lent_text(struct scene *scene)
{
    void *lent;
    ssize_t n = weft_recv_lent(scene->fds[0], &lent, 0, scene->deadline);

    if (n > 0) {
        memcpy(scene->buffer, lent, (size_t)n);
        weft_lent_return(lent);
    }
    return n;
}

static void settle_read(struct scene *scene)
{
    CHECK(memcmp(scene->got, race_text, (size_t)race_moved(scene)) == 0);
    CHECK_EQ(race_moved(scene) + (long long)drain(scene->fds[0]), LENGTH);
}

static long long poll_socket(struct scene *scene)
{
    return weft_poll_fd(scene->fds[0], POLLIN, scene->deadline);
}

static void settle_poll(struct scene *scene)
{
    CHECK(scene->result == POLLIN || race_was_stopped(scene->result));
    CHECK_EQ(drain(scene->fds[0]), LENGTH);
}

static long long splice_text(struct scene *scene)
{
    return weft_splice(scene->fds[0], NULL, scene->other[1], NULL, LENGTH, 0, scene->deadline);
}

static void settle_splice(struct scene *scene)
{
    CHECK_EQ(drain(scene->other[0]), race_moved(scene));
    CHECK_EQ(race_moved(scene) + (long long)drain(scene->fds[0]), LENGTH);
}

static long long tee_text(struct scene *scene)
{
    return weft_tee(scene->fds[0], scene->other[1], LENGTH, 0, scene->deadline);
}

static void settle_tee(struct scene *scene)
{
    CHECK_EQ(drain(scene->other[0]), race_moved(scene));
    CHECK_EQ(drain(scene->fds[0]), LENGTH);
}

/* What waits for room. */

static void begin_sendfile(struct scene *scene)
{
    begin_sockets(scene);
    scene->other[0] = make_disk_file(race_text, LENGTH);
}

static void fill_socket(struct scene *scene)
{
    scene->filled = fill(scene->fds[1]);
    memcpy(scene->buffer, race_text, LENGTH);
}

static void make_room(struct scene *scene)
{
    scene->drained = drain(scene->fds[0]);
}

static long long write_text(struct scene *scene)
{
    return weft_write(scene->fds[1], scene->buffer, LENGTH, scene->deadline);
}

static long long writev_text(struct scene *scene)
{
    struct iovec part = part_of(scene);

    return weft_writev(scene->fds[1], &part, 1, scene->deadline);
}

static long long send_text(struct scene *scene)
{
    return weft_send(scene->fds[1], scene->buffer, LENGTH, 0, scene->deadline);
}

static long long sendmsg_text(struct scene *scene)
{
    struct iovec part = part_of(scene);
    struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};

    return weft_sendmsg(scene->fds[1], &message, 0, scene->deadline);
}

static long long sendto_text(struct scene *scene)
{
    return weft_sendto(scene->fds[1], scene->buffer, LENGTH, 0, NULL, 0, scene->deadline);
}

static long long sendfile_text(struct scene *scene)
{
    off_t offset = 0;
    long long result = weft_sendfile(scene->fds[1], scene->other[0], &offset, LENGTH,
                                     scene->deadline);

    CHECK_EQ(offset, result > 0 ? result : 0);
    return result;
}

static void settle_write(struct scene *scene)
{
    CHECK_EQ(scene->drained + drain(scene->fds[0]), scene->filled + (size_t)race_moved(scene));
}

/* Connections. */

static void begin_listener(struct scene *scene)
{
    scene->fds[0] = weft_listen_tcp("127.0.0.1", 0);
    CHECK(scene->fds[0] >= 0);
    set_nonblocking(scene->fds[0]);
}

/* Ended by a reset, it holds its port no longer than it lives. */
static void make_client(struct scene *scene)
{
    struct linger linger = {1, 0};

    scene->fds[1] = make_tcp_socket();
    CHECK_EQ(setsockopt(scene->fds[1], SOL_SOCKET, SO_LINGER, &linger, sizeof linger), 0);
}

static void connect_client(struct scene *scene)
{
    struct sockaddr_in address = local_address(scene->fds[0]);

    CHECK_EQ(connect(scene->fds[1], (struct sockaddr *)&address, sizeof address), 0);
}

static void close_client(struct scene *scene)
{
    CHECK_EQ(weft_close(scene->fds[1]), 0);
    scene->fds[1] = -1;
}

static int accept_what_is_left(const struct scene *scene)
{
    int fd, count = 0;

    while ((fd = accept4(scene->fds[0], NULL, NULL, SOCK_CLOEXEC)) >= 0) {
        CHECK_EQ(close(fd), 0);
        count++;
    }
    CHECK_EQ(errno, EAGAIN);
    return count;
}

static long long accept_client(struct scene *scene)
{
    return weft_accept(scene->fds[0], scene->deadline);
}

/* It is still in the queue, or was taken out and closed. */
static void settle_accept(struct scene *scene)
{
    char byte;

    if (race_moved(scene) > 0) {
        CHECK_EQ(weft_close((int)scene->result), 0);
        CHECK_EQ(accept_what_is_left(scene), 0);
    } else if (accept_what_is_left(scene) == 0) {
        CHECK(recv(scene->fds[1], &byte, 1, 0) <= 0);
    }
    close_client(scene);
}

static long long connect_to_listener(struct scene *scene)
{
    struct sockaddr_in address = local_address(scene->fds[0]);

    return weft_connect(scene->fds[1], (struct sockaddr *)&address, sizeof address,
                        scene->deadline);
}

static void settle_connect(struct scene *scene)
{
    struct sockaddr_in peer;
    socklen_t length = sizeof peer;

    (void)race_is_done(scene);
    if (scene->result == 0)
        CHECK_EQ(getpeername(scene->fds[1], (struct sockaddr *)&peer, &length), 0);
    close_client(scene);
    (void)accept_what_is_left(scene);
}

/* Processes and signals. */

static void start_child_process(struct scene *scene)
{
    char *const argv[] = {"sleep", "1000", NULL};

    CHECK_EQ(posix_spawnp(&scene->pid, argv[0], NULL, NULL, argv, environ), 0);
}

static void kill_child_process(struct scene *scene)
{
    CHECK_EQ(kill(scene->pid, SIGKILL), 0);
}

static long long spawn_child_process(struct scene *scene)
{
    char *const argv[] = {"true", NULL};

    scene->pid = -1;
    return weft_process_spawn(&scene->pid, argv[0], NULL, NULL, argv, environ, scene->deadline);
}

/* One that nobody knows of would be a zombie. */
static void settle_started_process(struct scene *scene)
{
    if (race_is_done(scene))
        CHECK_EQ(weft_process_wait(scene->pid, NULL, WEFT_FOREVER), 0);
    CHECK_EQ(waitpid(-1, NULL, WNOHANG), -1);
}

static long long wait_for_child_process(struct scene *scene)
{
    return weft_process_wait(scene->pid, NULL, scene->deadline);
}

/* Taken, or still to be taken. */
static void settle_child_process(struct scene *scene)
{
    (void)race_is_done(scene);
    CHECK_EQ(waitpid(scene->pid, NULL, 0), scene->result == 0 ? -1 : scene->pid);
}

sigset_t race_signals(void)
{
    sigset_t set;

    CHECK_EQ(sigemptyset(&set), 0);
    CHECK_EQ(sigaddset(&set, SIGUSR1), 0);
    return set;
}

static void send_signal(struct scene *scene)
{
    (void)scene;
    CHECK_EQ(kill(getpid(), SIGUSR1), 0);
}

static long long wait_for_signal(struct scene *scene)
{
    sigset_t set = race_signals();
    struct weft_signal got = {.number = 0};
    int result = weft_signal_wait(&set, &got, scene->deadline);

    CHECK_EQ(got.number, result == 0 ? SIGUSR1 : 0);
    return result;
}

static void settle_signal(struct scene *scene)
{
    sigset_t set = race_signals();

    (void)race_is_done(scene);
    CHECK_EQ(sigtimedwait(&set, NULL, &(struct timespec){0}), scene->result == 0 ? -1 : SIGUSR1);
}

/* Names of hosts. */

static long long resolve_number(struct scene *scene)
{
    struct addrinfo *found = NULL;
    int result = weft_resolve("127.0.0.1", NULL, NULL, &found, scene->deadline);

    CHECK((found != NULL) == (result == 0));
    if (result == 0)
        freeaddrinfo(found);
    return result;
}

/* What was found for somebody who had left would be a leak. */
static void settle_lookup(struct scene *scene)
{
    (void)race_is_done(scene);
}

const struct operation race_io_operations[] = {
    {"read", begin_sockets, NULL, read_text, put_text, settle_read, false},
    {"readv", begin_sockets, NULL, readv_text, put_text, settle_read, false},
    {"recv", begin_sockets, NULL, recv_text, put_text, settle_read, false},
    {"recvmsg", begin_sockets, NULL, recvmsg_text, put_text, settle_read, false},
    {"recvfrom", begin_sockets, NULL, recvfrom_text, put_text, settle_read, false},
    {"recv_lent", begin_sockets, NULL, recv_lent_text, put_text, settle_read, false},
    {"poll_fd", begin_sockets, NULL, poll_socket, put_text, settle_poll, false},
    {"splice", begin_pipes, NULL, splice_text, put_text, settle_splice, false},
    {"tee", begin_pipes, NULL, tee_text, put_text, settle_tee, false},
    {"write", begin_sockets, fill_socket, write_text, make_room, settle_write, false},
    {"writev", begin_sockets, fill_socket, writev_text, make_room, settle_write, false},
    {"send", begin_sockets, fill_socket, send_text, make_room, settle_write, false},
    {"sendmsg", begin_sockets, fill_socket, sendmsg_text, make_room, settle_write, false},
    {"sendto", begin_sockets, fill_socket, sendto_text, make_room, settle_write, false},
    {"sendfile", begin_sendfile, fill_socket, sendfile_text, make_room, settle_write, false},
    {"accept", begin_listener, make_client, accept_client, connect_client, settle_accept, false},
    {"connect", begin_listener, make_client, connect_to_listener, NULL, settle_connect, false},
    {"process_spawn", NULL, NULL, spawn_child_process, NULL, settle_started_process, true},
    {"process_wait", NULL, start_child_process, wait_for_child_process, kill_child_process,
     settle_child_process, true},
    {"signal_wait", NULL, NULL, wait_for_signal, send_signal, settle_signal, false},
    {"resolve", NULL, NULL, resolve_number, NULL, settle_lookup, false},
};

_Static_assert(sizeof race_io_operations == RACE_IO_OPERATIONS * sizeof *race_io_operations,
               "all of them");
