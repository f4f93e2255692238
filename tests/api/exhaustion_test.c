/* SPDX-License-Identifier: MIT */
/* Every request of the library to the system fails in turn, under a program that uses all of it. */
#define _GNU_SOURCE 1

#include "../fault/fault.h"
#include "../support/fixture.h"
#include "../support/net.h"

#include <errno.h>
#include <netdb.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
    CROWD = 300,                   /* more than a worker's queue holds at first */
    TRIES = TEST_IS_TSAN ? 5 : 20, /* of a sweep that is not a full one */
};

/* What the program gets from elsewhere than from the library, before anything fails. */
static struct {
    int pair[2], file, client;
    FILE *report;
} given;

static _Atomic(int) errors; /* that the program has seen */
static _Atomic(int) has_started, ended;

static void take_given(void)
{
    make_socket_pair(given.pair);
    given.file = make_file("0123456789", 10);
    given.report = tmpfile();
    CHECK(given.report != NULL);
    given.client = make_tcp_socket();
}

static void give_back(void)
{
    for (int i = 0; i < 2; i++)
        CHECK_EQ(close(given.pair[i]), 0);
    CHECK_EQ(close(given.file), 0);
    CHECK_EQ(close(given.client), 0);
    CHECK_EQ(fclose(given.report), 0);
}

/* What a call may fail with, if something it needs is not to be had.  True: it did not fail. */
static bool went_well(int result)
{
    if (result >= 0)
        return true;
    CHECK(result == -ENOMEM || result == -EAGAIN || result == -EMFILE || result == -ENODEV);
    (void)atomic_fetch_add(&errors, 1);
    return false;
}

WEFT_TASK(fib, uint64_t, int)

static uint64_t fib(weft_team team, int n)
{
    struct fib_task left;
    uint64_t right;

    if (n < 2)
        return (uint64_t)n;
    fib_fork(&team, &left, n - 1);
    right = fib(team, n - 2);
    return fib_join(&team, &left) + right;
}

static void add_range(size_t begin, size_t end, void *arg)
{
    _Atomic(uint64_t) *sum = arg;
    uint64_t part = 0;

    for (size_t i = begin; i < end; i++)
        part += i;
    (void)atomic_fetch_add(sum, part);
}

static void use_tasks(void)
{
    _Atomic(uint64_t) sum = 0;

    CHECK_EQ(fib_call(15), 610);
    weft_parallel_for(0, 1000, 10, add_range, &sum);
    CHECK_EQ(sum, 499500);
}

static int yield_and_use_tasks(void *arg)
{
    CHECK_EQ(weft_yield(), 0);
    CHECK_EQ(fib_call(5), 5);
    CHECK_EQ(weft_set_name("one of many"), 0);
    (void)atomic_fetch_add(&ended, 1);
    return (int)(intptr_t)arg;
}

static void use_fibers(void)
{
    static weft_fiber *fibers[CROWD];
    struct weft_fiber_attr attr = WEFT_FIBER_ATTR_INIT;
    int count = 0, detached;

    for (int i = 0; i < CROWD; i++)
        if (went_well(weft_spawn(&fibers[count], yield_and_use_tasks, (void *)(intptr_t)count)))
            count++;
    for (int i = 0; i < count; i++)
        CHECK_EQ(must_join(fibers[i]), i);
    for (attr.stack_size_kib = 16; attr.stack_size_kib <= 8192; attr.stack_size_kib *= 2)
        if (went_well(weft_spawn_with(&attr, &fibers[0], yield_and_use_tasks, NULL)))
            CHECK_EQ(must_join(fibers[0]), 0);
    atomic_store(&ended, 0);
    detached = went_well(weft_spawn(NULL, yield_and_use_tasks, NULL));
    while (atomic_load(&ended) < detached)
        CHECK_EQ(weft_sleep(WEFT_MILLISECOND / 10), 0);
}

static int sleep_for_ever(void *arg)
{
    (void)arg;
    return weft_sleep_until(WEFT_FOREVER);
}

static void use_cancels(void)
{
    weft_fiber *fiber;

    if (!went_well(weft_spawn(&fiber, sleep_for_ever, NULL)))
        return;
    CHECK_EQ(weft_join(fiber, NULL, weft_after(WEFT_MICROSECOND)), -ETIMEDOUT);
    weft_cancel(fiber);
    CHECK_EQ(must_join(fiber), -ECANCELED);
}

static int return_four(void *arg)
{
    (void)arg;
    return 4;
}

static int call_on_the_pool(void *arg)
{
    int result = weft_blocking(return_four, arg, WEFT_FOREVER);

    if (went_well(result))
        CHECK_EQ(result, 4);
    return 0;
}

static void use_the_pool(void)
{
    weft_fiber *fibers[4];
    int count = 0;

    for (int i = 0; i < 4; i++)
        if (went_well(weft_spawn(&fibers[count], call_on_the_pool, NULL)))
            count++;
    (void)call_on_the_pool(NULL);
    for (int i = 0; i < count; i++)
        CHECK_EQ(must_join(fibers[i]), 0);
}

static int accept_one(void *arg)
{
    int fd = weft_accept((int)(intptr_t)arg, WEFT_FOREVER);

    (void)went_well(fd);
    return fd;
}

static void use_tcp(void)
{
    int listener = weft_listen_tcp("127.0.0.1", 0), fd;
    struct sockaddr_in address;
    weft_fiber *fiber;
    char byte = 'b';

    if (!went_well(listener))
        return;
    address = local_address(listener);
    if (went_well(weft_spawn(&fiber, accept_one, (void *)(intptr_t)listener))) {
        CHECK_EQ(
            weft_connect(given.client, (struct sockaddr *)&address, sizeof address, WEFT_FOREVER),
            0);
        fd = must_join(fiber);
        CHECK_EQ(weft_send_all(given.client, &byte, 1, 0, WEFT_FOREVER), 1);
        if (fd >= 0) {
            CHECK_EQ(weft_recv(fd, &byte, 1, 0, WEFT_FOREVER), 1);
            CHECK_EQ(weft_close(fd), 0);
        }
    }
    CHECK_EQ(weft_close(listener), 0);
}

static void use_files(void)
{
    struct weft_dir_entry entry;
    weft_dir *dir;
    char bytes[4] = "";
    int fd, ends[2];

    CHECK_EQ(weft_pread(given.file, bytes, 4, 3, WEFT_FOREVER), 4);
    CHECK(memcmp(bytes, "3456", 4) == 0);
    CHECK_EQ(weft_write_all(given.pair[0], "ab", 2, WEFT_FOREVER), 2);
    CHECK_EQ(weft_poll_fd(given.pair[1], 1, WEFT_FOREVER), 1);
    CHECK_EQ(weft_read(given.pair[1], bytes, 4, WEFT_FOREVER), 2);
    CHECK_EQ(weft_read(given.pair[1], bytes, 4, weft_after(WEFT_MICROSECOND)), -ETIMEDOUT);
    fd = weft_openat(-100, "/dev/null", 0, 0, WEFT_FOREVER);
    if (went_well(fd))
        CHECK_EQ(weft_close(fd), 0);
    if (went_well(weft_pipe(ends)))
        CHECK(weft_close(ends[0]) == 0 && weft_close(ends[1]) == 0);
    if (went_well(weft_dir_open(&dir, -100, "/proc/self", WEFT_FOREVER))) {
        CHECK_EQ(weft_dir_next(dir, &entry, WEFT_FOREVER), 1);
        weft_dir_close(dir);
    }
}

static int copy_block(void *value, void **copy)
{
    *copy = malloc(1);
    (void)value;
    return *copy != NULL ? 0 : -ENOMEM;
}

static int set_local(void *arg)
{
    weft_local_key *key = arg;
    void *block = malloc(1);

    if (block == NULL || !went_well(weft_local_set(*key, block)))
        free(block);
    return weft_local_get(*key) != NULL;
}

static void use_locals(void)
{
    struct weft_local_attr attr = {.destroy = free, .copy = copy_block, .inherit = true};
    weft_scope scope = WEFT_SCOPE_INIT;
    weft_local_key key;
    weft_fiber *fiber;

    if (!went_well(weft_local_key_create(&key, &attr)))
        return;
    if (went_well(weft_spawn(&fiber, set_local, &key)))
        (void)must_join(fiber);
    if (set_local(&key) != 0) {
        if (went_well(weft_spawn(&fiber, return_four, NULL)))
            CHECK_EQ(must_join(fiber), 4);
        if (went_well(weft_scope_spawn(&scope, return_four, NULL)))
            CHECK_EQ(weft_scope_close(&scope, 0), 0);
        free(weft_local_get(key));
        CHECK_EQ(weft_local_set(key, NULL), 0);
    }
    weft_local_key_delete(key);
}

static void use_names_and_signals(void)
{
    struct weft_signal got;
    struct addrinfo *found;
    sigset_t set;
    int error = weft_resolve("127.0.0.1", NULL, NULL, &found, WEFT_FOREVER);

    if (went_well(error))
        freeaddrinfo(found);
    sigemptyset(&set);
    sigaddset(&set, SIGPIPE); /* every worker has it blocked */
    error = weft_signal_wait(&set, &got, 0);
    CHECK(error == -ETIMEDOUT || !went_well(error));
}

static int use_everything(void *arg)
{
    struct weft_stats stats;

    (void)arg;
    atomic_store(&has_started, 1);
    use_tasks();
    use_fibers();
    use_cancels();
    use_the_pool();
    use_tcp();
    use_files();
    use_names_and_signals();
    use_locals();
    CHECK_EQ(weft_stats_read(&stats), 0);
    return 0;
}

static struct weft_config small_config(unsigned workers)
{
    (void)unsetenv("WEFT_BACKEND"); /* the ring's requests are swept; epoll has a test below */
    return (struct weft_config){.workers = workers,
                                .stack_size_kib = 64,
                                .ring_entries = 64,
                                .blocking_threads = 2,
                                .backend = WEFT_BACKEND_IO_URING,
                                .monitor = 2,   /* whether it calls a spare worker is chance, */
                                .deadlock = 2}; /* and whether it counts threads */
}

static int run_everything(unsigned workers)
{
    struct weft_config config = small_config(workers);

    return weft_run(&config, use_everything, NULL);
}

/* The same as a guest of a runtime, and what plain threads can call. */
static int visit_everything(unsigned workers)
{
    struct weft_config config = small_config(workers);
    weft_runtime *runtime;
    weft_fiber *fiber;
    int error;

    (void)went_well(weft_doctor(&config, given.report));
    error = weft_start(&config, NULL, NULL, &runtime);
    if (error != 0)
        return error;
    atomic_store(&has_started, 1);
    if (went_well(weft_spawn_on(runtime, NULL, &fiber, use_everything, NULL)))
        CHECK_EQ(must_join(fiber), 0);
    if (!went_well(weft_stop(runtime))) {
        /* It has refused and done nothing: once there is memory again, it can be called again. */
        (void)fault_disarm();
        CHECK_EQ(weft_stop(runtime), 0);
    }
    CHECK_EQ(weft_wait(runtime, NULL, WEFT_FOREVER), 0);
    return 0;
}

/* Runs the program with failures from request `number` on.  Returns how many requests it made. */
static long run_failing(int (*program)(unsigned), unsigned workers, long number, bool stays)
{
    struct fault_holdings before, after;
    struct resources resources;
    const char *fired;
    long requests;
    int result;

    take_given();
    before = fault_holdings();
    resources = resources_now();
    atomic_store(&errors, 0);
    atomic_store(&has_started, 0);
    fault_arm(number, stays);
    result = program(workers);
    requests = fault_disarm();
    fired = fault_fired();
    if (result < 0) {
        cr_assert_not_null(fired, "%d, although nothing had failed", result);
        cr_assert(result == -ENOMEM || result == -EAGAIN || result == -ENODEV || result == -EMFILE,
                  "%s failed: %d", fired, result);
        cr_assert_eq(atomic_load(&has_started), 0, "an error, although it ran");
        cr_assert_gt(fault_complaints(), 0, "%s failed, the start without a word", fired);
    } else if (fired == NULL) {
        cr_assert_eq(atomic_load(&errors), 0);
    }
    after = fault_holdings();
    cr_assert_eq(after.blocks, before.blocks, "%ld of %s: %ld blocks of memory leaked", number,
                 fired, after.blocks - before.blocks);
    cr_assert_eq(after.mapped_bytes, before.mapped_bytes, "%ld of %s: %ld bytes of mappings leaked",
                 number, fired, after.mapped_bytes - before.mapped_bytes);
    assert_resources_return_to(resources);
    give_back();
    return requests;
}

/* With two workers nothing is left out; else every so many, unless there is time for a soak. */
static void sweep(int (*program)(unsigned), unsigned workers, bool stays)
{
    bool is_full = is_soak() || (workers == 2 && !TEST_IS_SANITIZED && !stays);
    long requests = run_failing(program, workers, 0, false);
    long step = is_full ? 1 : requests / TRIES + 1;

    for (long number = 1; number <= requests; number += step)
        (void)run_failing(program, workers, number, stays);
    (void)run_failing(program, workers, 0, false);
}

/* Whoever asks the system for something must expect a no, and give back what it had before.  A
 * caller is told, or never notices, and the next run works. */
WORKER_TEST(exhaustion, each_request_fails_once, TEST_TIMEOUT_S)
{
    sweep(run_everything, *workers, false);
}

WORKER_TEST(exhaustion, each_request_of_a_guest_fails_once, TEST_TIMEOUT_S)
{
    sweep(visit_everything, *workers, false);
}

/* Memory that is gone stays gone: no retry may depend on it to end. */
WORKER_TEST(exhaustion, from_some_request_on_each_fails, TEST_TIMEOUT_S)
{
    sweep(run_everything, *workers, true);
    sweep(visit_everything, *workers, true);
}

/* A request that has no other way must be reported: an error that is swallowed would leave a
 * runtime that lacks a part. */
WORKER_TEST(exhaustion, a_start_needs_all_of_its_parts, TEST_TIMEOUT_S)
{
    static const char *const needed[] = {
        "pthread_atfork", /* first: it is called once in a process */
        "calloc",
        "eventfd",
        "hwloc_bitmap_alloc",
        "hwloc_topology_init",
        "hwloc_topology_load",
        "io_uring_queue_init_params",
        "malloc",
        "pthread_create",
        "wf_alloc",
    };
    static const char *const spared[] = {
        "fopen",
        "io_uring_register_ring_fd",
        "mmap",
        "sigaltstack",
    };
    struct weft_config config = small_config(*workers);

    for (size_t i = 0; i < sizeof needed / sizeof *needed; i++) {
        fault_arm_function(needed[i]);
        cr_expect_lt(weft_run(&config, return_four, NULL), 0, "%s", needed[i]);
        (void)fault_disarm();
        cr_expect_not_null(fault_fired(), "%s is not called", needed[i]);
    }
    for (size_t i = 0; i < sizeof spared / sizeof *spared; i++) {
        fault_arm_function(spared[i]);
        cr_expect_eq(weft_run(&config, return_four, NULL), 4, "%s", spared[i]);
        (void)fault_disarm();
        cr_expect_not_null(fault_fired(), "%s is not called", spared[i]);
    }
}

static int read_without_a_pool(void *arg)
{
    char bytes[4] = "";
    int fd = *(int *)arg;

    fault_arm(1, true);
    CHECK_EQ(weft_pread(fd, bytes, 4, 3, WEFT_FOREVER), 4);
    CHECK_EQ(weft_fsync(fd, WEFT_FOREVER), 0);
    (void)fault_disarm();
    CHECK(memcmp(bytes, "3456", 4) == 0);
    return fault_fired() != NULL;
}

/* On epoll files go to the pool.  Whoever took "no thread" for "not ready yet" would ask for ever.
 */
WORKER_TEST(exhaustion, files_on_epoll_do_without_the_pool, TEST_TIMEOUT_S)
{
    struct weft_config config = {.workers = *workers, .backend = WEFT_BACKEND_EPOLL, .monitor = 3};
    int fd = make_file("0123456789", 10);

    cr_expect_eq(run_config(&config, read_without_a_pool, &fd), 1);
    (void)close(fd);
}

static int listen_in_vain(void *arg)
{
    (void)arg;
    fault_arm_function("getaddrinfo");
    CHECK_EQ(weft_listen_tcp("127.0.0.1", 0), -ENOMEM);
    fault_arm_function("socket");
    CHECK_EQ(weft_listen_tcp("127.0.0.1", 0), -EMFILE);
    (void)fault_disarm();
    CHECK_EQ(weft_listen_tcp("no address", 0), -EINVAL);
    return 0;
}

/* "No memory" must not look like "no such address". */
WORKER_TEST(exhaustion, a_listener_tells_memory_from_a_bad_address, TEST_TIMEOUT_S)
{
    cr_expect_eq(run_workers(*workers, listen_in_vain, NULL), 0);
}

/* Without it the values of a plain thread would never be destroyed. */
Test(exhaustion, the_first_local_key_needs_one_of_the_threads, .timeout = TEST_TIMEOUT_S)
{
    weft_local_key key;

    fault_arm_function("pthread_key_create");
    cr_expect_eq(weft_local_key_create(&key, NULL), -EAGAIN);
    (void)fault_disarm();
    cr_assert_eq(weft_local_key_create(&key, NULL), 0);
    fault_arm_function("wf_alloc");
    cr_expect_eq(weft_local_set(key, &key), -ENOMEM);
    (void)fault_disarm();
    cr_expect_null(weft_local_get(key));
    cr_expect_eq(weft_local_set(key, &key), 0);
    cr_expect_eq(weft_local_get(key), &key);
}
