/* SPDX-License-Identifier: MIT */
/* Random closes, completions, deadlines and cancels of one operation: it ends once, for one of the
 * reasons that it had, and what the number means next is left alone. */
#define _GNU_SOURCE 1

#include "../support/net.h"
#include "../support/random.h"
#include "stress.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdatomic.h>
#include <string.h>
#include <unistd.h>

enum { LENGTH = 8, ROUNDS_MIN = 200 };

enum kind { KIND_READ, KIND_RECV, KIND_READ_EXACT, KIND_POLL, KIND_ACCEPT, KIND_SEND_ALL, KINDS };

struct round {
    enum kind kind;
    int fd;    /* that is closed */
    int other; /* the same file */
    int peer;  /* the other end, or a socket that connects */
    int decoy; /* `fd` comes to mean this */
    bool may_be_late;
    size_t sent; /* to `fd` */
    weft_time deadline;
    _Atomic(int) is_cancelled, is_over;
    char buffer[LENGTH];
};

static int run_operation(struct round *round)
{
    switch (round->kind) {
    case KIND_READ:
        return (int)weft_read(round->fd, round->buffer, LENGTH, round->deadline);
    case KIND_RECV:
        return (int)weft_recv(round->fd, round->buffer, LENGTH, 0, round->deadline);
    case KIND_READ_EXACT:
        return (int)weft_read_exact(round->fd, round->buffer, LENGTH, round->deadline);
    case KIND_POLL:
        return weft_poll_fd(round->fd, POLLIN, round->deadline);
    case KIND_ACCEPT:
        return weft_accept(round->fd, round->deadline);
    default:
        return (int)weft_send_all(round->fd, round->buffer, LENGTH, 0, round->deadline);
    }
}

static int operate(void *arg)
{
    struct round *round = arg;
    int result = run_operation(round);

    memset(round->buffer, 'z', LENGTH); /* it is ours again */
    atomic_store(&round->is_over, 1);
    return result;
}

static int close_it(void *arg)
{
    struct round *round = arg;
    int result = weft_close(round->fd);
    /* The number is anybody's now, and mostly ours. */
    int number = fcntl(round->decoy, F_DUPFD_CLOEXEC, round->fd);

    CHECK(number >= 0);
    CHECK_EQ(weft_yield(), 0);
    CHECK_EQ(weft_close(number), 0);
    return result;
}

static void begin(struct round *round, struct random *random)
{
    int fds[2];

    round->kind = (enum kind)random_below(random, KINDS);
    round->may_be_late = random_below(random, 3) == 0;
    round->deadline = round->may_be_late ? weft_after(random_below(random, 60) * WEFT_MICROSECOND)
                                         : WEFT_FOREVER;
    if (round->kind == KIND_ACCEPT) {
        round->fd = weft_listen_tcp("127.0.0.1", 0);
        round->peer = make_tcp_socket();
    } else {
        make_narrow_socket_pair(fds);
        round->fd = fds[0];
        round->peer = fds[1];
        if (random_below(random, 4) == 0)
            set_nonblocking(round->fd);
        if (round->kind == KIND_SEND_ALL)
            (void)fill(round->fd);
    }
    CHECK(round->fd >= 0 && round->peer >= 0);
    round->other = fcntl(round->fd, F_DUPFD_CLOEXEC, 0);
    CHECK(round->other >= 0);
}

/* What lets the operation succeed, or a part of it. */
static void complete(struct round *round, struct random *random)
{
    struct sockaddr_in address;
    ssize_t n;

    switch (round->kind) {
    case KIND_ACCEPT:
        address = local_address(round->other);
        set_nonblocking(round->peer);
        CHECK(connect(round->peer, (struct sockaddr *)&address, sizeof address) == 0 ||
              errno == EINPROGRESS || errno == EISCONN);
        break;
    case KIND_SEND_ALL:
        (void)drain(round->peer);
        break;
    default:
        n = write(round->peer, "payload", 1 + random_below(random, LENGTH - 1));
        CHECK(n > 0);
        round->sent += (size_t)n;
    }
}

/* Until the operation is under way, or over: one that begins after the close begins on whatever the
 * number means by then.  It is the only one of the runtime. */
static void await_begin(struct round *round)
{
    struct weft_stats stats;

    do {
        CHECK_EQ(weft_sleep(5 * WEFT_MICROSECOND), 0);
        CHECK_EQ(weft_stats_read(&stats), 0);
    } while (stats.ops_submitted == stats.ops_completed && !atomic_load(&round->is_over));
}

/* `is_early`: nobody is about to close it yet. */
static void disturb(struct round *round, weft_fiber *fiber, struct random *random, bool is_early)
{
    for (unsigned i = random_below(random, 4); i > 0; i--)
        CHECK_EQ(weft_yield(), 0);
    switch (random_below(random, 4)) {
    case 0:
        complete(round, random);
        break;
    case 1:
        atomic_store(&round->is_cancelled, 1);
        weft_cancel(fiber);
        break;
    case 2:
        CHECK_EQ(weft_sleep(random_below(random, 40) * WEFT_MICROSECOND), 0);
        break;
    default:
        /* A part is not enough for one. */
        if (is_early && round->kind != KIND_READ_EXACT && random_below(random, 2) == 0) {
            complete(round, random);
            await_flag(&round->is_over);
        }
        break;
    }
}

static void check_result(struct round *round, int result)
{
    bool is_stream = round->kind != KIND_SEND_ALL && round->kind != KIND_ACCEPT;
    size_t left = is_stream ? drain(round->other) : 0;

    if (result == -ETIMEDOUT)
        CHECK(round->may_be_late);
    else if (result == -ECANCELED)
        CHECK(atomic_load(&round->is_cancelled));
    else
        CHECK(result > 0 || result == -EBADF);
    if (round->kind == KIND_READ || round->kind == KIND_RECV)
        CHECK_EQ(left + (size_t)(result > 0 ? result : 0), round->sent);
    else if (round->kind == KIND_READ_EXACT)
        CHECK(left <= round->sent && (result <= 0 || result == LENGTH));
    else if (round->kind == KIND_POLL)
        CHECK_EQ(left, round->sent);
    else if (round->kind == KIND_ACCEPT && result > 0)
        CHECK_EQ(weft_close(result), 0);
}

static int run_round(struct random *random)
{
    struct round round = {.sent = 0};
    weft_fiber *fiber, *closer;
    int decoy[2], result;

    make_socket_pair(decoy);
    CHECK_EQ(write(decoy[1], "precious", LENGTH), LENGTH);
    round.decoy = decoy[0];
    begin(&round, random);
    fiber = must_spawn(operate, &round);
    await_begin(&round);
    disturb(&round, fiber, random, true);
    closer = must_spawn(close_it, &round);
    disturb(&round, fiber, random, false);
    disturb(&round, fiber, random, false);
    result = must_join(fiber);
    CHECK_EQ(must_join(closer), 0);
    check_result(&round, result);
    for (size_t i = 0; i < LENGTH; i++)
        CHECK_EQ(round.buffer[i], 'z');
    CHECK_EQ(drain(decoy[0]), LENGTH);
    CHECK_EQ(weft_close(decoy[0]), 0);
    CHECK_EQ(weft_close(decoy[1]), 0);
    CHECK_EQ(weft_close(round.other), 0);
    CHECK_EQ(weft_close(round.peer), 0);
    return result;
}

struct tallies {
    uint64_t seed;
    unsigned rounds, closed, succeeded;
};

static int run_rounds(void *arg)
{
    struct tallies *tallies = arg;
    struct random random = random_stream(tallies->seed, 0);
    weft_time end = stress_end_soon();
    unsigned rounds_min = stress_rounds(ROUNDS_MIN);

    while (weft_now() < end || tallies->rounds < rounds_min) {
        int result = run_round(&random);

        tallies->rounds++;
        tallies->closed += result == -EBADF;
        tallies->succeeded += result > 0;
    }
    return 0;
}

/* Afterwards no operation is under way and no descriptor open that was not before. */
WORKER_TEST(close_stress, each_operation_ends_once, STRESS_TIMEOUT_S)
{
    struct tallies tallies = {.seed = random_seed("close_stress")};

    cr_expect_eq(run_workers(*workers, run_rounds, &tallies), 0);
    cr_expect_gt(tallies.closed, 0);
    cr_expect_gt(tallies.succeeded, 0);
    if (ROUNDS_MIN < tallies.rounds)
        cr_log_info("%u rounds: %u closed, %u done", tallies.rounds, tallies.closed,
                    tallies.succeeded);
}
