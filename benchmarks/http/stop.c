/* SPDX-License-Identifier: MIT */
/*
 * SIGTERM and SIGINT as a pipe that becomes readable.
 *
 * The pipe is what a fiber, a poller and a plain thread can all wait on.  The kernel gives a
 * signal for the process to the main thread while that accepts it, so the handler does not run on
 * the small stack of a fiber or of a connection's thread.
 */
#include "stop.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

static int signal_pipe_writer = -1;

static void on_signal(int number)
{
    int saved = errno;
    const char byte = (char)number;
    ssize_t ignored = write(signal_pipe_writer, &byte, 1); /* full: one byte is already there */

    (void)ignored;
    errno = saved;
}

int stop_catch_signals(void)
{
    struct sigaction catch = {.sa_handler = on_signal, .sa_flags = SA_RESTART};
    struct sigaction ignore = {.sa_handler = SIG_IGN};
    int ends[2];

    if (pipe2(ends, O_CLOEXEC) < 0)
        return -errno;
    /* Only the writing end: the main thread of the thread modes waits in a plain read. */
    if (fcntl(ends[1], F_SETFL, O_NONBLOCK) < 0)
        return -errno;
    signal_pipe_writer = ends[1];
    sigemptyset(&catch.sa_mask);
    if (sigaction(SIGTERM, &catch, NULL) < 0 || sigaction(SIGINT, &catch, NULL) < 0 ||
        sigaction(SIGPIPE, &ignore, NULL) < 0)
        return -errno;
    return ends[0];
}

void stop_wait(int fd)
{
    char byte;

    while (read(fd, &byte, 1) < 0 && errno == EINTR)
        ;
}
