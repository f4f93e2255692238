/* SPDX-License-Identifier: MIT */
/* From the target of a request to the function that answers it. */
#include "routes.h"

#include "handlers.h"
#include "response.h"
#include "text.h"

#include <string.h>

enum argument { ARGUMENT_NONE, ARGUMENT_NUMBER, ARGUMENT_TEXT };

struct route {
    const char *path; /* all of it, or what comes before the argument */
    uint8_t path_length;
    uint8_t argument; /* enum argument */
    bool is_post;     /* POST; otherwise GET and HEAD */
    uint64_t argument_max;
    void (*answer)(struct connection *connection);
};

#define PATH(text) text, sizeof text - 1

/* The first entry is the most frequent one. */
static const struct route routes[] = {
    {PATH("/plaintext"), ARGUMENT_NONE, false, 0, handle_plaintext},
    {PATH("/json"), ARGUMENT_NONE, false, 0, handle_json},
    {PATH("/delay/"), ARGUMENT_NUMBER, false, HANDLE_DELAY_MS_MAX, handle_delay},
    {PATH("/compute/"), ARGUMENT_NUMBER, false, HANDLE_COMPUTE_MAX, handle_compute},
    {PATH("/bytes/"), ARGUMENT_NUMBER, false, HANDLE_BYTES_MAX, handle_bytes},
    {PATH("/file/"), ARGUMENT_TEXT, false, 0, handle_file},
    {PATH("/echo"), ARGUMENT_NONE, true, 0, handle_echo},
};

enum { ROUTE_COUNT = sizeof routes / sizeof *routes };

/*
 * Cuts the request's target down to its path: off go the scheme and host of the absolute form,
 * which a server must accept, and the query.
 */
static const char *cut_to_path(struct connection *c)
{
    struct request *request = &c->request;
    const char *target = c->input.data + c->input.start + request->target_offset;
    const char *query = memchr(target, '?', request->target_length);

    if (query != NULL) /* first, since a slash in it does not begin a path */
        request->target_length = (uint32_t)(query - target);
    if (target[0] != '/' && request->target_length > 7 && text_equals_lower(target, "http://", 7)) {
        const char *path = memchr(target + 7, '/', request->target_length - 7);

        if (path == NULL) { /* an empty path means this one */
            request->target_length = 1;
            return "/";
        }
        request->target_offset += (uint32_t)(path - target);
        request->target_length -= (uint32_t)(path - target);
        target = path;
    }
    return target;
}

static bool matches(const struct route *route, struct request *request, const char *path)
{
    const uint32_t length = request->target_length;

    if (route->argument == ARGUMENT_NONE)
        return length == route->path_length && memcmp(path, route->path, length) == 0;
    if (length <= route->path_length || memcmp(path, route->path, route->path_length) != 0)
        return false;
    if (route->argument == ARGUMENT_NUMBER)
        return text_to_u64(path + route->path_length, length - route->path_length,
                           route->argument_max, &request->argument);
    request->target_offset += route->path_length; /* the handler wants the argument alone */
    request->target_length -= route->path_length;
    return true;
}

void routes_resolve(struct connection *c, uint8_t method)
{
    struct request *request = &c->request;
    const char *path = cut_to_path(c);
    bool is_allowed;

    for (request->route = 0; request->route < ROUTE_COUNT; request->route++)
        if (matches(&routes[request->route], request, path))
            break;
    if (request->route == ROUTE_COUNT) {
        request->status = 404;
        return;
    }
    is_allowed = routes[request->route].is_post ? method == HTTP_POST
                                                : method == HTTP_GET || method == HTTP_HEAD;
    if (!is_allowed)
        request->status = 405;
}

bool routes_wants_body(const struct request *request)
{
    return request->status == 0 && routes[request->route].is_post;
}

const char *routes_allow(const struct request *request)
{
    return routes[request->route].is_post ? "Allow: POST\r\n" : "Allow: GET, HEAD\r\n";
}

void routes_answer(struct connection *c)
{
    if (c->request.status != 0)
        response_error(c, c->request.status);
    else
        routes[c->request.route].answer(c);
}
