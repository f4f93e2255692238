/* SPDX-License-Identifier: MIT */
/* weft_close() of rings that are the program's own: a ring refuses to close those. */
#define _GNU_SOURCE 1

#include "../support/fixture.h"
#include "../support/net.h"

#include <errno.h>
#include <linux/io_uring.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { ROUNDS = 20 };

/* Below 0 where the system refuses rings. */
static int make_ring(void)
{
    struct io_uring_params params = {.flags = 0};

    return (int)syscall(SYS_io_uring_setup, 2, &params);
}

static int close_rings(void *arg)
{
    (void)arg;
    for (int i = 0; i < ROUNDS; i++) {
        int ring = make_ring(), other;

        if (ring < 0)
            return 0;
        other = dup(ring);
        CHECK(other >= 0);
        CHECK_EQ(weft_close(ring), 0);

        CHECK(syscall(SYS_io_uring_enter, ring, 0, 0, 0, NULL, 0) < 0);
        CHECK_EQ(weft_close(other), 0);
        CHECK_EQ(weft_close(NOT_OPEN), -EBADF);
    }
    return 0;
}

WORKER_TEST(io_close_ring, rings_close_like_all_else, TEST_TIMEOUT_S)
{
    cr_expect_eq(run_workers(*workers, close_rings, NULL), 0);
}
