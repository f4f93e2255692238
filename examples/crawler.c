/* SPDX-License-Identifier: MIT */
/*
 * A crawler that is gentle: it fetches as many pages at once as it finds links, but asks the server
 * for no more than so many a second.  The server is its own, on the loopback interface.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <weft.h>

enum { PAGES = 100, PER_SECOND = 500, BURST = 10, LINE_SIZE = 64 };

static weft_rate_limiter gentle = WEFT_RATE_LIMITER_INIT(PER_SECOND, WEFT_SECOND, BURST);
static weft_scope crawl = WEFT_SCOPE_INIT;
static atomic_bool is_seen[PAGES + 1];
static atomic_int fetched;
static struct sockaddr_in address;

/* A page is a number, and what it says is two links; "0 0" is the end.  One page a connection. */
static int serve(void *arg)
{
    int fd = (int)(intptr_t)arg;
    char line[LINE_SIZE] = "";
    weft_time deadline = weft_after(10 * WEFT_SECOND);
    int page = 0;
    int length;
    ssize_t n = weft_recv(fd, line, 4, MSG_WAITALL, deadline);

    if (n == 4 && sscanf(line, "%d", &page) == 1) {
        int left = 2 * page <= PAGES ? 2 * page : 0;
        int right = 2 * page < PAGES ? 2 * page + 1 : 0;

        length = snprintf(line, sizeof line, "%d %d", left, right);
        n = weft_write_all(fd, line, (size_t)length, deadline);
    }
    weft_close(fd);
    return 0;
}

static int accept_all(void *arg)
{
    int listener = (int)(intptr_t)arg;
    int fd;

    while ((fd = weft_accept_next(listener, WEFT_FOREVER)) >= 0)
        if (weft_spawn(NULL, serve, (void *)(intptr_t)fd) < 0)
            weft_close(fd);
    if (fd != -ECANCELED)
        fprintf(stderr, "the server has failed: %s\n", strerror(-fd));
    weft_close(listener); /* who waits for a turn is told */
    return fd;
}

static ssize_t fetch(int page, char *line)
{
    weft_time deadline = weft_after(10 * WEFT_SECOND);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    ssize_t n;

    if (fd < 0)
        return -errno;
    (void)snprintf(line, LINE_SIZE, "%4d", page);
    n = weft_connect(fd, (struct sockaddr *)&address, sizeof address, deadline);
    if (n == 0 && (n = weft_write_all(fd, line, 4, deadline)) > 0) {
        memset(line, 0, LINE_SIZE);
        n = weft_recv(fd, line, LINE_SIZE - 1, MSG_WAITALL, deadline); /* until the server ends */
    }
    weft_close(fd);
    return n;
}

static int visit(void *arg)
{
    int page = (int)(intptr_t)arg;
    int links[2];
    char line[LINE_SIZE];
    ssize_t error = weft_rate_limiter_acquire(&gentle, 1, WEFT_FOREVER);

    if (error < 0 || (error = fetch(page, line)) < 0)
        return (int)error;
    fetched++;
    if (sscanf(line, "%d %d", &links[0], &links[1]) != 2)
        return -EPROTO;
    for (int i = 0; i < 2; i++)
        if (links[i] > 0 && links[i] <= PAGES && !atomic_exchange(&is_seen[links[i]], true) &&
            (error = weft_scope_spawn(&crawl, visit, (void *)(intptr_t)links[i])) < 0)
            return (int)error;
    return 0;
}

static int app(void *arg)
{
    int listener = weft_listen_tcp("127.0.0.1", 0);
    socklen_t length = sizeof address;
    weft_time begin = weft_now();
    weft_time took;
    int error;

    (void)arg;
    if (listener < 0 || getsockname(listener, (struct sockaddr *)&address, &length) < 0)
        return -EIO;
    if ((error = weft_spawn(NULL, accept_all, (void *)(intptr_t)listener)) < 0)
        return error;
    error = weft_scope_spawn(&crawl, visit, (void *)(intptr_t)1);
    error = weft_scope_close(&crawl, error); /* fibers inside have spawned into it */
    took = weft_now() - begin;
    printf("%d pages in %lld ms\n", fetched, (long long)(took / WEFT_MILLISECOND));
    if (error < 0)
        return error;
    return took >= (fetched - BURST) * WEFT_SECOND / PER_SECOND && fetched == PAGES ? 0 : -EIO;
}

int main(void)
{
    return weft_run(NULL, app, NULL) < 0;
}
