/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE 1

#include "io/disk.h"

#include "arch/sim.h"
#include "io/sim.h"
#include "io/sim_disk.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/sysmacros.h>
#include <unistd.h>
#include <weft/sim.h>

enum { BLOCK = 4096, COPY_AT_ONCE = 16384 };

/* As a system call reports it. */
static int give(int result)
{
    if (result >= 0)
        return result;
    errno = -result;
    return -1;
}

/* Whether a descriptor is of the disk: 1 and what it stands for, 0, or -errno. */
static int find(int fd, struct wf_sim_socket **at)
{
    int error = wf_sim_is_here() ? wf_sim_file_find(fd, at) : -EBADF;

    return error == -EBADF ? 0 : error == 0 ? 1 : error;
}

int wf_disk_openat(int dir_fd, const char *path, int flags)
{
    wf_sim_path on_disk;
    int found = wf_sim_disk_resolve(dir_fd, path, on_disk);

    if (found == 0)
        return openat(dir_fd, path, flags);
    return give(found < 0 ? found : wf_sim_file_open(on_disk, flags, 0));
}

static ssize_t list(struct wf_sim_socket *at, char *buffer, size_t size)
{
    struct wf_sim_inode *inode;
    const char *path;
    size_t used = 0;

    if (!wf_sim_inode_is_folder(at->inode))
        return -ENOTDIR;
    while ((path = wf_sim_disk_entry(at->inode, at->listed, &inode)) != NULL) {
        const char *name = strrchr(path, '/') + 1;
        size_t length = (offsetof(struct dirent64, d_name) + strlen(name) + 1 + 7) / 8 * 8;
        struct dirent64 *entry = (struct dirent64 *)(void *)(buffer + used);

        if (used + length > size)
            break;
        entry->d_ino = inode->number;
        entry->d_off = (off64_t)++at->listed;
        entry->d_reclen = (unsigned short)length;
        entry->d_type = wf_sim_inode_is_folder(inode) ? DT_DIR : DT_REG;
        memcpy(entry->d_name, name, strlen(name) + 1);
        used += length;
    }
    return (ssize_t)used;
}

ssize_t wf_disk_getdents64(int fd, void *buffer, size_t size)
{
    struct wf_sim_socket *at;
    int found = find(fd, &at);

    if (found == 0)
        return getdents64(fd, buffer, size);
    if (found > 0 && wf_sim_fault(WEFT_SIM_IO_ERROR))
        found = -EIO;
    return give(found < 0 ? found : (int)list(at, buffer, size));
}

static struct statx_timestamp time_of(int64_t at)
{
    return (struct statx_timestamp){.tv_sec = at / 1000000000,
                                    .tv_nsec = (uint32_t)(at % 1000000000)};
}

static int tell(const struct wf_sim_inode *inode, struct statx *status)
{
    size_t length = wf_sim_inode_length(inode);

    *status = (struct statx){
        .stx_mask = STATX_BASIC_STATS,
        .stx_blksize = BLOCK,
        .stx_nlink = inode->links,
        .stx_uid = geteuid(),
        .stx_gid = getegid(),
        .stx_mode = (uint16_t)inode->mode,
        .stx_ino = inode->number,
        .stx_size = length,
        .stx_blocks = (length + 511) / 512,
        .stx_atime = time_of(inode->changed_at),
        .stx_ctime = time_of(inode->changed_at),
        .stx_mtime = time_of(inode->changed_at),
    };
    return 0;
}

int wf_disk_statx(int dir_fd, const char *path, int flags, unsigned mask, struct statx *status)
{
    const struct wf_sim_inode *inode;
    struct wf_sim_socket *at;
    wf_sim_path on_disk;
    bool is_itself = path != NULL && *path == '\0' && (flags & AT_EMPTY_PATH) != 0;
    int found = is_itself ? find(dir_fd, &at) : wf_sim_disk_resolve(dir_fd, path, on_disk);

    if (found == 0)
        return statx(dir_fd, path, flags, mask, status);
    if (found < 0)
        return give(found);
    inode = is_itself ? at->inode : wf_sim_disk_find(on_disk);
    return give(inode != NULL ? tell(inode, status) : -ENOENT);
}

static bool is_written(const struct wf_sim_socket *at)
{
    return !wf_sim_inode_is_folder(at->inode) && (fcntl(at->fd, F_GETFL) & O_ACCMODE) != O_RDONLY;
}

static int resize(const struct wf_sim_socket *at, off_t length)
{
    if (!is_written(at) || length < 0)
        return -EINVAL;
    if (wf_sim_fault(WEFT_SIM_NO_SPACE))
        return -ENOSPC;
    return wf_sim_inode_resize(at->inode, (size_t)length);
}

/* The disk has no size: what is reserved is that writes there do not find it full. */
static int allocate(const struct wf_sim_socket *at, int mode, off_t offset, off_t length)
{
    int error = 0;

    if ((mode & ~FALLOC_FL_KEEP_SIZE) != 0)
        return -EOPNOTSUPP;
    if (offset < 0 || length <= 0)
        return -EINVAL;
    if (length > INT64_MAX - offset)
        return -EFBIG;
    if (!is_written(at))
        return -EBADF;
    if (wf_sim_fault(WEFT_SIM_NO_SPACE))
        return -ENOSPC;
    if (mode == 0 && (size_t)(offset + length) > wf_sim_inode_length(at->inode))
        error = wf_sim_inode_resize(at->inode, (size_t)(offset + length));
    if (error == 0)
        wf_sim_inode_reserve(at->inode, (size_t)offset, (size_t)(offset + length));
    return error;
}

int wf_disk_fallocate(int fd, int mode, off_t offset, off_t length)
{
    struct wf_sim_socket *at;
    int found = find(fd, &at);

    if (found == 0)
        return fallocate(fd, mode, offset, length);
    return give(found < 0 ? found : allocate(at, mode, offset, length));
}

int wf_disk_ftruncate(int fd, off_t length)
{
    struct wf_sim_socket *at;
    int found = find(fd, &at);

    if (found == 0)
        return ftruncate(fd, length);
    return give(found < 0 ? found : resize(at, length));
}

/* Between two files of the disk; as between two file systems otherwise. */
ssize_t wf_disk_copy_file_range(int in, off_t *in_offset, int out, off_t *out_offset, size_t length,
                                unsigned flags)
{
    struct wf_sim_socket *from, *to;
    int found_in = find(in, &from), found_out = find(out, &to);
    char data[COPY_AT_ONCE];
    struct iovec part = {data, length < sizeof data ? length : sizeof data};
    ssize_t n;

    if (found_in == 0 && found_out == 0)
        return copy_file_range(in, in_offset, out, out_offset, length, flags);
    if (found_in <= 0 || found_out <= 0)
        return give(found_in < 0 ? found_in : found_out < 0 ? found_out : -EXDEV);
    n = in_offset != NULL ? pread(in, data, part.iov_len, *in_offset)
                          : read(in, data, part.iov_len);
    if (n <= 0)
        return n;
    part.iov_len = (size_t)n;
    n = wf_sim_inode_write(to->inode, out, &part, 1, out_offset != NULL ? *out_offset : -1);
    if (in_offset == NULL && n < (ssize_t)part.iov_len)
        (void)lseek(in, (n > 0 ? n : 0) - (off_t)part.iov_len, SEEK_CUR);
    if (n > 0 && in_offset != NULL)
        *in_offset += n;
    if (n > 0 && out_offset != NULL)
        *out_offset += n;
    return give((int)n);
}

/* What may befall a call that makes or changes a name. */
static int misfortune(void)
{
    if (wf_sim_fault(WEFT_SIM_NO_SPACE))
        return -ENOSPC;
    return wf_sim_fault(WEFT_SIM_IO_ERROR) ? -EIO : 0;
}

static bool is_folder_at(const char *path)
{
    const struct wf_sim_inode *inode = wf_sim_disk_find(path);

    return inode != NULL && wf_sim_inode_is_folder(inode);
}

static int check_move(const char *from, const char *to, unsigned flags)
{
    const struct wf_sim_inode *moved = wf_sim_disk_find(from), *there = wf_sim_disk_find(to);
    size_t length = strlen(from);

    if ((flags & ~(unsigned)RENAME_NOREPLACE) != 0 || *from == '\0' || *to == '\0')
        return -EINVAL;
    if (moved == NULL)
        return -ENOENT;
    if (there != NULL && (flags & RENAME_NOREPLACE) != 0)
        return -EEXIST;
    if (strncmp(to, from, length) == 0 && to[length] == '/')
        return -EINVAL;
    if (there == NULL || there == moved)
        return wf_sim_disk_check_parent(to);
    if (is_folder_at(from) != is_folder_at(to))
        return is_folder_at(to) ? -EISDIR : -ENOTDIR;
    return is_folder_at(to) && !wf_sim_disk_is_empty(to) ? -ENOTEMPTY : misfortune();
}

int wf_disk_renameat2(int old_dir_fd, const char *old_path, int new_dir_fd, const char *new_path,
                      unsigned flags)
{
    wf_sim_path from, to;
    int found = wf_sim_disk_resolve(old_dir_fd, old_path, from);
    int found_to = wf_sim_disk_resolve(new_dir_fd, new_path, to);
    int error;

    if (found == 0 && found_to == 0)
        return renameat2(old_dir_fd, old_path, new_dir_fd, new_path, flags);
    if (found <= 0 || found_to <= 0)
        return give(found < 0 ? found : found_to < 0 ? found_to : -EXDEV);
    error = check_move(from, to, flags);
    if (error == 0 && wf_sim_disk_find(from) != wf_sim_disk_find(to))
        error = wf_sim_disk_move(from, to);
    return give(error);
}

static int remove_name(const char *path, int flags)
{
    bool is_folder = is_folder_at(path);

    if (wf_sim_disk_find(path) == NULL)
        return -ENOENT;
    if (*path == '\0')
        return -EBUSY;
    if (is_folder != ((flags & AT_REMOVEDIR) != 0))
        return is_folder ? -EISDIR : -ENOTDIR;
    if (is_folder && !wf_sim_disk_is_empty(path))
        return -ENOTEMPTY;
    return wf_sim_fault(WEFT_SIM_IO_ERROR) ? -EIO : wf_sim_disk_remove(path);
}

int wf_disk_unlinkat(int dir_fd, const char *path, int flags)
{
    wf_sim_path on_disk;
    int found = wf_sim_disk_resolve(dir_fd, path, on_disk);

    if (found == 0)
        return unlinkat(dir_fd, path, flags);
    return give(found < 0 ? found : remove_name(on_disk, flags));
}

/* Whether a name may be made: 0 or -errno. */
static int check_new(const char *path)
{
    int error = wf_sim_disk_check_parent(path);

    if (error != 0)
        return error;
    return wf_sim_disk_find(path) != NULL ? -EEXIST : misfortune();
}

static int make_folder(const char *path, mode_t mode)
{
    struct wf_sim_inode *inode;
    int error = *path == '\0' ? -EEXIST : check_new(path);

    if (error != 0)
        return error;
    inode = wf_sim_inode_create(S_IFDIR | (mode & 07777));
    if (inode == NULL)
        return -ENOMEM;
    error = wf_sim_disk_add(path, inode);
    wf_sim_inode_release(inode);
    return error;
}

int wf_disk_mkdirat(int dir_fd, const char *path, mode_t mode)
{
    wf_sim_path on_disk;
    int found = wf_sim_disk_resolve(dir_fd, path, on_disk);

    if (found == 0)
        return mkdirat(dir_fd, path, mode);
    return give(found < 0 ? found : make_folder(on_disk, mode));
}

static int link_to(const char *from, const char *to)
{
    struct wf_sim_inode *inode = wf_sim_disk_find(from);
    int error = inode == NULL ? -ENOENT : is_folder_at(from) ? -EPERM : check_new(to);

    return error != 0 ? error : wf_sim_disk_add(to, inode);
}

int wf_disk_linkat(int old_dir_fd, const char *old_path, int new_dir_fd, const char *new_path,
                   int flags)
{
    wf_sim_path from, to;
    int found = wf_sim_disk_resolve(old_dir_fd, old_path, from);
    int found_to = wf_sim_disk_resolve(new_dir_fd, new_path, to);

    if (found == 0 && found_to == 0)
        return linkat(old_dir_fd, old_path, new_dir_fd, new_path, flags);
    if (found <= 0 || found_to <= 0)
        return give(found < 0 ? found : found_to < 0 ? found_to : -EXDEV);
    return give(link_to(from, to));
}

/* There are none on the disk, which is an answer that symlink(2) may give. */
int wf_disk_symlinkat(const char *target, int dir_fd, const char *path)
{
    wf_sim_path on_disk;
    int found = wf_sim_disk_resolve(dir_fd, path, on_disk);

    if (found == 0)
        return symlinkat(target, dir_fd, path);
    return give(found < 0 ? found : -EPERM);
}

ssize_t wf_disk_readlinkat(int dir_fd, const char *path, char *buffer, size_t size)
{
    wf_sim_path on_disk;
    int found = wf_sim_disk_resolve(dir_fd, path, on_disk);

    if (found == 0)
        return readlinkat(dir_fd, path, buffer, size);
    return give(found < 0 ? found : wf_sim_disk_find(on_disk) == NULL ? -ENOENT : -EINVAL);
}
