/* SPDX-License-Identifier: MIT */
/* support/child.h: what a test has started ends with it, also when its time is over. */
#include "../support/check.h"
#include "../support/child.h"

#include <criterion/criterion.h>
#include <poll.h>
#include <signal.h>
#include <unistd.h>

enum { PATIENCE_MS = 30000 };

/* As a runner does to a test whose time is over. */
CHILD(kill_the_parent_and_stay)
{
    CHECK_EQ(kill(getppid(), SIGKILL), 0);
    (void)poll(NULL, 0, PATIENCE_MS);
    CHECK_EQ(write((int)parameter, "x", 1), 1);
    return 0;
}

CHILD(wait_for_a_child)
{
    struct child_end end;

    run_child("kill_the_parent_and_stay", parameter, NULL, &end);
    return 0;
}

/* Children that stayed behind took a processor, a port or memory from all tests that came after. */
Test(child, does_not_outlive_who_waits_for_it, .timeout = 60)
{
    struct child_end end;
    int fds[2];
    char byte;

    cr_assert_eq(pipe(fds), 0);
    run_child("wait_for_a_child", (unsigned)fds[1], NULL, &end);
    cr_expect_eq(end.signal, SIGKILL, "status %d: %s", end.exit_status, end.output);
    (void)close(fds[1]);
    /* The end comes when the last holder of the other end is gone, and a byte if it stayed. */
    cr_expect_eq(read(fds[0], &byte, 1), 0);
    (void)close(fds[0]);
}
