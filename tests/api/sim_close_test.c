/* SPDX-License-Identifier: MIT */
/*
 * weft_close() under those who use the descriptor, in simulation: who goes on first, when a cancel
 * gets to its operation, and what the kernel refuses at the moment are all drawn from the seed.
 */
#include "../support/simulate.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <unistd.h>

enum {
    ROUNDS = 60,
    LENGTH = 8,
    FULL = 65536, /* what a pipe holds */
};

TestSuite(sim_close, .init = forget_backend, .timeout = TEST_TIMEOUT_S);

enum kind { READ, READ_EXACT, POLL, SELECT, WRITE, WRITE_ALL, KINDS };

struct user {
    enum kind kind;
    int fd;
    bool is_over;
};

static int select_on(int fd)
{
    int held = 0;
    weft_poll poll = WEFT_POLL_INIT(fd, POLLIN);
    struct weft_select_case cases[] = {WEFT_POLL_CASE(&poll, &held)};
    int result = weft_select(cases, 1, WEFT_FOREVER);

    return result == 0 ? cases[0].result : result;
}

static ssize_t use(const struct user *user)
{
    static char data[FULL];

    switch (user->kind) {
    case READ:
        return weft_read(user->fd, data, LENGTH, WEFT_FOREVER);
    case READ_EXACT:
        return weft_read_exact(user->fd, data, LENGTH, WEFT_FOREVER);
    case POLL:
        return weft_poll_fd(user->fd, POLLIN, WEFT_FOREVER);
    case SELECT:
        return select_on(user->fd);
    case WRITE:
        return weft_write(user->fd, data, LENGTH, WEFT_FOREVER);
    default:
        return weft_write_all(user->fd, data, LENGTH, WEFT_FOREVER);
    }
}

static int be_user(void *arg)
{
    struct user *user = arg;
    int result = (int)use(user);

    user->is_over = true;
    return result;
}

/* Until it is under way, or over: what begins after the close begins on whatever has the number. */
static void await_begin(const struct user *user)
{
    struct weft_stats stats;

    do {
        CHECK_EQ(weft_yield(), 0);
        CHECK_EQ(weft_stats_read(&stats), 0);
    } while (stats.ops_submitted == stats.ops_completed && !user->is_over);
}

static void make(int ends[2])
{
    while (weft_pipe(ends) != 0) {
    }
}

static void must_write(int fd, const char *data, size_t length)
{
    ssize_t n;

    do
        n = weft_write(fd, data, length, WEFT_FOREVER);
    while (n == -ENOBUFS);
    CHECK_EQ(n, (ssize_t)length);
}

SIM_TEST(sim_close, each_wait_ends_with_ebadf,
         WEFT_SIM_LATE_CANCEL | WEFT_SIM_LATE | WEFT_SIM_STALL | WEFT_SIM_OVERFLOW, 300000)
{
    static const char data[FULL];

    (void)arg;
    for (int kind = 0; kind < KINDS; kind++) {
        struct user user = {.kind = (enum kind)kind};
        weft_fiber *fiber;
        int ends[2], result, used = kind >= WRITE;

        make(ends);
        if (used == 1)
            must_write(ends[1], data, FULL);
        user.fd = ends[used];
        CHECK_EQ(weft_spawn(&fiber, be_user, &user), 0);
        await_begin(&user);
        CHECK_EQ(weft_close(ends[used]), 0);
        CHECK_EQ(weft_join(fiber, &result, WEFT_FOREVER), 0);
        CHECK_EQ(result, -EBADF);
        CHECK_EQ(weft_close(ends[1 - used]), 0);
    }
    return 0;
}

/*
 * The kernel refuses a read for the moment, and its fiber, which is to try again, has not run yet
 * when the descriptor is closed and its number is another pipe's: nothing of that is read.
 */
SIM_TEST(sim_close, what_is_tried_again_is_not_on_the_next_file, WEFT_SIM_REFUSE | WEFT_SIM_LATE,
         400000)
{
    static const char precious[] = "precious";
    unsigned same = 0;

    (void)arg;
    for (int i = 0; i < ROUNDS; i++) {
        struct user user = {.kind = weft_sim_random() % 2 == 0 ? READ : READ_EXACT};
        char found[LENGTH];
        weft_fiber *fiber;
        int ends[2], next[2], result;
        size_t done = 0;

        make(ends);
        user.fd = ends[0];
        if (weft_sim_random() % 2 == 0)
            must_write(ends[1], "x", 1);
        CHECK_EQ(weft_spawn(&fiber, be_user, &user), 0);
        await_begin(&user);
        if (weft_sim_random() % 2 == 0)
            must_write(ends[1], "y", 1);
        CHECK_EQ(weft_close(ends[0]), 0);
        make(next);
        same += next[0] == ends[0];
        must_write(next[1], precious, LENGTH);
        CHECK_EQ(weft_join(fiber, &result, WEFT_FOREVER), 0);
        CHECK(result == -EBADF || result == -ENOBUFS || (result > 0 && result <= 2));
        while (done < LENGTH) {
            ssize_t n = weft_read(next[0], found + done, LENGTH - done, weft_after(WEFT_SECOND));

            CHECK(n > 0 || n == -ENOBUFS);
            done += n > 0 ? (size_t)n : 0;
        }
        CHECK_EQ(memcmp(found, precious, LENGTH), 0);
        for (int end = 0; end < 2; end++)
            CHECK_EQ(weft_close(next[end]), 0);
        CHECK_EQ(weft_close(ends[1]), 0);
    }
    CHECK(same > 0);
    return 0;
}
