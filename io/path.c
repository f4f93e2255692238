/* SPDX-License-Identifier: MIT */
/* Calls on files and names, each on the blocking pool. */
#define _GNU_SOURCE 1

#include <weft/file.h>

#include "arch/compiler.h"
#include "io/call.h"
#include "io/disk.h"
#include "io/op.h"
#include "io/pending.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

/* What the calls here have between them; each uses a part. */
struct file_call {
    int fd, other_fd;
    const char *path, *other_path;
    void *buffer;
    off_t *offset, *other_offset;
    off_t from;
    size_t length;
    mode_t mode;
    int flags;
    unsigned mask;
    ssize_t result;
};

/* Not inlined: errno is a thread's, and the pool's thread is another one than the caller's. */
static WF_NOINLINE int finish(struct file_call *call, ssize_t result)
{
    call->result = result < 0 ? -errno : result;
    return 0;
}

/* The descriptors stay what they are until it has been made.  `other`: the hold of a second one. */
static ssize_t make_beside(const struct wf_op *other, int (*fn)(void *), struct file_call *call,
                           weft_time deadline)
{
    struct wf_op hold = {.fd = call->fd, .epoch = wf_epoch_now(call->fd)};
    int error = wf_op_hold(&hold);

    /* After a signal it is made again, as the kernel itself does after a handler with SA_RESTART.
     */
    call->result = -EINTR;
    while (error == 0 && call->result == -EINTR)
        error = wf_call_file(fn, call, &hold, other, deadline);
    wf_op_release(&hold);
    return error != 0 ? error : call->result;
}

static ssize_t make(int (*fn)(void *), struct file_call *call, weft_time deadline)
{
    return make_beside(NULL, fn, call, deadline);
}

/* The same for one that has two. */
static ssize_t make_of_two(int (*fn)(void *), struct file_call *call, weft_time deadline)
{
    struct wf_op hold = {.fd = call->other_fd, .epoch = wf_epoch_now(call->other_fd)};
    ssize_t result = wf_op_hold(&hold);

    if (result == 0)
        result = make_beside(&hold, fn, call, deadline);
    wf_op_release(&hold);
    return result;
}

static int run_statx(void *arg)
{
    struct file_call *call = arg;

    return finish(call, wf_disk_statx(call->fd, call->path, call->flags, call->mask, call->buffer));
}

int weft_statx(int dir_fd, const char *path, int flags, unsigned mask, struct statx *status,
               weft_time deadline)
{
    struct file_call call = {.fd = wf_op_folder(dir_fd, path),
                             .path = path,
                             .flags = flags,
                             .mask = mask,
                             .buffer = status};

    return (int)make(run_statx, &call, deadline);
}

static int run_fallocate(void *arg)
{
    struct file_call *call = arg;

    return finish(call, wf_disk_fallocate(call->fd, call->flags, call->from, (off_t)call->length));
}

int weft_fallocate(int fd, int mode, off_t offset, off_t len, weft_time deadline)
{
    struct file_call call = {.fd = fd, .flags = mode, .from = offset, .length = (size_t)len};

    return (int)make(run_fallocate, &call, deadline);
}

static int run_ftruncate(void *arg)
{
    struct file_call *call = arg;

    return finish(call, wf_disk_ftruncate(call->fd, (off_t)call->length));
}

int weft_ftruncate(int fd, off_t len, weft_time deadline)
{
    struct file_call call = {.fd = fd, .length = (size_t)len};

    return (int)make(run_ftruncate, &call, deadline);
}

static int run_copy(void *arg)
{
    struct file_call *call = arg;

    return finish(call, wf_disk_copy_file_range(call->fd, call->offset, call->other_fd,
                                                call->other_offset, call->length, call->mask));
}

ssize_t weft_copy_file_range(int in, off_t *in_offset, int out, off_t *out_offset, size_t len,
                             unsigned flags, weft_time deadline)
{
    struct file_call call = {.fd = in,
                             .offset = in_offset,
                             .other_fd = out,
                             .other_offset = out_offset,
                             .length = len,
                             .mask = flags};

    return make_of_two(run_copy, &call, deadline);
}

static int run_rename(void *arg)
{
    struct file_call *call = arg;

    return finish(call, wf_disk_renameat2(call->fd, call->path, call->other_fd, call->other_path,
                                          call->mask));
}

int weft_renameat(int old_dir_fd, const char *old_path, int new_dir_fd, const char *new_path,
                  unsigned flags, weft_time deadline)
{
    struct file_call call = {.fd = wf_op_folder(old_dir_fd, old_path),
                             .path = old_path,
                             .other_fd = wf_op_folder(new_dir_fd, new_path),
                             .other_path = new_path,
                             .mask = flags};

    return (int)make_of_two(run_rename, &call, deadline);
}

static int run_unlink(void *arg)
{
    struct file_call *call = arg;

    return finish(call, wf_disk_unlinkat(call->fd, call->path, call->flags));
}

int weft_unlinkat(int dir_fd, const char *path, int flags, weft_time deadline)
{
    struct file_call call = {.fd = wf_op_folder(dir_fd, path), .path = path, .flags = flags};

    return (int)make(run_unlink, &call, deadline);
}

static int run_mkdir(void *arg)
{
    struct file_call *call = arg;

    return finish(call, wf_disk_mkdirat(call->fd, call->path, call->mode));
}

int weft_mkdirat(int dir_fd, const char *path, mode_t mode, weft_time deadline)
{
    struct file_call call = {.fd = wf_op_folder(dir_fd, path), .path = path, .mode = mode};

    return (int)make(run_mkdir, &call, deadline);
}

static int run_link(void *arg)
{
    struct file_call *call = arg;

    return finish(
        call, wf_disk_linkat(call->fd, call->path, call->other_fd, call->other_path, call->flags));
}

int weft_linkat(int old_dir_fd, const char *old_path, int new_dir_fd, const char *new_path,
                int flags, weft_time deadline)
{
    struct file_call call = {.fd = wf_op_folder(old_dir_fd, old_path),
                             .path = old_path,
                             .other_fd = wf_op_folder(new_dir_fd, new_path),
                             .other_path = new_path,
                             .flags = flags};

    return (int)make_of_two(run_link, &call, deadline);
}

static int run_symlink(void *arg)
{
    struct file_call *call = arg;

    return finish(call, wf_disk_symlinkat(call->other_path, call->fd, call->path));
}

int weft_symlinkat(const char *target, int dir_fd, const char *path, weft_time deadline)
{
    struct file_call call = {.other_path = target, .fd = wf_op_folder(dir_fd, path), .path = path};

    return (int)make(run_symlink, &call, deadline);
}

static int run_readlink(void *arg)
{
    struct file_call *call = arg;

    return finish(call, wf_disk_readlinkat(call->fd, call->path, call->buffer, call->length));
}

ssize_t weft_readlinkat(int dir_fd, const char *path, char *buf, size_t len, weft_time deadline)
{
    struct file_call call = {
        .fd = wf_op_folder(dir_fd, path), .path = path, .buffer = buf, .length = len};

    return make(run_readlink, &call, deadline);
}
