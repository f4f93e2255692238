/* SPDX-License-Identifier: MIT */
/* The example's connection, when there is no memory to note its clean-up. */
#include "../support/fixture.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/socket.h>

static int refuse_defer(void (*fn)(void *), void *arg)
{
    (void)fn;
    (void)arg;
    return -ENOMEM;
}

#define main scope_server_main
#define weft_defer refuse_defer
int scope_server_main(void);
#include "../../examples/scope_server.c"
#undef main

static int serve_without_memory(void *arg)
{
    int fds[2];

    (void)arg;
    CHECK_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
    CHECK_EQ(serve((void *)(intptr_t)fds[0]), -ENOMEM);
    CHECK_EQ(fcntl(fds[0], F_GETFD), -1); /* it is closed */
    CHECK_EQ(errno, EBADF);
    weft_close(fds[1]);
    return 0;
}

/* The client kept a connection that nobody served. */
WORKER_TEST(scope_server, a_connection_whose_clean_up_is_refused_is_closed, TEST_TIMEOUT_S)
{
    cr_expect_eq(run_workers(*workers, serve_without_memory, NULL), 0);
}
