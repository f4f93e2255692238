/* SPDX-License-Identifier: MIT */
/*
 * A buffered writer and a buffered reader at the two ends of a socket: lines, pieces, ends and
 * buffers of all small sizes, against a model that knows how many bytes are where.
 *
 * The byte at each place of the stream follows from the place, so that none can be lost, come twice
 * or out of order.  No call may wait: what is there comes at once, and else nothing is taken.
 */
#include "driver.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include <weft.h>

enum order { WRITE, PRINT, FLUSH, UNTIL, READ, READ_EXACT, END, ORDERS };

enum { STEPS_MAX = 100, ROOM_MAX = 40, PIECE_MAX = 64, LETTERS = 6 };

static weft_writer writer;
static weft_reader reader;
static struct {
    size_t written, sent, taken; /* places in the stream: what is behind each has not been */
    bool is_over;                /* nothing more will be sent */
} model;

static char byte_at(size_t place)
{
    return (char)('a' + (place * 2654435761U >> 16) % LETTERS);
}

static void put_bytes(char *bytes, size_t length)
{
    for (size_t i = 0; i < length; i++)
        bytes[i] = byte_at(model.written + i);
}

/* The reader has given these. */
static void take_bytes(const char *bytes, size_t length)
{
    FUZZ_CHECK(length <= model.sent - model.taken);
    for (size_t i = 0; i < length; i++)
        FUZZ_CHECK(bytes[i] == byte_at(model.taken + i));
    model.taken += length;
}

static size_t there(void)
{
    return model.sent - model.taken;
}

static void write_piece(size_t length)
{
    bool fits = length <= writer.size - (model.written - model.sent);
    char bytes[PIECE_MAX];

    put_bytes(bytes, length);
    FUZZ_CHECK(weft_writer_write(&writer, bytes, length, 0) == (ssize_t)length);
    model.written += length;
    if (!fits)
        model.sent = model.written;
}

/* With a zero byte behind it. */
static void print_piece(size_t length)
{
    bool fits = length < writer.size - (model.written - model.sent);
    char bytes[PIECE_MAX];
    ssize_t result;

    put_bytes(bytes, length);
    result = weft_writer_printf(&writer, 0, "%.*s", (int)length, bytes);
    FUZZ_CHECK(result == (length < writer.size || length == 0 ? (ssize_t)length : -EMSGSIZE));
    if (length == 0)
        return;
    if (!fits)
        model.sent = model.written;
    if (result >= 0)
        model.written += length;
}

static void flush(void)
{
    FUZZ_CHECK(weft_writer_flush(&writer, 0) == 0);
    model.sent = model.written;
}

/* 0 at the end, or why nothing is there. */
static ssize_t nothing(void)
{
    return model.is_over ? 0 : -ETIMEDOUT;
}

static void read_until(char delimiter)
{
    size_t length = there(), limit = length < reader.size ? length : reader.size;
    ssize_t result, expected = length >= reader.size ? -EMSGSIZE : nothing();
    char *text = NULL;

    if (expected == 0)
        expected = (ssize_t)length; /* the last of them */
    for (size_t i = 0; i < limit; i++)
        if (byte_at(model.taken + i) == delimiter) {
            expected = (ssize_t)i + 1;
            break;
        }
    result = weft_reader_until(&reader, delimiter, &text, 0);
    FUZZ_CHECK(result == expected);
    if (result > 0)
        take_bytes(text, (size_t)result);
}

static void read_piece(size_t length)
{
    char bytes[PIECE_MAX];
    ssize_t result = weft_reader_read(&reader, bytes, length, 0);

    if (there() == 0) {
        FUZZ_CHECK(result == nothing());
        return;
    }
    FUZZ_CHECK(result > 0 && (size_t)result <= length);
    take_bytes(bytes, (size_t)result);
}

/* Not where it would have to wait: how much is taken then is not said. */
static void read_exactly(size_t length)
{
    char bytes[PIECE_MAX];
    ssize_t result;

    if (there() < length && !model.is_over)
        return;
    result = weft_reader_read_exact(&reader, bytes, length, 0);
    if (there() >= length) {
        FUZZ_CHECK(result == (ssize_t)length);
        take_bytes(bytes, length);
    } else {
        FUZZ_CHECK(result == (there() == 0 ? 0 : -ENODATA));
        model.taken = model.sent;
    }
}

static void step(const uint8_t *bytes)
{
    size_t length = bytes[1] % PIECE_MAX;
    enum order order = (enum order)(bytes[0] % ORDERS);

    if (model.is_over && (order <= FLUSH || order == END))
        return;
    switch (order) {
    case WRITE:
        write_piece(length);
        break;
    case PRINT:
        print_piece(length);
        break;
    case FLUSH:
        flush();
        break;
    case UNTIL:
        read_until((char)('a' + bytes[1] % (LETTERS + 1))); /* one never comes */
        break;
    case READ:
        read_piece(length == 0 ? 1 : length);
        break;
    case READ_EXACT:
        read_exactly(length);
        break;
    default:
        FUZZ_CHECK(shutdown(writer.fd, SHUT_WR) == 0);
        model.is_over = true;
    }
}

void fuzz_one(const uint8_t *data, size_t size)
{
    int ends[2];
    /* Not larger than they say, so that a byte too many is seen. */
    size_t out = size > 1 ? 1U + data[0] % ROOM_MAX : 1,
           in = size > 1 ? 1U + data[1] % ROOM_MAX : 1;
    char *out_room = malloc(out), *in_room = malloc(in);

    FUZZ_CHECK(out_room != NULL && in_room != NULL);
    FUZZ_CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) == 0);
    memset(&model, 0, sizeof model);
    weft_writer_init(&writer, ends[0], out_room, out);
    weft_reader_init(&reader, ends[1], in_room, in);
    for (size_t at = 2; at + 1 < size && at < 2 * STEPS_MAX; at += 2)
        step(&data[at]);
    if (!model.is_over)
        flush();
    for (int i = 0; i < 2; i++)
        FUZZ_CHECK(weft_close(ends[i]) == 0);
    free(out_room);
    free(in_room);
}
