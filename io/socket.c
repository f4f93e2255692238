/* SPDX-License-Identifier: MIT */
/* Sockets. */
#include <weft/io.h>

#include "arch/compiler.h"
#include "arch/sim.h"
#include "io/op.h"
#include "io/pending.h"
#include "io/sim.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <unistd.h>

/* A ring goes on where less came than was to be waited for: with the next record, and for who only
 * looks with the same bytes once more. */
static bool may_wait_for_all(const struct wf_op *op)
{
    socklen_t length = sizeof(int);
    int type;

    return (op->flags & (MSG_PEEK | MSG_OOB | MSG_ERRQUEUE | MSG_DONTWAIT)) == 0 &&
           getsockopt(op->fd, SOL_SOCKET, SO_TYPE, &type, &length) == 0 && type == SOCK_STREAM;
}

/* With flags that say how long it waits. */
static WF_NOINLINE ssize_t receive_with_flags(struct wf_op *op, weft_time deadline)
{
    if ((op->flags & MSG_WAITALL) != 0 && !may_wait_for_all(op))
        op->flags &= ~MSG_WAITALL;
    if ((op->flags & MSG_DONTWAIT) != 0)
        return wf_op_run(op, deadline);
    return wf_op_run_ready(op, wf_op_input_event(op->flags), deadline);
}

static ssize_t receive(struct wf_op *op, weft_time deadline)
{
    if ((op->flags & (MSG_DONTWAIT | MSG_WAITALL)) != 0)
        return receive_with_flags(op, deadline);
    return wf_op_run_ready(op, wf_op_input_event(op->flags), deadline);
}

ssize_t weft_recv(int fd, void *buf, size_t len, int flags, weft_time deadline)
{
    struct wf_op op = {.code = WF_OP_RECV, .fd = fd, .buffer = buf, .length = len, .flags = flags};

    return receive(&op, deadline);
}

static ssize_t send_part(int fd, const void *buf, size_t len, int flags, uint32_t epoch,
                         weft_time deadline)
{
    struct wf_op op = {.code = WF_OP_SEND,
                       .fd = fd,
                       .buffer = (void *)(uintptr_t)buf,
                       .length = len,
                       .flags = flags | MSG_NOSIGNAL,
                       .epoch = epoch};

    if ((flags & MSG_DONTWAIT) != 0)
        return wf_op_run(&op, deadline);
    return wf_op_run_ready(&op, POLLOUT, deadline);
}

ssize_t weft_send(int fd, const void *buf, size_t len, int flags, weft_time deadline)
{
    return send_part(fd, buf, len, flags, 0, deadline);
}

ssize_t weft_send_all(int fd, const void *buf, size_t len, int flags, weft_time deadline)
{
    uint32_t epoch = wf_epoch_now(fd);
    const char *at = buf;
    size_t left = len;

    while (left > 0) {
        /* The ring goes on by itself where there is room for a part, if the kernel can. */
        ssize_t n = send_part(fd, at, left, flags | MSG_WAITALL, left < len ? epoch : 0, deadline);

        if (n < 0)
            return n;
        at += n;
        left -= (size_t)n;
    }
    return (ssize_t)len;
}

ssize_t weft_recvmsg(int fd, struct msghdr *message, int flags, weft_time deadline)
{
    struct wf_op op = {
        .code = WF_OP_RECVMSG, .fd = fd, .buffer = message, .flags = flags | MSG_CMSG_CLOEXEC};

    return receive(&op, deadline);
}

ssize_t weft_sendmsg(int fd, const struct msghdr *message, int flags, weft_time deadline)
{
    struct wf_op op = {.code = WF_OP_SENDMSG,
                       .fd = fd,
                       .buffer = (void *)(uintptr_t)message,
                       .flags = flags | MSG_NOSIGNAL};

    if ((flags & MSG_DONTWAIT) != 0)
        return wf_op_run(&op, deadline);
    return wf_op_run_ready(&op, POLLOUT, deadline);
}

ssize_t weft_recvfrom(int fd, void *buf, size_t len, int flags, struct sockaddr *addr,
                      socklen_t *addr_len, weft_time deadline)
{
    struct iovec part = {buf, len};
    struct msghdr message = {.msg_name = addr,
                             .msg_namelen = addr != NULL ? *addr_len : 0,
                             .msg_iov = &part,
                             .msg_iovlen = 1};
    ssize_t n = weft_recvmsg(fd, &message, flags, deadline);

    if (n >= 0 && addr != NULL)
        *addr_len = message.msg_namelen;
    return n;
}

ssize_t weft_sendto(int fd, const void *buf, size_t len, int flags, const struct sockaddr *addr,
                    socklen_t addr_len, weft_time deadline)
{
    struct iovec part = {(void *)(uintptr_t)buf, len};
    struct msghdr message = {.msg_name = (void *)(uintptr_t)addr,
                             .msg_namelen = addr != NULL ? addr_len : 0,
                             .msg_iov = &part,
                             .msg_iovlen = 1};

    return weft_sendmsg(fd, &message, flags, deadline);
}

/* What became of a connect on a non-blocking socket. */
static int finish_connect(int fd, uint32_t epoch, weft_time deadline)
{
    struct wf_op hold = {.fd = fd, .epoch = epoch};
    int result = wf_op_poll(fd, POLLOUT, epoch, deadline);
    int error = 0;
    socklen_t length = sizeof error;

    if (result >= 0)
        result = wf_op_hold(&hold);
    if (result < 0)
        return result;
    result = getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &length) == 0 ? -error : -errno;
    wf_op_release(&hold);
    return result;
}

static int try_connect(struct wf_op *op, uint32_t epoch, weft_time deadline)
{
    int result = wf_op_run(op, deadline);

    /* It may go on in spite of the signal, or not have begun: asked again the socket says which. */
    while (result == -EINTR) {
        op->epoch = epoch;
        result = wf_op_run(op, deadline);
        if (result == -EISCONN)
            result = 0;
        else if (result == -EALREADY)
            result = -EINPROGRESS;
    }
    return result;
}

int weft_connect(int fd, const struct sockaddr *addr, socklen_t addr_len, weft_time deadline)
{
    struct wf_op op = {
        .code = WF_OP_CONNECT, .fd = fd, .buffer = (void *)(uintptr_t)addr, .length = addr_len};
    uint32_t epoch = wf_epoch_now(fd);
    int result = try_connect(&op, epoch, deadline);

    /* No room in the backlog, for which there is no readiness to wait. */
    while (result == -EAGAIN && addr->sa_family == AF_UNIX) {
        result = wf_op_pause(deadline);
        if (result != 0)
            return result;
        op.epoch = epoch;
        result = try_connect(&op, epoch, deadline);
    }
    return result == -EINPROGRESS ? finish_connect(fd, epoch, deadline) : result;
}

static int listen_on(const struct addrinfo *address)
{
    int one = 1;
    int error;
    int fd = socket(address->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);

    if (fd < 0)
        return -errno;
    if (wf_sim_is_here()) {
        /* Bound for its number alone, and beside other simulations. */
        (void)setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &one, sizeof one);
        error = bind(fd, address->ai_addr, address->ai_addrlen) == 0 ? wf_sim_listen(fd) : -errno;
        if (error == 0)
            return fd;
        close(fd);
        return error;
    }
    if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one) == 0 &&
        bind(fd, address->ai_addr, address->ai_addrlen) == 0 && listen(fd, INT32_MAX) == 0)
        return fd;
    error = -errno;
    close(fd);
    return error;
}

int weft_listen_tcp(const char *host, uint16_t port)
{
    struct addrinfo hints = {.ai_family = AF_UNSPEC,
                             .ai_socktype = SOCK_STREAM,
                             .ai_flags = AI_PASSIVE | AI_NUMERICHOST | AI_NUMERICSERV};
    struct addrinfo *address;
    char service[8];
    int error, fd;

    snprintf(service, sizeof service, "%u", port);
    error = getaddrinfo(host != NULL ? host : "0.0.0.0", service, &hints, &address);
    if (error != 0)
        return error == EAI_MEMORY ? -ENOMEM : -EINVAL;
    fd = listen_on(address);
    freeaddrinfo(address);
    return fd;
}
