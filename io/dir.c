/* SPDX-License-Identifier: MIT */
/* Listing folders. */
#define _GNU_SOURCE 1

#include <weft/file.h>

#include "arch/compiler.h"
#include "io/call.h"
#include "io/disk.h"
#include "io/op.h"
#include "io/pending.h"
#include "runtime/alloc.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <string.h>
#include <unistd.h>
#include <weft/io.h>

enum { BUFFER_SIZE = 32 * 1024 /* what the C library's readdir() takes, too */ };

struct weft_dir {
    int fd;
    ssize_t filled; /* bytes of the buffer that hold entries; a negative errno */
    ssize_t next;   /* where the next entry begins */
    _Alignas(struct dirent64) char buffer[BUFFER_SIZE];
};

struct open_call {
    weft_dir *dir;
    int dir_fd;
    const char *path;
};

/* Not inlined, here and below: errno is a thread's, and these run on the pool's. */
static WF_NOINLINE int open_folder(void *arg)
{
    struct open_call *call = arg;

    do
        call->dir->fd = wf_disk_openat(call->dir_fd, call->path,
                                       O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    while (call->dir->fd < 0 && errno == EINTR);
    if (call->dir->fd < 0)
        call->dir->fd = -errno;
    return 0;
}

int weft_dir_open(weft_dir **dir, int dir_fd, const char *path, weft_time deadline)
{
    struct open_call call = {wf_alloc(sizeof(weft_dir)), wf_op_folder(dir_fd, path), path};
    struct wf_op hold = {.fd = call.dir_fd, .epoch = wf_epoch_now(call.dir_fd)};
    int error;

    if (call.dir == NULL)
        return -ENOMEM;
    /* It may be queued for long behind other calls, while somebody closes the descriptor. */
    error = wf_op_hold(&hold);
    if (error == 0)
        error = wf_call_file(open_folder, &call, &hold, NULL, deadline);
    wf_op_release(&hold);
    if (error == 0 && call.dir->fd < 0)
        error = call.dir->fd;
    if (error == 0)
        *dir = call.dir;
    else
        wf_free(call.dir);
    return error;
}

static WF_NOINLINE int fill(void *arg)
{
    weft_dir *dir = arg;

    do
        dir->filled = wf_disk_getdents64(dir->fd, dir->buffer, sizeof dir->buffer);
    while (dir->filled < 0 && errno == EINTR);
    if (dir->filled < 0)
        dir->filled = -errno;
    dir->next = 0;
    return 0;
}

static bool is_itself_or_parent(const char *name)
{
    return strcmp(name, ".") == 0 || strcmp(name, "..") == 0;
}

int weft_dir_next(weft_dir *dir, struct weft_dir_entry *entry, weft_time deadline)
{
    const struct dirent64 *found;

    do {
        if (dir->next >= dir->filled) {
            int error = wf_call_file(fill, dir, NULL, NULL, deadline);

            if (error != 0)
                return error;
            if (dir->filled <= 0)
                return (int)dir->filled;
        }
        found = (const struct dirent64 *)(const void *)(dir->buffer + dir->next);
        dir->next += found->d_reclen;
    } while (is_itself_or_parent(found->d_name));
    entry->name = found->d_name;
    entry->inode = found->d_ino;
    entry->type = found->d_type;
    return 1;
}

void weft_dir_close(weft_dir *dir)
{
    if (dir == NULL)
        return;
    (void)weft_close(dir->fd);
    wf_free(dir);
}
