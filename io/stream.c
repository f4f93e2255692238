/* SPDX-License-Identifier: MIT */
/* Readers and writers with a buffer of their caller's. */
#include <weft/stream.h>

#include "arch/compiler.h"
#include "io/op.h"
#include "io/pending.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <weft/io.h>

void weft_reader_init(weft_reader *reader, int fd, void *buffer, size_t size)
{
    *reader = (weft_reader){.fd = fd, .buffer = buffer, .size = size};
}

static size_t buffered(const weft_reader *reader)
{
    return reader->end - reader->begin;
}

/* Reads behind what is in the buffer, which has room, in a call that began at that epoch or, with
 * 0, begins now.  The number of bytes, 0 at end of file. */
static ssize_t fill(weft_reader *reader, uint32_t epoch, weft_time deadline)
{
    ssize_t n;

    if (reader->begin > 0) {
        memmove(reader->buffer, reader->buffer + reader->begin, buffered(reader));
        reader->end -= reader->begin;
        reader->begin = 0;
    }
    n = wf_op_read(reader->fd, reader->buffer + reader->end, reader->size - reader->end, epoch,
                   deadline);
    if (n > 0)
        reader->end += (size_t)n;
    return n;
}

static ssize_t take(weft_reader *reader, char **text, size_t length)
{
    *text = reader->buffer + reader->begin;
    reader->begin += length;
    return (ssize_t)length;
}

ssize_t weft_reader_until(weft_reader *reader, char delimiter, char **text, weft_time deadline)
{
    uint32_t began = wf_epoch_now(reader->fd), epoch = 0;
    size_t searched = 0;

    for (;;) {
        const char *from = reader->buffer + reader->begin;
        const char *found = memchr(from + searched, delimiter, buffered(reader) - searched);
        ssize_t n;

        if (found != NULL)
            return take(reader, text, (size_t)(found - from) + 1);
        searched = buffered(reader);
        if (searched == reader->size)
            return -EMSGSIZE;
        n = fill(reader, epoch, deadline);
        if (n < 0)
            return n;
        if (n == 0)
            return take(reader, text, searched);
        epoch = began;
    }
}

ssize_t weft_reader_line(weft_reader *reader, char **line, weft_time deadline)
{
    return weft_reader_until(reader, '\n', line, deadline);
}

static ssize_t read_part(weft_reader *reader, void *buf, size_t len, uint32_t epoch,
                         weft_time deadline)
{
    /* What is as long as the buffer need not go through it. */
    if (buffered(reader) == 0 && len >= reader->size)
        return wf_op_read(reader->fd, buf, len, epoch, deadline);
    if (buffered(reader) == 0 && len > 0) {
        ssize_t n = fill(reader, epoch, deadline);

        if (n <= 0)
            return n;
    }
    if (len > buffered(reader))
        len = buffered(reader);
    memcpy(buf, reader->buffer + reader->begin, len);
    reader->begin += len;
    return (ssize_t)len;
}

ssize_t weft_reader_read(weft_reader *reader, void *buf, size_t len, weft_time deadline)
{
    return read_part(reader, buf, len, 0, deadline);
}

ssize_t weft_reader_read_exact(weft_reader *reader, void *buf, size_t len, weft_time deadline)
{
    uint32_t epoch = wf_epoch_now(reader->fd);
    size_t done = 0;

    while (done < len) {
        ssize_t n = read_part(reader, (char *)buf + done, len - done, done > 0 ? epoch : 0,
                              deadline);

        if (n < 0)
            return n;
        if (n == 0)
            return done == 0 ? 0 : -ENODATA;
        done += (size_t)n;
    }
    return (ssize_t)len;
}

void weft_writer_init(weft_writer *writer, int fd, void *buffer, size_t size)
{
    *writer = (weft_writer){.fd = fd, .buffer = buffer, .size = size};
}

/* Writes the two parts, and empties the buffer. */
static int write_parts(weft_writer *writer, struct iovec parts[2], weft_time deadline)
{
    uint32_t began = wf_epoch_now(writer->fd), epoch = 0;

    while (parts[0].iov_len + parts[1].iov_len > 0) {
        ssize_t n = wf_op_writev(writer->fd, parts, 2, epoch, deadline);

        epoch = began;

        if (n < 0) {
            writer->error = (int)n;
            return writer->error;
        }
        for (int i = 0; i < 2; i++) {
            size_t part = (size_t)n < parts[i].iov_len ? (size_t)n : parts[i].iov_len;

            if (part == 0)
                continue; /* it may be nowhere, and C knows no NULL + 0 */
            parts[i].iov_base = (char *)parts[i].iov_base + part;
            parts[i].iov_len -= part;
            n -= (ssize_t)part;
        }
    }
    writer->used = 0;
    return 0;
}

static ssize_t write_with_buffer(weft_writer *writer, const void *data, size_t len,
                                 weft_time deadline)
{
    struct iovec parts[2] = {{writer->buffer, writer->used}, {(void *)(uintptr_t)data, len}};
    int error = writer->error != 0 ? writer->error : write_parts(writer, parts, deadline);

    return error != 0 ? error : (ssize_t)len;
}

ssize_t weft_writer_write(weft_writer *writer, const void *data, size_t len, weft_time deadline)
{
    if (writer->error != 0 || len > writer->size - writer->used)
        return write_with_buffer(writer, data, len, deadline);
    if (len > 0)
        memcpy(writer->buffer + writer->used, data, len);
    writer->used += len;
    return (ssize_t)len;
}

int weft_writer_flush(weft_writer *writer, weft_time deadline)
{
    return (int)write_with_buffer(writer, NULL, 0, deadline);
}

/* Not inlined, where errno is read: its address must not be kept over a switch. */
static WF_NOINLINE ssize_t format_into(weft_writer *writer, const char *format, va_list arguments)
{
    size_t room = writer->size - writer->used;
    int length = vsnprintf(writer->buffer + writer->used, room, format, arguments);

    if (length < 0)
        return -errno;
    if ((size_t)length < room) /* it has written a zero byte, too */
        writer->used += (size_t)length;
    return length;
}

ssize_t weft_writer_printf(weft_writer *writer, weft_time deadline, const char *format, ...)
{
    ssize_t length = -EMSGSIZE;

    for (int i = 0; i < 2; i++) {
        size_t used = writer->used;
        va_list arguments;
        int error;

        if (writer->error != 0)
            return writer->error;
        va_start(arguments, format);
        length = format_into(writer, format, arguments);
        va_end(arguments);
        if (length <= 0 || writer->used > used)
            return length;
        error = weft_writer_flush(writer, deadline);
        if (error != 0)
            return error;
    }
    return -EMSGSIZE;
}
