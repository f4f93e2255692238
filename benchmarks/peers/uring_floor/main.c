/* SPDX-License-Identifier: MIT */
/*
 * What the kernel alone costs, by way of io_uring: bare loops that do the same as weft's benchmarks
 * of the same names, on one thread, without a runtime.  Questions and methods are theirs.
 */
#include "harness/echo_rows.h"
#include "harness/file_work.h"
#include "harness/io_rows.h"
#include "harness/stream_work.h"
#include "uring_floor.h"

#include <errno.h>
#include <stdio.h>

/* Best first; what a kernel does not know it refuses with EINVAL. */
int floor_ring(struct io_uring *ring, unsigned entries)
{
    static const unsigned flags[] = {IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN,
                                     IORING_SETUP_COOP_TASKRUN, 0};
    int error = -EINVAL;

    for (size_t i = 0; i < sizeof flags / sizeof *flags && error == -EINVAL; i++)
        error = io_uring_queue_init(entries, ring, flags[i]);
    if (error == 0)
        (void)io_uring_register_ring_fd(ring); /* spares a look-up; not vital */
    return error;
}

static struct io_uring shared_ring;

struct io_uring *floor_shared_ring(struct bench *b)
{
    static int is_there;

    if (!is_there && floor_ring(&shared_ring, FLOOR_ENTRIES) != 0) {
        bench_fail(b, "io_uring is not to be had");
        return NULL;
    }
    is_there = 1;
    return &shared_ring;
}

struct io_uring_sqe *floor_prepare(void)
{
    return io_uring_get_sqe(&shared_ring);
}

ssize_t floor_finish(void)
{
    struct io_uring_cqe *cqe;
    ssize_t result = io_uring_submit_and_wait(&shared_ring, 1);

    if (result < 0 || (result = io_uring_peek_cqe(&shared_ring, &cqe)) != 0)
        return result;
    result = cqe->res;
    io_uring_cqe_seen(&shared_ring, cqe);
    return result;
}

/* Returns whether there was one more to read. */
static int prepare_read(struct io_uring *ring, struct file_reader *reader)
{
    struct io_uring_sqe *sqe;
    off_t offset;

    if (!file_reader_next(reader, &offset))
        return 0;
    sqe = io_uring_get_sqe(ring);
    io_uring_prep_read(sqe, reader->fd, reader->content, FILE_BLOCK, (uint64_t)offset);
    io_uring_sqe_set_data(sqe, reader);
    return 1;
}

void bench_file_read(struct bench *b)
{
    struct file_reader readers[FILE_DEPTH];
    struct io_uring *ring = floor_shared_ring(b);
    unsigned in_flight = 0;

    if (ring == NULL || !file_readers_begin(b, readers))
        return;
    bench_start(b);
    for (unsigned i = 0; i < FILE_DEPTH; i++)
        in_flight += (unsigned)prepare_read(ring, &readers[i]);
    while (in_flight > 0 && io_uring_submit_and_wait(ring, 1) >= 0) {
        struct io_uring_cqe *cqe;
        unsigned head, count = 0;

        io_uring_for_each_cqe(ring, head, cqe)
        {
            struct file_reader *reader = io_uring_cqe_get_data(cqe);

            file_reader_check(reader, cqe->res);
            in_flight += (unsigned)prepare_read(ring, reader);
            count++;
        }
        io_uring_cq_advance(ring, count);
        in_flight -= count;
    }
    bench_stop(b);
    file_readers_end(b, readers);
}

static ssize_t copy_by_program(const struct file_copy *copy, off_t offset)
{
    static char piece[FILE_PIECE];
    ssize_t n;

    io_uring_prep_read(floor_prepare(), copy->in, piece, FILE_PIECE, (uint64_t)offset);
    n = floor_finish();
    if (n <= 0)
        return n;
    io_uring_prep_write(floor_prepare(), copy->out, piece, (unsigned)n, (uint64_t)offset);
    return floor_finish();
}

void bench_file_copy(struct bench *b)
{
    if (floor_shared_ring(b) != NULL)
        file_copy_measure(b, copy_by_program);
}

/* The kernel goes on by itself where it has sent a part. */
static ssize_t send_chunk(int fd, const char *bytes, size_t length)
{
    io_uring_prep_send(floor_prepare(), fd, bytes, length, MSG_NOSIGNAL | MSG_WAITALL);
    return floor_finish();
}

void bench_stream_send(struct bench *b)
{
    if (floor_shared_ring(b) != NULL)
        stream_measure(b, send_chunk);
}

static const struct bench_case cases[] = {
    {"file/read/depth=64", BENCH_NS_PER_OP, 1, BENCH_FILE_READS, 0, bench_file_read, NULL},
    {"file/read/depth=64/direct=1", BENCH_NS_PER_OP, 1, BENCH_FILE_READS, O_DIRECT, bench_file_read,
     NULL},
    {"file/copy/by=program", BENCH_NS_PER_OP, 1, 1, 0, bench_file_copy, NULL},
    {"stream/send", BENCH_REPORT, 1, 1, 0, bench_stream_send, NULL},
    BENCH_ECHO_TCPS(NULL),
    BENCH_ECHO_TCP(50000, NULL),
    BENCH_ROUNDS(NULL),
    BENCH_OPERATIONS(NULL),
    {"form/read", BENCH_REPORT, 1, 1, 0, bench_form_read, NULL},
    {"form/read/direct=1", BENCH_REPORT, 1, 1, O_DIRECT, bench_form_read, NULL},
    {"form/receive/bytes=64", BENCH_REPORT, 1, 1, 64, bench_form_receive, NULL},
    {"form/receive/bytes=65536", BENCH_REPORT, 1, 1, 65536, bench_form_receive, NULL},
};

int main(int argc, char **argv)
{
    return bench_main(argc, argv, "uring-floor", cases, sizeof cases / sizeof *cases);
}
