/* SPDX-License-Identifier: MIT */
/* The example's session, when it is cancelled. */
#include "../support/fixture.h"

#include <sys/socket.h>

#define main session_main
int session_main(void);
#include "../../examples/session.c"
#undef main

static int cancel_session(void *arg)
{
    struct session session = {.answer = WEFT_FUTURE_INIT};
    weft_fiber *fiber;
    int fds[2], result = 0;

    (void)arg;
    CHECK_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
    session.fd = fds[0];
    CHECK_EQ(news_init(&session.news, NULL, 0), 0);
    CHECK_EQ(weft_spawn(&fiber, serve, &session), 0);
    CHECK_EQ(weft_yield(), 0);
    weft_cancel(fiber);
    CHECK_EQ(weft_join(fiber, &result, WEFT_FOREVER), 0);
    weft_close(fds[0]);
    weft_close(fds[1]);
    return result;
}

/* It said that its client had been silent for too long. */
WORKER_TEST(session, one_that_is_cancelled_says_so, TEST_TIMEOUT_S)
{
    cr_expect_eq(run_workers(*workers, cancel_session, NULL), -ECANCELED);
}
