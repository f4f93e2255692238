/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE 1

#include "io_races.h"

#include "../support/check.h"
#include "../support/net.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <spawn.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

static const char text[LENGTH + 1] = "data";

static bool was_stopped(long long result)
{
    return result == -ECANCELED || result == -ETIMEDOUT;
}

static long long moved(const struct scene *scene)
{
    CHECK(scene->result > 0 || was_stopped(scene->result));
    return scene->result > 0 ? scene->result : 0;
}

static void begin_sockets(struct scene *scene)
{
    make_narrow_socket_pair(scene->fds);
}

static void begin_file(struct scene *scene)
{
    scene->fds[0] = make_disk_file(text, LENGTH);
}

static void begin_pipes(struct scene *scene)
{
    make_pipe(scene->fds);
    make_pipe(scene->other);
}

/* What waits for bytes. */

static void put_text(struct scene *scene)
{
    CHECK_EQ(write(scene->fds[1], text, LENGTH), LENGTH);
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

static void settle_read(struct scene *scene)
{
    CHECK(memcmp(scene->got, text, (size_t)moved(scene)) == 0);
    CHECK_EQ(moved(scene) + (long long)drain(scene->fds[0]), LENGTH);
}

static long long poll_socket(struct scene *scene)
{
    return weft_poll_fd(scene->fds[0], POLLIN, scene->deadline);
}

static void settle_poll(struct scene *scene)
{
    CHECK(scene->result == POLLIN || was_stopped(scene->result));
    CHECK_EQ(drain(scene->fds[0]), LENGTH);
}

static long long splice_text(struct scene *scene)
{
    return weft_splice(scene->fds[0], NULL, scene->other[1], NULL, LENGTH, 0, scene->deadline);
}

static void settle_splice(struct scene *scene)
{
    CHECK_EQ(drain(scene->other[0]), moved(scene));
    CHECK_EQ(moved(scene) + (long long)drain(scene->fds[0]), LENGTH);
}

static long long tee_text(struct scene *scene)
{
    return weft_tee(scene->fds[0], scene->other[1], LENGTH, 0, scene->deadline);
}

static void settle_tee(struct scene *scene)
{
    CHECK_EQ(drain(scene->other[0]), moved(scene));
    CHECK_EQ(drain(scene->fds[0]), LENGTH);
}

/* What waits for room. */

static void begin_sendfile(struct scene *scene)
{
    begin_sockets(scene);
    scene->other[0] = make_disk_file(text, LENGTH);
}

static void fill_socket(struct scene *scene)
{
    scene->filled = fill(scene->fds[1]);
    memcpy(scene->buffer, text, LENGTH);
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
    CHECK_EQ(scene->drained + drain(scene->fds[0]), scene->filled + (size_t)moved(scene));
}

/* What is done with files, which waits for the disk or the pool. */

static long long pread_text(struct scene *scene)
{
    return weft_pread(scene->fds[0], scene->buffer, LENGTH, 0, scene->deadline);
}

static long long preadv_text(struct scene *scene)
{
    struct iovec part = part_of(scene);

    return weft_preadv(scene->fds[0], &part, 1, 0, scene->deadline);
}

static void settle_pread(struct scene *scene)
{
    CHECK(moved(scene) == 0 || scene->result == LENGTH);
}

static void stamp(struct scene *scene)
{
    CHECK_EQ(pread(scene->fds[0], &scene->stamp, sizeof scene->stamp, 0), LENGTH);
    scene->stamp++;
    memcpy(scene->buffer, &scene->stamp, sizeof scene->stamp);
}

static long long pwrite_stamp(struct scene *scene)
{
    return weft_pwrite(scene->fds[0], scene->buffer, LENGTH, 0, scene->deadline);
}

static long long pwritev_stamp(struct scene *scene)
{
    struct iovec part = part_of(scene);

    return weft_pwritev(scene->fds[0], &part, 1, 0, scene->deadline);
}

static void settle_pwrite(struct scene *scene)
{
    uint32_t found;

    CHECK_EQ(pread(scene->fds[0], &found, sizeof found, 0), LENGTH);
    CHECK_EQ(found, scene->stamp - (moved(scene) == 0));
}

static long long sync_file(struct scene *scene)
{
    return weft_fsync(scene->fds[0], scene->deadline);
}

static long long sync_data(struct scene *scene)
{
    return weft_fdatasync(scene->fds[0], scene->deadline);
}

static void settle_sync(struct scene *scene)
{
    CHECK(scene->result == 0 || was_stopped(scene->result));
}

static long long open_null(struct scene *scene)
{
    return weft_openat(AT_FDCWD, "/dev/null", O_RDONLY | O_CLOEXEC, 0, scene->deadline);
}

/* One that is opened late and not closed would be found at the end of the run. */
static void settle_open(struct scene *scene)
{
    if (moved(scene) > 0)
        CHECK_EQ(weft_close((int)scene->result), 0);
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

    if (moved(scene) > 0) {
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

    CHECK(scene->result == 0 || was_stopped(scene->result));
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

static long long wait_for_child_process(struct scene *scene)
{
    return weft_process_wait(scene->pid, NULL, scene->deadline);
}

/* Taken, or still to be taken. */
static void settle_child_process(struct scene *scene)
{
    CHECK(scene->result == 0 || was_stopped(scene->result));
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

    CHECK(scene->result == 0 || was_stopped(scene->result));
    CHECK_EQ(sigtimedwait(&set, NULL, &(struct timespec){0}), scene->result == 0 ? -1 : SIGUSR1);
}

const struct operation race_operations[] = {
    {"read", begin_sockets, NULL, read_text, put_text, settle_read, false},
    {"readv", begin_sockets, NULL, readv_text, put_text, settle_read, false},
    {"recv", begin_sockets, NULL, recv_text, put_text, settle_read, false},
    {"recvmsg", begin_sockets, NULL, recvmsg_text, put_text, settle_read, false},
    {"poll_fd", begin_sockets, NULL, poll_socket, put_text, settle_poll, false},
    {"splice", begin_pipes, NULL, splice_text, put_text, settle_splice, false},
    {"tee", begin_pipes, NULL, tee_text, put_text, settle_tee, false},
    {"write", begin_sockets, fill_socket, write_text, make_room, settle_write, false},
    {"writev", begin_sockets, fill_socket, writev_text, make_room, settle_write, false},
    {"send", begin_sockets, fill_socket, send_text, make_room, settle_write, false},
    {"sendmsg", begin_sockets, fill_socket, sendmsg_text, make_room, settle_write, false},
    {"sendfile", begin_sendfile, fill_socket, sendfile_text, make_room, settle_write, false},
    {"pread", begin_file, NULL, pread_text, NULL, settle_pread, false},
    {"preadv", begin_file, NULL, preadv_text, NULL, settle_pread, false},
    {"pwrite", begin_file, stamp, pwrite_stamp, NULL, settle_pwrite, false},
    {"pwritev", begin_file, stamp, pwritev_stamp, NULL, settle_pwrite, false},
    {"fsync", begin_file, NULL, sync_file, NULL, settle_sync, false},
    {"fdatasync", begin_file, NULL, sync_data, NULL, settle_sync, false},
    {"openat", NULL, NULL, open_null, NULL, settle_open, false},
    {"accept", begin_listener, make_client, accept_client, connect_client, settle_accept, false},
    {"connect", begin_listener, make_client, connect_to_listener, NULL, settle_connect, false},
    {"process_wait", NULL, start_child_process, wait_for_child_process, kill_child_process,
     settle_child_process, true},
    {"signal_wait", NULL, NULL, wait_for_signal, send_signal, settle_signal, false},
};

_Static_assert(sizeof race_operations == RACE_OPERATIONS * sizeof *race_operations, "all of them");
