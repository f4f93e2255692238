/* SPDX-License-Identifier: MIT */
/* One fiber sends numbers through a socket pair, another adds them up; both just block. */
#include <errno.h>
#include <stdio.h>
#include <sys/socket.h>
#include <weft.h>

enum { NUMBER_COUNT = 1000 };

static int produce(void *arg)
{
    int fd = *(int *)arg;
    ssize_t sent = 0;

    for (int i = 1; i <= NUMBER_COUNT && sent >= 0; i++)
        sent = weft_send_all(fd, &i, sizeof i, 0, weft_after(WEFT_SECOND));
    /* The end of the stream is what tells the consumer to stop. */
    weft_close(fd);
    return sent < 0 ? (int)sent : 0;
}

static int consume(void *arg)
{
    int fd = *(int *)arg;
    int sum = 0;
    int number;
    ssize_t got;

    /* Packets keep their boundaries, so a number never comes in halves. */
    while ((got = weft_recv(fd, &number, sizeof number, 0, weft_after(WEFT_SECOND))) > 0)
        sum += number;
    weft_close(fd);
    return got < 0 ? (int)got : sum;
}

static int app(void *arg)
{
    weft_fiber *producer;
    int fds[2];
    int error;
    int sum;

    (void)arg;
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds) < 0)
        return -errno;
    if ((error = weft_spawn(&producer, produce, &fds[0])) < 0)
        return error;
    sum = consume(&fds[1]);
    error = weft_join(producer, NULL, WEFT_FOREVER);
    printf("the sum is %d\n", sum);
    return error == 0 && sum == NUMBER_COUNT * (NUMBER_COUNT + 1) / 2 ? 0 : -EIO;
}

int main(void)
{
    return weft_run(NULL, app, NULL) < 0;
}
