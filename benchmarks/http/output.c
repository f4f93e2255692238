/* SPDX-License-Identifier: MIT */
/* The output buffer. */
#include "output.h"

#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

enum { OUTPUT_SIZE_MEDIUM = 4096 };

void output_flush(struct connection *c, int flags)
{
    size_t length = c->output.length;

    if (length == 0)
        return;
    c->output.length = 0;
    if (!c->is_broken && c->transport.ops->send(&c->transport, c->output.data, length, flags) < 0)
        c->is_broken = c->is_closing = true;
}

static void grow(struct connection *c)
{
    struct output *out = &c->output;
    uint32_t capacity = out->capacity < OUTPUT_SIZE_MEDIUM ? OUTPUT_SIZE_MEDIUM : OUTPUT_SIZE_MAX;
    char *data = malloc(capacity);

    if (data == NULL)
        return; /* the buffer that is there does it too, with more sends */
    memcpy(data, out->data, out->length);
    if (out->data != c->output_inline)
        free(out->data);
    out->data = data;
    out->capacity = capacity;
}

char *output_reserve(struct connection *c, size_t length)
{
    struct output *out = &c->output;

    if (length > out->capacity - out->length && out->capacity < OUTPUT_SIZE_MAX)
        grow(c);
    if (length > out->capacity - out->length)
        output_flush(c, 0);
    return c->is_broken ? NULL : out->data + out->length;
}

void output_commit(struct connection *c, size_t length)
{
    c->output.length += (uint32_t)length;
}

void output_write(struct connection *c, const char *data, size_t length)
{
    struct output *out = &c->output;

    if (length == 0) /* `data` may then be null */
        return;
    while (length > out->capacity - out->length && length <= OUTPUT_SIZE_MEDIUM &&
           out->capacity < OUTPUT_SIZE_MAX) {
        uint32_t before = out->capacity;

        grow(c);
        if (out->capacity == before)
            break;
    }
    if (length <= out->capacity - out->length) {
        memcpy(out->data + out->length, data, length);
        out->length += (uint32_t)length;
        return;
    }

    output_flush(c, MSG_MORE); /* what follows belongs to the same answer */
    while (length > 0 && !c->is_broken) {
        size_t piece = length < TRANSPORT_SEND_MAX ? length : TRANSPORT_SEND_MAX;

        if (c->transport.ops->send(&c->transport, data, piece, 0) < 0)
            c->is_broken = c->is_closing = true;
        data += piece;
        length -= piece;
    }
}

void output_rest(struct connection *c, size_t last_burst)
{
    struct output *out = &c->output;

    if (out->data != c->output_inline && last_burst <= OUTPUT_SIZE_MIN) {
        free(out->data);
        out->data = c->output_inline;
        out->capacity = OUTPUT_SIZE_MIN;
    }
}
