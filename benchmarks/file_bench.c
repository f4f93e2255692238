/* SPDX-License-Identifier: MIT */
#include "weft_bench.h"

#include "harness/file_work.h"
#include "harness/stream_work.h"

#include <weft.h>

static int read_blocks(void *arg)
{
    struct file_reader *reader = arg;
    off_t offset;

    while (file_reader_next(reader, &offset))
        file_reader_check(
            reader, weft_pread(reader->fd, reader->content, FILE_BLOCK, offset, WEFT_FOREVER));
    return 0;
}

/*
 * file/read/depth=64, file/read/depth=64/direct=1
 *
 * Question  What does a random read of 4 KiB cost among many?
 * Method    64 fibers read blocks of a file of 64 MiB, each one after the other, and eight for a
 *           unit of the batch; each block's number is compared.  direct=1 goes past the cache.
 * Includes  one worker; the spawn and the join of the fibers.
 * Excludes  the disk, but for direct=1.
 * Distrust  direct=1: it measures the disk, and whoever else uses that.
 */
void bench_file_read(struct bench *b)
{
    struct file_reader readers[FILE_DEPTH];
    weft_scope scope = WEFT_SCOPE_INIT;
    int error = 0;

    if (!file_readers_begin(b, readers))
        return;
    bench_start(b);
    for (unsigned i = 0; i < FILE_DEPTH && error == 0; i++)
        error = weft_scope_spawn(&scope, read_blocks, &readers[i]);
    error = weft_scope_close(&scope, error);
    bench_stop(b);
    if (error != 0)
        bench_fail(b, "the fibers failed");
    file_readers_end(b, readers);
}

/*
 * file/copy/by=program, file/copy/by=kernel
 *
 * Question  What does it cost to copy 64 KiB from one file to another?
 * Method    one fiber copies b->batch pieces, one after the other, again and again through files
 *           of 16 MiB, by a read and a write, or by the call that leaves it to the kernel; the
 *           files are compared at the end.
 * Includes  the pool for by=kernel: the call has no other form.
 * Excludes  the disk: what is written stays in memory until the kernel likes to write it.
 * Distrust  on a file system that shares blocks instead of copying them, by=kernel copies nothing.
 */
static ssize_t copy_by_program(const struct file_copy *copy, off_t offset)
{
    static char piece[FILE_PIECE];
    ssize_t n = weft_pread(copy->in, piece, sizeof piece, offset, WEFT_FOREVER);

    return n > 0 ? weft_pwrite(copy->out, piece, (size_t)n, offset, WEFT_FOREVER) : n;
}

void bench_file_copy(struct bench *b)
{
    file_copy_measure(b, copy_by_program);
}

static ssize_t copy_by_kernel(const struct file_copy *copy, off_t offset)
{
    off_t to = offset;

    return weft_copy_file_range(copy->in, &offset, copy->out, &to, FILE_PIECE, 0, WEFT_FOREVER);
}

void bench_file_copy_by_kernel(struct bench *b)
{
    file_copy_measure(b, copy_by_kernel);
}

/*
 * stream/send
 *
 * Question  How fast does a fiber send a long stream?
 * Method    1 GiB (256 MiB with --quick) over loopback, 256 KiB a call, to a thread that receives
 *           it and looks at a byte of each page.
 * Includes  mb_per_s until the last byte has come: 10^6 bytes per second; cpu_us_per_mb: the CPU
 *           time of the process without the receiver's, for each 10^6 bytes.
 * Excludes  connecting.
 * Distrust  machines with fewer than two free CPUs: sender and receiver then take turns.
 */
static ssize_t send_chunk(int fd, const char *bytes, size_t length)
{
    return weft_send_all(fd, bytes, length, 0, WEFT_FOREVER);
}

void bench_stream_send(struct bench *b)
{
    stream_measure(b, send_chunk);
}
