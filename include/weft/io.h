/* SPDX-License-Identifier: MIT */
/* Input and output that suspends the fiber, never the worker: docs/limits.md has the exceptions. */
#ifndef WEFT_IO_H
#define WEFT_IO_H

#include "base.h"

#include <sys/socket.h>
#include <sys/types.h>
#include <sys/uio.h>

#ifdef __cplusplus
extern "C" {
#endif

/*
 * All calls here share these rules.
 *
 * A descriptor may be in blocking or non-blocking mode; the call waits either way.  Several fibers
 * may use one descriptor at the same time.
 *
 * The kernel owns the buffer from the call to its return.  When a deadline passes or the fiber is
 * cancelled, the call asks the kernel to stop and returns only when it has: nothing is written to
 * the buffer afterwards.  If data moved first, that is what is reported.
 *
 * A deadline that has passed already turns a call into an attempt: what is possible without
 * waiting is done and reported, else -ETIMEDOUT.  Of a regular file even cached data can be out of
 * an attempt's reach: some file systems hand every transfer to a kernel thread.
 *
 * Most calls suspend the fiber, also where nothing has to be waited for.  Some do not, such as
 * small sends in a row of a fiber that is alone on its worker: a program must reckon with both.
 *
 * Where `max_operations` of struct weft_config limits how many are under way at a time, further
 * calls wait their turn, in their order, until their deadline or a cancel; so does one that would
 * not have to wait otherwise, and one whose deadline has passed fails when it is not its turn.  A
 * call that waits for what another fiber sends, or is to connect, needs a turn beside that one's.
 * weft_close() always goes ahead.  Descriptors of weft_select() do not count, nor do waits of
 * weft/splice.h.
 *
 * Where `max_connections` limits how many connections there are, weft_accept() waits while as many
 * are open as it may return: in order, until its deadline, a cancel, or the end of its listener.
 * Clients wait in the backlog meanwhile.  A connection counts until weft_close() closes it, from
 * wherever; see weft_connection_forget() for others.  Those of weft_connect() do not count: where
 * each client needs one to be served, as in a proxy, all would wait for each other.
 *
 * A descriptor may be closed while others wait on it, by weft_close(): their calls return -EBADF.
 *
 * What a signal interrupts is repeated: of all calls only weft_close() may return -EINTR, and it
 * has closed the descriptor then.
 */

/*
 * Read up to `len` bytes from `fd` at its current offset.
 *
 * Returns   the number of bytes read; 0 at end of file; a negative errno on failure.
 * Deadline  absolute; see above.
 * Context   fiber.
 * Switches  yes.
 * Cancel    -ECANCELED, once the kernel has let go of `buf`; bytes that arrived first win.
 * Errors    -ETIMEDOUT, -ECANCELED, -EPERM (plain thread), and those of read(2).
 */
WEFT_API WEFT_MUST_USE ssize_t weft_read(int fd, void *buf, size_t len, weft_time deadline);

/*
 * Write up to `len` bytes to `fd` at its current offset.  Never raises SIGPIPE.
 *
 * Returns   the number of bytes written, which may be less than `len`; a negative errno.
 * Deadline  absolute; see above.
 * Context   fiber.
 * Switches  yes.
 * Cancel    -ECANCELED, once the kernel has let go of `buf`; bytes that went first win.
 * Errors    -ETIMEDOUT, -ECANCELED, -EPERM (plain thread), and those of write(2).
 */
WEFT_API WEFT_MUST_USE ssize_t weft_write(int fd, const void *buf, size_t len, weft_time deadline);

/*
 * Write all of `len` bytes to `fd`.  With a `len` of 0 nothing is done, nor looked at.
 *
 * Returns   `len`; or the negative errno that stopped it, when some bytes may have been written.
 * Deadline  absolute, for the whole.
 * Context   fiber.
 * Switches  yes.
 * Cancel    -ECANCELED, once the kernel has let go of `buf`.
 * Errors    those of weft_write().
 */
WEFT_API WEFT_MUST_USE ssize_t weft_write_all(int fd, const void *buf, size_t len,
                                              weft_time deadline);

/*
 * Read up to `len` bytes from `fd` at `offset`, leaving its current offset alone.  A pipe or a
 * socket has no offsets: `offset` means nothing there.
 *
 * Returns   the number of bytes read; 0 at end of file; a negative errno.
 * Deadline  absolute; see above.
 * Context   fiber.
 * Switches  yes.
 * Cancel    -ECANCELED, once the kernel has let go of `buf`; bytes that arrived first win.
 * Errors    -ETIMEDOUT, -ECANCELED, -EPERM (plain thread), and those of pread(2).
 */
WEFT_API WEFT_MUST_USE ssize_t weft_pread(int fd, void *buf, size_t len, off_t offset,
                                          weft_time deadline);

/*
 * Write up to `len` bytes to `fd` at `offset`, leaving its current offset alone.  A pipe or a
 * socket has no offsets: `offset` means nothing there.
 *
 * Returns   the number of bytes written, which may be less than `len`; a negative errno.
 * Deadline  absolute; see above.
 * Context   fiber.
 * Switches  yes.
 * Cancel    -ECANCELED, once the kernel has let go of `buf`; bytes that went first win.
 * Errors    -ETIMEDOUT, -ECANCELED, -EPERM (plain thread), and those of pwrite(2).
 */
WEFT_API WEFT_MUST_USE ssize_t weft_pwrite(int fd, const void *buf, size_t len, off_t offset,
                                           weft_time deadline);

/*
 * Read into `count` buffers, one after the other, from `fd` at its current offset.
 *
 * Returns   the number of bytes read in all; 0 at end of file; a negative errno on failure.
 * Deadline  absolute; see above.
 * Context   fiber.
 * Switches  yes.
 * Cancel    -ECANCELED, once the kernel has let go of the buffers; bytes that arrived first win.
 * Errors    -ETIMEDOUT, -ECANCELED, -EPERM (plain thread), and those of readv(2).
 */
WEFT_API WEFT_MUST_USE ssize_t weft_readv(int fd, const struct iovec *parts, int count,
                                          weft_time deadline);

/*
 * Write from `count` buffers, one after the other, to `fd` at its current offset.  Never raises
 * SIGPIPE.
 *
 * Returns   the number of bytes written in all, which may be less than there are; a negative errno.
 * Deadline  absolute; see above.
 * Context   fiber.
 * Switches  yes.
 * Cancel    -ECANCELED, once the kernel has let go of the buffers; bytes that went first win.
 * Errors    -ETIMEDOUT, -ECANCELED, -EPERM (plain thread), and those of writev(2).
 */
WEFT_API WEFT_MUST_USE ssize_t weft_writev(int fd, const struct iovec *parts, int count,
                                           weft_time deadline);

/*
 * weft_readv() at `offset`, leaving the current offset alone.
 *
 * Returns   the number of bytes read in all; 0 at end of file; a negative errno.
 * Deadline  absolute; see above.
 * Context   fiber.
 * Switches  yes.
 * Cancel    as weft_readv().
 * Errors    those of weft_readv(); -EINVAL for a negative offset.
 */
WEFT_API WEFT_MUST_USE ssize_t weft_preadv(int fd, const struct iovec *parts, int count,
                                           off_t offset, weft_time deadline);

/*
 * weft_writev() at `offset`, leaving the current offset alone.
 *
 * Returns   the number of bytes written in all, which may be less than there are; a negative errno.
 * Deadline  absolute; see above.
 * Context   fiber.
 * Switches  yes.
 * Cancel    as weft_writev().
 * Errors    those of weft_writev(); -EINVAL for a negative offset.
 */
WEFT_API WEFT_MUST_USE ssize_t weft_pwritev(int fd, const struct iovec *parts, int count,
                                            off_t offset, weft_time deadline);

/*
 * Read exactly `len` bytes from `fd` at its current offset.  With a `len` of 0 nothing is done, nor
 * looked at.
 *
 * Returns   `len`; 0 if the end of file came before the first byte; -ENODATA if it came after; the
 *           negative errno that stopped it, when some bytes may have been read.
 * Deadline  absolute, for the whole.
 * Context   fiber.
 * Switches  yes.
 * Cancel    -ECANCELED, once the kernel has let go of `buf`.
 * Errors    -ENODATA, and those of weft_read().
 */
WEFT_API WEFT_MUST_USE ssize_t weft_read_exact(int fd, void *buf, size_t len, weft_time deadline);

/*
 * Receive up to `len` bytes from the socket `fd`; `flags` as for recv(2).  MSG_WAITALL waits for
 * `len` bytes on io_uring and a stream only, and not together with MSG_PEEK: elsewhere it says
 * nothing, and what is there is returned.
 *
 * Returns   the number of bytes received; 0 when the peer has shut down, or for an empty datagram;
 *           a negative errno.
 * Deadline  absolute; see above.
 * Context   fiber.
 * Switches  yes.
 * Cancel    -ECANCELED, once the kernel has let go of `buf`; bytes that arrived first win.
 * Errors    -ETIMEDOUT, -ECANCELED, -EPERM (plain thread), -EAGAIN (MSG_DONTWAIT and nothing
 *           there; MSG_ERRQUEUE, nothing there, and a hang-up or another error), and those of
 *           recv(2).
 */
WEFT_API WEFT_MUST_USE ssize_t weft_recv(int fd, void *buf, size_t len, int flags,
                                         weft_time deadline);

/*
 * Send up to `len` bytes on the socket `fd`; `flags` as for send(2), MSG_NOSIGNAL is implied.
 *
 * Returns   the number of bytes sent, which may be less than `len`; a negative errno.
 * Deadline  absolute; see above.
 * Context   fiber.
 * Switches  yes.
 * Cancel    -ECANCELED, once the kernel has let go of `buf`; bytes that went first win.
 * Errors    -ETIMEDOUT, -ECANCELED, -EPERM (plain thread), -EAGAIN (MSG_DONTWAIT and no room),
 *           and those of send(2).
 */
WEFT_API WEFT_MUST_USE ssize_t weft_send(int fd, const void *buf, size_t len, int flags,
                                         weft_time deadline);

/*
 * Send all of `len` bytes on the socket `fd`; `flags` as for weft_send().  With a `len` of 0
 * nothing is done: an empty datagram is sent by weft_send().
 *
 * Returns   `len`; or the negative errno that stopped it, when some bytes may have been sent.
 * Deadline  absolute, for the whole.
 * Context   fiber.
 * Switches  yes.
 * Cancel    -ECANCELED, once the kernel has let go of `buf`.
 * Errors    those of weft_send().
 */
WEFT_API WEFT_MUST_USE ssize_t weft_send_all(int fd, const void *buf, size_t len, int flags,
                                             weft_time deadline);

/*
 * Receive a message: several buffers, the sender's address, and what comes beside the data, as
 * recvmsg(2) has it.  Descriptors that come along are close-on-exec.  MSG_WAITALL is as in
 * weft_recv().
 *
 * Returns   the number of bytes received; 0 when the peer has shut down, or for an empty datagram;
 *           a negative errno, with `message` unchanged.
 * Deadline  absolute; see above.
 * Context   fiber.
 * Switches  yes.
 * Cancel    -ECANCELED, once the kernel has let go of all that `message` points to; a message that
 *           arrived first is returned, with its descriptors, never lost.
 * Errors    -ETIMEDOUT, -ECANCELED, -EPERM (plain thread), -EAGAIN (MSG_DONTWAIT and nothing
 *           there; MSG_ERRQUEUE, nothing there, and a hang-up or another error), and those of
 *           recvmsg(2).
 */
WEFT_API WEFT_MUST_USE ssize_t weft_recvmsg(int fd, struct msghdr *message, int flags,
                                            weft_time deadline);

/*
 * Send a message, as sendmsg(2) does; MSG_NOSIGNAL is implied.
 *
 * Returns   the number of bytes sent, which may be less than there are on a stream; a negative
 *           errno.
 * Deadline  absolute; see above.
 * Context   fiber.
 * Switches  yes.
 * Cancel    -ECANCELED, once the kernel has let go of all that `message` points to; bytes that went
 *           first win.
 * Errors    -ETIMEDOUT, -ECANCELED, -EPERM (plain thread), -EAGAIN (MSG_DONTWAIT and no room),
 *           and those of sendmsg(2).
 */
WEFT_API WEFT_MUST_USE ssize_t weft_sendmsg(int fd, const struct msghdr *message, int flags,
                                            weft_time deadline);

/*
 * Receive up to `len` bytes and the address of who sent them, where `addr` is not NULL and
 * `*addr_len` says how much room is there; afterwards it says how long the address is.
 *
 * Returns   the number of bytes received; of a longer datagram the rest is lost; a negative errno,
 *           with the address unchanged.
 * Deadline  absolute; see above.
 * Context   fiber.
 * Switches  yes.
 * Cancel    -ECANCELED, once the kernel has let go of the buffers; what arrived first wins.
 * Errors    those of weft_recvmsg().
 */
WEFT_API WEFT_MUST_USE ssize_t weft_recvfrom(int fd, void *buf, size_t len, int flags,
                                             struct sockaddr *addr, socklen_t *addr_len,
                                             weft_time deadline);

/*
 * Send `len` bytes to `addr`, or to the peer if that is NULL; MSG_NOSIGNAL is implied.
 *
 * Returns   the number of bytes sent; a negative errno.
 * Deadline  absolute; see above.
 * Context   fiber.
 * Switches  yes.
 * Cancel    -ECANCELED, once the kernel has let go of the buffers; what went first wins.
 * Errors    those of weft_sendmsg().
 */
WEFT_API WEFT_MUST_USE ssize_t weft_sendto(int fd, const void *buf, size_t len, int flags,
                                           const struct sockaddr *addr, socklen_t addr_len,
                                           weft_time deadline);

/*
 * Make a TCP socket that listens on `host`, a numeric IPv4 or IPv6 address (NULL: all IPv4
 * addresses), and `port` (0: the kernel picks one; getsockname(2) tells).  The address may be
 * reused at once after an earlier server; the backlog is as long as the kernel allows.
 *
 * Returns   the descriptor, close-on-exec; a negative errno.
 * Context   fiber, or any thread.
 * Switches  never.
 * Errors    -EINVAL (not a numeric address), -ENOMEM, -EADDRINUSE, and those of socket(2) and
 *           bind(2).
 */
WEFT_API WEFT_MUST_USE int weft_listen_tcp(const char *host, uint16_t port);

/*
 * Take the next connection from a listening socket.
 *
 * Returns   its descriptor, close-on-exec; a negative errno.
 * Deadline  absolute; see above.
 * Context   fiber.
 * Switches  yes.
 * Cancel    -ECANCELED; a connection that was taken first is returned, never lost.
 * Errors    -ETIMEDOUT, -ECANCELED, -EPERM (plain thread), and those of accept(2): on -EMFILE,
 *           -ENFILE, -ENOBUFS and -ENOMEM the connection stays queued, so sleep before retrying.
 */
WEFT_API WEFT_MUST_USE int weft_accept(int fd, weft_time deadline);

/*
 * weft_accept() for a server, which is not to end because of what passes.  Where descriptors or
 * memory are short it tries again after a pause, of 5 ms at first and twice as long each time, up
 * to a second; a close of the listener ends the pause.  Connections that were lost while they were
 * queued are left out.
 *
 * Returns   the connection's descriptor, close-on-exec; a negative errno.
 * Deadline  absolute; see above.
 * Context   fiber.
 * Switches  yes.
 * Cancel    -ECANCELED; a connection that was taken first is returned, never lost.
 * Errors    those of weft_accept() but -ECONNABORTED, -EPROTO, -ENOPROTOOPT, -ENETDOWN,
 *           -ENETUNREACH, -EHOSTDOWN, -EHOSTUNREACH and -ENONET; -EMFILE, -ENFILE, -ENOBUFS or
 *           -ENOMEM at the deadline, if one of them is what it tried against last.
 */
WEFT_API WEFT_MUST_USE int weft_accept_next(int fd, weft_time deadline);

/*
 * Let a connection that weft_accept() has returned count no longer against `max_connections`: one
 * that is going to be closed by other means than weft_close(), as by a library that gets it.  What
 * close(2) has closed goes on counting until weft_accept() returns the same number again.
 *
 * Returns   0; -ENOENT if it does not count.
 * Context   any thread, any fiber.
 * Switches  never.
 * Errors    -ENOENT.
 */
WEFT_API int weft_connection_forget(int fd);

/*
 * Connect the socket `fd` to `addr`.  After a failure the socket can only be closed.  Where the
 * backlog of a Unix socket is full it waits for room, by looking each millisecond.
 *
 * Returns   0; a negative errno.
 * Deadline  absolute; see above.
 * Context   fiber.
 * Switches  yes.
 * Cancel    -ECANCELED; a connection that was established first is reported as success.
 * Errors    -ETIMEDOUT, -ECANCELED, -EPERM (plain thread), and those of connect(2).
 */
WEFT_API WEFT_MUST_USE int weft_connect(int fd, const struct sockaddr *addr, socklen_t addr_len,
                                        weft_time deadline);

/*
 * Wait until one of `events` (POLLIN, POLLPRI, POLLOUT, ... of poll(2)) holds for any kind of
 * descriptor that poll(2) accepts: the seam by which foreign libraries join in.
 *
 * Returns   the events that hold, more than 0; POLLERR and POLLHUP are reported unasked, and so
 *           may POLLRDHUP be beside others, or where POLLPRI is waited for; a negative errno.
 * Deadline  absolute; see above.
 * Context   fiber.
 * Switches  yes.
 * Cancel    -ECANCELED.
 * Errors    -ETIMEDOUT, -ECANCELED, -EPERM (plain thread), -EBADF, and where it has to wait those
 *           of poll(2) and, on the epoll backend, of epoll_ctl(2).  A regular file is always ready
 *           for POLLIN and POLLOUT, and has nothing to wait for beside: -EINVAL for other events on
 *           io_uring, -EPERM on epoll.
 */
WEFT_API WEFT_MUST_USE int weft_poll_fd(int fd, int events, weft_time deadline);

/*
 * Make a pipe, as pipe(2): what is written to `ends[1]` is read from `ends[0]`.  Both ends are in
 * blocking mode and close-on-exec.  In a simulation (weft/sim.h) the pipe is simulated, which one
 * that pipe(2) has made is not.
 *
 * Returns   0; a negative errno, with `ends` untouched.
 * Context   any.
 * Switches  never.
 * Errors    those of pipe2(2).
 */
WEFT_API WEFT_MUST_USE int weft_pipe(int ends[2]);

/*
 * Open a file; O_CLOEXEC is implied.  A FIFO opens as with O_NONBLOCK, in whichever mode the
 * descriptor is then: for reading without a writer, and for writing only where there is a reader.
 * So does a device: a terminal's line does not wait for its carrier.
 *
 * Returns   the descriptor; a negative errno.
 * Deadline  absolute; see above.
 * Context   fiber.
 * Switches  yes.
 * Cancel    -ECANCELED; a file that was opened first is returned, never lost.
 * Errors    -ETIMEDOUT, -ECANCELED, -EPERM (plain thread), -ENXIO (a FIFO for writing that nobody
 *           reads), and those of openat(2).
 */
WEFT_API WEFT_MUST_USE int weft_openat(int dir_fd, const char *path, int flags, mode_t mode,
                                       weft_time deadline);

/*
 * Write a file's data and metadata to its device.
 *
 * Returns   0; a negative errno.
 * Deadline  absolute.  The kernel cannot stop a flush that has begun: its result comes late.
 * Context   fiber.
 * Switches  yes.
 * Cancel    -ECANCELED, unless the flush has begun.
 * Errors    -ETIMEDOUT, -ECANCELED, -EPERM (plain thread), and those of fsync(2).
 */
WEFT_API WEFT_MUST_USE int weft_fsync(int fd, weft_time deadline);

/*
 * The same without metadata that is not needed to read the data back, such as times.
 *
 * Returns   0; a negative errno.
 * Deadline  as weft_fsync().
 * Context   fiber.
 * Switches  yes.
 * Cancel    as weft_fsync().
 * Errors    -ETIMEDOUT, -ECANCELED, -EPERM (plain thread), and those of fdatasync(2).
 */
WEFT_API WEFT_MUST_USE int weft_fdatasync(int fd, weft_time deadline);

/*
 * Close a descriptor.  It is closed in every case, also when the fiber is cancelled.
 *
 * Calls that are under way on it in other fibers, of any runtime of the process, end first: they
 * return -EBADF, unless they have moved data or have their result already, and what then gets the
 * number is safe from them.  Calls on files may take their time to end; what is queued for the
 * pool is not begun any more.  With SO_LINGER the close can hold its worker (docs/limits.md).
 *
 * Returns   0; a negative errno that tells of earlier trouble (the descriptor is gone all the
 *           same), or -EBADF, also while another fiber is about to close it.
 * Context   fiber, or any thread (which blocks).
 * Switches  yes.
 * Cancel    none.
 * Errors    -EBADF, and those of close(2).
 */
WEFT_API int weft_close(int fd);

#ifdef __cplusplus
}
#endif

#endif
