/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE 1

#include "net.h"

#include "check.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

void make_socket_pair(int fds[2])
{
    CHECK_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
}

void make_datagram_pair(int fds[2])
{
    CHECK_EQ(socketpair(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0, fds), 0);
}

void make_pipe(int fds[2])
{
    CHECK_EQ(pipe2(fds, O_CLOEXEC), 0);
}

void make_narrow(const int fds[2])
{
    int size = 4096; /* the kernel doubles it and has a minimum of its own */

    for (int i = 0; i < 2; i++)
        CHECK_EQ(setsockopt(fds[i], SOL_SOCKET, SO_SNDBUF, &size, sizeof size), 0);
}

void make_narrow_socket_pair(int fds[2])
{
    make_socket_pair(fds);
    make_narrow(fds);
}

int make_file(const void *contents, size_t length)
{
    int fd = memfd_create("weft-test", MFD_CLOEXEC);

    CHECK(fd >= 0);
    CHECK_EQ(pwrite(fd, contents, length, 0), length);
    return fd;
}

int make_disk_file(const void *contents, size_t length)
{
    char path[] = "weft-test-XXXXXX";
    int fd = mkostemp(path, O_CLOEXEC);

    CHECK(fd >= 0);
    CHECK_EQ(unlink(path), 0);
    CHECK_EQ(pwrite(fd, contents, length, 0), length);
    return fd;
}

void set_nonblocking(int fd)
{
    int flags = fcntl(fd, F_GETFL);

    CHECK(flags >= 0);
    CHECK_EQ(fcntl(fd, F_SETFL, flags | O_NONBLOCK), 0);
}

static int ready_for(int fd, short event)
{
    struct pollfd p = {.fd = fd, .events = event};

    return poll(&p, 1, 0) == 1 && (p.revents & event);
}

size_t fill(int fd)
{
    static const char zeros[4096];
    int flags = fcntl(fd, F_GETFL);
    size_t total = 0;
    ssize_t n;

    set_nonblocking(fd);
    /* Ends with single bytes: a large write may fail where a small one still fits. */
    for (size_t size = sizeof zeros; size > 0; size /= 8)
        while ((n = write(fd, zeros, size)) > 0)
            total += (size_t)n;
    CHECK_EQ(fcntl(fd, F_SETFL, flags), 0);
    return total;
}

size_t drain(int fd)
{
    char buffer[4096];
    size_t total = 0;
    ssize_t n;

    while (ready_for(fd, POLLIN) && (n = read(fd, buffer, sizeof buffer)) > 0)
        total += (size_t)n;
    return total;
}

struct sockaddr_in local_address(int fd)
{
    struct sockaddr_in address;
    socklen_t length = sizeof address;

    CHECK_EQ(getsockname(fd, (struct sockaddr *)&address, &length), 0);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    return address;
}

int make_tcp_socket(void)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    CHECK(fd >= 0);
    return fd;
}

int make_bound_socket(void)
{
    struct sockaddr_in address = {.sin_family = AF_INET};
    int fd = make_tcp_socket();

    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    CHECK_EQ(bind(fd, (struct sockaddr *)&address, sizeof address), 0);
    return fd;
}

void make_tcp_pair(int fds[2])
{
    int listener = make_bound_socket();
    struct sockaddr_in address = local_address(listener);

    CHECK_EQ(listen(listener, 1), 0);
    fds[0] = make_tcp_socket();
    CHECK_EQ(connect(fds[0], (struct sockaddr *)&address, sizeof address), 0);
    fds[1] = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
    CHECK(fds[1] >= 0);
    (void)close(listener);
}

void allow_descriptors(unsigned count)
{
    struct rlimit limit;

    CHECK_EQ(getrlimit(RLIMIT_NOFILE, &limit), 0);
    if (limit.rlim_cur < count) {
        limit.rlim_cur = count;
        CHECK_EQ(setrlimit(RLIMIT_NOFILE, &limit), 0);
    }
}
