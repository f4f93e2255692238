/* SPDX-License-Identifier: MIT */
/* The server's command line. */
#include "options.h"

#include "text.h"

#include <getopt.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

static const char *const mode_names[] = {
    [MODE_FIBER] = "fiber",
    [MODE_THREAD_PER_CONNECTION] = "thread-per-connection",
    [MODE_THREAD_PER_REQUEST] = "thread-per-request",
    [MODE_THREAD_POOL] = "thread-pool",
};

static const char help_text[] =
    "usage: weft-http [option]...\n"
    "\n"
    "Serves HTTP/1.1; the same handlers run on fibers or on threads.\n"
    "\n"
    "  --mode=MODE             fiber (default), thread-per-connection, thread-per-request,\n"
    "                          thread-pool\n"
    "  --workers=N             worker threads of fiber mode; 0, the default: one per CPU\n"
    "  --pool=N                threads of thread-pool mode; default 64\n"
    "  --host=ADDRESS          numeric address to listen on; default 127.0.0.1\n"
    "  --port=N                0, the default, picks a free one\n"
    "  --max-connections=N     stop accepting while so many are open; 0, the default: no limit\n"
    "  --root=FOLDER           what GET /file/<name> serves; default: nothing\n"
    "  --header-timeout-ms=N   time for a header section, and again for a body; default 30000\n"
    "  --idle-timeout-ms=N     time between requests; default 30000\n"
    "  --write-timeout-ms=N    time for the peer to take 64 KiB; default 30000\n"
    "  --body-limit=N          bytes of a request body; default 1048576\n"
    "  --help\n"
    "\n"
    "Routes: GET /plaintext, /json, /delay/<ms>, /bytes/<n>, /file/<name>; POST /echo.\n"
    "SIGTERM and SIGINT finish the requests in flight, for up to 5 seconds, and end it.\n";

const char *options_mode_name(enum mode mode)
{
    return mode_names[mode];
}

static bool parse_mode(const char *text, enum mode *mode)
{
    for (unsigned i = 0; i < sizeof mode_names / sizeof *mode_names; i++) {
        if (strcmp(text, mode_names[i]) == 0) {
            *mode = (enum mode)i;
            return true;
        }
    }
    return false;
}

static bool parse_milliseconds(const char *text, int64_t *ns)
{
    uint64_t ms;

    if (!text_to_u64(text, strlen(text), 86400000, &ms) || ms == 0)
        return false;
    *ns = (int64_t)ms * 1000000;
    return true;
}

static bool parse_u32(const char *text, uint64_t max, uint32_t *value)
{
    uint64_t wide;

    if (!text_to_u64(text, strlen(text), max, &wide))
        return false;
    *value = (uint32_t)wide;
    return true;
}

enum {
    OPTION_MODE = 1,
    OPTION_WORKERS,
    OPTION_POOL,
    OPTION_HOST,
    OPTION_PORT,
    OPTION_MAX_CONNECTIONS,
    OPTION_ROOT,
    OPTION_HEADER_TIMEOUT,
    OPTION_IDLE_TIMEOUT,
    OPTION_WRITE_TIMEOUT,
    OPTION_BODY_LIMIT,
    OPTION_HELP
};

static const struct option long_options[] = {
    {"mode", required_argument, NULL, OPTION_MODE},
    {"workers", required_argument, NULL, OPTION_WORKERS},
    {"pool", required_argument, NULL, OPTION_POOL},
    {"host", required_argument, NULL, OPTION_HOST},
    {"port", required_argument, NULL, OPTION_PORT},
    {"max-connections", required_argument, NULL, OPTION_MAX_CONNECTIONS},
    {"root", required_argument, NULL, OPTION_ROOT},
    {"header-timeout-ms", required_argument, NULL, OPTION_HEADER_TIMEOUT},
    {"idle-timeout-ms", required_argument, NULL, OPTION_IDLE_TIMEOUT},
    {"write-timeout-ms", required_argument, NULL, OPTION_WRITE_TIMEOUT},
    {"body-limit", required_argument, NULL, OPTION_BODY_LIMIT},
    {"help", no_argument, NULL, OPTION_HELP},
    {NULL, 0, NULL, 0},
};

static bool apply(struct options *options, int option, const char *value)
{
    uint32_t port;

    switch (option) {
    case OPTION_MODE:
        return parse_mode(value, &options->mode);
    case OPTION_WORKERS:
        return parse_u32(value, 1024, &options->workers);
    case OPTION_POOL:
        return parse_u32(value, 1024, &options->pool) && options->pool > 0;
    case OPTION_HOST:
        options->host = value;
        return true;
    case OPTION_PORT:
        if (!parse_u32(value, UINT16_MAX, &port))
            return false;
        options->port = (uint16_t)port;
        return true;
    case OPTION_MAX_CONNECTIONS:
        return parse_u32(value, UINT32_MAX, &options->max_connections);
    case OPTION_ROOT:
        options->root = value;
        return true;
    case OPTION_HEADER_TIMEOUT:
        return parse_milliseconds(value, &options->header_timeout_ns);
    case OPTION_IDLE_TIMEOUT:
        return parse_milliseconds(value, &options->idle_timeout_ns);
    case OPTION_WRITE_TIMEOUT:
        return parse_milliseconds(value, &options->write_timeout_ns);
    case OPTION_BODY_LIMIT:
        return text_to_u64(value, strlen(value), INT64_MAX, &options->body_limit);
    default:
        return false;
    }
}

int options_parse(struct options *options, int argc, char **argv)
{
    const int64_t default_timeout_ns = INT64_C(30) * 1000000000;
    int option, index = 0;

    *options = (struct options){
        .mode = MODE_FIBER,
        .pool = 64,
        .host = "127.0.0.1",
        .header_timeout_ns = default_timeout_ns,
        .idle_timeout_ns = default_timeout_ns,
        .write_timeout_ns = default_timeout_ns,
        .body_limit = 1 << 20,
    };
    while ((option = getopt_long(argc, argv, "", long_options, &index)) != -1) {
        if (option == OPTION_HELP) {
            fputs(help_text, stdout);
            return 0;
        }
        if (option == '?') /* getopt has said what is wrong */
            return 2;
        if (!apply(options, option, optarg)) {
            fprintf(stderr, "weft-http: --%s: '%s' is not a value for it; see --help\n",
                    long_options[index].name, optarg);
            return 2;
        }
    }
    if (optind < argc) {
        fprintf(stderr, "weft-http: unexpected argument '%s'; see --help\n", argv[optind]);
        return 2;
    }
    return -1;
}
