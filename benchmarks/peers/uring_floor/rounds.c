/* SPDX-License-Identifier: MIT */
/* Servers without a runtime: one thread, one ring, a record for each receive or connection. */
#include "harness/round_work.h"
#include "uring_floor.h"

#include <stdbool.h>
#include <stdlib.h>

/* One datagram, or one connection: what comes in goes out, and so on. */
struct exchange {
    int fd;
    bool is_sending;
    size_t length;
    struct sockaddr_in peer;
    struct iovec part;
    struct msghdr message; /* of a datagram */
    char bytes[ROUND_BYTES];
};

static struct {
    struct io_uring ring;
    int listener; /* or -1 */
    bool is_over; /* nothing is begun any more */
    unsigned under_way;
    ssize_t load_result;
} loop;

/* What else than an exchange a completion can be of. */
static char tag_accept, tag_load, tag_close, tag_cancel;

static struct io_uring_sqe *take_slot(void *tag)
{
    struct io_uring_sqe *sqe;

    while ((sqe = io_uring_get_sqe(&loop.ring)) == NULL)
        (void)io_uring_submit(&loop.ring);
    io_uring_sqe_set_data(sqe, tag);
    loop.under_way++;
    return sqe;
}

static void start_accept(void)
{
    io_uring_prep_accept(take_slot(&tag_accept), loop.listener, NULL, NULL, SOCK_CLOEXEC);
}

static void start_exchange(struct exchange *e)
{
    bool is_datagram = loop.listener < 0;
    struct io_uring_sqe *sqe = take_slot(e);

    e->part = (struct iovec){e->bytes, e->is_sending ? e->length : ROUND_BYTES};
    e->message = (struct msghdr){
        .msg_name = &e->peer, .msg_namelen = sizeof e->peer, .msg_iov = &e->part, .msg_iovlen = 1};
    if (is_datagram && e->is_sending)
        io_uring_prep_sendmsg(sqe, e->fd, &e->message, 0);
    else if (is_datagram)
        io_uring_prep_recvmsg(sqe, e->fd, &e->message, 0);
    else if (e->is_sending)
        io_uring_prep_send(sqe, e->fd, e->bytes, e->length, MSG_NOSIGNAL);
    else
        io_uring_prep_recv(sqe, e->fd, e->bytes, ROUND_BYTES, 0);
}

static void on_exchange(struct exchange *e, int result)
{
    if (result <= 0 || loop.is_over) {
        if (loop.listener >= 0)
            io_uring_prep_close(take_slot(&tag_close), e->fd);
        free(e);
        return;
    }
    e->is_sending = !e->is_sending;
    e->length = (size_t)result;
    start_exchange(e);
}

static void begin_exchange(int fd)
{
    struct exchange *e = fd >= 0 ? calloc(1, sizeof *e) : NULL;

    if (e == NULL)
        return;
    e->fd = fd;
    start_exchange(e);
}

static void complete(const struct io_uring_cqe *cqe)
{
    void *tag = io_uring_cqe_get_data(cqe);

    loop.under_way--;
    if (tag == &tag_load) {
        loop.load_result = cqe->res;
    } else if (tag == &tag_accept) {
        begin_exchange(cqe->res);
        if (!loop.is_over)
            start_accept();
    } else if (tag != &tag_close && tag != &tag_cancel) {
        on_exchange(tag, cqe->res);
    }
}

static void run_once(void)
{
    struct io_uring_cqe *cqe;
    unsigned head, count = 0;

    (void)io_uring_submit_and_wait(&loop.ring, 1);
    io_uring_for_each_cqe(&loop.ring, head, cqe)
    {
        complete(cqe);
        count++;
    }
    io_uring_cq_advance(&loop.ring, count);
}

/* Serves until the load generator says something. */
static ssize_t read_some(int fd, void *buffer, size_t length)
{
    loop.load_result = -EAGAIN;
    io_uring_prep_read(take_slot(&tag_load), fd, buffer, (unsigned)length, 0);
    while (loop.load_result == -EAGAIN)
        run_once();
    return loop.load_result;
}

static void serve(struct bench *b, const char *kind, int type)
{
    int fd = round_socket(b, type);

    loop.is_over = false;
    loop.under_way = 0;
    loop.listener = type == SOCK_STREAM ? fd : -1;
    if (fd < 0 || floor_ring(&loop.ring, FLOOR_ENTRIES) != 0) {
        bench_fail(b, "io_uring is not to be had");
        return;
    }
    if (type == SOCK_STREAM)
        start_accept();
    for (int i = 0; type == SOCK_DGRAM && i < ROUND_SERVERS; i++)
        begin_exchange(fd);
    round_load(b, fd, kind, read_some);
    loop.is_over = true;
    io_uring_prep_cancel(take_slot(&tag_cancel), NULL, IORING_ASYNC_CANCEL_ANY);
    while (loop.under_way > 0)
        run_once();
    io_uring_queue_exit(&loop.ring);
    close(fd);
}

void bench_echo_udp(struct bench *b)
{
    serve(b, "udp", SOCK_DGRAM);
}

void bench_connect_churn(struct bench *b)
{
    serve(b, "churn", SOCK_STREAM);
}
