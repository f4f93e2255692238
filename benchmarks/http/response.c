/* SPDX-License-Identifier: MIT */
/* The head of an answer.  Every answer has Server, Date and Content-Length. */
#include "response.h"

#include "date.h"
#include "output.h"
#include "plaintext.h"
#include "routes.h"
#include "server.h"
#include "text.h"

#include <string.h>

enum { HEAD_MAX = 320 }; /* of the heads that are built here; the longest has about 220 bytes */

struct status_text {
    uint16_t status;
    const char *line; /* with its line end, for the head */
    const char *body;
};

#define STATUS(number, text) number, #number " " text "\r\n", text "\n"

static const struct status_text status_texts[] = {
    {STATUS(400, "Bad Request")},
    {STATUS(404, "Not Found")},
    {STATUS(405, "Method Not Allowed")},
    {STATUS(408, "Request Timeout")},
    {STATUS(413, "Content Too Large")},
    {STATUS(417, "Expectation Failed")},
    {STATUS(431, "Request Header Fields Too Large")},
    {STATUS(501, "Not Implemented")},
    {STATUS(503, "Service Unavailable")},
    {STATUS(505, "HTTP Version Not Supported")},
    {STATUS(500, "Internal Server Error")}, /* last: also stands for any other */
};

static char *put(char *out, const char *text, size_t length)
{
    memcpy(out, text, length);
    return out + length;
}

static char *put_string(char *out, const char *text)
{
    return put(out, text, strlen(text));
}

/* The Connection header where the version's default is not meant; HTTP/1.0's is to close. */
static char *put_connection(char *out, struct connection *c)
{
    if (server_is_draining(c->server))
        c->request.is_keep_alive = false;
    if (!c->request.is_keep_alive) {
        c->is_closing = c->closes_first = true;
        return put_string(out, "Connection: close\r\n");
    }
    if (c->request.is_http_1_0)
        return put_string(out, "Connection: keep-alive\r\n");
    return out;
}

static char *put_start(char *out, struct connection *c)
{
    out = put(out, HTTP_OK_UP_TO_DATE, sizeof HTTP_OK_UP_TO_DATE - 1);
    date_copy(out);
    return put_connection(out + DATE_LENGTH, c);
}

static char *put_entity(char *out, const char *content_type, uint64_t content_length)
{
    out = put_string(out, "Content-Type: ");
    out = put_string(out, content_type);
    out = put_string(out, "\r\nContent-Length: ");
    out += text_from_u64(out, content_length);
    return put_string(out, "\r\n\r\n");
}

void response_ready(struct connection *c, const struct ready_response *response)
{
    char *start = output_reserve(c, HEAD_MAX);
    char *out = start;

    if (start == NULL)
        return;
    out = put_start(out, c);
    out = put(out, response->head_rest, response->head_rest_length);
    if (!c->request.is_head_method)
        out = put(out, response->body, response->body_length);
    output_commit(c, (size_t)(out - start));
}

void response_head(struct connection *c, const char *content_type, uint64_t content_length)
{
    char *start = output_reserve(c, HEAD_MAX);

    if (start != NULL)
        output_commit(
            c, (size_t)(put_entity(put_start(start, c), content_type, content_length) - start));
}

void response_error(struct connection *c, uint16_t status)
{
    const struct status_text *text = status_texts;
    char *start = output_reserve(c, HEAD_MAX);
    char *out = start;

    if (start == NULL)
        return;
    while (text->status != status && text->status != 500)
        text++;
    out = put_string(out, "HTTP/1.1 ");
    out = put_string(out, text->line);
    out = put_string(out, "Server: weft\r\nDate: ");
    date_copy(out);
    out = put_connection(out + DATE_LENGTH, c);
    if (status == 405)
        out = put_string(out, routes_allow(&c->request));
    out = put_entity(out, "text/plain", strlen(text->body));
    if (!c->request.is_head_method)
        out = put_string(out, text->body);
    output_commit(c, (size_t)(out - start));
}

void response_continue(struct connection *c)
{
    static const char text[] = "HTTP/1.1 100 Continue\r\n\r\n";

    output_write(c, text, sizeof text - 1);
}
