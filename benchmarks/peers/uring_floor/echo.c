/* SPDX-License-Identifier: MIT */
/*
 * echo/tcp without a runtime: one thread, one ring.  What has come is sent, and linked to that is
 * the next receive, into the same buffer: a message is one completion.  The kernel goes on by
 * itself where a socket has taken a part.  Tried as well: multishot receives into provided buffers,
 * which took as much CPU time with 64 connections and an eighth more with 64 KiB; and polling
 * before each receive, which took 4 % more.
 */
#include "harness/echo_floor.h"
#include "uring_floor.h"

#include <errno.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdlib.h>

enum { ENTRIES = 4096 };

struct connection {
    int fd;
    char bytes[];
};

static struct {
    struct io_uring ring;
    int listener;
    bool is_listening;
    bool is_nodelay;
    unsigned open; /* connections */
    size_t buffer_size;
} loop;

/* What else than a connection's receive a completion can be of. */
static char tag_accept, tag_send;

static struct io_uring_sqe *take_slot(void *tag)
{
    struct io_uring_sqe *sqe = io_uring_get_sqe(&loop.ring);

    io_uring_sqe_set_data(sqe, tag);
    return sqe;
}

/* What is linked has to be submitted together. */
static void need_slots(unsigned count)
{
    while (io_uring_sq_space_left(&loop.ring) < count)
        (void)io_uring_submit(&loop.ring);
}

static void start_accept(void)
{
    need_slots(1);
    io_uring_prep_multishot_accept(take_slot(&tag_accept), loop.listener, NULL, NULL, SOCK_CLOEXEC);
}

static void prepare_receive(struct connection *c)
{
    io_uring_prep_recv(take_slot(c), c->fd, c->bytes, loop.buffer_size, 0);
}

static void begin_connection(int fd)
{
    struct connection *c = malloc(sizeof *c + loop.buffer_size);
    int one = 1;

    if (c == NULL) {
        close(fd);
        return;
    }
    c->fd = fd;
    if (loop.is_nodelay)
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    loop.open++;
    need_slots(1);
    prepare_receive(c);
}

static void on_accept(const struct io_uring_cqe *cqe)
{
    if (cqe->res >= 0)
        begin_connection(cqe->res);
    if ((cqe->flags & IORING_CQE_F_MORE) != 0)
        return;
    loop.is_listening = cqe->res >= 0 || cqe->res == -ECONNABORTED;
    if (loop.is_listening)
        start_accept();
}

/* A send that fails cancels the receive that is linked to it. */
static void on_receive(struct connection *c, int result)
{
    struct io_uring_sqe *sqe;

    if (result <= 0) {
        close(c->fd);
        free(c);
        loop.open--;
        return;
    }
    need_slots(2);
    sqe = take_slot(&tag_send);
    io_uring_prep_send(sqe, c->fd, c->bytes, (size_t)result, MSG_NOSIGNAL | MSG_WAITALL);
    sqe->flags |= IOSQE_IO_LINK | IOSQE_CQE_SKIP_SUCCESS;
    prepare_receive(c);
}

static int run_loop(void)
{
    while (loop.is_listening || loop.open > 0) {
        int result = io_uring_submit_and_wait(&loop.ring, 1);
        struct io_uring_cqe *cqe;
        unsigned head, count = 0;

        if (result < 0 && result != -EINTR && result != -EBUSY && result != -EAGAIN)
            return result;
        io_uring_for_each_cqe(&loop.ring, head, cqe)
        {
            void *tag = io_uring_cqe_get_data(cqe);

            if (tag == &tag_accept)
                on_accept(cqe);
            else if (tag != &tag_send)
                on_receive(tag, cqe->res);
            count++;
        }
        io_uring_cq_advance(&loop.ring, count);
    }
    return 0;
}

static int run(const struct echo_floor *floor)
{
    int error = floor_ring(&loop.ring, ENTRIES);

    if (error != 0)
        return error;
    loop.listener = floor->listener;
    loop.is_listening = true;
    loop.is_nodelay = floor->is_nodelay;
    loop.buffer_size = floor->buffer_size;
    start_accept();
    error = run_loop();
    io_uring_queue_exit(&loop.ring);
    return error;
}

static int serve_load(struct bench *b, const struct echo_load *load, struct echo_figures *figures)
{
    return echo_floor_serve(b, load, figures, run);
}

void bench_echo_tcp(struct bench *b)
{
    echo_client_tcp(b, serve_load);
}
