/* SPDX-License-Identifier: MIT */
/* The example's own functions, before a server that hangs up, and without a descriptor. */
#include "../support/fixture.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <sys/socket.h>
#include <unistd.h>

static bool is_refused;

/* Not refused, it is as ever. */
static int accept_or_refuse(int fd, weft_time deadline)
{
    return is_refused ? -EMFILE : weft_accept(fd, deadline);
}

#define main line_server_main
#define weft_accept accept_or_refuse
int line_server_main(void);
#include "../../examples/line_server.c"
#undef main

/* `arg` is what the server says before it hangs up. */
static int ask_who_hangs_up(void *arg)
{
    const char *said = arg;
    int fds[2], result;

    CHECK_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
    CHECK_EQ(write(fds[1], said, strlen(said)), (ssize_t)strlen(said));
    CHECK_EQ(shutdown(fds[1], SHUT_WR), 0); /* the questions have room in the socket */
    result = ask(fds[0]);
    weft_close(fds[0]);
    weft_close(fds[1]);
    return result;
}

/* A read at the end has no line: one took the byte before it for the end of a line. */
WORKER_TEST(line_server, a_server_that_hangs_up_is_an_error, TEST_TIMEOUT_S)
{
    cr_expect_eq(run_workers(*workers, ask_who_hangs_up, (char *)""), -ENODATA);
    cr_expect_eq(run_workers(*workers, ask_who_hangs_up, (char *)"ok\nok\n"), -ENODATA);
}

static int first_free_descriptor(void)
{
    int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);

    CHECK(fd >= 0);
    CHECK_EQ(close(fd), 0);
    return fd;
}

static int run_refused(void *arg)
{
    int before = first_free_descriptor();

    is_refused = true;
    CHECK_EQ(app(arg), -EMFILE);
    CHECK_EQ(first_free_descriptor(), before);
    is_refused = false;
    CHECK_EQ(app(arg), 0);
    CHECK_EQ(first_free_descriptor(), before);
    return 0;
}

/* The example ended with success and did nothing, and one of its descriptors was left. */
WORKER_TEST(line_server, a_failed_accept_is_an_error_and_leaves_nothing, TEST_TIMEOUT_S)
{
    cr_expect_eq(run_workers(*workers, run_refused, NULL), 0);
}
