/* SPDX-License-Identifier: MIT */
/* io.h: readiness that is another file's, or that does not hold what it promises. */
#define _GNU_SOURCE 1

#include "../support/fixture.h"
#include "../support/net.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdatomic.h>
#include <unistd.h>

#define MS WEFT_MILLISECOND

/* A number that nobody takes by chance while a test has given it back. */
enum { PLACE = 700 };

/* How the first wait on the number ends, while its file lives on under another one. */
enum end { BY_CLOSE, BY_DEADLINE, BY_CANCEL, ENDS };

struct waiting {
    bool selects;
    weft_time deadline;
    _Atomic(int) is_ready; /* what is there now has come for the file that has the number */
    bool was_early;
};

/* The events, or a negative errno. */
static int wait_at_the_place(void *arg)
{
    struct waiting *waiting = arg;
    weft_poll poll = WEFT_POLL_INIT(PLACE, POLLIN);
    int result, events = 0;
    struct weft_select_case one = WEFT_POLL_CASE(&poll, &events);

    if (waiting->selects) {
        result = weft_select(&one, 1, waiting->deadline);
        result = result < 0 ? result : one.result < 0 ? one.result : events;
    } else {
        result = weft_poll_fd(PLACE, POLLIN, waiting->deadline);
    }
    waiting->was_early = atomic_load(&waiting->is_ready) == 0;
    return result;
}

/* Puts one end of a pair at the place, and returns it. */
static int take_place(int fds[2])
{
    make_socket_pair(fds);
    CHECK_EQ(dup2(fds[0], PLACE), PLACE);
    return PLACE;
}

static void end_first_wait(bool selects, enum end end)
{
    struct waiting first = {.selects = selects,
                            .deadline = end == BY_DEADLINE ? weft_after(MS) : WEFT_FOREVER};
    weft_fiber *fiber = must_spawn(wait_at_the_place, &first);

    CHECK_EQ(weft_sleep(2 * MS), 0);
    if (end == BY_CLOSE)
        CHECK_EQ(weft_close(PLACE), 0);
    else if (end == BY_CANCEL)
        weft_cancel(fiber);
    CHECK_EQ(must_join(fiber), end == BY_CLOSE      ? -EBADF
                               : end == BY_DEADLINE ? -ETIMEDOUT
                                                    : -ECANCELED);
    if (end != BY_CLOSE)
        CHECK_EQ(weft_close(PLACE), 0);
}

static void tell_the_old_file(bool selects, enum end end)
{
    struct waiting second = {.selects = selects, .deadline = WEFT_FOREVER};
    weft_fiber *fiber;
    int old[2], new[2];

    CHECK_EQ(take_place(old), PLACE);
    end_first_wait(selects, end);
    CHECK_EQ(take_place(new), PLACE);
    fiber = must_spawn(wait_at_the_place, &second);
    CHECK_EQ(weft_sleep(2 * MS), 0);
    CHECK_EQ(write(old[1], "x", 1), 1);
    CHECK_EQ(weft_sleep(2 * MS), 0);
    atomic_store(&second.is_ready, 1);
    CHECK_EQ(write(new[1], "y", 1), 1);
    CHECK_EQ(must_join(fiber), POLLIN);
    CHECK(!second.was_early);
    CHECK_EQ(weft_close(PLACE), 0);
    for (int i = 0; i < 2; i++) {
        CHECK_EQ(close(old[i]), 0);
        CHECK_EQ(close(new[i]), 0);
    }
}

static int tell_old_files(void *arg)
{
    (void)arg;
    for (int i = 0; i < 2 * ENDS; i++)
        tell_the_old_file(i % 2 != 0, (enum end)(i / 2));
    return 0;
}

/* What was watched for at a number is still told when the number means another file. */
WORKER_TEST(io_readiness, of_an_old_file_is_not_that_of_the_number, TEST_TIMEOUT_S)
{
    cr_expect_eq(run_workers(*workers, tell_old_files, NULL), 0);
}
