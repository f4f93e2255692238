/* SPDX-License-Identifier: MIT */
/* Descriptors to test with.  Each helper succeeds or ends the test. */
#ifndef WEFT_TEST_NET_H
#define WEFT_TEST_NET_H

#include <netinet/in.h>
#include <stddef.h>
#include <sys/types.h>

/* No descriptor has this number.  One that a test has just closed may be taken at any moment: by a
 * spare worker, which has descriptors of its own. */
enum { NOT_OPEN = 987654 };

void make_socket_pair(int fds[2]);
void make_datagram_pair(int fds[2]);
void make_pipe(int fds[2]);

/* Gives the sockets no more room for what they send than a few pages. */
void make_narrow(const int fds[2]);

/* A socket pair whose buffers take only some kilobytes. */
void make_narrow_socket_pair(int fds[2]);

/* A file in memory with these contents, its offset at 0. */
int make_file(const void *contents, size_t length);

/* The same on the disk that the test runs on, whose file system may know more. */
int make_disk_file(const void *contents, size_t length);

void set_nonblocking(int fd);

/* Fills what `fd` would take without waiting, and returns how many bytes that was. */
size_t fill(int fd);

/* Reads what `fd` holds without waiting, and returns how many bytes that was. */
size_t drain(int fd);

/* 127.0.0.1 and the port that `fd` is bound to. */
struct sockaddr_in local_address(int fd);

int make_tcp_socket(void);

/* A socket that holds a port of its own on 127.0.0.1, without listening there. */
int make_bound_socket(void);

/* Two ends of a TCP connection over loopback. */
void make_tcp_pair(int fds[2]);

/* Lets this process open `count` descriptors. */
void allow_descriptors(unsigned count);

#endif
