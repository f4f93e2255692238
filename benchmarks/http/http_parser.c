/* SPDX-License-Identifier: MIT */
/*
 * llhttp behind three calls.
 *
 * llhttp checks the grammar and refuses the shapes by which a request is smuggled past a proxy:
 * Content-Length twice, Content-Length beside Transfer-Encoding, a transfer coding after chunked.
 * This file adds what takes knowledge of the server: limits, Host, Expect, codings we do not have.
 */
#include "http_parser.h"

#include "input.h"
#include "routes.h"
#include "server.h"
#include "text.h"

#include <string.h>

static uint32_t offset_of(const struct connection *c, const char *at)
{
    return (uint32_t)(at - (c->input.data + c->input.start));
}

static int reject(struct connection *c, uint16_t status)
{
    c->request.reject = status;
    return -1;
}

/* A token can come in several calls when it was received in several pieces. */
static int on_url(llhttp_t *parser, const char *at, size_t length)
{
    struct connection *c = parser->data;

    if (c->request.target_length == 0)
        c->request.target_offset = offset_of(c, at);
    c->request.target_length += (uint32_t)length;
    return 0;
}

static int on_header_field(llhttp_t *parser, const char *at, size_t length)
{
    struct connection *c = parser->data;

    if (c->request.field_length == 0)
        c->request.field_offset = offset_of(c, at);
    c->request.field_length += (uint32_t)length;
    return 0;
}

static int on_header_field_complete(llhttp_t *parser)
{
    static const char transfer_encoding[] = "transfer-encoding";
    struct connection *c = parser->data;
    struct request *request = &c->request;
    const uint32_t length = request->field_length;
    const char *name = c->input.data + c->input.start + request->field_offset;

    request->field_length = 0;
    request->header = HEADER_OTHER;
    if (length == 0) /* llhttp lets it pass */
        return reject(c, 400);
    if (request->is_head_complete) /* a trailer field, which has no say in anything */
        return 0;

    if (length == 4 && text_equals_lower(name, "host", 4)) {
        if (request->hosts < 2)
            request->hosts++;
    } else if (length == 6 && text_equals_lower(name, "expect", 6)) {
        request->header = HEADER_EXPECT;
    } else if (length == sizeof transfer_encoding - 1 &&
               text_equals_lower(name, transfer_encoding, length)) {
        request->header = HEADER_TRANSFER_ENCODING;
    }
    request->value_length = 0;
    return 0;
}

static int on_header_value(llhttp_t *parser, const char *at, size_t length)
{
    struct connection *c = parser->data;

    if (c->request.header == HEADER_OTHER)
        return 0;
    if (c->request.value_length == 0)
        c->request.value_offset = offset_of(c, at);
    c->request.value_length += (uint32_t)length;
    return 0;
}

static int on_header_value_complete(llhttp_t *parser)
{
    struct connection *c = parser->data;
    struct request *request = &c->request;
    const char *value = c->input.data + c->input.start + request->value_offset;
    uint32_t length = request->value_length;

    if (request->header == HEADER_OTHER) /* there is no value then */
        return 0;
    /* llhttp leaves the whitespace behind a value, which RFC 9112 section 5.1 does not count. */
    while (length > 0 && (value[length - 1] == ' ' || value[length - 1] == '\t'))
        length--;
    if (request->header == HEADER_EXPECT) {
        if (length != 12 || !text_equals_lower(value, "100-continue", 12))
            return reject(c, 417);
        request->expects_continue = true;
    }
    if (request->header == HEADER_TRANSFER_ENCODING) {
        if (request->has_transfer_encoding)
            return reject(c, 400);
        request->has_transfer_encoding = true;
        if (length != 7 || !text_equals_lower(value, "chunked", 7))
            return reject(c, 501);
    }
    request->header = HEADER_OTHER;
    return 0;
}

static int on_headers_complete(llhttp_t *parser)
{
    struct connection *c = parser->data;
    struct request *request = &c->request;

    /* Upgrades are optional for a server, and this one has none; without this llhttp would stop. */
    parser->upgrade = 0;
    request->is_head_complete = true;
    request->is_http_1_0 = parser->http_minor == 0;
    request->is_keep_alive = llhttp_should_keep_alive(parser) != 0;
    request->is_head_method = parser->method == HTTP_HEAD;

    if (parser->http_major != 1) /* HTTP/0.9 is what llhttp makes of a line without a version */
        return reject(c, parser->http_major == 0 ? 400 : 505);
    if (request->hosts != 1 && (!request->is_http_1_0 || request->hosts > 1))
        return reject(c, 400);
    if (request->is_http_1_0) {
        /* RFC 9112 section 6.1: its framing is not to be trusted. */
        if (request->has_transfer_encoding)
            return reject(c, 400);
        request->expects_continue = false;
    }
    if (parser->method == HTTP_CONNECT)
        return reject(c, 501); /* what follows would not be HTTP */
    if (parser->content_length > c->server->options.body_limit)
        return reject(c, 413);
    routes_resolve(c, parser->method);
    return 0;
}

static int on_body(llhttp_t *parser, const char *at, size_t length)
{
    struct connection *c = parser->data;
    struct request *request = &c->request;

    request->body_received += length;
    if (request->body_received > c->server->options.body_limit)
        return reject(c, 413);
    if (routes_wants_body(request) && body_append(c, at, length) < 0)
        return reject(c, 503);
    return 0;
}

/* llhttp then returns to http_parser_run() behind the last byte of the request. */
static int on_message_complete(llhttp_t *parser)
{
    (void)parser;
    return HPE_PAUSED;
}

static const llhttp_settings_t settings = {
    .on_url = on_url,
    .on_header_field = on_header_field,
    .on_header_field_complete = on_header_field_complete,
    .on_header_value = on_header_value,
    .on_header_value_complete = on_header_value_complete,
    .on_headers_complete = on_headers_complete,
    .on_body = on_body,
    .on_message_complete = on_message_complete,
};

void http_parser_init(struct connection *c)
{
    llhttp_init(&c->parser, HTTP_REQUEST, &settings);
    c->parser.data = c;
}

enum parse_result http_parser_run(struct connection *c)
{
    struct input *in = &c->input;
    llhttp_errno_t error = llhttp_execute(&c->parser, in->data + in->parsed,
                                          in->length - in->parsed);

    if (error == HPE_OK) {
        in->parsed = in->length;
        return PARSE_MORE;
    }
    if (error == HPE_PAUSED) {
        in->parsed = (uint32_t)(llhttp_get_error_pos(&c->parser) - in->data);
        return PARSE_COMPLETE;
    }
    if (c->request.reject == 0)
        c->request.reject = 400;
    return PARSE_REJECTED;
}

void http_parser_next(struct connection *c)
{
    body_free(&c->request.body);
    c->request = (struct request){0};
    c->input.start = c->input.parsed;
    llhttp_resume(&c->parser);
}
