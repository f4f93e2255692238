/* SPDX-License-Identifier: MIT */
/* The listening socket: options first, since connections inherit them. */
#include "listener.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

static int parse_address(const struct listener_options *options, struct sockaddr_storage *out,
                         socklen_t *length)
{
    struct sockaddr_in *in4 = (struct sockaddr_in *)out;
    struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)out;

    memset(out, 0, sizeof *out);
    if (inet_pton(AF_INET, options->host, &in4->sin_addr) == 1) {
        in4->sin_family = AF_INET;
        in4->sin_port = htons(options->port);
        *length = sizeof *in4;
        return 0;
    }
    if (inet_pton(AF_INET6, options->host, &in6->sin6_addr) == 1) {
        in6->sin6_family = AF_INET6;
        in6->sin6_port = htons(options->port);
        *length = sizeof *in6;
        return 0;
    }
    return -EINVAL;
}

static int set_timeout(int fd, int option, int64_t timeout_ns)
{
    struct timeval tv = {.tv_sec = timeout_ns / 1000000000,
                         .tv_usec = timeout_ns % 1000000000 / 1000};

    if (timeout_ns == 0)
        return 0;
    return setsockopt(fd, SOL_SOCKET, option, &tv, sizeof tv);
}

int listener_open(const struct listener_options *options)
{
    const int on = 1;
    struct sockaddr_storage address;
    socklen_t length;
    int error = parse_address(options, &address, &length);
    int fd;

    if (error < 0)
        return error;
    fd = socket(address.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -errno;

    if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) < 0 ||
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on) < 0 ||
        set_timeout(fd, SO_RCVTIMEO, options->recv_timeout_ns) < 0 ||
        set_timeout(fd, SO_SNDTIMEO, options->send_timeout_ns) < 0 ||
        bind(fd, (struct sockaddr *)&address, length) < 0 || listen(fd, INT32_MAX) < 0) {
        error = -errno;
        close(fd);
        return error;
    }
    return fd;
}

int listener_announce(int fd, const char *mode)
{
    struct sockaddr_storage address = {0};
    socklen_t length = sizeof address;
    char host[INET6_ADDRSTRLEN] = "?";

    if (getsockname(fd, (struct sockaddr *)&address, &length) < 0)
        return -errno;
    if (address.ss_family == AF_INET6) {
        const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)&address;

        inet_ntop(AF_INET6, &in6->sin6_addr, host, sizeof host);
        printf("listening on [%s]:%u mode=%s\n", host, (unsigned)ntohs(in6->sin6_port), mode);
    } else {
        const struct sockaddr_in *in4 = (const struct sockaddr_in *)&address;

        inet_ntop(AF_INET, &in4->sin_addr, host, sizeof host);
        printf("listening on %s:%u mode=%s\n", host, (unsigned)ntohs(in4->sin_port), mode);
    }
    return fflush(stdout) == 0 ? 0 : -EIO;
}

void listener_raise_descriptor_limit(void)
{
    struct rlimit limit;

    /* A failure leaves the limit that was there: fewer connections, not a broken server. */
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < limit.rlim_max) {
        limit.rlim_cur = limit.rlim_max;
        (void)setrlimit(RLIMIT_NOFILE, &limit);
    }
}
