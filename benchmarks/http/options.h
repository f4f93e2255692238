/* SPDX-License-Identifier: MIT */
/* The server's command line. */
#ifndef HTTP_OPTIONS_H
#define HTTP_OPTIONS_H

#include <stdint.h>

enum mode { MODE_FIBER, MODE_THREAD_PER_CONNECTION, MODE_THREAD_PER_REQUEST, MODE_THREAD_POOL };

struct options {
    enum mode mode;
    uint32_t workers; /* fiber mode only; 0: the runtime's default */
    uint32_t pool;    /* threads of thread-pool mode */
    const char *host;
    uint16_t port;
    uint32_t max_connections;  /* 0: no limit but descriptors */
    const char *root;          /* of /file/; NULL: there is none */
    int64_t header_timeout_ns; /* for a whole header section, and again for a whole body */
    int64_t idle_timeout_ns;   /* between requests */
    int64_t write_timeout_ns;  /* for every 64 KiB that are sent */
    uint64_t body_limit;       /* bytes of a request's body */
};

/* The name of a mode as --mode takes it. */
const char *options_mode_name(enum mode mode);

/*
 * Fills `options`.  Returns -1 to go on; otherwise the exit status of a command line that asked
 * for help (0) or was wrong (2), with the text already printed.
 */
int options_parse(struct options *options, int argc, char **argv);

#endif
