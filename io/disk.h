/* SPDX-License-Identifier: MIT */
/*
 * Calls on files and names that may be the simulated disk's.  Each is as the system call of its
 * name, errno included, and is that call wherever what it is about is not on such a disk.
 */
#ifndef WF_IO_DISK_H
#define WF_IO_DISK_H

#include <stddef.h>
#include <sys/stat.h>
#include <sys/types.h>

int wf_disk_openat(int dir_fd, const char *path, int flags);
ssize_t wf_disk_getdents64(int fd, void *buffer, size_t size);
int wf_disk_statx(int dir_fd, const char *path, int flags, unsigned mask, struct statx *status);
int wf_disk_fallocate(int fd, int mode, off_t offset, off_t length);
int wf_disk_ftruncate(int fd, off_t length);
ssize_t wf_disk_copy_file_range(int in, off_t *in_offset, int out, off_t *out_offset, size_t length,
                                unsigned flags);
int wf_disk_renameat2(int old_dir_fd, const char *old_path, int new_dir_fd, const char *new_path,
                      unsigned flags);
int wf_disk_unlinkat(int dir_fd, const char *path, int flags);
int wf_disk_mkdirat(int dir_fd, const char *path, mode_t mode);
int wf_disk_linkat(int old_dir_fd, const char *old_path, int new_dir_fd, const char *new_path,
                   int flags);
int wf_disk_symlinkat(const char *target, int dir_fd, const char *path);
ssize_t wf_disk_readlinkat(int dir_fd, const char *path, char *buffer, size_t size);

#endif
