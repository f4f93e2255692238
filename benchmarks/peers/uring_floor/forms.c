/* SPDX-License-Identifier: MIT */
/*
 * form/...: what forms of operations would gain that weft does not use (docs/adr/0040).
 *
 * Question  What do a read and a receive cost with registered files, with registered buffers, with
 *           provided buffers that one receive goes on to fill (multishot), and with several of
 *           those a completion (bundles)?
 * Method    CPU time of the same work in the plain form and in each other one, in turn; a ratio is
 *           the median of those of each turn.  Reads: 64 at a time, random blocks of 4 KiB of the
 *           file of file/read.  Receives: 64 connections over loopback, or one of 64 KiB, each
 *           waiting when its message is sent, by the same thread.
 * Includes  preparing, entering the kernel, completions, giving provided buffers back; and the
 *           sends: some forms only leave more of the acknowledging to whoever sends, which looks
 *           like a third less where it is not counted.
 * Distrust  ratios of one run that differ by less than a fiftieth.
 */
#include "harness/file_work.h"
#include "uring_floor.h"

#include <netinet/in.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <time.h>

/* As the kernel has it from 6.10 on (include/uapi/linux/io_uring.h). */
#ifndef IORING_RECVSEND_BUNDLE
#define IORING_RECVSEND_BUNDLE (1U << 4)
#endif

enum {
    TURNS = 61,
    TURNS_QUICK = 15,
    READS = 8192,       /* of a turn */
    READS_DIRECT = 512, /* the same from the disk */
    CONNECTIONS = 64,
    MESSAGES = 1024, /* of a turn */
    LONG = 65536,
    GROUP = 1,
    PROVIDED = 256, /* buffers */
    PROVIDED_BYTES = 4096,
};

static uint64_t thread_cpu_ns(void)
{
    struct timespec used;

    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &used);
    return (uint64_t)used.tv_sec * 1000000000u + (uint64_t)used.tv_nsec;
}

/* Does the work of a turn; returns its CPU time, or 0 if it went wrong. */
typedef uint64_t turn_fn(void *context);

struct form {
    const char *metric; /* its CPU time over that of the first one's, which reports its own */
    turn_fn *turn;
    void *context;
};

static void compare(struct bench *b, const struct form *forms, unsigned count, unsigned ops)
{
    unsigned turns = b->is_quick ? TURNS_QUICK : TURNS;
    double values[4][TURNS];

    bench_start(b);
    for (unsigned t = 0; t <= turns; t++) {
        uint64_t plain = 0;

        for (unsigned i = 0; i < count; i++) {
            uint64_t ns = forms[i].turn(forms[i].context);

            plain = i == 0 ? ns : plain;
            if (ns == 0 || plain == 0) {
                bench_fail(b, "%s went wrong", forms[i].metric);
                return;
            }
            if (t > 0) /* the first one warms up */
                values[i][t - 1] = i == 0 ? (double)ns / ops : (double)ns / (double)plain;
        }
    }
    bench_stop(b);
    for (unsigned i = 0; i < count; i++)
        bench_report(b, forms[i].metric, 0, bench_percentile(values[i], turns, 0.5));
}

struct reading {
    struct io_uring ring;
    struct file_reader readers[FILE_DEPTH];
    bool has_fixed_file, has_fixed_buffers;
    uint64_t reads;
};

static bool prepare_read(struct reading *r, unsigned i)
{
    struct file_reader *reader = &r->readers[i];
    struct io_uring_sqe *sqe;
    off_t offset;

    if (!file_reader_next(reader, &offset))
        return false;
    sqe = io_uring_get_sqe(&r->ring);
    if (r->has_fixed_buffers)
        io_uring_prep_read_fixed(sqe, reader->fd, reader->content, FILE_BLOCK, (uint64_t)offset,
                                 (int)i);
    else
        io_uring_prep_read(sqe, reader->fd, reader->content, FILE_BLOCK, (uint64_t)offset);
    if (r->has_fixed_file) {
        sqe->fd = 0;
        sqe->flags |= IOSQE_FIXED_FILE;
    }
    io_uring_sqe_set_data64(sqe, i);
    return true;
}

static uint64_t read_turn(void *context)
{
    struct reading *r = context;
    unsigned in_flight = 0;
    uint64_t wrong = 0, began = thread_cpu_ns();

    for (unsigned i = 0; i < FILE_DEPTH; i++) {
        r->readers[i].left = r->reads / FILE_DEPTH;
        in_flight += prepare_read(r, i);
    }
    while (in_flight > 0 && io_uring_submit_and_wait(&r->ring, 1) >= 0) {
        struct io_uring_cqe *cqe;
        unsigned head, count = 0;

        io_uring_for_each_cqe(&r->ring, head, cqe)
        {
            file_reader_check(&r->readers[cqe->user_data], cqe->res);
            in_flight += prepare_read(r, (unsigned)cqe->user_data);
            count++;
        }
        io_uring_cq_advance(&r->ring, count);
        in_flight -= count;
    }
    for (unsigned i = 0; i < FILE_DEPTH; i++)
        wrong += r->readers[i].wrong;
    return wrong == 0 && in_flight == 0 ? thread_cpu_ns() - began : 0;
}

static bool open_reading(struct bench *b, struct reading *r)
{
    struct iovec parts[FILE_DEPTH];

    if (!file_readers_begin(b, r->readers) || floor_ring(&r->ring, FLOOR_ENTRIES) != 0)
        return false;
    for (unsigned i = 0; i < FILE_DEPTH; i++)
        parts[i] = (struct iovec){r->readers[i].content, FILE_BLOCK};
    r->reads = b->spec->parameter != 0 ? READS_DIRECT : READS;
    return io_uring_register_files(&r->ring, &r->readers[0].fd, 1) == 0 &&
           io_uring_register_buffers(&r->ring, parts, FILE_DEPTH) == 0;
}

void bench_form_read(struct bench *b)
{
    static struct reading plain, file, buffer, both;
    struct form forms[] = {{"cpu_ns_per_op", read_turn, &plain},
                           {"fixed_file_ratio", read_turn, &file},
                           {"fixed_buffer_ratio", read_turn, &buffer},
                           {"fixed_both_ratio", read_turn, &both}};

    file.has_fixed_file = both.has_fixed_file = true;
    buffer.has_fixed_buffers = both.has_fixed_buffers = true;
    for (unsigned i = 0; i < 4; i++)
        if (!open_reading(b, forms[i].context)) {
            bench_fail(b, "io_uring is not to be had, or registers nothing");
            return;
        }
    compare(b, forms, 4, (unsigned)plain.reads);
}

struct receiving {
    struct io_uring ring;
    unsigned connections;
    unsigned bytes; /* of a message */
    bool has_fixed_files;
    unsigned flags; /* of a receive that goes on; 0: it takes one message */
    int in[CONNECTIONS], out[CONNECTIONS];
    char *content[CONNECTIONS];
    unsigned left[CONNECTIONS];
    struct io_uring_buf_ring *provided;
    char (*buffers)[PROVIDED_BYTES];
};

static void prepare_receive(struct receiving *r, unsigned i)
{
    struct io_uring_sqe *sqe = io_uring_get_sqe(&r->ring);

    if (r->flags == 0) {
        io_uring_prep_recv(sqe, r->in[i], r->content[i] + r->bytes - r->left[i], r->left[i], 0);
    } else {
        io_uring_prep_recv(sqe, r->in[i], NULL, 0, 0);
        sqe->ioprio |= (uint16_t)r->flags;
        sqe->flags |= IOSQE_BUFFER_SELECT;
        sqe->buf_group = GROUP;
    }
    if (r->has_fixed_files) {
        sqe->fd = (int)i;
        sqe->flags |= IOSQE_FIXED_FILE;
    }
    io_uring_sqe_set_data64(sqe, i);
}

/* Buffers are taken in the order of the ring, and so they come back. */
static void give_back(struct receiving *r, const struct io_uring_cqe *cqe)
{
    unsigned first = cqe->flags >> IORING_CQE_BUFFER_SHIFT;
    int count = (cqe->res + PROVIDED_BYTES - 1) / PROVIDED_BYTES;

    for (int i = 0; i < count; i++) {
        unsigned id = (first + (unsigned)i) % PROVIDED;

        io_uring_buf_ring_add(r->provided, r->buffers[id], PROVIDED_BYTES, (unsigned short)id,
                              io_uring_buf_ring_mask(PROVIDED), i);
    }
    io_uring_buf_ring_advance(r->provided, count);
}

/* Returns false if it failed. */
static bool take_completion(struct receiving *r, const struct io_uring_cqe *cqe, unsigned *left)
{
    unsigned i = (unsigned)cqe->user_data;

    if (cqe->res == -ENOBUFS) {
        prepare_receive(r, i);
        return true;
    }
    if (cqe->res <= 0 || (unsigned)cqe->res > *left)
        return false;
    *left -= (unsigned)cqe->res;
    r->left[i] -= (unsigned)cqe->res;
    if (r->flags != 0)
        give_back(r, cqe);
    if (r->flags != 0 ? (cqe->flags & IORING_CQE_F_MORE) == 0 : r->left[i] > 0)
        prepare_receive(r, i);
    return true;
}

static bool receive_all(struct receiving *r)
{
    unsigned left = r->connections * r->bytes;
    bool is_ok = true;

    while (left > 0 && is_ok && io_uring_submit_and_wait(&r->ring, 1) >= 0) {
        struct io_uring_cqe *cqe;
        unsigned head, count = 0;

        io_uring_for_each_cqe(&r->ring, head, cqe)
        {
            is_ok = is_ok && take_completion(r, cqe, &left);
            count++;
        }
        io_uring_cq_advance(&r->ring, count);
    }
    return left == 0;
}

/* A message on each connection. */
static bool exchange(struct receiving *r)
{
    static const char message[LONG];
    bool is_ok = true;

    for (unsigned i = 0; i < r->connections; i++) {
        r->left[i] = r->bytes;
        if (r->flags == 0)
            prepare_receive(r, i);
    }
    if (io_uring_submit(&r->ring) < 0)
        return false;
    for (unsigned i = 0; i < r->connections; i++)
        is_ok = is_ok && send(r->out[i], message, r->bytes, MSG_NOSIGNAL) == (ssize_t)r->bytes;
    return is_ok && receive_all(r);
}

static unsigned messages_of(const struct receiving *r)
{
    return r->bytes == LONG ? MESSAGES / 16 : MESSAGES;
}

static uint64_t receive_turn(void *context)
{
    struct receiving *r = context;
    unsigned rounds = messages_of(r) / r->connections;
    uint64_t began = thread_cpu_ns();

    for (unsigned i = 0; i < rounds; i++)
        if (!exchange(r))
            return 0;
    return thread_cpu_ns() - began;
}

static bool connect_pair(struct receiving *r, unsigned i)
{
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_addr = {.s_addr = htonl(INADDR_LOOPBACK)}};
    socklen_t length = sizeof address;
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), room = 8 * LONG;

    r->out[i] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    setsockopt(listener, SOL_SOCKET, SO_RCVBUF, &room, sizeof room);
    setsockopt(r->out[i], SOL_SOCKET, SO_SNDBUF, &room, sizeof room);
    if (bind(listener, (struct sockaddr *)&address, length) != 0 || listen(listener, 1) != 0 ||
        getsockname(listener, (struct sockaddr *)&address, &length) != 0 ||
        connect(r->out[i], (struct sockaddr *)&address, length) != 0)
        return false;
    r->in[i] = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
    close(listener);
    return r->in[i] >= 0;
}

static bool provide_buffers(struct receiving *r)
{
    size_t size = PROVIDED * sizeof(struct io_uring_buf);
    struct io_uring_buf_reg group = {.ring_entries = PROVIDED, .bgid = GROUP};

    r->provided = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    r->buffers = calloc(PROVIDED, sizeof *r->buffers);
    group.ring_addr = (uint64_t)(uintptr_t)r->provided;
    if (r->provided == MAP_FAILED || r->buffers == NULL ||
        io_uring_register_buf_ring(&r->ring, &group, 0) != 0)
        return false;
    io_uring_buf_ring_init(r->provided);
    for (unsigned i = 0; i < PROVIDED; i++)
        io_uring_buf_ring_add(r->provided, r->buffers[i], PROVIDED_BYTES, (unsigned short)i,
                              io_uring_buf_ring_mask(PROVIDED), (int)i);
    io_uring_buf_ring_advance(r->provided, PROVIDED);
    return true;
}

static bool open_receiving(struct bench *b, struct receiving *r)
{
    r->bytes = (unsigned)b->spec->parameter;
    r->connections = r->bytes == LONG ? 1 : CONNECTIONS;
    if (floor_ring(&r->ring, FLOOR_ENTRIES) != 0)
        return false;
    for (unsigned i = 0; i < r->connections; i++) {
        r->content[i] = malloc(r->bytes);
        if (r->content[i] == NULL || !connect_pair(r, i))
            return false;
    }
    if (r->has_fixed_files && io_uring_register_files(&r->ring, r->in, r->connections) != 0)
        return false;
    if (r->flags == 0)
        return true;
    if (!provide_buffers(r))
        return false;
    for (unsigned i = 0; i < r->connections; i++)
        prepare_receive(r, i);
    return io_uring_submit(&r->ring) >= 0;
}

void bench_form_receive(struct bench *b)
{
    static struct receiving plain, file, multishot, bundle;
    struct form forms[] = {{"cpu_ns_per_op", receive_turn, &plain},
                           {"fixed_file_ratio", receive_turn, &file},
                           {"multishot_ratio", receive_turn, &multishot},
                           {"bundle_ratio", receive_turn, &bundle}};

    file.has_fixed_files = true;
    multishot.flags = IORING_RECV_MULTISHOT;
    bundle.flags = IORING_RECV_MULTISHOT | IORING_RECVSEND_BUNDLE;
    for (unsigned i = 0; i < 4; i++)
        if (!open_receiving(b, forms[i].context)) {
            bench_fail(b, "io_uring is not to be had, or does not know a form");
            return;
        }
    compare(b, forms, 4, messages_of(&plain));
}
