/* SPDX-License-Identifier: MIT */
/* Operations on descriptors of the simulated disk. */
#define _GNU_SOURCE 1

#include "arch/sim.h"
#include "io/sim.h"
#include "io/sim_disk.h"
#include "runtime/alloc.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>
#include <weft/sim.h>

enum {
    PARTS_CUT_MAX = 8,     /* of an operation that moves less than it could */
    SYNC_MAX_NS = 8000000, /* a disk that turns */
};

int wf_sim_file_find(int fd, struct wf_sim_socket **at)
{
    *at = wf_sim_find(fd);
    if (*at == NULL || (*at)->kind != WF_SIM_FILE)
        return -EBADF;
    return (*at)->age == wf_sim_disk_age() ? 0 : -EIO;
}

/* The kernel's descriptor of an open file. */
static int open_memory(const struct wf_sim_inode *inode, int flags)
{
    bool is_folder = wf_sim_inode_is_folder(inode);
    int from = is_folder ? wf_sim_disk_folder_memory() : wf_sim_disk_descriptors();
    char name[16];
    int fd;

    if (from < 0)
        return from;
    if (is_folder) {
        fd = fcntl(from, F_DUPFD_CLOEXEC, 0);
    } else {
        snprintf(name, sizeof name, "%d", inode->memory);
        fd = openat(from, name, flags & (O_ACCMODE | O_APPEND | O_NONBLOCK | O_CLOEXEC));
    }
    return fd >= 0 ? fd : -errno;
}

static int open_inode(struct wf_sim_inode *inode, int flags)
{
    struct wf_sim_socket *at;
    int fd = open_memory(inode, flags);

    if (fd < 0)
        return fd;
    at = wf_sim_make(fd, WF_SIM_FILE);
    if (at == NULL) {
        close(fd);
        return -ENOMEM;
    }
    at->inode = inode;
    at->age = wf_sim_disk_age();
    at->is_synchronous = (flags & O_DSYNC) != 0;
    inode->references++;
    wf_sim_trace("open", inode->number, at->number);
    return fd;
}

static int create(const char *path, mode_t mode, struct wf_sim_inode **inode)
{
    int error = wf_sim_disk_check_parent(path);

    if (error != 0)
        return error;
    if (wf_sim_fault(WEFT_SIM_NO_SPACE))
        return -ENOSPC;
    *inode = wf_sim_inode_create(S_IFREG | (mode & 07777));
    if (*inode == NULL)
        return -ENOMEM;
    error = wf_sim_disk_add(path, *inode);
    wf_sim_inode_release(*inode);
    return error;
}

static int check_open(const struct wf_sim_inode *inode, int flags)
{
    bool is_folder = wf_sim_inode_is_folder(inode);

    if ((flags & O_CREAT) != 0 && (flags & O_EXCL) != 0)
        return -EEXIST;
    if (is_folder && ((flags & O_ACCMODE) != O_RDONLY || (flags & O_CREAT) != 0))
        return -EISDIR;
    return !is_folder && (flags & O_DIRECTORY) != 0 ? -ENOTDIR : 0;
}

int wf_sim_file_open(const char *path, int flags, mode_t mode)
{
    struct wf_sim_inode *inode = wf_sim_disk_find(path);
    int error = inode != NULL ? check_open(inode, flags) : -ENOENT;

    if ((flags & O_TMPFILE) == O_TMPFILE)
        return -EOPNOTSUPP;
    if (wf_sim_fault(WEFT_SIM_REFUSE))
        return -EMFILE;
    if (wf_sim_fault(WEFT_SIM_IO_ERROR))
        return -EIO;
    if (error == -ENOENT) {
        int missing = wf_sim_disk_check_parent(path);

        error = missing != 0 ? missing : -ENOENT;
        if ((flags & O_CREAT) != 0)
            error = create(path, mode, &inode);
    } else if (error == 0 && (flags & O_TRUNC) != 0 && (flags & O_ACCMODE) != O_RDONLY) {
        error = wf_sim_inode_resize(inode, 0);
    }
    return error != 0 ? error : open_inode(inode, flags);
}

/* What the operation moves, in whole or, at a fault, in part.  Returns how many parts there are. */
static size_t parts_of(const struct wf_op *op, struct iovec *one, struct iovec cut[PARTS_CUT_MAX],
                       const struct iovec **parts)
{
    bool is_vector = op->code == WF_OP_READV || op->code == WF_OP_WRITEV;
    size_t count = is_vector ? op->length : 1, last;

    *one = (struct iovec){op->buffer, op->length < INT32_MAX ? op->length : INT32_MAX};
    *parts = is_vector ? op->buffer : one;
    if (count == 0 || !wf_sim_fault(WEFT_SIM_SHORT))
        return count;
    if (count > PARTS_CUT_MAX)
        count = PARTS_CUT_MAX;
    for (size_t i = 0; i < count; i++)
        cut[i] = (*parts)[i];
    *parts = cut;
    last = wf_sim_fault_draw(WEFT_SIM_SHORT, (uint32_t)count);
    if (cut[last].iov_len > 1)
        cut[last].iov_len = 1 + wf_sim_fault_draw(WEFT_SIM_SHORT, (uint32_t)cut[last].iov_len - 1);
    return last + 1;
}

static ssize_t read_file(const struct wf_sim_socket *at, const struct wf_op *op)
{
    struct iovec one, cut[PARTS_CUT_MAX];
    const struct iovec *parts;
    size_t count = parts_of(op, &one, cut, &parts);
    ssize_t n;

    if (wf_sim_inode_is_folder(at->inode))
        return -EISDIR;
    if (wf_sim_fault(WEFT_SIM_IO_ERROR))
        return -EIO;
    n = op->offset < 0 ? readv(at->fd, parts, (int)count)
                       : preadv(at->fd, parts, (int)count, op->offset);
    return n < 0 ? -errno : n;
}

static ssize_t write_file(const struct wf_sim_socket *at, const struct wf_op *op)
{
    struct iovec one, cut[PARTS_CUT_MAX];
    const struct iovec *parts;
    size_t count = parts_of(op, &one, cut, &parts);
    ssize_t n;

    if (wf_sim_inode_is_folder(at->inode))
        return -EBADF;
    if (wf_sim_fault(WEFT_SIM_IO_ERROR))
        return -EIO;
    n = wf_sim_inode_write(at->inode, at->fd, parts, count, op->offset);
    if (n > 0 && at->is_synchronous && !wf_sim_inode_sync(at->inode))
        return -EIO;
    return n;
}

void wf_sim_file_do(struct wf_sim_socket *at, struct wf_op *op)
{
    if (at->age != wf_sim_disk_age()) {
        op->result = -EIO;
        return;
    }
    switch (op->code) {
    case WF_OP_READ:
    case WF_OP_READV:
        op->result = (int32_t)read_file(at, op);
        break;
    case WF_OP_WRITE:
    case WF_OP_WRITEV:
        op->result = (int32_t)write_file(at, op);
        break;
    case WF_OP_POLL:
        op->result = op->flags & wf_sim_events(at);
        break;
    case WF_OP_RECV:
    case WF_OP_SEND:
    case WF_OP_RECVMSG:
    case WF_OP_SENDMSG:
    case WF_OP_ACCEPT:
    case WF_OP_CONNECT:
        op->result = -ENOTSOCK;
        break;
    default:
        op->result = -EINVAL;
    }
}

/* A sync on its way. */
struct sync {
    struct wf_op *op;
    struct wf_sim_inode *inode;
    uint64_t age;
};

/*
 * As in Linux, what a sync could not write is not written by the next one: the pages count as clean
 * ("fsyncgate", 2018; fsync(2), "EIO").
 */
static int end_sync(const struct sync *sync)
{
    if (sync->age != wf_sim_disk_age())
        return -EIO;
    if (wf_sim_fault(WEFT_SIM_IO_ERROR)) {
        wf_sim_inode_lose(sync->inode);
        return -EIO;
    }
    if (wf_sim_inode_is_folder(sync->inode)) {
        wf_sim_disk_sync_folder(sync->inode);
        return 0;
    }
    return wf_sim_inode_sync(sync->inode) ? 0 : -EIO;
}

/* An event. */
static void sync_ends(void *arg)
{
    struct sync *sync = arg;
    struct wf_op *op = sync->op;

    op->result = end_sync(sync);
    wf_sim_inode_release(sync->inode);
    wf_free(sync);
    wf_sim_complete(op);
}

void wf_sim_file_sync(struct wf_sim_socket *at, struct wf_op *op)
{
    struct sync *sync = wf_alloc(sizeof *sync);
    int64_t end = wf_sim_time() + 1 + wf_sim_draw(WF_SIM_NETWORK, SYNC_MAX_NS);

    op->result = -EIO;
    if (sync != NULL) {
        *sync = (struct sync){op, at->inode, at->age};
        if (wf_sim_at(end, sync_ends, sync)) {
            at->inode->references++;
            return;
        }
        wf_free(sync);
    }
    wf_sim_complete(op);
}
