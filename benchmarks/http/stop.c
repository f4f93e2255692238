/* SPDX-License-Identifier: MIT */
/*
 * SIGTERM and SIGINT as a descriptor that becomes readable.
 *
 * A fiber, an epoll set and a plain thread can all wait for a signalfd(2), and no handler ever
 * runs on the small stack of a connection.  The signal is never read, so the descriptor stays
 * readable: the server stops only once.
 */
#include "stop.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stddef.h>
#include <sys/signalfd.h>

int stop_catch_signals(void)
{
    const struct sigaction ignore = {.sa_handler = SIG_IGN};
    sigset_t signals;
    int fd;

    sigemptyset(&signals);
    sigaddset(&signals, SIGTERM);
    sigaddset(&signals, SIGINT);
    if (sigprocmask(SIG_BLOCK, &signals, NULL) < 0 || sigaction(SIGPIPE, &ignore, NULL) < 0)
        return -errno;
    fd = signalfd(-1, &signals, SFD_CLOEXEC | SFD_NONBLOCK);
    return fd < 0 ? -errno : fd;
}

void stop_wait(int fd)
{
    struct pollfd stop = {.fd = fd, .events = POLLIN};

    while (poll(&stop, 1, -1) < 0 && errno == EINTR)
        ;
}
