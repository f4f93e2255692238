/* SPDX-License-Identifier: MIT */
/* Pipes and connected sockets. */
#include "operations.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

bool place_pipe(struct place *p)
{
    int ends[2];

    if (pipe2(ends, O_CLOEXEC) != 0)
        return false;
    p->in = ends[0];
    p->out = ends[1];
    return true;
}

bool place_sockets(struct place *p)
{
    int ends[2];

    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0)
        return false;
    p->in = ends[0];
    p->out = ends[1];
    return true;
}

bool place_put(struct place *p, unsigned bytes)
{
    return write(p->out, p->blocks, bytes) == bytes;
}

bool place_drain(int fd, unsigned bytes)
{
    char content[OPERATION_BLOCK];

    while (bytes > 0) {
        ssize_t n = read(fd, content, bytes < sizeof content ? bytes : sizeof content);

        if (n <= 0)
            return false;
        bytes -= (unsigned)n;
    }
    return true;
}

bool place_take(struct place *p, unsigned bytes)
{
    return place_drain(p->in, bytes);
}

bool place_close(struct place *p, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        if (p->fds[i] >= 0)
            close(p->fds[i]);
        if (p->others[i] >= 0)
            close(p->others[i]);
        p->fds[i] = p->others[i] = -1;
    }
    return true;
}

static const struct scene full_pipe = {.set_up = place_pipe, .prepare = place_put};
static const struct scene empty_pipe = {.set_up = place_pipe, .clean = place_take};
static const struct scene full_sockets = {.set_up = place_sockets, .prepare = place_put};
static const struct scene empty_sockets = {.set_up = place_sockets, .clean = place_take};

static char *byte_of(struct place *p, unsigned i)
{
    return p->blocks[i % OPERATION_FIBERS];
}

static struct iovec part_of(struct place *p, unsigned i)
{
    return (struct iovec){byte_of(p, i), 1};
}

OPERATION(read, full_pipe, 256, read(p->in, byte_of(p, i), 1) == 1,
          weft_read(p->in, byte_of(p, i), 1, WEFT_FOREVER) == 1);
OPERATION(readv, full_pipe, 256, readv(p->in, &(struct iovec){byte_of(p, i), 1}, 1) == 1,
          weft_readv(p->in, &(struct iovec){byte_of(p, i), 1}, 1, WEFT_FOREVER) == 1);
OPERATION(read_exact, full_pipe, 256, read(p->in, byte_of(p, i), 1) == 1,
          weft_read_exact(p->in, byte_of(p, i), 1, WEFT_FOREVER) == 1);
OPERATION(write, empty_pipe, 256, write(p->out, byte_of(p, i), 1) == 1,
          weft_write(p->out, byte_of(p, i), 1, WEFT_FOREVER) == 1);
OPERATION(writev, empty_pipe, 256, writev(p->out, &(struct iovec){byte_of(p, i), 1}, 1) == 1,
          weft_writev(p->out, &(struct iovec){byte_of(p, i), 1}, 1, WEFT_FOREVER) == 1);
OPERATION(write_all, empty_pipe, 256, write(p->out, byte_of(p, i), 1) == 1,
          weft_write_all(p->out, byte_of(p, i), 1, WEFT_FOREVER) == 1);

OPERATION(recv, full_sockets, 128, recv(p->in, byte_of(p, i), 1, 0) == 1,
          weft_recv(p->in, byte_of(p, i), 1, 0, WEFT_FOREVER) == 1);
OPERATION(send, empty_sockets, 128, send(p->out, byte_of(p, i), 1, MSG_NOSIGNAL) == 1,
          weft_send(p->out, byte_of(p, i), 1, 0, WEFT_FOREVER) == 1);
OPERATION(send_all, empty_sockets, 128, send(p->out, byte_of(p, i), 1, MSG_NOSIGNAL) == 1,
          weft_send_all(p->out, byte_of(p, i), 1, 0, WEFT_FOREVER) == 1);

static struct msghdr message_of(struct iovec *part)
{
    return (struct msghdr){.msg_iov = part, .msg_iovlen = 1};
}

static bool plain_receive(struct place *p, unsigned i)
{
    struct iovec part = part_of(p, i);
    struct msghdr message = message_of(&part);

    return recvmsg(p->in, &message, 0) == 1;
}

static bool receive(struct place *p, unsigned i)
{
    struct iovec part = part_of(p, i);
    struct msghdr message = message_of(&part);

    return weft_recvmsg(p->in, &message, 0, WEFT_FOREVER) == 1;
}

static bool plain_send_message(struct place *p, unsigned i)
{
    struct iovec part = part_of(p, i);
    struct msghdr message = message_of(&part);

    return sendmsg(p->out, &message, MSG_NOSIGNAL) == 1;
}

static bool send_message(struct place *p, unsigned i)
{
    struct iovec part = part_of(p, i);
    struct msghdr message = message_of(&part);

    return weft_sendmsg(p->out, &message, 0, WEFT_FOREVER) == 1;
}

OPERATION(recvmsg, full_sockets, 128, plain_receive(p, i), receive(p, i));
OPERATION(sendmsg, empty_sockets, 128, plain_send_message(p, i), send_message(p, i));

static bool set_up_byte(struct place *p)
{
    return place_pipe(p) && place_put(p, 1);
}

static const struct scene ready_pipe = {.set_up = set_up_byte};

static bool plain_poll(struct place *p)
{
    struct pollfd asked = {.fd = p->in, .events = POLLIN};

    return poll(&asked, 1, -1) == 1 && asked.revents == POLLIN;
}

OPERATION(poll_fd, ready_pipe, 256, plain_poll(p),
          weft_poll_fd(p->in, POLLIN, WEFT_FOREVER) == POLLIN);

static const struct scene descriptors = {.clean = place_close};

static bool make_plain_pipe(struct place *p, unsigned i)
{
    int ends[2];

    if (pipe2(ends, O_CLOEXEC) != 0)
        return false;
    p->fds[i] = ends[0];
    p->others[i] = ends[1];
    return true;
}

static bool make_pipe(struct place *p, unsigned i)
{
    int ends[2];

    if (weft_pipe(ends) != 0)
        return false;
    p->fds[i] = ends[0];
    p->others[i] = ends[1];
    return true;
}

OPERATION(pipe, descriptors, 64, make_plain_pipe(p, i), make_pipe(p, i));

static bool open_nothing(struct place *p, unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        if ((p->fds[i] = open("/dev/null", O_RDONLY | O_CLOEXEC)) < 0)
            return false;
    return true;
}

static const struct scene opened = {.prepare = open_nothing};

static int take_fd(struct place *p, unsigned i)
{
    int fd = p->fds[i];

    p->fds[i] = -1;
    return fd;
}

OPERATION(close, opened, 256, close(take_fd(p, i)) == 0, weft_close(take_fd(p, i)) == 0);

static bool set_up_two(struct place *p)
{
    int ends[2];

    if (!place_pipe(p) || pipe2(ends, O_CLOEXEC) != 0)
        return false;
    p->more_in = ends[0];
    p->more_out = ends[1];
    return true;
}

static bool take_spliced(struct place *p, unsigned bytes)
{
    return place_drain(p->more_in, bytes);
}

static bool take_both(struct place *p, unsigned bytes)
{
    return place_drain(p->in, bytes) && place_drain(p->more_in, bytes);
}

static const struct scene to_splice = {
    .set_up = set_up_two, .prepare = place_put, .clean = take_spliced};
static const struct scene to_tee = {.set_up = set_up_two, .prepare = place_put, .clean = take_both};

/* A pipe has room for 16 pieces, however small. */
OPERATION(splice, to_splice, 16, splice(p->in, NULL, p->more_out, NULL, 1, 0) == 1,
          weft_splice(p->in, NULL, p->more_out, NULL, 1, 0, WEFT_FOREVER) == 1);
OPERATION(tee, to_tee, 16, tee(p->in, p->more_out, 1, 0) == 1,
          weft_tee(p->in, p->more_out, 1, 0, WEFT_FOREVER) == 1);
