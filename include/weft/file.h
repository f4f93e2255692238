/* SPDX-License-Identifier: MIT */
/*
 * Files and folders: what is more than reading and writing (weft/io.h).
 *
 * Each call here is made on a thread of the runtime's pool (weft/blocking.h), on either backend:
 * the kernel has no form of them that does not block a thread, and io_uring hands them to threads
 * of its own.  As many run at a time as the pool has threads (`blocking_threads`); where it can
 * have none, the call holds its worker.
 *
 * A call that has begun is never left: its result is reported, also when the deadline passes or the
 * fiber is cancelled meanwhile.  One that a signal interrupts is made again.  On a plain thread a
 * call blocks, whatever its deadline.
 */
#ifndef WEFT_FILE_H
#define WEFT_FILE_H

#include "base.h"

#include <sys/types.h>

#ifdef __cplusplus
extern "C" {
#endif

struct statx;

/*
 * What kind of file it is, its size, owner, times: `flags` and `mask` as for statx(2).
 *
 * Returns   0; a negative errno.
 * Deadline  absolute, for the begin of the call.
 * Context   fiber, or any thread.
 * Switches  yes.
 * Cancel    -ECANCELED, unless the call has begun.
 * Errors    -ETIMEDOUT, -ECANCELED, and those of statx(2).
 */
WEFT_API WEFT_MUST_USE int weft_statx(int dir_fd, const char *path, int flags, unsigned mask,
                                      struct statx *status, weft_time deadline);

/*
 * Reserve or give back room in a file: `mode` as for fallocate(2).
 *
 * Returns   0; a negative errno.
 * Deadline  absolute, for the begin of the call.
 * Context   fiber, or any thread.
 * Switches  yes.
 * Cancel    -ECANCELED, unless the call has begun.
 * Errors    -ETIMEDOUT, -ECANCELED, and those of fallocate(2).
 */
WEFT_API WEFT_MUST_USE int weft_fallocate(int fd, int mode, off_t offset, off_t len,
                                          weft_time deadline);

/*
 * Make a file so long.
 *
 * Returns   0; a negative errno.
 * Deadline  absolute, for the begin of the call.
 * Context   fiber, or any thread.
 * Switches  yes.
 * Cancel    -ECANCELED, unless the call has begun.
 * Errors    -ETIMEDOUT, -ECANCELED, and those of ftruncate(2).
 */
WEFT_API WEFT_MUST_USE int weft_ftruncate(int fd, off_t len, weft_time deadline);

/*
 * Copy up to `len` bytes from one file to another within the kernel.  Offsets and `flags` as for
 * copy_file_range(2): a NULL means the file's own offset.
 *
 * Returns   the number of bytes copied, which may be less than `len`; 0 at the end of `in`; a
 *           negative errno.
 * Deadline  absolute, for the begin of the call.
 * Context   fiber, or any thread.
 * Switches  yes.
 * Cancel    -ECANCELED, unless the call has begun.
 * Errors    -ETIMEDOUT, -ECANCELED, and those of copy_file_range(2).
 */
WEFT_API WEFT_MUST_USE ssize_t weft_copy_file_range(int in, off_t *in_offset, int out,
                                                    off_t *out_offset, size_t len, unsigned flags,
                                                    weft_time deadline);

/*
 * Give a file another name: `flags` as for renameat2(2), 0 for what rename(2) does.
 *
 * Returns   0; a negative errno.
 * Deadline  absolute, for the begin of the call.
 * Context   fiber, or any thread.
 * Switches  yes.
 * Cancel    -ECANCELED, unless the call has begun.
 * Errors    -ETIMEDOUT, -ECANCELED, and those of renameat2(2).
 */
WEFT_API WEFT_MUST_USE int weft_renameat(int old_dir_fd, const char *old_path, int new_dir_fd,
                                         const char *new_path, unsigned flags, weft_time deadline);

/*
 * Remove a name, or with AT_REMOVEDIR among the `flags` a folder.
 *
 * Returns   0; a negative errno.
 * Deadline  absolute, for the begin of the call.
 * Context   fiber, or any thread.
 * Switches  yes.
 * Cancel    -ECANCELED, unless the call has begun.
 * Errors    -ETIMEDOUT, -ECANCELED, and those of unlinkat(2).
 */
WEFT_API WEFT_MUST_USE int weft_unlinkat(int dir_fd, const char *path, int flags,
                                         weft_time deadline);

/*
 * Make a folder.
 *
 * Returns   0; a negative errno.
 * Deadline  absolute, for the begin of the call.
 * Context   fiber, or any thread.
 * Switches  yes.
 * Cancel    -ECANCELED, unless the call has begun.
 * Errors    -ETIMEDOUT, -ECANCELED, and those of mkdirat(2).
 */
WEFT_API WEFT_MUST_USE int weft_mkdirat(int dir_fd, const char *path, mode_t mode,
                                        weft_time deadline);

/*
 * Give a file a further name: `flags` as for linkat(2).
 *
 * Returns   0; a negative errno.
 * Deadline  absolute, for the begin of the call.
 * Context   fiber, or any thread.
 * Switches  yes.
 * Cancel    -ECANCELED, unless the call has begun.
 * Errors    -ETIMEDOUT, -ECANCELED, and those of linkat(2).
 */
WEFT_API WEFT_MUST_USE int weft_linkat(int old_dir_fd, const char *old_path, int new_dir_fd,
                                       const char *new_path, int flags, weft_time deadline);

/*
 * Make a symbolic link at `path` that says `target`.
 *
 * Returns   0; a negative errno.
 * Deadline  absolute, for the begin of the call.
 * Context   fiber, or any thread.
 * Switches  yes.
 * Cancel    -ECANCELED, unless the call has begun.
 * Errors    -ETIMEDOUT, -ECANCELED, and those of symlinkat(2).
 */
WEFT_API WEFT_MUST_USE int weft_symlinkat(const char *target, int dir_fd, const char *path,
                                          weft_time deadline);

/*
 * What a symbolic link says, without a zero byte behind it.
 *
 * Returns   the number of bytes, at most `len`: if it is `len`, there may have been more; a
 *           negative errno.
 * Deadline  absolute, for the begin of the call.
 * Context   fiber, or any thread.
 * Switches  yes.
 * Cancel    -ECANCELED, unless the call has begun.
 * Errors    -ETIMEDOUT, -ECANCELED, and those of readlinkat(2).
 */
WEFT_API WEFT_MUST_USE ssize_t weft_readlinkat(int dir_fd, const char *path, char *buf, size_t len,
                                               weft_time deadline);

/* A folder that is being listed. */
typedef struct weft_dir weft_dir;

struct weft_dir_entry {
    const char *name; /* valid until the next call on the folder */
    uint64_t inode;
    unsigned char type; /* DT_REG, DT_DIR, ... of readdir(3); DT_UNKNOWN where it is not known */
};

/*
 * Begin to list the folder `path`.
 *
 * Returns   0, with the folder in `*dir`, which weft_dir_close() must get; a negative errno.
 * Deadline  absolute, for the begin of the call.
 * Context   fiber, or any thread.
 * Switches  yes.
 * Cancel    -ECANCELED, unless the call has begun.
 * Errors    -ETIMEDOUT, -ECANCELED, -ENOMEM, and those of openat(2).
 */
WEFT_API WEFT_MUST_USE int weft_dir_open(weft_dir **dir, int dir_fd, const char *path,
                                         weft_time deadline);

/*
 * The next entry, in no order, without "." and "..".  One caller at a time.  Entries come from a
 * buffer of 32 KiB; only when that is empty the kernel is asked for more.
 *
 * Returns   1, with the entry filled in; 0 at the end; a negative errno, after which it can be
 *           called again.
 * Deadline  absolute, for the begin of the call; entries that are there come also after it.
 * Context   fiber, or any thread.
 * Switches  when the buffer is empty.
 * Cancel    -ECANCELED when the buffer is empty.
 * Errors    -ETIMEDOUT, -ECANCELED, and those of getdents64(2).
 */
WEFT_API WEFT_MUST_USE int weft_dir_next(weft_dir *dir, struct weft_dir_entry *entry,
                                         weft_time deadline);

/*
 * End the listing and free what it holds; NULL is allowed.
 *
 * Returns   nothing.
 * Context   fiber, or any thread.
 * Switches  yes.
 * Cancel    none.
 */
WEFT_API void weft_dir_close(weft_dir *dir);

#ifdef __cplusplus
}
#endif

#endif
