/* SPDX-License-Identifier: MIT */
/*
 * The simulated disk: what it holds now, and what of that would be left if the power went.
 *
 * A file's bytes lie in memory of the kernel's (memfd_create(2)), and a descriptor of it is the
 * kernel's too, so that offsets, flags and sizes are what they always are.  What is kept here are
 * names, the bytes that are certain, and the changes since, of names and of bytes, that are not.
 *
 * None of these functions is a point, and all of it is touched by one real thread.
 */
#ifndef WF_IO_SIM_DISK_H
#define WF_IO_SIM_DISK_H

#include "io/op.h"

#include <limits.h>
#include <stdbool.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <sys/uio.h>

struct wf_sim_socket;

/* A change of a file's bytes or of its length that is not certain yet. */
struct wf_sim_change {
    struct wf_sim_change *next;
    size_t offset; /* or the new length */
    size_t length; /* of the data */
    bool is_resize;
    char data[];
};

/* A file or a folder, whatever its names. */
struct wf_sim_inode {
    uint32_t number;     /* in the trace: counts up from 1 in each run */
    unsigned references; /* of names, of descriptors, and of changes of names */
    unsigned links;      /* names that it has now */
    mode_t mode;
    int memory; /* the kernel's descriptor; -1: a folder */
    int64_t changed_at;
    size_t reserved_from, reserved_to; /* bytes that there is room for, whatever comes */
    char *durable;                     /* the bytes that are certain */
    size_t durable_length, durable_room;
    struct wf_sim_change *first, **last;
};

/* A path on the disk: what comes after the disk's own; "" is the disk itself. */
typedef char wf_sim_path[PATH_MAX];

/* For a run and after it, as wf_sim_net_begin() and wf_sim_net_end(). */
void wf_sim_disk_begin(void);
void wf_sim_disk_end(void);

/* What descriptors of folders are copies of; a descriptor, or -errno. */
int wf_sim_disk_folder_memory(void);

/* Where the kernel names the descriptors of this process; the same. */
int wf_sim_disk_descriptors(void);

/* Counts crashes: a descriptor of before the last one is dead. */
uint64_t wf_sim_disk_age(void);

/* Whether a path is on the disk: 1 and the path, 0, or -errno. */
int wf_sim_disk_resolve(int dir_fd, const char *path, wf_sim_path on_disk);

/* Names.  Each returns 0 or -errno; what they change is certain only after a sync of the folder. */
struct wf_sim_inode *wf_sim_disk_find(const char *path);
int wf_sim_disk_check_parent(const char *path);
int wf_sim_disk_add(const char *path, struct wf_sim_inode *inode);
int wf_sim_disk_remove(const char *path);
int wf_sim_disk_move(const char *from, const char *to);
bool wf_sim_disk_is_empty(const char *folder);
void wf_sim_disk_sync_folder(const struct wf_sim_inode *folder);

/* The path of the place-th thing in a folder, in order of creation; NULL: there is none. */
const char *wf_sim_disk_entry(const struct wf_sim_inode *folder, size_t place,
                              struct wf_sim_inode **inode);

/* With one reference; NULL: no memory, or no descriptor. */
struct wf_sim_inode *wf_sim_inode_create(mode_t mode);
void wf_sim_inode_release(struct wf_sim_inode *inode);
bool wf_sim_inode_is_folder(const struct wf_sim_inode *inode);
size_t wf_sim_inode_length(const struct wf_sim_inode *inode);

/* Makes all changes certain; false if there is no memory, and then some may be. */
bool wf_sim_inode_sync(struct wf_sim_inode *inode);

/* The dice say what becomes of each change that is not certain; then there are none. */
void wf_sim_inode_lose(struct wf_sim_inode *inode);

/* Shows what is certain, and nothing else. */
void wf_sim_inode_recover(struct wf_sim_inode *inode);

int wf_sim_inode_resize(struct wf_sim_inode *inode, size_t length);

/* Keeps room for bytes: a write of them, and of nothing else, does not find the disk full.  Of
 * ranges with a gap between them only the last one is kept. */
void wf_sim_inode_reserve(struct wf_sim_inode *inode, size_t from, size_t to);
bool wf_sim_inode_is_reserved(const struct wf_sim_inode *inode, size_t from, size_t length);

/* writev(2) on a descriptor of it, or pwritev(2) where the offset is not negative; -ENOSPC too, if
 * the dice say so. */
ssize_t wf_sim_inode_write(struct wf_sim_inode *inode, int fd, const struct iovec *parts,
                           size_t count, int64_t offset);

/* Operations (sim_file.c). */

/* openat(2) on the disk: a descriptor, or -errno. */
int wf_sim_file_open(const char *path, int flags, mode_t mode);

/* Does an operation other than a sync or a close, and sets op->result. */
void wf_sim_file_do(struct wf_sim_socket *at, struct wf_op *op);

/* Starts a sync, which completes the operation. */
void wf_sim_file_sync(struct wf_sim_socket *at, struct wf_op *op);

/* What a descriptor stands for, if it is of the disk and not of before a crash: 0, or -EBADF or
 * -EIO. */
int wf_sim_file_find(int fd, struct wf_sim_socket **at);

#endif
