/* SPDX-License-Identifier: MIT */
#include "door.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct door open_door(void)
{
    struct door door = {.listener = weft_listen_tcp("127.0.0.1", 0)};

    CHECK(door.listener >= 0);
    door.address = local_address(door.listener);
    return door;
}

int knock(const struct door *door)
{
    int fd = make_tcp_socket();

    CHECK_EQ(connect(fd, (const struct sockaddr *)&door->address, sizeof door->address), 0);
    return fd;
}

void close_all(const int *fds, int count)
{
    for (int i = 0; i < count; i++)
        CHECK_EQ(weft_close(fds[i]), 0);
}

int accept_one(void *arg)
{
    return weft_accept(((struct door *)arg)->listener, WEFT_FOREVER);
}

struct weft_stats stats_now(void)
{
    struct weft_stats stats;

    CHECK_EQ(weft_stats_read(&stats), 0);
    return stats;
}

void await_blocked(size_t waits, uint64_t calls, uint64_t operations)
{
    struct weft_stats stats;
    uint64_t blocked;

    do {
        CHECK_EQ(weft_yield(), 0);
        stats = stats_now();
        memcpy(&blocked, (char *)&stats + waits, sizeof blocked);
    } while (blocked < calls || stats.ops_submitted - stats.ops_completed < operations);
}

void cancel_soon(struct random *random, int (*fn)(void *), void *arg, int results[DOOR_RACERS])
{
    weft_fiber *fibers[DOOR_RACERS];

    for (int i = 0; i < DOOR_RACERS; i++)
        fibers[i] = must_spawn(fn, arg);
    for (unsigned n = random_below(random, 6); n > 0; n--)
        CHECK_EQ(weft_yield(), 0);
    for (int i = 0; i < DOOR_RACERS; i++)
        weft_cancel(fibers[i]);
    for (int i = 0; i < DOOR_RACERS; i++)
        results[i] = must_join(fibers[i]);
}

struct checked_run {
    int (*fn)(void *);
    void *arg;
    void (*check)(int);
    int limit;
};

static int run_and_check(void *arg)
{
    struct checked_run *run = arg;
    int result = run->fn(run->arg);

    run->check(run->limit);
    return result;
}

int run_checked(const struct weft_config *config, int (*fn)(void *), void *arg, void (*check)(int),
                int limit)
{
    struct checked_run run = {fn, arg, check, limit};

    return run_config(config, run_and_check, &run);
}

static void count_turns(int limit)
{
    int clients[DOOR_LIMIT_MAX + 1], fds[DOOR_LIMIT_MAX];
    struct door door = open_door();

    CHECK(limit <= DOOR_LIMIT_MAX);
    CHECK_EQ(stats_now().connections, 0);
    for (int i = 0; i <= limit; i++)
        clients[i] = knock(&door);
    for (int i = 0; i < limit; i++) {
        fds[i] = weft_accept(door.listener, weft_after(DOOR_PATIENCE));
        CHECK(fds[i] >= 0);
    }
    CHECK_EQ(weft_accept(door.listener, 0), -ETIMEDOUT);
    close_all(fds, limit);
    close_all(clients, limit + 1);
    close_all(&door.listener, 1);
}

int run_limited(unsigned workers, uint32_t limit, int (*fn)(void *), void *arg)
{
    struct weft_config config = {.workers = workers, .max_connections = limit};
    int result = run_checked(&config, fn, arg, count_turns, (int)limit);

    cr_assert_eq(run_stats().connections, 0);
    return result;
}

weft_runtime *start_other(void)
{
    struct weft_config config = {.workers = 1, .monitor = 2};
    weft_runtime *runtime = NULL;

    (void)unsetenv("WEFT_MONITOR");
    cr_assert_eq(weft_start(&config, NULL, NULL, &runtime), 0);
    return runtime;
}
