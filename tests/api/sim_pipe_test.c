/* SPDX-License-Identifier: MIT */
/* What weft_pipe() makes: the same in a simulation as for real, and what the seed has befall it. */
#include "../sim/scenario.h"
#include "../support/simulate.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

enum {
    SEEDS_FOR_A_BUG = 1000,
    CAPACITY = 65536,
    LARGE = 200000,
    SHORT_ROUNDS = 200,
};

TestSuite(sim_pipe, .init = forget_backend, .timeout = TEST_TIMEOUT_S);

#define PIPE_TEST(name, faults, ppm) SIM_TEST(sim_pipe, name, faults, ppm)

static void make(int ends[2])
{
    CHECK_EQ(weft_pipe(ends), 0);
}

static void close_both(const int ends[2])
{
    CHECK_EQ(weft_close(ends[0]), 0);
    CHECK_EQ(weft_close(ends[1]), 0);
}

static void fill_pattern(char *data, size_t length)
{
    for (size_t i = 0; i < length; i++)
        data[i] = (char)(i % 251);
}

static int use_pipe(void *arg)
{
    struct iovec parts[2] = {{"ab", 2}, {"cd", 2}};
    char text[16] = "";
    int ends[2];

    (void)arg;
    make(ends);
    CHECK_EQ(fcntl(ends[0], F_GETFD), FD_CLOEXEC);
    CHECK_EQ(weft_write(ends[1], "hello", 5, WEFT_FOREVER), 5);
    CHECK_EQ(weft_writev(ends[1], parts, 2, WEFT_FOREVER), 4);
    CHECK_EQ(weft_pwrite(ends[1], "!", 1, 100, WEFT_FOREVER), 1); /* it has no offsets */
    CHECK_EQ(weft_pread(ends[0], text, 5, 100, WEFT_FOREVER), 5);
    CHECK_EQ(weft_read(ends[0], text + 5, sizeof text - 5, WEFT_FOREVER), 5);
    CHECK_EQ(strcmp(text, "helloabcd!"), 0);
    CHECK_EQ(weft_write(ends[1], "", 0, WEFT_FOREVER), 0);
    CHECK_EQ(weft_read(ends[0], text, 1, weft_after(WEFT_MILLISECOND)), -ETIMEDOUT);
    CHECK_EQ(weft_write(ends[0], "x", 1, WEFT_FOREVER), -EBADF);
    CHECK_EQ(weft_read(ends[1], text, 1, WEFT_FOREVER), -EBADF);
    CHECK_EQ(weft_recv(ends[0], text, 1, 0, WEFT_FOREVER), -ENOTSOCK);
    CHECK_EQ(weft_send(ends[1], "x", 1, 0, WEFT_FOREVER), -ENOTSOCK);
    CHECK_EQ(weft_accept(ends[0], WEFT_FOREVER), -ENOTSOCK);
    CHECK_EQ(weft_fsync(ends[1], WEFT_FOREVER), -EINVAL);
    close_both(ends);
    return 0;
}

/* Of real ones the number may be that of a ring which opens at that moment. */
static ssize_t use_closed_pipe(void)
{
    char text[16];
    int ends[2];

    make(ends);
    close_both(ends);
    return weft_read(ends[0], text, 1, WEFT_FOREVER);
}

PIPE_TEST(what_is_written_is_read, 0, 0)
{
    CHECK_EQ(use_pipe(arg), 0);
    return use_closed_pipe() == -EBADF ? 0 : -1;
}

/* The same calls, the same answers. */
WORKER_TEST(pipe, what_is_written_is_read, TEST_TIMEOUT_S)
{
    cr_expect_eq(run_workers(*workers, use_pipe, NULL), 0);
}

static int close_ends(void *arg)
{
    char text[16] = "";
    int ends[2];

    (void)arg;
    make(ends);
    CHECK_EQ(weft_write(ends[1], "rest", 4, WEFT_FOREVER), 4);
    CHECK_EQ(weft_close(ends[1]), 0);
    CHECK_EQ(weft_poll_fd(ends[0], POLLIN, WEFT_FOREVER), POLLIN | POLLHUP);
    CHECK_EQ(weft_read(ends[0], text, sizeof text, WEFT_FOREVER), 4);
    CHECK_EQ(weft_read(ends[0], text, sizeof text, WEFT_FOREVER), 0);
    CHECK_EQ(weft_poll_fd(ends[0], POLLIN, WEFT_FOREVER), POLLHUP);
    CHECK_EQ(weft_close(ends[0]), 0);
    make(ends);
    CHECK_EQ(weft_close(ends[0]), 0);
    CHECK_EQ(weft_write(ends[1], "x", 1, WEFT_FOREVER), -EPIPE);
    CHECK_EQ(weft_poll_fd(ends[1], POLLOUT, WEFT_FOREVER), POLLOUT | POLLERR);
    CHECK_EQ(weft_close(ends[1]), 0);
    return 0;
}

PIPE_TEST(a_closed_end_is_told_to_the_other, 0, 0)
{
    return close_ends(arg);
}

WORKER_TEST(pipe, a_closed_end_is_told_to_the_other, TEST_TIMEOUT_S)
{
    cr_expect_eq(run_workers(*workers, close_ends, NULL), 0);
}

static int refuse_pipe(void *arg)
{
    int ends[2] = {-7, -7};

    (void)arg;
    CHECK_EQ(weft_pipe(ends), -EMFILE);
    CHECK_EQ(ends[0], -7);
    CHECK_EQ(ends[1], -7);
    return 0;
}

PIPE_TEST(no_room_for_a_pipe_is_an_answer, WEFT_SIM_REFUSE, 1000000)
{
    return refuse_pipe(arg);
}

static int take_all_descriptors(void *arg)
{
    struct rlimit all, none;

    CHECK_EQ(getrlimit(RLIMIT_NOFILE, &all), 0);
    none = (struct rlimit){0, all.rlim_max};
    CHECK_EQ(setrlimit(RLIMIT_NOFILE, &none), 0);
    refuse_pipe(arg);
    CHECK_EQ(setrlimit(RLIMIT_NOFILE, &all), 0);
    return 0;
}

Test(pipe, no_room_for_a_pipe_is_an_answer)
{
    cr_expect_eq(run_workers(1, take_all_descriptors, NULL), 0);
}

struct talk {
    int ends[2];
    const char *data;
};

static int write_large(void *arg)
{
    struct talk *talk = arg;
    ssize_t n = weft_write_all(talk->ends[1], talk->data, LARGE, WEFT_FOREVER);

    CHECK_EQ(weft_close(talk->ends[1]), 0);
    return (int)n;
}

PIPE_TEST(a_writer_waits_for_its_reader, WEFT_SIM_SHORT | WEFT_SIM_LATE | WEFT_SIM_STALL, 50000)
{
    char *data = malloc(LARGE), *read = malloc(LARGE);
    struct talk talk = {.data = data};
    weft_fiber *writer;
    int result;

    (void)arg;
    CHECK(data != NULL && read != NULL);
    fill_pattern(data, LARGE);
    make(talk.ends);
    CHECK_EQ(weft_spawn(&writer, write_large, &talk), 0);
    CHECK_EQ(weft_join(writer, &result, weft_after(WEFT_SECOND)), -ETIMEDOUT);
    CHECK_EQ(weft_read_exact(talk.ends[0], read, LARGE, WEFT_FOREVER), LARGE);
    CHECK_EQ(memcmp(read, data, LARGE), 0);
    CHECK_EQ(weft_read(talk.ends[0], read, 1, WEFT_FOREVER), 0);
    CHECK_EQ(weft_join(writer, &result, WEFT_FOREVER), 0);
    CHECK_EQ(result, LARGE);
    CHECK_EQ(weft_close(talk.ends[0]), 0);
    free(data);
    free(read);
    return 0;
}

/* A short write that does not fit waits for all of its room; a long one takes what there is. */
PIPE_TEST(short_writes_go_in_one_piece, 0, 0)
{
    static char data[CAPACITY];
    int ends[2];

    (void)arg;
    make(ends);
    CHECK_EQ(weft_write(ends[1], data, CAPACITY - 100, WEFT_FOREVER), CAPACITY - 100);
    CHECK_EQ(weft_poll_fd(ends[1], POLLOUT, weft_after(WEFT_MILLISECOND)), -ETIMEDOUT);
    CHECK_EQ(weft_write(ends[1], data, 101, weft_after(WEFT_MILLISECOND)), -ETIMEDOUT);
    CHECK_EQ(weft_write(ends[1], data, PIPE_BUF, weft_after(WEFT_MILLISECOND)), -ETIMEDOUT);
    CHECK_EQ(weft_write(ends[1], data, 40, WEFT_FOREVER), 40);
    CHECK_EQ(weft_write(ends[1], data, PIPE_BUF + 1, WEFT_FOREVER), 60);
    CHECK_EQ(weft_write(ends[1], data, PIPE_BUF + 1, weft_after(WEFT_MILLISECOND)), -ETIMEDOUT);
    CHECK_EQ(weft_read(ends[0], data, PIPE_BUF, WEFT_FOREVER), PIPE_BUF);
    CHECK_EQ(weft_poll_fd(ends[1], POLLOUT, WEFT_FOREVER), POLLOUT);
    CHECK_EQ(weft_write(ends[1], data, PIPE_BUF, WEFT_FOREVER), PIPE_BUF);
    close_both(ends);
    return 0;
}

/* Also where everything else is cut short: POSIX promises it. */
PIPE_TEST(short_writes_are_not_cut, WEFT_SIM_SHORT, 1000000)
{
    static char data[PIPE_BUF];
    int ends[2];

    (void)arg;
    make(ends);
    for (int i = 0; i < SHORT_ROUNDS; i++) {
        size_t length = 1 + weft_sim_random() % PIPE_BUF;

        CHECK_EQ(weft_write(ends[1], data, length, WEFT_FOREVER), length);
        CHECK_EQ(weft_read_exact(ends[0], data, length, WEFT_FOREVER), length);
    }
    close_both(ends);
    return 0;
}

PIPE_TEST(it_is_not_spliced, 0, 0)
{
    int ends[2], kernels[2];

    (void)arg;
    make(ends);
    CHECK_EQ(pipe(kernels), 0);
    CHECK_EQ(weft_splice(ends[0], NULL, kernels[1], NULL, 1, 0, WEFT_FOREVER), -EOPNOTSUPP);
    CHECK_EQ(weft_tee(kernels[0], ends[1], 1, 0, WEFT_FOREVER), -EOPNOTSUPP);
    close_both(ends);
    close_both(kernels);
    return 0;
}

/* What the program leaves open is the kernel's afterwards, and nothing is lost. */
static int leave_open(void *arg)
{
    int *ends = arg;

    make(ends);
    CHECK_EQ(weft_write(ends[1], "x", 1, WEFT_FOREVER), 1);
    return 0;
}

Test(sim_pipe, what_is_left_open_is_the_kernels)
{
    struct weft_sim_options options = WEFT_SIM_OPTIONS_INIT;
    int ends[2];

    cr_assert_eq(weft_sim_run(&options, leave_open, ends), 0);
    cr_expect_eq(close(ends[0]), 0);
    cr_expect_eq(close(ends[1]), 0);
}

static int run_pipes(uint64_t seed, enum scenario_bug bug, struct weft_sim_report *report)
{
    struct weft_sim_options options = faulty_options(seed, bug != BUG_NONE, report);

    return weft_sim_run(&options, pipe_scenario, scenario_arg(bug));
}

static int run_plain(uint64_t seed, struct weft_sim_report *report)
{
    return run_pipes(seed, BUG_NONE, report);
}

/* Of a read that waits, once it was asked to end. */
struct contest {
    int ends[2];
    unsigned won, lost;
};

static int read_one(void *arg)
{
    const struct contest *contest = arg;
    char byte;

    return (int)weft_read(contest->ends[0], &byte, 1, WEFT_FOREVER);
}

/* The byte comes right behind the cancel: whoever has it, it is there once. */
static int cancel_and_write(void *arg)
{
    struct contest *contest = arg;
    struct weft_stats stats;
    weft_fiber *reader;
    char byte;
    int result;

    make(contest->ends);
    CHECK_EQ(weft_spawn(&reader, read_one, contest), 0);
    do {
        CHECK_EQ(weft_sleep(WEFT_MILLISECOND), 0);
        CHECK_EQ(weft_stats_read(&stats), 0);
    } while (stats.ops_submitted == 0);
    weft_cancel(reader);
    CHECK_EQ(weft_write(contest->ends[1], "x", 1, WEFT_FOREVER), 1);
    CHECK_EQ(weft_join(reader, &result, WEFT_FOREVER), 0);
    CHECK(result == 1 || result == -ECANCELED);
    contest->won += result == 1;
    contest->lost += result != 1;
    if (result != 1)
        CHECK_EQ(weft_read(contest->ends[0], &byte, 1, WEFT_FOREVER), 1);
    CHECK_EQ(weft_read(contest->ends[0], &byte, 1, weft_after(WEFT_MILLISECOND)), -ETIMEDOUT);
    close_both(contest->ends);
    return 0;
}

/* An operation that its cancel found in progress goes on, and may succeed: what has been read then
 * must not be lost, and until then nobody must wake. */
Test(sim_pipe, a_read_may_win_over_a_cancel_that_is_answered_first)
{
    struct contest plain = {.won = 0}, contest = {.won = 0};
    struct weft_sim_report report;
    struct weft_sim_options options = WEFT_SIM_OPTIONS_INIT;

    options.report = &report;
    options.fault_ppm = 1000000;
    for (options.seed = 1; options.seed <= SIMULATE_SEEDS; options.seed++) {
        options.faults = 0;
        cr_assert_eq(simulate(&options, cancel_and_write, &plain), 0);
        options.faults = WEFT_SIM_CANCEL_FIRST;
        cr_assert_eq(simulate(&options, cancel_and_write, &contest), 0);
        cr_expect_gt(report.faults[__builtin_ctz(WEFT_SIM_CANCEL_FIRST)], 0);
    }
    cr_expect_eq(plain.won, 0);
    cr_expect(contest.won > 0 && contest.lost > 0, "%u won, %u lost", contest.won, contest.lost);
}

Test(sim_pipe, a_seed_gives_the_same_run_each_time)
{
    assert_replays(run_plain, 42);
}

Test(sim_pipe, planted_bugs_are_found_and_replay)
{
    for (int bug = BUG_LONG_RECORD; bug < BUG_PIPE_COUNT; bug++) {
        struct weft_sim_report report, again;
        uint64_t seed = 1;
        int result = 0;

        while (seed <= SEEDS_FOR_A_BUG && result == 0)
            result = run_pipes(seed++, (enum scenario_bug)bug, &report);
        cr_assert_lt(result, 0, "bug %d", bug);
        cr_expect_eq(run_pipes(seed - 1, (enum scenario_bug)bug, &again), result);
        cr_expect_eq(again.trace_hash, report.trace_hash);
    }
}
