/* SPDX-License-Identifier: MIT */
/* Every request of the library to the system fails in turn, under a program that uses all of it. */
#define _GNU_SOURCE 1

#include "../fault/fault.h"
#include "../fault/program.h"
#include "../support/fixture.h"
#include "../support/net.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { TRIES = TEST_IS_TSAN ? 5 : 20 }; /* of a sweep that is not a full one */

static FILE *report;

static int return_four(void *arg)
{
    (void)arg;
    return 4;
}

/* Whose requests are swept. */
static enum weft_backend backend = WEFT_BACKEND_IO_URING;

static struct weft_config small_config(unsigned workers)
{
    (void)unsetenv("WEFT_BACKEND");
    return (struct weft_config){.workers = workers,
                                .stack_size_kib = 64,
                                .ring_entries = 64,
                                .blocking_threads = 2,
                                .max_connections = 8,
                                .backend = backend,
                                .pin = 1,       /* whether a worker has to wait is chance, */
                                .monitor = 2,   /* whether it calls a spare worker, */
                                .deadlock = 2}; /* and whether it counts threads */
}

static int run_everything(unsigned workers)
{
    struct weft_config config = small_config(workers);

    return weft_run(&config, program_use_everything, NULL);
}

/* The same as a guest of a runtime, and what plain threads can call. */
static int visit_everything(unsigned workers)
{
    struct weft_config config = small_config(workers);
    weft_runtime *runtime;
    weft_fiber *fiber;
    int error;

    (void)went_well(weft_doctor(&config, report));
    error = weft_start(&config, NULL, NULL, &runtime);
    if (error != 0)
        return error;
    if (went_well(weft_spawn_on(runtime, NULL, &fiber, program_use_everything, NULL)))
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

    program_prepare();
    report = tmpfile();
    cr_assert_not_null(report);
    before = fault_holdings();
    resources = resources_now();
    fault_arm(number, stays);
    result = program(workers);
    requests = fault_disarm();
    fired = fault_fired();
    if (result < 0) {
        cr_assert_not_null(fired, "%d, although nothing had failed", result);
        cr_assert(result == -ENOMEM || result == -EAGAIN || result == -ENODEV || result == -EMFILE,
                  "%s failed: %d", fired, result);
        cr_assert(!program_has_started(), "an error, although it ran");
        cr_assert_gt(fault_complaints(), 0, "%s failed, the start without a word", fired);
    } else if (fired == NULL) {
        cr_assert_eq(program_errors(), 0);
    }
    after = fault_holdings();
    cr_assert_eq(after.blocks, before.blocks, "%ld of %s: %ld blocks of memory leaked", number,
                 fired, after.blocks - before.blocks);
    cr_assert_eq(after.mapped_bytes, before.mapped_bytes, "%ld of %s: %ld bytes of mappings leaked",
                 number, fired, after.mapped_bytes - before.mapped_bytes);
    assert_resources_return_to(resources);
    cr_assert_eq(fclose(report), 0);
    program_clean_up();
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

/* There a wait for a descriptor can be refused, which a ring never does. */
WORKER_TEST(exhaustion, on_epoll_too, TEST_TIMEOUT_S)
{
    backend = WEFT_BACKEND_EPOLL;
    sweep(run_everything, *workers, false);
    sweep(run_everything, *workers, true);
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
        "fopen", "io_uring_register_ring_fd", "membarrier", "mmap", "sigaltstack",
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

/* A descriptor, a process or a look-up that cannot be had is told to whom it was for. */
WORKER_TEST(exhaustion, what_is_asked_for_later_is_told, TEST_TIMEOUT_S)
{
    static const char *const asked[] = {
        "getaddrinfo", "openat", "pidfd_open", "pipe2", "posix_spawnp", "signalfd", "socket",
    };

    for (size_t i = 0; i < sizeof asked / sizeof *asked; i++) {
        program_prepare();
        fault_arm_function(asked[i]);
        cr_expect_eq(run_everything(*workers), 0, "%s", asked[i]);
        (void)fault_disarm();
        cr_expect_not_null(fault_fired(), "%s is not called", asked[i]);
        cr_expect_eq(program_errors(), 1, "%s", asked[i]);
        program_clean_up();
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

static int end_at_once(weft_generator *generator, void *arg)
{
    (void)generator;
    (void)arg;
    return 0;
}

/* Without it the child of a fork() would wait for locks whose holders it does not have. */
Test(exhaustion, generators_and_keys_need_to_hear_of_children, .timeout = TEST_TIMEOUT_S)
{
    weft_generator *generator = NULL;
    weft_local_key key = {7, 0};

    fault_arm_function("pthread_atfork");
    cr_expect_eq(weft_generator_create(&generator, end_at_once, NULL, 0), -ENOMEM);
    cr_expect_null(generator);
    fault_arm_function("pthread_atfork");
    cr_expect_eq(weft_local_key_create(&key, NULL), -ENOMEM);
    cr_expect_eq(key.index, 7);
    (void)fault_disarm();
    cr_expect_eq(weft_local_key_create(&key, NULL), 0);
    cr_assert_eq(weft_generator_create(&generator, end_at_once, NULL, 0), 0);
    weft_generator_free(generator);
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
