/* SPDX-License-Identifier: MIT */
/* What io_uring is asked, changed on its way to the kernel: see io_fault.h. */
#define _GNU_SOURCE 1

#include "io_fault.h"

#include <errno.h>
#include <liburing.h>
#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
    NOP_INJECT_RESULT = 1, /* of IORING_OP_NOP; liburing 2.3 does not know it */
    RINGS_MAX = 128,
};

#define REAL(name) __real_##name
#define WRAPPED(result, name, ...)     \
    result __real_##name(__VA_ARGS__); \
    result __wrap_##name(__VA_ARGS__); \
    result __wrap_##name(__VA_ARGS__)

int __real_close(int fd);
int __real_connect(int fd, const struct sockaddr *address, socklen_t length);

/* The rings of the process, under the lock.  Any worker may enter any of them. */
struct known_ring {
    struct io_uring *ring;
    int fd;
    unsigned looked_at; /* up to this entry: each is looked at once, whoever submits it */
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct known_ring rings[RINGS_MAX];
static _Thread_local struct known_ring *own_ring; /* that this thread has registered */

WRAPPED(int, io_uring_register_ring_fd, struct io_uring *ring)
{
    struct known_ring *at = rings;

    (void)pthread_mutex_lock(&lock);
    for (int i = 0; i < RINGS_MAX; i++)
        if (rings[i].fd == ring->ring_fd)
            rings[i].fd = -1; /* that one has been closed */
    while (at->ring != NULL && at->ring != ring)
        if (++at == rings + RINGS_MAX)
            abort();
    *at = (struct known_ring){ring, ring->ring_fd, *ring->sq.khead};
    own_ring = at;
    (void)pthread_mutex_unlock(&lock);
    return REAL(io_uring_register_ring_fd)(ring);
}

/* A message without its parts but for one byte.  What the kernel would tell of where it came from
 * is lost. */
static uintptr_t cut_message(const struct msghdr *message)
{
    static struct msghdr cut;
    static struct iovec byte;

    byte = (struct iovec){message->msg_iov[0].iov_base, 1};
    cut = *message;
    cut.msg_iov = &byte;
    cut.msg_iovlen = 1;
    return (uintptr_t)&cut;
}

static void cut_short(struct io_uring_sqe *sqe)
{
    const struct msghdr *message = (const struct msghdr *)(uintptr_t)sqe->addr;
    const struct iovec *parts = (const struct iovec *)(uintptr_t)sqe->addr;

    switch (sqe->opcode) {
    case IORING_OP_READ:
    case IORING_OP_WRITE:
    case IORING_OP_RECV:
    case IORING_OP_SEND:
        sqe->len = sqe->len > 1 ? 1 : sqe->len;
        break;
    case IORING_OP_READV:
    case IORING_OP_WRITEV:
        if (sqe->len > 1 && parts[0].iov_len > 0)
            sqe->len = 1; /* the first part alone */
        break;
    case IORING_OP_RECVMSG:
    case IORING_OP_SENDMSG:
        if (message->msg_iov[0].iov_len > 1)
            sqe->addr = cut_message(message);
        break;
    default:
        break;
    }
}

static void spoil(struct io_uring_sqe *sqe)
{
    int error = io_fault_error();

    if (error == IO_FAULT_SHORT) {
        cut_short(sqe);
        return;
    }
    if (sqe->opcode == IORING_OP_CLOSE)
        (void)REAL(close)(sqe->fd);                          /* in each case */
    if (sqe->opcode == IORING_OP_CONNECT && error == -EINTR) /* it goes on (connect(2)) */
        (void)REAL(connect)(sqe->fd, (const struct sockaddr *)(uintptr_t)sqe->addr,
                            (socklen_t)sqe->off);
    sqe->opcode = IORING_OP_NOP;
    sqe->ioprio = 0;
    sqe->fd = -1;
    sqe->off = sqe->addr = 0;
    sqe->rw_flags = NOP_INJECT_RESULT;
    sqe->len = (unsigned)error;
}

/* Those that a program asks for, and what of their errors it does not hear. */
static const struct {
    unsigned opcode;
    const char *name;
    unsigned kept;
} operations[] = {
    {IORING_OP_READ, "IORING_OP_READ", IO_FAULT_RETRIED},
    {IORING_OP_WRITE, "IORING_OP_WRITE", IO_FAULT_RETRIED},
    {IORING_OP_READV, "IORING_OP_READV", IO_FAULT_RETRIED},
    {IORING_OP_WRITEV, "IORING_OP_WRITEV", IO_FAULT_RETRIED},
    {IORING_OP_RECV, "IORING_OP_RECV", IO_FAULT_RETRIED},
    {IORING_OP_SEND, "IORING_OP_SEND", IO_FAULT_RETRIED},
    {IORING_OP_RECVMSG, "IORING_OP_RECVMSG", IO_FAULT_RETRIED},
    {IORING_OP_SENDMSG, "IORING_OP_SENDMSG", IO_FAULT_RETRIED},
    {IORING_OP_ACCEPT, "IORING_OP_ACCEPT", IO_FAULT_RETRIED},
    {IORING_OP_CONNECT, "IORING_OP_CONNECT", IO_FAULT_REPEATED},
    {IORING_OP_POLL_ADD, "IORING_OP_POLL_ADD", IO_FAULT_REPEATED},
    {IORING_OP_OPENAT, "IORING_OP_OPENAT", IO_FAULT_RETRIED}, /* the first, as in io_fault.c */
    {IORING_OP_FSYNC, "IORING_OP_FSYNC", IO_FAULT_REPEATED},
};

static bool is_meant(const struct io_uring_sqe *sqe)
{
    if (sqe->opcode == IORING_OP_CLOSE)
        return io_fault_hits_close("IORING_OP_CLOSE", sqe->fd);
    if (sqe->opcode == IORING_OP_POLL_ADD && io_fault_error() == -EAGAIN)
        return false; /* the kernel never says so */
    for (size_t i = 0; i < sizeof operations / sizeof *operations; i++)
        if (operations[i].opcode == sqe->opcode)
            return io_fault_hits(operations[i].name, operations[i].kept, sqe->fd);
    return false;
}

static void look_at_new(struct known_ring *known)
{
    struct io_uring_sq *sq = &known->ring->sq;
    unsigned head = io_uring_smp_load_acquire(sq->khead);
    unsigned tail = io_uring_smp_load_acquire(sq->ktail);

    if ((int)(known->looked_at - head) < 0)
        known->looked_at = head;
    for (; known->looked_at != tail; known->looked_at++) {
        struct io_uring_sqe *sqe = &sq->sqes[known->looked_at & *sq->kring_mask];

        if (is_meant(sqe))
            spoil(sqe);
    }
}

static struct known_ring *find(unsigned fd, unsigned flags)
{
    if ((flags & IORING_ENTER_REGISTERED_RING) != 0)
        return own_ring;
    for (int i = 0; i < RINGS_MAX && rings[i].ring != NULL; i++)
        if (rings[i].fd == (int)fd)
            return &rings[i];
    return NULL;
}

WRAPPED(int, io_uring_enter2, unsigned fd, unsigned count, unsigned min_complete, unsigned flags,
        sigset_t *argument, size_t size)
{
    struct known_ring *known;

    (void)pthread_mutex_lock(&lock);
    known = find(fd, flags);
    if (known != NULL)
        look_at_new(known);
    (void)pthread_mutex_unlock(&lock);
    return REAL(io_uring_enter2)(fd, count, min_complete, flags, argument, size);
}

bool io_fault_has_injection(void)
{
    struct io_uring ring;
    struct io_uring_sqe *sqe;
    struct io_uring_cqe *cqe;
    bool is_injected;

    if (io_uring_queue_init(4, &ring, 0) != 0)
        return false;
    sqe = io_uring_get_sqe(&ring);
    io_uring_prep_nop(sqe);
    sqe->rw_flags = NOP_INJECT_RESULT;
    sqe->len = (unsigned)-EIO;
    is_injected = io_uring_submit(&ring) == 1 && io_uring_wait_cqe(&ring, &cqe) == 0 &&
                  cqe->res == -EIO;
    io_uring_queue_exit(&ring);
    return is_injected;
}
