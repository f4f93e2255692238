/* SPDX-License-Identifier: MIT */
/*
 * Buffered reading and writing: lines without a system call for each, small pieces that leave
 * together.
 *
 *   char room[4096];
 *   weft_reader in;
 *   char *line;
 *   ssize_t n;
 *
 *   weft_reader_init(&in, fd, room, sizeof room);
 *   while ((n = weft_reader_line(&in, &line, weft_after(30 * WEFT_SECOND))) > 0)
 *       ...
 *
 * The buffers are the caller's, and nothing has to be freed.  A reader or writer serves one fiber
 * at a time.
 */
#ifndef WEFT_STREAM_H
#define WEFT_STREAM_H

#include "base.h"

#include <stddef.h>
#include <sys/types.h>

#ifdef __cplusplus
extern "C" {
#endif

/* The fields are the library's. */
typedef struct weft_reader {
    int fd;
    char *buffer;
    size_t size;
    size_t begin, end; /* what has been read from `fd` and not been taken yet */
} weft_reader;

/*
 * Begin to read from `fd`.  `buffer` has `size` bytes, 1 at least, and belongs to the reader from
 * now on.  No line can be longer.
 *
 * Returns   nothing.
 * Context   any.
 * Switches  never.
 */
WEFT_API void weft_reader_init(weft_reader *reader, int fd, void *buffer, size_t size);

/*
 * The next bytes up to the first `delimiter`, which is the last of them, or up to the end of file.
 * They stay in the reader's buffer, without a zero byte behind them, and may be changed there until
 * the next call on it.
 *
 * Returns   how many bytes there are, with the first in `*text`; 0 at end of file; a negative
 *           errno, with nothing taken.
 * Deadline  absolute; what is in the buffer comes also after it.
 * Context   fiber.
 * Switches  if it is not all in the buffer.
 * Cancel    -ECANCELED, with nothing lost: the next call goes on.  What is in the buffer comes in a
 *           cancelled fiber, too.
 * Errors    -EMSGSIZE (the buffer is full and has no delimiter), and those of weft_read().
 */
WEFT_API WEFT_MUST_USE ssize_t weft_reader_until(weft_reader *reader, char delimiter, char **text,
                                                 weft_time deadline);

/*
 * The next line, with the '\n' at its end, but for the last of a file that has none there.
 *
 * Returns   as weft_reader_until().
 * Deadline  as weft_reader_until().
 * Context   fiber.
 * Switches  as weft_reader_until().
 * Cancel    as weft_reader_until().
 * Errors    as weft_reader_until().
 */
WEFT_API WEFT_MUST_USE ssize_t weft_reader_line(weft_reader *reader, char **line,
                                                weft_time deadline);

/*
 * Read up to `len` bytes: what is in the buffer, or else what one weft_read() brings.
 *
 * Returns   the number of bytes; 0 at end of file; a negative errno.
 * Deadline  absolute; what is in the buffer comes also after it.
 * Context   fiber.
 * Switches  if the buffer is empty.
 * Cancel    -ECANCELED if the buffer is empty.
 * Errors    those of weft_read().
 */
WEFT_API WEFT_MUST_USE ssize_t weft_reader_read(weft_reader *reader, void *buf, size_t len,
                                                weft_time deadline);

/*
 * Read exactly `len` bytes.
 *
 * Returns   `len`; 0 if the end of file came before the first byte; -ENODATA if it came after; the
 *           negative errno that stopped it, when some bytes may have been taken.
 * Deadline  absolute, for the whole; what is in the buffer comes also after it.
 * Context   fiber.
 * Switches  if it is not all in the buffer.
 * Cancel    -ECANCELED.
 * Errors    -ENODATA, and those of weft_read().
 */
WEFT_API WEFT_MUST_USE ssize_t weft_reader_read_exact(weft_reader *reader, void *buf, size_t len,
                                                      weft_time deadline);

/* The fields are the library's. */
typedef struct weft_writer {
    int fd;
    char *buffer;
    size_t size;
    size_t used; /* bytes that have not been written to `fd` yet */
    int error;   /* 0, or what every call returns from now on */
} weft_writer;

/*
 * Begin to write to `fd`.  `buffer` has `size` bytes, 1 at least, and belongs to the writer until
 * what is in it has been flushed.
 *
 * Returns   nothing.
 * Context   any.
 * Switches  never.
 */
WEFT_API void weft_writer_init(weft_writer *writer, int fd, void *buffer, size_t size);

/*
 * Write `len` bytes: into the buffer while they fit, else together with what is in there.
 *
 * How far a write has come that failed is not known, so the first error stays: each later call
 * returns it.
 *
 * Returns   `len`; a negative errno.
 * Deadline  absolute, for the whole; what fits into the buffer is taken also after it.
 * Context   fiber.
 * Switches  if they do not fit.
 * Cancel    -ECANCELED if they do not fit.
 * Errors    those of weft_writev().
 */
WEFT_API WEFT_MUST_USE ssize_t weft_writer_write(weft_writer *writer, const void *data, size_t len,
                                                 weft_time deadline);

/*
 * Write what printf(3) makes of the arguments, which has to fit into the buffer with a zero byte
 * behind it.
 *
 * Returns   the number of bytes; a negative errno.
 * Deadline  absolute; what fits into the buffer is taken also after it.
 * Context   fiber.
 * Switches  if it does not fit into what is left of the buffer.
 * Cancel    -ECANCELED if it does not fit into what is left of the buffer.
 * Errors    -EMSGSIZE (longer than the whole buffer; this one does not stay), those of printf(3),
 *           such as -EILSEQ and -EOVERFLOW, and of weft_writev().
 */
WEFT_API WEFT_MUST_USE ssize_t weft_writer_printf(weft_writer *writer, weft_time deadline,
                                                  const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/*
 * Write what is in the buffer.
 *
 * Returns   0; a negative errno.
 * Deadline  absolute.
 * Context   fiber.
 * Switches  unless the buffer is empty.
 * Cancel    -ECANCELED.
 * Errors    those of weft_writev().
 */
WEFT_API WEFT_MUST_USE int weft_writer_flush(weft_writer *writer, weft_time deadline);

#ifdef __cplusplus
}
#endif

#endif
