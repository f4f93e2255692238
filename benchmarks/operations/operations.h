/* SPDX-License-Identifier: MIT */
/*
 * What io/op measures: each operation of weft beside the plain calls that do the same, and what
 * both of them find ready.
 */
#ifndef WEFT_BENCH_OPERATIONS_H
#define WEFT_BENCH_OPERATIONS_H

#include <dirent.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <sys/types.h>
#include <weft.h>

/* Each is the function weft_NAME(); docs/io.md has a row for each (scripts/checks/operations.py).
 */
#define OPERATIONS(each)                                                                          \
    each(read), each(readv), each(read_exact), each(write), each(writev), each(write_all),        \
        each(pread), each(preadv), each(pwrite), each(pwritev), each(recv), each(recv_lent),      \
        each(recvmsg), each(recvfrom), each(send), each(send_all), each(sendmsg), each(sendto),   \
        each(accept), each(connect), each(listen_tcp), each(poll_fd), each(pipe), each(openat),   \
        each(close), each(fsync), each(fdatasync), each(statx), each(fallocate), each(ftruncate), \
        each(copy_file_range), each(renameat), each(unlinkat), each(mkdirat), each(linkat),       \
        each(symlinkat), each(readlinkat), each(dir_open), each(dir_next), each(dir_close),       \
        each(splice), each(tee), each(sendfile), each(process_spawn), each(process_wait),         \
        each(signal_wait), each(resolve), each(reader_until), each(reader_line),                  \
        each(reader_read), each(reader_read_exact), each(writer_write), each(writer_printf),      \
        each(writer_flush)

enum {
    OPERATION_MANY = 256, /* operations of a batch at most */
    OPERATION_BLOCK = 4096,
    OPERATION_LINE = 16,   /* bytes; a batch of lines fills a block */
    OPERATION_FIBERS = 16, /* that share a batch */
};

/* Where operations find what they work on; descriptors that are not there are -1. */
struct place {
    int in, out;           /* what goes into the one comes out of the other */
    int more_in, more_out; /* a second pipe */
    int file, copy;        /* of OPERATION_MANY blocks each, in memory */
    int folder;
    char path[512]; /* the folder's */
    struct sockaddr_in address;
    int fds[OPERATION_MANY], others[OPERATION_MANY]; /* one for each operation of a batch */
    pid_t pids[OPERATION_MANY];
    weft_dir *dirs[OPERATION_MANY];
    DIR *plain_dirs[OPERATION_MANY];
    sigset_t signals;
    FILE *stdio;
    weft_reader reader;
    weft_writer writer;
    char buffer[OPERATION_BLOCK]; /* of the reader or the writer */
    char blocks[OPERATION_FIBERS][OPERATION_BLOCK];
};

/* What operations have in common; any may be NULL. */
struct scene {
    bool (*set_up)(struct place *p);                  /* once */
    bool (*prepare)(struct place *p, unsigned count); /* before each batch */
    bool (*clean)(struct place *p, unsigned count);   /* after it */
    bool is_for_one;                                  /* fibers cannot share a batch */
};

/* Does the operation `i` of a batch; false if it went wrong. */
typedef bool operate_fn(struct place *p, unsigned i);

struct operation {
    const struct scene *scene;
    unsigned count; /* of a batch */
    operate_fn *plain, *weft;
};

#define OPERATION_RECORD(name) operation_##name
extern const struct operation OPERATIONS(OPERATION_RECORD);

#define OPERATION_NUMBER(name) OPERATION_##name
enum { OPERATIONS(OPERATION_NUMBER) };

/* Both calls are expressions of `p` and `i`, true if they did what they should. */
#define OPERATION(name, scene_, count_, plain_call, weft_call)                  \
    static bool plain_##name(struct place *p, unsigned i)                       \
    {                                                                           \
        (void)p;                                                                \
        (void)i;                                                                \
        return plain_call;                                                      \
    }                                                                           \
    static bool weft_##name##_once(struct place *p, unsigned i)                 \
    {                                                                           \
        (void)p;                                                                \
        (void)i;                                                                \
        return weft_call;                                                       \
    }                                                                           \
    const struct operation operation_##name = {&(scene_), count_, plain_##name, \
                                               weft_##name##_once};             \
    _Static_assert((count_) <= OPERATION_MANY, "there is a place for each")

/* pipes.c */
bool place_pipe(struct place *p);
bool place_sockets(struct place *p);
bool place_put(struct place *p, unsigned bytes);  /* into `out` */
bool place_take(struct place *p, unsigned bytes); /* all of it, from `in` */
bool place_drain(int fd, unsigned bytes);
bool place_close(struct place *p, unsigned count); /* the first of `fds` and `others` */

/* files.c */
bool place_files(struct place *p);

/* All of it; false if something cannot be removed. */
bool place_tear_down(struct place *p);

#endif
