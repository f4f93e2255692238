/* SPDX-License-Identifier: MIT */
/* Spare workers that come, give back what they have, and come again. */
#define _GNU_SOURCE 1

#include "../support/child.h"
#include "../support/fixture.h"
#include "../support/net.h"

#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

static FILE *open_maps(void)
{
    FILE *maps = fopen("/proc/self/maps", "re");

    CHECK(maps != NULL);
    return maps;
}

static int count_rings_in(FILE *maps)
{
    char line[512];
    int count = 0;

    rewind(maps);
    while (fgets(line, sizeof line, maps) != NULL)
        count += strstr(line, "io_uring") != NULL;
    return count;
}

static int count_rings(void)
{
    FILE *maps = open_maps();
    int count = count_rings_in(maps);

    (void)fclose(maps);
    return count;
}

struct service {
    int pair[2];
    atomic_int begun, ended;
};

static int serve(void *arg)
{
    struct service *service = arg;
    char byte;

    atomic_store(&service->begun, 1);
    CHECK_EQ(weft_read(service->pair[0], &byte, 1, WEFT_FOREVER), 1);
    atomic_store(&service->ended, 1);
    return 0;
}

/* Only another worker can run the fiber, and there is none but spares. */
static void compute_until_served(void)
{
    struct service service = {.begun = 0, .ended = 0};
    weft_fiber *fiber;

    make_socket_pair(service.pair);
    fiber = must_spawn(serve, &service);
    while (atomic_load(&service.begun) == 0)
        continue;
    CHECK_EQ(write(service.pair[1], "x", 1), 1);
    while (atomic_load(&service.ended) == 0)
        continue;
    CHECK_EQ(must_join(fiber), 0);
    CHECK_EQ(weft_close(service.pair[0]), 0);
    CHECK_EQ(weft_close(service.pair[1]), 0);
}

static int call_again(void *arg)
{
    int rings = count_rings();
    struct weft_stats stats;

    (void)arg;
    for (int round = 0; round < 3; round++) {
        compute_until_served();
        CHECK_EQ(weft_stats_read(&stats), 0);
        CHECK(stats.spares > 0);
        while (count_rings() > rings)
            CHECK_EQ(weft_sleep(10 * WEFT_MILLISECOND), 0);
    }
    return 0;
}

/* A spare that kept its ring would keep the test; one that is called and stays down, or cannot wait
 * for a read, would keep the fiber. */
Test(spare, gives_its_ring_back_after_a_rest_and_comes_again, .timeout = TEST_TIMEOUT_S)
{
    struct weft_config config = {.workers = 1};

    cr_expect_eq(run_config(&config, call_again, NULL), 0);
}

enum { ROUNDS = 10 };

struct shift {
    weft_semaphore begins; /* what a fiber waits for that the worker ran before */
    atomic_int is_relieved;
};

static int compute_until_relieved(void *arg)
{
    struct shift *shift = arg;

    while (atomic_load(&shift->is_relieved) == 0)
        continue;
    return 0;
}

static int wait_for_shift(void *arg)
{
    struct shift *shift = arg;

    return weft_semaphore_acquire(&shift->begins, 1, WEFT_FOREVER);
}

/* Lets the worker go on, which then sleeps, and computes until the spare that runs it has been sent
 * to the reserve. */
static int relieve_and_stay(void *arg)
{
    struct shift *shift = arg;
    weft_time end;

    atomic_store(&shift->is_relieved, 1);
    for (end = weft_after(200 * WEFT_MILLISECOND); weft_now() < end;)
        continue;
    weft_semaphore_release(&shift->begins, 1);
    return 0;
}

static int hand_over_what_was_begun_elsewhere(void *arg)
{
    (void)arg;
    for (int round = 0; round < ROUNDS; round++) {
        struct shift shift = {WEFT_SEMAPHORE_INIT(0), 0};
        weft_fiber *fibers[3];

        fibers[0] = must_spawn(wait_for_shift, &shift);
        CHECK_EQ(weft_sleep(10 * WEFT_MILLISECOND), 0);
        fibers[1] = must_spawn(relieve_and_stay, &shift);
        fibers[2] = must_spawn(compute_until_relieved, &shift);
        for (int i = 0; i < 3; i++)
            CHECK_EQ(must_join(fibers[i]), 0);
    }
    return 0;
}

/* Chaos gives a fiber to another worker than its last one if it can, but where there is one worker
 * that one has to wake for it. */
Test(spare, hands_over_to_the_only_worker_in_chaos, .timeout = TEST_TIMEOUT_S)
{
    struct weft_config config = {.workers = 1, .spare_workers = 1, .chaos = 7};

    cr_expect_eq(run_config(&config, hand_over_what_was_begun_elsewhere, NULL), 0);
}

enum {
    OUTAGES = 2,
    NO_RING = 77,
    FIRST_TRIES = 10, /* what a thread allocates once is there after them */
    TRIES = 100,
    MAPPED_KIB = 1024 /* less than a mapping of 64 KiB for each of the tries by far */
};

static int set_flag(void *arg)
{
    atomic_store((atomic_int *)arg, 1);
    return 0;
}

/* Of a file that was opened before: there are no descriptors. */
static long read_mapped_kib(int statm)
{
    char text[128];
    ssize_t length = pread(statm, text, sizeof text - 1, 0);

    CHECK(length > 0);
    text[length] = '\0';
    return strtol(text, NULL, 10) * (sysconf(_SC_PAGESIZE) / 1024);
}

/* Computes until the spare has been called in vain that often: each time it sleeps again. */
static void await_tries(uint64_t count, const atomic_int *has_run)
{
    struct weft_stats stats;
    uint64_t before;

    CHECK_EQ(weft_stats_read(&stats), 0);
    before = stats.parks;
    while (stats.parks < before + count && atomic_load(has_run) == 0)
        CHECK_EQ(weft_stats_read(&stats), 0);
}

static void set_descriptor_limit(rlim_t count)
{
    struct rlimit limit;

    CHECK_EQ(getrlimit(RLIMIT_NOFILE, &limit), 0);
    limit.rlim_cur = count;
    CHECK_EQ(setrlimit(RLIMIT_NOFILE, &limit), 0);
}

/* Waits until the spares have given their rings back, and lets them have no others.  What is asked
 * about them was opened before. */
static void take_descriptors(FILE *maps, int rings, rlim_t limit)
{
    set_descriptor_limit(3);
    while (count_rings_in(maps) > rings) {
        set_descriptor_limit(limit);
        CHECK_EQ(weft_sleep(10 * WEFT_MILLISECOND), 0);
        set_descriptor_limit(3);
    }
}

struct outage {
    FILE *maps;
    int statm;
    int rings; /* of the worker */
    rlim_t limit;
};

/* A spare is called while there are no descriptors.  False if one came nevertheless: the kernel was
 * just making its ring. */
static bool call_without_descriptors(const struct outage *outage)
{
    atomic_int has_run = 0;
    weft_fiber *fiber;
    bool is_late;
    long mapped;

    take_descriptors(outage->maps, outage->rings, outage->limit);
    fiber = must_spawn(set_flag, &has_run);
    await_tries(FIRST_TRIES, &has_run);
    mapped = read_mapped_kib(outage->statm);
    await_tries(TRIES, &has_run);
    is_late = atomic_load(&has_run) != 0;
    CHECK(is_late || read_mapped_kib(outage->statm) - mapped < MAPPED_KIB);
    set_descriptor_limit(outage->limit);
    while (atomic_load(&has_run) == 0)
        continue;
    CHECK_EQ(must_join(fiber), 0);
    return !is_late;
}

struct outages {
    unsigned count;
    int rings;
};

static int note_rings(void *arg)
{
    *(int *)arg = count_rings();
    return 0;
}

/* Those of a worker.  Without spares: where CPUs are scarce, one can have been called before the
 * first fiber counts. */
static int count_rings_of_one(void)
{
    struct weft_config config = {.workers = 1, .monitor = 2};
    int rings = 0;

    CHECK_EQ(weft_run(&config, note_rings, &rings), 0);
    return rings;
}

static int run_short_of_descriptors(void *arg)
{
    const struct outages *outages = arg;
    struct outage outage = {.maps = open_maps(), .rings = outages->rings};
    struct rlimit limit;

    CHECK_EQ(getrlimit(RLIMIT_NOFILE, &limit), 0);
    outage.limit = limit.rlim_cur;
    outage.statm = open("/proc/self/statm", O_RDONLY | O_CLOEXEC);
    CHECK(outage.statm >= 0);
    for (unsigned count = 0; count < outages->count;) {
        compute_until_served();
        count += call_without_descriptors(&outage);
    }
    CHECK_EQ(close(outage.statm), 0);
    (void)fclose(outage.maps);
    return 0;
}

CHILD(call_in_vain)
{
    struct weft_config config = {.workers = 1, .spare_workers = 1, .stall_report_ms = UINT32_MAX};
    struct outages outages = {parameter, count_rings_of_one()};

    return outages.rings > 0 ? weft_run(&config, run_short_of_descriptors, &outages) : NO_RING;
}

static unsigned count_lines(const char *text)
{
    unsigned lines = 0;

    for (; *text != '\0'; text++)
        lines += *text == '\n';
    return lines;
}

/* The monitor calls it again every few milliseconds.  Each time took a mapping that it never gave
 * back, and wrote a line. */
Test(spare, that_cannot_come_leaks_nothing_and_says_so_once, .timeout = TEST_TIMEOUT_S)
{
    struct child_end end;

    run_child("call_in_vain", OUTAGES, NULL, &end);
    if (end.exit_status == NO_RING)
        cr_skip_test("there is no io_uring, and an epoll instance is kept");
    cr_expect_eq(end.exit_status, 0, "status %d, signal %d: %s", end.exit_status, end.signal,
                 end.output);
    cr_expect_eq(count_lines(end.output), OUTAGES, "%s", end.output);
}

/* Computes until somebody has set the flag; not for ever, so that a failure has a line. */
static void compute_until(const atomic_int *flag)
{
    weft_time give_up = weft_after(TEST_TIMEOUT_S / 2 * WEFT_SECOND);

    while (atomic_load(flag) == 0)
        CHECK(weft_now() < give_up);
}

struct stay {
    atomic_int begun;
    struct shift shift;
};

static int stay_until_relieved(void *arg)
{
    struct stay *stay = arg;

    atomic_store(&stay->begun, 1);
    return compute_until_relieved(&stay->shift);
}

/* Of two spares the first one rests and has no ring any more, and the second one, which a read
 * keeps from that, has its own. */
static int call_while_the_first_cannot_come(void *arg)
{
    const struct outages *outages = arg;
    int rings = outages->rings;
    struct stay stay = {.begun = 0};
    struct service service = {.begun = 0, .ended = 0};
    atomic_int has_run = 0;
    weft_fiber *fibers[3];
    FILE *maps = open_maps();
    struct rlimit limit;

    CHECK_EQ(getrlimit(RLIMIT_NOFILE, &limit), 0);
    make_socket_pair(service.pair);
    fibers[0] = must_spawn(stay_until_relieved, &stay);
    compute_until(&stay.begun);
    fibers[1] = must_spawn(serve, &service);
    compute_until(&service.begun);
    CHECK_EQ(count_rings(), 3 * rings);
    atomic_store(&stay.shift.is_relieved, 1);
    take_descriptors(maps, 2 * rings, limit.rlim_cur);
    fibers[2] = must_spawn(set_flag, &has_run);
    compute_until(&has_run);
    set_descriptor_limit(limit.rlim_cur);
    (void)fclose(maps);
    CHECK_EQ(write(service.pair[1], "x", 1), 1);
    for (int i = 0; i < 3; i++)
        CHECK_EQ(must_join(fibers[i]), 0);
    CHECK_EQ(weft_close(service.pair[0]), 0);
    CHECK_EQ(weft_close(service.pair[1]), 0);
    return 0;
}

/* With shorter looks the monitor takes a spare that tries in vain for a stuck one now and then. */
CHILD(call_the_second)
{
    struct weft_config config = {.workers = 1, .spare_workers = 2, .stall_us = 40000};
    struct outages outages = {parameter, count_rings_of_one()};

    return outages.rings > 0 ? weft_run(&config, call_while_the_first_cannot_come, &outages)
                             : NO_RING;
}

/* The monitor woke the first one again and again, which could not come, and asked no other. */
Test(spare, that_cannot_come_keeps_no_other_from_it, .timeout = TEST_TIMEOUT_S)
{
    struct child_end end;

    run_child("call_the_second", 0, NULL, &end);
    if (end.exit_status == NO_RING)
        cr_skip_test("there is no io_uring, and an epoll instance is kept");
    cr_expect_eq(end.exit_status, 0, "status %d, signal %d: %s", end.exit_status, end.signal,
                 end.output);
}
