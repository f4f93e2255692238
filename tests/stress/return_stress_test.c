/* SPDX-License-Identifier: MIT */
/* After a million fibers a program is as large as before them: its memory, and its mappings.
 * What is compared is the same process with its runtime started and at rest. */
#define _GNU_SOURCE 1

#include "../support/child.h"
#include "stress.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum {
    MILLION = 1000 * 1000,
    NEEDED_KIB = 6 * 1024 * 1024,
    PERCENT = 5,
    RETURN_MS_MAX = 2000,
    THREADS_MAX = 512,
    UNSUITED = 99, /* an exit status */
};

struct extent {
    long resident_kib;
    long mappings;
};

/* By no more than system calls: an allocator that is asked on another thread than before takes
 * memory for that thread. */
static bool try_to_read_text(const char *path, char *text, size_t size)
{
    int file = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t length;

    if (file < 0)
        return false;
    length = read(file, text, size - 1);
    (void)close(file);
    text[length > 0 ? length : 0] = '\0';
    return length > 0;
}

static void read_text(const char *path, char *text, size_t size)
{
    CHECK(try_to_read_text(path, text, size));
}

static long count_mappings(void)
{
    int file = open("/proc/self/maps", O_RDONLY | O_CLOEXEC);
    char text[4096];
    ssize_t length;
    long count = 0;

    CHECK(file >= 0);
    while ((length = read(file, text, sizeof text)) > 0)
        for (ssize_t i = 0; i < length; i++)
            count += text[i] == '\n';
    (void)close(file);
    return count;
}

/* What the kernel has counted, which can be some hundred KiB behind. */
static long resident_about(void)
{
    char text[256];
    unsigned long size, resident;

    read_text("/proc/self/statm", text, sizeof text);
    CHECK_EQ(sscanf(text, "%lu %lu", &size, &resident), 2);
    return (long)(resident * (unsigned long)sysconf(_SC_PAGESIZE) / 1024);
}

/* Exact, but whoever maps and unmaps has to wait for it: only where there is little to count. */
static struct extent extent_now(void)
{
    char text[4096];
    const char *resident;

    read_text("/proc/self/smaps_rollup", text, sizeof text);
    resident = strstr(text, "\nRss:");
    CHECK(resident != NULL);
    return (struct extent){.resident_kib = strtol(resident + strlen("\nRss:"), NULL, 10),
                           .mappings = count_mappings()};
}

/* For how long each thread of the process has waited for a CPU. */
struct waits {
    int count;
    struct {
        long thread;
        long long ns;
    } of[THREADS_MAX];
};

static void add_wait(struct waits *waits, const char *thread)
{
    long long ran, waited;
    char path[64], text[128];

    (void)snprintf(path, sizeof path, "/proc/self/task/%.20s/schedstat", thread);
    /* The thread may have ended, and not every kernel counts. */
    if (waits->count == THREADS_MAX || !try_to_read_text(path, text, sizeof text) ||
        sscanf(text, "%lld %lld", &ran, &waited) != 2)
        return;
    waits->of[waits->count].thread = strtol(thread, NULL, 10);
    waits->of[waits->count].ns = waited;
    waits->count++;
}

static void read_waits(struct waits *waits)
{
    int folder = open("/proc/self/task", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    _Alignas(struct dirent64) char entries[4096];
    ssize_t length;

    waits->count = 0;
    CHECK(folder >= 0);
    while ((length = getdents64(folder, entries, sizeof entries)) > 0)
        for (ssize_t at = 0; at < length;) {
            const struct dirent64 *entry = (const struct dirent64 *)(const void *)(entries + at);

            at += entry->d_reclen;
            if (entry->d_name[0] != '.')
                add_wait(waits, entry->d_name);
        }
    (void)close(folder);
}

/* The longest wait of any one thread between the two.  The sum of all would grow with the number of
 * threads, most of which hold up nobody, and forgive almost any delay. */
static long long longest_wait_ns(const struct waits *before, const struct waits *after)
{
    long long longest = 0;

    for (int i = 0; i < before->count; i++)
        for (int j = 0; j < after->count; j++) {
            long long waited = after->of[j].ns - before->of[i].ns;

            if (before->of[i].thread == after->of[j].thread && waited > longest)
                longest = waited;
        }
    return longest;
}

static bool has_returned(struct extent now, struct extent begin)
{
    return now.resident_kib * 100 <= begin.resident_kib * (100 + PERCENT) &&
           now.mappings * 100 <= begin.mappings * (100 + PERCENT);
}

struct burst {
    weft_event event;
    atomic_int arrived;
};

static int await_event(void *arg)
{
    struct burst *burst = arg;

    (void)atomic_fetch_add(&burst->arrived, 1);
    return weft_event_wait(&burst->event, WEFT_FOREVER);
}

/* Returns how many KiB were resident while all were parked. */
static long park_a_million(void)
{
    size_t size = MILLION * sizeof(weft_fiber *);
    weft_fiber **fibers = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1,
                               0);
    struct burst burst = {.event = WEFT_EVENT_INIT};
    long parked_kib;

    CHECK(fibers != MAP_FAILED);
    for (int i = 0; i < MILLION; i++)
        fibers[i] = must_spawn(await_event, &burst);
    while (atomic_load(&burst.arrived) < MILLION)
        CHECK_EQ(weft_sleep(WEFT_MILLISECOND), 0);
    parked_kib = resident_about();
    weft_event_set(&burst.event);
    for (int i = 0; i < MILLION; i++)
        CHECK_EQ(must_join(fibers[i]), 0);
    CHECK_EQ(munmap(fibers, size), 0);
    return parked_kib;
}

/* Ends when all has been returned, and not before.  The two seconds are for what the library does
 * and the kernel for it: what a thread waits for CPUs that other programs have is not counted. */
static int return_all(void *arg)
{
    static struct waits before, after; /* too large for a stack */
    struct extent begin, now;
    weft_time end;
    long parked_kib, took_ms, waited_ms;

    (void)arg;
    (void)extent_now();
    CHECK_EQ(weft_sleep(WEFT_SECOND / 2), 0);
    begin = extent_now();
    parked_kib = park_a_million();
    end = weft_now();
    read_waits(&before);
    CHECK(parked_kib >= begin.resident_kib + 3L * MILLION);
    do {
        while (resident_about() > 2 * begin.resident_kib)
            CHECK_EQ(weft_sleep(10 * WEFT_MILLISECOND), 0);
        CHECK_EQ(weft_sleep(10 * WEFT_MILLISECOND), 0);
        now = extent_now();
    } while (!has_returned(now, begin));
    took_ms = (long)((weft_now() - end) / WEFT_MILLISECOND);
    read_waits(&after);
    waited_ms = (long)(longest_wait_ns(&before, &after) / WEFT_MILLISECOND);
    (void)fprintf(
        stderr,
        "from %ld to %ld KiB and from %ld to %ld mappings, %ld ms after the end, of which "
        "one thread waited %ld for a CPU\n",
        begin.resident_kib, now.resident_kib, begin.mappings, now.mappings, took_ms, waited_ms);
    CHECK(took_ms - waited_ms <= RETURN_MS_MAX);
    return 0;
}

static bool has_memory(void)
{
    FILE *file = fopen("/proc/meminfo", "re");
    char line[128];
    long available = 0;

    while (file != NULL && fgets(line, sizeof line, file) != NULL)
        (void)sscanf(line, "MemAvailable: %ld", &available);
    if (file != NULL)
        (void)fclose(file);
    return available >= NEEDED_KIB;
}

/* With the configuration that programs get by themselves: spare workers come in such a burst. */
CHILD(return_a_million)
{
    int error;

    (void)parameter;
    error = weft_run(NULL, return_all, NULL);
    return error == -ENOTSUP ? UNSUITED : error != 0;
}

static void expect_return(const char *const *environment)
{
    struct child_end end;

    if (TEST_IS_SANITIZED)
        cr_skip_test("a sanitizer has memory of its own for each stack");
    if (!has_memory())
        cr_skip_test("a million fibers need %d KiB, which are not available", NEEDED_KIB);
    run_child("return_a_million", 0, environment, &end);
    if (end.exit_status == UNSUITED)
        cr_skip_test("there is no such allocator here");
    cr_expect_eq(end.exit_status, 0, "status %d, signal %d: %s", end.exit_status, end.signal,
                 end.output);
    (void)fprintf(stderr, "%s", end.output);
}

/* The child waits for ever for what stays, and fails if that goes too slowly. */
Test(return_stress, a_million_fibers_leave_nothing_in_malloc, .timeout = 2 * TEST_TIMEOUT_S)
{
    static const char *const environment[] = {"WEFT_ALLOCATOR=system", NULL};

    expect_return(environment);
}

Test(return_stress, a_million_fibers_leave_nothing_in_jemalloc, .timeout = 2 * TEST_TIMEOUT_S)
{
    static const char *const environment[] = {"WEFT_ALLOCATOR=jemalloc",
                                              "LD_PRELOAD=libjemalloc.so.2", NULL};

    expect_return(environment);
}
