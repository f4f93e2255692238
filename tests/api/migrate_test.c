/* SPDX-License-Identifier: MIT */
/*
 * Forced migrations: with chaos on, every resume is on another worker.  Whatever a compiler or a
 * library caches by thread (errno's address, the allocator's cache, the current worker) is then
 * wrong after each suspension unless it is read again.
 */
#define _GNU_SOURCE 1

#include "../support/child.h"
#include "../support/fixture.h"
#include "../support/net.h"
#include "../support/random.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { FIBERS = 16, BLOCKS = 64, STEPS = 2000 };

struct shared {
    uint64_t seed;
    int bad_fd_kind[2];
    _Atomic(uint64_t) migrations;
    _Atomic(uint64_t) suspensions;
};

/* Suspends and counts whether it came back elsewhere. */
static void hop(struct shared *shared, struct random *random)
{
    int worker = weft_worker_index();

    if (random_below(random, 8) == 0)
        CHECK_EQ(weft_sleep(random_below(random, 100) * WEFT_MICROSECOND), 0);
    else
        CHECK_EQ(weft_yield(), 0);
    (void)atomic_fetch_add(&shared->suspensions, 1);
    if (weft_worker_index() != worker)
        (void)atomic_fetch_add(&shared->migrations, 1);
}

struct block {
    unsigned char *bytes;
    size_t length;
    unsigned char value;
};

static void check_block(const struct block *block)
{
    for (size_t i = 0; i < block->length; i++)
        CHECK_EQ(block->bytes[i], block->value);
}

static size_t random_length(struct random *random)
{
    /* Mostly small, as in programs, and some that get pages of their own. */
    unsigned limit = random_below(random, 50) == 0 ? 100000 : 600;

    return 1 + random_below(random, limit);
}

static void change_block(struct block *block, struct random *random)
{
    size_t length = random_length(random);
    unsigned char *bytes;

    if (block->bytes && random_below(random, 3) == 0) {
        free(block->bytes);
        block->bytes = NULL;
        block->length = 0;
        return;
    }
    bytes = realloc(block->bytes, length);
    CHECK(bytes != NULL);
    block->bytes = bytes;
    if (length < block->length)
        block->length = length;
    check_block(block); /* what realloc() kept */
    block->length = length;
    block->value = (unsigned char)random_next(random);
    memset(bytes, block->value, length);
}

static int allocate(void *arg)
{
    struct shared *shared = arg;
    struct random random = random_stream(shared->seed, weft_fiber_id(weft_self()));
    struct block blocks[BLOCKS] = {{NULL, 0, 0}};

    for (int step = 0; step < STEPS; step++) {
        struct block *block = &blocks[random_below(&random, BLOCKS)];
        check_block(block);
        change_block(block, &random);
        hop(shared, &random);
        check_block(block);
    }
    for (int i = 0; i < BLOCKS; i++) {
        check_block(&blocks[i]);
        free(blocks[i].bytes);
    }
    return 0;
}

/* Failing calls of different kinds, so that one fiber's error can be told from another's. */
static int collect_errors(void *arg)
{
    struct shared *shared = arg;
    struct random random = random_stream(shared->seed, weft_fiber_id(weft_self()));
    char byte;

    for (int step = 0; step < STEPS / 8; step++) {
        switch (random_below(&random, 6)) {
        case 0:
            CHECK_EQ(weft_read(-1, &byte, 1, WEFT_FOREVER), -EBADF);
            break;
        case 1:
            CHECK_EQ(weft_recv(shared->bad_fd_kind[0], &byte, 1, 0, WEFT_FOREVER), -ENOTSOCK);
            break;
        case 2:
            CHECK_EQ(weft_openat(AT_FDCWD, "/nowhere/at/all", O_RDONLY, 0, WEFT_FOREVER), -ENOENT);
            break;
        case 3:
            CHECK_EQ(weft_fsync(shared->bad_fd_kind[0], WEFT_FOREVER), -EINVAL);
            break;
        case 4:
            CHECK_EQ(weft_read(shared->bad_fd_kind[0], &byte, 1, 0), -ETIMEDOUT);
            break;
        default:
            CHECK_EQ(weft_listen_tcp("nonsense", 0), -EINVAL);
            break;
        }
        hop(shared, &random);
    }
    return 0;
}

static int run_mixture(void *arg)
{
    weft_fiber *fibers[FIBERS];

    for (int i = 0; i < FIBERS; i++)
        fibers[i] = must_spawn(i % 2 ? allocate : collect_errors, arg);
    for (int i = 0; i < FIBERS; i++)
        CHECK_EQ(must_join(fibers[i]), 0);
    return 0;
}

/* Allocators keep a cache per thread: memory allocated on one and freed on another, between each
 * two instructions of a fiber, must neither be lost nor given out twice. */
WORKER_TEST(migrate, memory_and_errors_survive_migrations, TEST_TIMEOUT_S)
{
    struct shared shared = {.seed = random_seed("migrate")};
    struct weft_config config = {.workers = *workers, .chaos = 1, .monitor = 2};

    make_pipe(shared.bad_fd_kind);
    cr_expect_eq(run_config(&config, run_mixture, &shared), 0);
    if (*workers > 1)
        cr_expect_gt(shared.migrations, shared.suspensions / 4,
                     "only %llu migrations in %llu suspensions",
                     (unsigned long long)shared.migrations, (unsigned long long)shared.suspensions);
    else
        cr_expect_eq(shared.migrations, 0);
    (void)close(shared.bad_fd_kind[0]);
    (void)close(shared.bad_fd_kind[1]);
}

static int return_three(void *arg)
{
    (void)arg;
    return 3;
}

CHILD(run_with_any_seed)
{
    struct weft_config config = {.workers = parameter};

    return weft_run(&config, return_three, NULL);
}

/* A failure in chaos can be looked for again only if its seed is known. */
Test(migrate, chaos_tells_its_seed, .timeout = TEST_TIMEOUT_S)
{
    static const char *const seeds[][2] = {
        {"WEFT_CHAOS=1", NULL}, {"WEFT_CHAOS=77", NULL}, {"WEFT_CHAOS=4294967295", NULL}};
    static const char *const none[] = {"WEFT_CHAOS=0", NULL};
    struct child_end end;

    for (size_t i = 0; i < sizeof seeds / sizeof *seeds; i++) {
        run_child("run_with_any_seed", 4, seeds[i], &end);
        cr_expect_eq(end.exit_status, 3, "%s", end.output);
        cr_expect_not_null(strstr(end.output, seeds[i][0]), "%s is not in \"%s\"", seeds[i][0],
                           end.output);
    }
    run_child("run_with_any_seed", 4, none, &end);
    cr_expect_eq(end.exit_status, 3);
    cr_expect_str_eq(end.output, "");
}

static int migrate_every_time(void *arg)
{
    unsigned workers = *(unsigned *)arg;

    for (int i = 0; i < 500; i++) {
        int worker = weft_worker_index();
        pid_t thread = gettid();
        CHECK_EQ(i % 10 ? weft_yield() : weft_sleep(WEFT_MICROSECOND), 0);
        if (workers > 1) {
            CHECK(weft_worker_index() != worker);
            CHECK(gettid() != thread);
        } else {
            CHECK_EQ(weft_worker_index(), worker);
            CHECK_EQ(gettid(), thread);
        }
    }
    return 0;
}

/* Chaos is only worth something if it is certain: every resume, not most. */
WORKER_TEST(migrate, chaos_resumes_elsewhere_every_time, TEST_TIMEOUT_S)
{
    struct weft_config config = {.workers = *workers, .chaos = 1, .monitor = 2};

    cr_expect_eq(run_config(&config, migrate_every_time, workers), 0);
}
