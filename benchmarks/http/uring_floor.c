/* SPDX-License-Identifier: MIT */
/*
 * http-uring-floor: what the kernel alone costs, by way of io_uring.
 *
 * The same as http-epoll-floor (see there): one thread that answers each blank line.  Whatever came
 * in is answered in one go: the answer's send and the next receive are prepared together, and all
 * that was prepared is submitted with the wait for more.  docs/adr/0021 says what other ways to use
 * a ring cost.
 *
 * With --parse it parses and answers as weft-http does, by the same source: what is left of the
 * difference to weft-http is then what fibers cost.
 */
#include "date.h"
#include "floor.h"
#include "floor_http.h"
#include "listener.h"

#include <errno.h>
#include <liburing.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
    ENTRIES = 4096,
    COMPLETIONS = 16384,
    INPUT_SIZE = 4096,
    REQUEST_MIN = 16, /* bytes; shorter than any that HTTP allows */
    TAG_SEND = 1,     /* in the lowest bit of user_data: which operation of the connection */
};

struct connection {
    int fd;
    unsigned char matched;
    bool is_sending, is_receiving; /* what the kernel has not completed yet */
    bool is_closing;
    size_t output_length;
    struct floor_http *http; /* with --parse, and then not the buffers here */
    char input[INPUT_SIZE];
    char output[INPUT_SIZE / REQUEST_MIN * FLOOR_ANSWER_ROOM];
};

static struct {
    struct io_uring ring;
    int listener;
    bool parses;
} loop;

static struct io_uring_sqe *take_slot(void)
{
    struct io_uring_sqe *sqe;

    while ((sqe = io_uring_get_sqe(&loop.ring)) == NULL)
        (void)io_uring_submit(&loop.ring);
    return sqe;
}

static void start_accept(void)
{
    struct io_uring_sqe *sqe = take_slot();

    io_uring_prep_accept(sqe, loop.listener, NULL, NULL, SOCK_CLOEXEC);
    io_uring_sqe_set_data64(sqe, 0);
}

static void start_receive(struct connection *c)
{
    struct io_uring_sqe *sqe;
    char *room = c->input;
    size_t length = sizeof c->input;

    if (c->http != NULL)
        length = floor_http_room(c->http, &room);
    if (length == 0) {
        c->is_closing = true;
        return;
    }
    sqe = take_slot();
    io_uring_prep_recv(sqe, c->fd, room, length, 0);
    io_uring_sqe_set_data64(sqe, (uint64_t)(uintptr_t)c);
    c->is_receiving = true;
}

static void start_send(struct connection *c, const char *output, size_t length)
{
    struct io_uring_sqe *sqe = take_slot();

    io_uring_prep_send(sqe, c->fd, output, length, MSG_NOSIGNAL);
    io_uring_sqe_set_data64(sqe, (uint64_t)(uintptr_t)c | TAG_SEND);
    c->output_length = length;
    c->is_sending = true;
}

/* The kernel may still have the buffers. */
static void close_if_idle(struct connection *c)
{
    if (!c->is_closing || c->is_sending || c->is_receiving)
        return;
    if (c->http != NULL)
        floor_http_close(c->http);
    else
        close(c->fd);
    free(c);
}

static void drop(struct connection *c)
{
    c->is_closing = true;
    (void)shutdown(c->fd, SHUT_RDWR);
}

static void on_accept(int result)
{
    struct connection *c = result >= 0 ? malloc(sizeof *c) : NULL;

    if (c != NULL) {
        /* The buffers are left alone: a page that nobody writes to costs nothing. */
        c->fd = result;
        c->matched = 0;
        c->is_sending = c->is_receiving = c->is_closing = false;
        c->http = loop.parses ? floor_http_open(result) : NULL;
        c->is_closing = loop.parses && c->http == NULL;
        if (!c->is_closing)
            start_receive(c);
        close_if_idle(c);
    } else if (result >= 0) {
        close(result);
    }
    start_accept();
}

static void on_request(struct connection *c, int length)
{
    const char *answers;
    ssize_t n = c->is_sending ? -EPIPE : floor_http_answer(c->http, (size_t)length, &answers);

    if (n < 0) {
        drop(c);
        return;
    }
    if (n > 0)
        start_send(c, answers, (size_t)n);
    if (floor_http_is_last(c->http))
        c->is_closing = true;
    else
        start_receive(c);
}

static void on_receive(struct connection *c, int result)
{
    unsigned count;

    c->is_receiving = false;
    if (result <= 0 || c->is_closing) {
        c->is_closing = true;
        return;
    }
    if (c->http != NULL) {
        on_request(c, result);
        return;
    }
    count = floor_count_requests(&c->matched, c->input, (size_t)result);
    /* A peer that does not read its answers is dropped. */
    if (count > 0 && c->is_sending) {
        drop(c);
        return;
    }
    if (count > 0)
        start_send(c, c->output, floor_write_answers(c->output, count));
    if (memmem(c->input, (size_t)result, "Connection: close", 17) != NULL)
        c->is_closing = true;
    else
        start_receive(c);
}

static void on_send(struct connection *c, int result)
{
    c->is_sending = false;
    if (result < 0 || (size_t)result != c->output_length)
        drop(c);
}

static void complete(const struct io_uring_cqe *cqe)
{
    struct connection *c = (void *)(uintptr_t)(cqe->user_data & ~(uint64_t)TAG_SEND);

    if (c == NULL) {
        on_accept(cqe->res);
        return;
    }
    if ((cqe->user_data & TAG_SEND) != 0)
        on_send(c, cqe->res);
    else
        on_receive(c, cqe->res);
    close_if_idle(c);
}

static int run_loop(void)
{
    for (;;) {
        struct io_uring_cqe *cqe;
        unsigned head, count = 0;
        int result = io_uring_submit_and_wait(&loop.ring, 1);

        if (result < 0 && result != -EINTR && result != -EBUSY && result != -EAGAIN)
            return result;
        io_uring_for_each_cqe(&loop.ring, head, cqe)
        {
            complete(cqe);
            count++;
        }
        io_uring_cq_advance(&loop.ring, count);
    }
}

/* Best first; what a kernel does not know it refuses with EINVAL. */
static int set_up_ring(void)
{
    static const unsigned flags[] = {IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN,
                                     IORING_SETUP_COOP_TASKRUN, 0};
    int error = -EINVAL;

    for (size_t i = 0; i < sizeof flags / sizeof *flags && error == -EINVAL; i++) {
        struct io_uring_params params = {.flags = flags[i] | IORING_SETUP_CQSIZE,
                                         .cq_entries = COMPLETIONS};

        error = io_uring_queue_init_params(ENTRIES, &loop.ring, &params);
    }
    if (error == 0)
        (void)io_uring_register_ring_fd(&loop.ring); /* spares a look-up; not vital */
    return error;
}

static int start(uint16_t port)
{
    struct listener_options options = {.host = "127.0.0.1", .port = port};
    int error = set_up_ring();

    if (error < 0)
        return error;
    listener_raise_descriptor_limit();
    loop.listener = listener_open(&options);
    if (loop.listener < 0)
        return loop.listener;
    start_accept();
    return listener_announce(loop.listener, "uring-floor");
}

int main(int argc, char **argv)
{
    uint16_t port;
    int error = 0;

    /* For scripts: may this process use io_uring? */
    if (argc == 2 && strcmp(argv[1], "--check") == 0)
        return set_up_ring() == 0 ? 0 : 3;
    if (argc > 1 && strcmp(argv[1], "--parse") == 0) {
        loop.parses = true;
        error = floor_http_start();
        argv[1] = argv[0];
        argc--;
        argv++;
    }
    port = floor_parse_options(
        argc, argv,
        "usage: http-uring-floor [--parse] [--port N]   (0, the default, picks "
        "a free port)\n       http-uring-floor --check      (status 0: io_uring is "
        "to be had)\n",
        NULL);
    date_start();
    if (error == 0)
        error = start(port);
    if (error == 0)
        error = run_loop();
    fprintf(stderr, "http-uring-floor: 127.0.0.1:%u: %s\n", (unsigned)port, strerror(-error));
    return 1;
}
