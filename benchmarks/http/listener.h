/* SPDX-License-Identifier: MIT */
/* The listening socket. */
#ifndef HTTP_LISTENER_H
#define HTTP_LISTENER_H

#include <stdint.h>

/* How a server's sockets are set up. */
struct listener_options {
    const char *host;        /* a numeric IPv4 or IPv6 address */
    uint16_t port;           /* 0: the kernel picks one */
    int64_t recv_timeout_ns; /* SO_RCVTIMEO of the connections; 0: none */
    int64_t send_timeout_ns; /* SO_SNDTIMEO of the connections; 0: none */
};

/*
 * Listens; connections inherit TCP_NODELAY and the timeouts, which costs them no system call.
 * (weft_listen_tcp() would do but for that: the options must be set before the first connection
 * can arrive.)  Returns the descriptor, in blocking mode, or a negative errno.
 */
int listener_open(const struct listener_options *options);

/* Prints "listening on HOST:PORT mode=MODE" and flushes; 0 or a negative errno. */
int listener_announce(int fd, const char *mode);

/* Raises the soft limit of open descriptors to the hard one: a server needs what it can get. */
void listener_raise_descriptor_limit(void);

#endif
