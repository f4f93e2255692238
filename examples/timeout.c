/* SPDX-License-Identifier: MIT */
/* Two ways to end a wait: a deadline that the waiter sets, a cancel that somebody else sends. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include <weft.h>

/* Reads from a pipe that nobody writes to, for at most 20 ms. */
static int read_with_deadline(int fd)
{
    char byte;

    return (int)weft_read(fd, &byte, 1, weft_after(20 * WEFT_MILLISECOND));
}

/* The same without a deadline: only a cancel ends it. */
static int read_forever(void *arg)
{
    char byte;

    return (int)weft_read(*(int *)arg, &byte, 1, WEFT_FOREVER);
}

static int app(void *arg)
{
    int *pipe_fds = arg;
    weft_fiber *reader;
    int result = 0;
    int error;

    error = read_with_deadline(pipe_fds[0]);
    printf("the deadline ends the read: %s\n", strerror(-error));
    if (error != -ETIMEDOUT || (error = weft_spawn(&reader, read_forever, &pipe_fds[0])) < 0)
        return error < 0 ? error : -EIO;

    /* Time to get into the read; a cancel that comes earlier ends it just as well. */
    error = weft_sleep(5 * WEFT_MILLISECOND);
    weft_cancel(reader);
    if (error == 0)
        error = weft_join(reader, &result, WEFT_FOREVER);
    printf("the cancel ends the read: %s\n", strerror(-result));
    return error < 0 ? error : result == -ECANCELED ? 0 : -EIO;
}

int main(void)
{
    int fds[2];

    if (pipe(fds) < 0)
        return 1;
    return weft_run(NULL, app, fds) < 0;
}
