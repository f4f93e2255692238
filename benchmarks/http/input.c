/* SPDX-License-Identifier: MIT */
/*
 * The input buffer and the request body.
 *
 * Requests are parsed where they were received.  The header section of a request stays in one
 * piece in the buffer until it is answered, so target and headers are plain offsets into it.
 */
#include "input.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { INPUT_SIZE_MEDIUM = 4096, BODY_SIZE_MIN = 4096 };

void input_rest(struct connection *c)
{
    struct input *in = &c->input;

    if (in->data != c->input_inline && in->length <= INPUT_SIZE_MIN / 2) {
        free(in->data);
        in->data = c->input_inline;
        in->capacity = INPUT_SIZE_MIN;
    }
    in->start = in->parsed = in->length = 0;
}

static int grow(struct connection *c)
{
    struct input *in = &c->input;
    uint32_t capacity = in->capacity < INPUT_SIZE_MEDIUM ? INPUT_SIZE_MEDIUM : INPUT_SIZE_MAX;
    char *data = malloc(capacity);

    if (data == NULL)
        return -ENOMEM;
    memcpy(data, in->data, in->length);
    if (in->data != c->input_inline)
        free(in->data);
    in->data = data;
    in->capacity = capacity;
    return 0;
}

/* Turns a view into a copy: the bytes under it are about to be overwritten. */
static int own_body(struct body *body)
{
    const size_t capacity = body->length < BODY_SIZE_MIN ? BODY_SIZE_MIN : 2 * body->length;
    char *data;

    if (body->capacity > 0 || body->length == 0)
        return 0;
    data = malloc(capacity);
    if (data == NULL)
        return -ENOMEM;
    memcpy(data, body->data, body->length);
    body->data = data;
    body->capacity = capacity;
    return 0;
}

ssize_t input_make_room(struct connection *c)
{
    struct input *in = &c->input;
    const struct request *request = &c->request;

    if (request->is_head_complete) {
        /* Of the head only the target is still needed, and a zero behind it. */
        if (own_body(&c->request.body) < 0)
            return -ENOMEM;
        in->length = in->parsed = in->start + request->target_offset + request->target_length + 1;
    }
    if (in->start > 0) {
        in->length -= in->start;
        memmove(in->data, in->data + in->start, in->length);
        in->parsed = in->length;
        in->start = 0;
    }

    if (in->length == INPUT_SIZE_MAX)
        return 0;
    if ((in->length == in->capacity ||
         (request->is_head_complete && in->capacity < INPUT_SIZE_MAX)) &&
        grow(c) < 0)
        return -ENOMEM;
    return (ssize_t)(in->capacity - in->length);
}

int body_append(struct connection *c, const char *data, size_t length)
{
    struct body *body = &c->request.body;

    if (body->length == 0 && body->capacity == 0) {
        body->data = c->input.data + (data - c->input.data);
        body->length = length;
        return 0;
    }
    if (own_body(body) < 0)
        return -ENOMEM;
    if (length > body->capacity - body->length) {
        size_t capacity = 2 * body->capacity;
        char *grown;

        while (capacity - body->length < length)
            capacity *= 2;
        grown = realloc(body->data, capacity);
        if (grown == NULL)
            return -ENOMEM;
        body->data = grown;
        body->capacity = capacity;
    }
    memcpy(body->data + body->length, data, length);
    body->length += length;
    return 0;
}

void body_free(struct body *body)
{
    if (body->capacity > 0)
        free(body->data);
    *body = (struct body){0};
}
