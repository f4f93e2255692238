/* SPDX-License-Identifier: MIT */
/* Files and streams by threads that may block.  Questions and methods are those of weft's
 * benchmarks of the same names. */
#include "file.h"

#include "harness/file_work.h"
#include "harness/stream_work.h"

#include <semaphore.h>

/* A pool of threads, one for each read under way, which wait for work between the samples. */
static struct pool {
    struct file_reader readers[FILE_DEPTH];
    sem_t begin[FILE_DEPTH], end;
} pool;

static void *read_blocks(void *arg)
{
    size_t i = (size_t)(uintptr_t)arg;
    struct file_reader *reader = &pool.readers[i];
    off_t offset;

    for (;;) {
        while (sem_wait(&pool.begin[i]) != 0)
            continue;
        while (file_reader_next(reader, &offset))
            file_reader_check(reader, pread(reader->fd, reader->content, FILE_BLOCK, offset));
        sem_post(&pool.end);
    }
    return NULL;
}

static int start_pool(void)
{
    static int is_started;
    pthread_t thread;

    for (size_t i = 0; !is_started && i < FILE_DEPTH; i++) {
        sem_init(&pool.begin[i], 0, 0);
        if (pthread_create(&thread, NULL, read_blocks, (void *)(uintptr_t)i) != 0)
            return 0;
        pthread_detach(thread);
    }
    is_started = 1;
    return 1;
}

void bench_file_read(struct bench *b)
{
    if (!start_pool()) {
        bench_fail(b, "no threads");
        return;
    }
    if (!file_readers_begin(b, pool.readers))
        return;
    bench_start(b);
    for (size_t i = 0; i < FILE_DEPTH; i++)
        sem_post(&pool.begin[i]);
    for (size_t i = 0; i < FILE_DEPTH; i++)
        while (sem_wait(&pool.end) != 0)
            continue;
    bench_stop(b);
    file_readers_end(b, pool.readers);
}

static ssize_t copy_by_program(const struct file_copy *copy, off_t offset)
{
    static char piece[FILE_PIECE];
    ssize_t n = pread(copy->in, piece, sizeof piece, offset);

    return n > 0 ? pwrite(copy->out, piece, (size_t)n, offset) : n;
}

void bench_file_copy(struct bench *b)
{
    file_copy_measure(b, copy_by_program);
}

static ssize_t copy_by_kernel(const struct file_copy *copy, off_t offset)
{
    off_t to = offset;

    return copy_file_range(copy->in, &offset, copy->out, &to, FILE_PIECE, 0);
}

void bench_file_copy_by_kernel(struct bench *b)
{
    file_copy_measure(b, copy_by_kernel);
}

static ssize_t send_chunk(int fd, const char *bytes, size_t length)
{
    return send(fd, bytes, length, MSG_NOSIGNAL);
}

void bench_stream_send(struct bench *b)
{
    stream_measure(b, send_chunk);
}
