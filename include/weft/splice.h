/* SPDX-License-Identifier: MIT */
/*
 * Moving data from one descriptor to another within the kernel, past the program's memory.
 *
 * A call here tries without waiting, in the fiber where only pipes and sockets are concerned, and
 * on a thread of the runtime's pool (weft/blocking.h) where files or devices are.  Where that moves
 * nothing it waits until both descriptors are ready and tries again.  So a call that waits can be
 * ended at any time, and what has been moved is always reported: a deadline and a cancel are errors
 * only while that is nothing.
 *
 * A deadline that has passed turns a call into one such attempt; of what needs the pool nothing is
 * attempted then.  One attempt that needs the pool is of 4 MiB at most.
 *
 * A weft_close() of either descriptor ends the wait, whichever it is for: the call returns -EBADF.
 *
 * A socket in blocking mode is put into non-blocking mode for the length of each attempt, as
 * weft_connect() does on epoll: others that use the same socket by plain system calls may see
 * EAGAIN meanwhile.
 */
#ifndef WEFT_SPLICE_H
#define WEFT_SPLICE_H

#include "base.h"

#include <sys/types.h>

#ifdef __cplusplus
extern "C" {
#endif

/*
 * Move up to `len` bytes from `in` to `out`, one of which is a pipe.  Offsets and `flags` as for
 * splice(2): NULL means the descriptor's own offset, and with SPLICE_F_NONBLOCK the call does not
 * wait.  Never raises SIGPIPE.
 *
 * Returns   the number of bytes moved, which may be less than `len`; 0 at the end of `in`; a
 *           negative errno, with nothing moved.
 * Deadline  absolute; see above.
 * Context   fiber.
 * Switches  where it waits, or needs the pool; now and then also where it does not.
 * Cancel    -ECANCELED, with nothing moved; bytes that were moved first win.
 * Errors    -ETIMEDOUT, -ECANCELED, -EPERM (plain thread), -EAGAIN (SPLICE_F_NONBLOCK and nothing
 *           to be moved), -EOPNOTSUPP (a simulated descriptor), and those of splice(2).
 */
WEFT_API WEFT_MUST_USE ssize_t weft_splice(int in, off_t *in_offset, int out, off_t *out_offset,
                                           size_t len, unsigned flags, weft_time deadline);

/*
 * Copy up to `len` bytes from the pipe `in` to the pipe `out`, leaving them in `in` as well;
 * `flags` as for tee(2).  Never raises SIGPIPE.
 *
 * Returns   the number of bytes copied, which may be less than `len`; 0 when nothing is left in
 *           `in` and nobody can write to it; a negative errno, with nothing copied.
 * Deadline  absolute; see above.
 * Context   fiber.
 * Switches  where it waits; now and then also where it does not.
 * Cancel    -ECANCELED, with nothing copied; bytes that were copied first win.
 * Errors    -ETIMEDOUT, -ECANCELED, -EPERM (plain thread), -EAGAIN (SPLICE_F_NONBLOCK and nothing
 *           to be copied), -EOPNOTSUPP (a simulated descriptor), and those of tee(2).
 */
WEFT_API WEFT_MUST_USE ssize_t weft_tee(int in, int out, size_t len, unsigned flags,
                                        weft_time deadline);

/*
 * Send up to `len` bytes of the file `in` to `out`, which may be of any kind.  With an offset it
 * begins there and the file's own stays; `*offset` is then behind the last byte sent.  NULL means
 * the file's own.  Never raises SIGPIPE.
 *
 * Returns   the number of bytes sent, which may be less than `len`; 0 at the end of `in`; a
 *           negative errno, with nothing sent.
 * Deadline  absolute; see above.
 * Context   fiber.
 * Switches  yes.
 * Cancel    -ECANCELED, with nothing sent; bytes that were sent first win.
 * Errors    -ETIMEDOUT, -ECANCELED, -EPERM (plain thread), -EOPNOTSUPP (a simulated descriptor),
 *           and those of sendfile(2).
 */
WEFT_API WEFT_MUST_USE ssize_t weft_sendfile(int out, int in, off_t *offset, size_t len,
                                             weft_time deadline);

#ifdef __cplusplus
}
#endif

#endif
