/* SPDX-License-Identifier: MIT */
/*
 * Receiving into buffers that are lent, so that who waits for data has none.
 *
 *   void *data;
 *   ssize_t n;
 *
 *   while ((n = weft_recv_lent(fd, &data, 0, WEFT_FOREVER)) > 0) {
 *       ... n bytes at data ...
 *       weft_lent_return(data);
 *   }
 *
 * With weft_recv() each connection has a buffer for as long as it waits, on the stack of its fiber
 * or elsewhere.  Where buffers are large and most connections idle, that is most of the memory of a
 * server; of lent ones there are as many as there is data being worked on.  What it costs is an
 * operation more, since the data is waited for before it is received.
 *
 * `max_buffer_memory_kib` of struct weft_config limits how much is lent at a time.  Further calls
 * wait for a buffer, in their order, with their data in the socket, where it slows its sender down.
 * A fiber that keeps one while it waits for another can wait for itself.
 */
#ifndef WEFT_BUFFER_H
#define WEFT_BUFFER_H

#include "base.h"

#include <sys/types.h>

#ifdef __cplusplus
extern "C" {
#endif

/* How much a lent buffer holds. */
#define WEFT_LENT_SIZE 16384

/*
 * Receive up to WEFT_LENT_SIZE bytes from the socket `fd` into a buffer that is lent; `flags` as
 * for recv(2), but that it waits for data before it asks: MSG_DONTWAIT says nothing, a deadline
 * that has passed does; nor does MSG_WAITALL; and MSG_OOB waits also where there is no urgent data
 * yet.
 *
 * Returns   the number of bytes, with the buffer in `*buffer`, which the caller returns by
 *           weft_lent_return(); 0 when the peer has shut down, or for an empty datagram, or a
 *           negative errno, and then nothing is lent and `*buffer` untouched.
 * Deadline  absolute; see weft/io.h.
 * Context   fiber.
 * Switches  yes.
 * Cancel    -ECANCELED; bytes that arrived first win.
 * Errors    -ENOMEM, -EINVAL (MSG_ERRQUEUE), and those of weft_recv().  Where it waits for a buffer
 *           and the peer has hung up, or on io_uring shut down its side, weft_close() does not end
 *           that wait, and it is no longer in order.
 */
WEFT_API WEFT_MUST_USE ssize_t weft_recv_lent(int fd, void **buffer, int flags, weft_time deadline);

/*
 * Return a buffer that weft_recv_lent() has lent.  NULL is allowed.
 *
 * Returns   nothing.
 * Context   any thread, any fiber, also of another runtime, or after the end of the one that has
 *           lent it.
 * Switches  never.
 */
WEFT_API void weft_lent_return(void *buffer);

#ifdef __cplusplus
}
#endif

#endif
