/* SPDX-License-Identifier: MIT */
/* What the file/... benchmarks of weft and its peers have in common: files, and what is right. */
#ifndef WEFT_BENCH_FILE_WORK_H
#define WEFT_BENCH_FILE_WORK_H

#include "harness/bench.h"
#include "harness/folder.h"
#include "harness/io_rows.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum {
    FILE_BLOCK = 4096,
    FILE_BLOCKS = 16384,                                 /* 64 MiB */
    FILE_DEPTH = 64,                                     /* reads at a time */
    FILE_READS_EACH = BENCH_FILE_READS / FILE_DEPTH,     /* in a unit of the batch */
    FILE_PIECE = 65536,                                  /* bytes that a copy moves at a time */
    FILE_PIECES = 256,                                   /* 16 MiB, which is then copied again */
    FILE_COPIED = FILE_PIECES * FILE_PIECE / FILE_BLOCK, /* blocks */
};

/* A file without a name, of blocks that begin with their number; -1 if there is no room. */
static inline int file_make(size_t blocks)
{
    int fd = bench_make_file();
    uint64_t block[FILE_BLOCK / sizeof(uint64_t)] = {0};

    if (fd < 0)
        return -1;
    for (size_t i = 0; i < blocks; i++) {
        block[0] = i;
        if (pwrite(fd, block, sizeof block, (off_t)(i * sizeof block)) != sizeof block) {
            close(fd);
            return -1;
        }
    }
    return fd;
}

/* The file of all samples of a process that open it with these flags. */
static inline int file_to_read(struct bench *b, int flags)
{
    static int fds[] = {-1, -1};
    int *fd = &fds[flags != 0];
    char path[64];
    int made;

    if (*fd >= 0)
        return *fd;
    made = file_make(FILE_BLOCKS);
    if ((flags & O_DIRECT) != 0 && made >= 0 && bench_is_in_memory(made)) {
        bench_fail(b, "%s is in memory: BENCH_FOLDER may name one on a disk", bench_folder());
        close(made);
        return -1;
    }
    snprintf(path, sizeof path, "/proc/self/fd/%d", made);
    if (made >= 0 && fsync(made) == 0)
        *fd = open(path, O_RDONLY | O_CLOEXEC | flags);
    close(made);
    if (*fd < 0)
        bench_fail(b, flags != 0 ? "no file that can be read past the cache" : "no file");
    return *fd;
}

/* Reads of one of FILE_DEPTH readers. */
struct file_reader {
    int fd;
    uint64_t random;
    uint64_t left, wrong;
    uint64_t block; /* the one being read */
    char *content;  /* of FILE_BLOCK bytes, aligned to as many */
};

/* Gives each its reads.  Returns whether there is a file, and memory. */
static inline int file_readers_begin(struct bench *b, struct file_reader *readers)
{
    static char content[FILE_DEPTH][FILE_BLOCK] __attribute__((aligned(FILE_BLOCK)));
    int fd = file_to_read(b, (int)b->spec->parameter);

    for (unsigned i = 0; i < FILE_DEPTH; i++)
        readers[i] = (struct file_reader){
            .fd = fd, .random = i + 1, .left = b->batch * FILE_READS_EACH, .content = content[i]};
    return fd >= 0;
}

/* Whether there is one more, and where. */
static inline int file_reader_next(struct file_reader *reader, off_t *offset)
{
    if (reader->left == 0)
        return 0;
    reader->left--;
    reader->random = reader->random * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    reader->block = (reader->random >> 33) % FILE_BLOCKS;
    *offset = (off_t)(reader->block * FILE_BLOCK);
    return 1;
}

static inline void file_reader_check(struct file_reader *reader, ssize_t n)
{
    uint64_t number;

    memcpy(&number, reader->content, sizeof number);
    reader->wrong += n != FILE_BLOCK || number != reader->block;
}

static inline void file_readers_end(struct bench *b, const struct file_reader *readers)
{
    for (unsigned i = 0; i < FILE_DEPTH; i++)
        if (readers[i].wrong != 0 || readers[i].left != 0)
            bench_fail(b, "%llu reads were wrong, %llu were not done",
                       (unsigned long long)readers[i].wrong, (unsigned long long)readers[i].left);
}

struct file_copy {
    int in, out;
};

/* Copies FILE_PIECE bytes from one file to the same place in the other; returns how many it has. */
typedef ssize_t file_copy_fn(const struct file_copy *copy, off_t offset);

/* Spoils what will be copied to, so that a copy that did nothing is found. */
static inline int file_copy_begin(struct bench *b, struct file_copy *copy)
{
    static struct file_copy files = {-1, -1};
    uint64_t spoiled = UINT64_MAX;

    if (files.in < 0)
        files = (struct file_copy){file_make(FILE_COPIED), file_make(FILE_COPIED)};
    for (off_t i = 0; i < FILE_COPIED; i++)
        if (pwrite(files.out, &spoiled, sizeof spoiled, i * FILE_BLOCK) != sizeof spoiled) {
            bench_fail(b, "no files");
            return 0;
        }
    *copy = files;
    return 1;
}

static inline void file_copy_end(struct bench *b, const struct file_copy *copy, uint64_t moved)
{
    size_t pieces = b->batch < FILE_PIECES ? b->batch : FILE_PIECES, length = pieces * FILE_PIECE;
    void *in = mmap(NULL, length, PROT_READ, MAP_SHARED, copy->in, 0);
    void *out = mmap(NULL, length, PROT_READ, MAP_SHARED, copy->out, 0);

    if (moved != b->batch * FILE_PIECE)
        bench_fail(b, "%llu bytes were moved", (unsigned long long)moved);
    else if (in == MAP_FAILED || out == MAP_FAILED || memcmp(in, out, length) != 0)
        bench_fail(b, "the copy is another one than the file");
    if (in != MAP_FAILED)
        munmap(in, length);
    if (out != MAP_FAILED)
        munmap(out, length);
}

static inline void file_copy_measure(struct bench *b, file_copy_fn *copy_piece)
{
    struct file_copy copy;
    uint64_t moved = 0;

    if (!file_copy_begin(b, &copy))
        return;
    bench_start(b);
    for (uint64_t i = 0; i < b->batch; i++) {
        ssize_t n = copy_piece(&copy, (off_t)(i % FILE_PIECES * FILE_PIECE));

        moved += n > 0 ? (uint64_t)n : 0;
    }
    bench_stop(b);
    file_copy_end(b, &copy, moved);
}

#endif
