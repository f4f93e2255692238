/* SPDX-License-Identifier: MIT */
/* See soak.h. */
#define _GNU_SOURCE 1

#include "soak.h"

#include <dirent.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/* Sixteen classes for each power of two: a quantile is exact to 6 %. */
enum { CLASSES_BITS = 4, CLASSES = 64 << CLASSES_BITS };

static struct {
    int64_t length;
    long interval_ms;
    pthread_t thread;
    _Atomic(bool) is_over;
    _Atomic(uint32_t) latencies[CLASSES];
    _Atomic(uint64_t) missed;
} sampler;

int64_t soak_length(void)
{
    return sampler.length;
}

static unsigned class_of(uint64_t value)
{
    unsigned bits;

    if (value < 1U << CLASSES_BITS)
        return (unsigned)value;
    bits = 63U - (unsigned)__builtin_clzll(value);
    return (bits << CLASSES_BITS) | (unsigned)(value >> (bits - CLASSES_BITS) & 15U);
}

static uint64_t value_of(unsigned class)
{
    unsigned bits = class >> CLASSES_BITS;

    if (bits < CLASSES_BITS)
        return class;
    return (UINT64_C(16) | (class & 15U)) << (bits - CLASSES_BITS);
}

void soak_note_latency(int64_t nanoseconds)
{
    atomic_fetch_add(&sampler.latencies[class_of((uint64_t)nanoseconds)], 1);
}

void soak_note_missed(void)
{
    atomic_fetch_add(&sampler.missed, 1);
}

/* Takes out what was noted since the last call.  Returns the value that 99.9 % stay below. */
static uint64_t take_p999(void)
{
    uint32_t counts[CLASSES];
    uint64_t total = 0, seen = 0;

    for (unsigned i = 0; i < CLASSES; i++)
        total += counts[i] = atomic_exchange(&sampler.latencies[i], 0);
    for (unsigned i = 0; i < CLASSES; i++) {
        seen += counts[i];
        if (total > 0 && seen * 1000 >= total * 999)
            return value_of(i);
    }
    return 0;
}

static unsigned count_lines(const char *path)
{
    FILE *file = fopen(path, "re");
    unsigned lines = 0;
    int c;

    must(file != NULL, path);
    while ((c = getc(file)) != EOF)
        lines += c == '\n';
    (void)fclose(file);
    return lines;
}

static unsigned count_descriptors(void)
{
    DIR *dir = opendir("/proc/self/fd");
    unsigned count = 0;

    must(dir != NULL, "/proc/self/fd");
    while (readdir(dir) != NULL)
        count++;
    (void)closedir(dir);
    return count - 3; /* itself, and the two names of folders */
}

static unsigned long resident_kib(void)
{
    FILE *file = fopen("/proc/self/statm", "re");
    unsigned long pages = 0;

    must(file != NULL && fscanf(file, "%*u %lu", &pages) == 1, "/proc/self/statm");
    (void)fclose(file);
    return pages * (unsigned long)sysconf(_SC_PAGESIZE) / 1024;
}

static double now(void)
{
    struct timespec time;

    (void)clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

static void *sample(void *arg)
{
    struct timespec pause = {sampler.interval_ms / 1000, sampler.interval_ms % 1000 * 1000000};
    double begin = now();

    (void)arg;
    (void)printf("seconds rss_kib descriptors vmas p999_us missed\n");
    while (!atomic_load(&sampler.is_over)) {
        (void)nanosleep(&pause, NULL);
        (void)printf("%.3f %lu %u %u %.1f %lu\n", now() - begin, resident_kib(),
                     count_descriptors(), count_lines("/proc/self/maps"),
                     (double)take_p999() / 1000.0,
                     (unsigned long)atomic_exchange(&sampler.missed, 0));
        (void)fflush(stdout);
    }
    return NULL;
}

void soak_begin(int64_t length_ns, long interval_ms)
{
    sampler.length = length_ns;
    sampler.interval_ms = interval_ms;
    must(pthread_create(&sampler.thread, NULL, sample, NULL) == 0, "no thread");
}

void soak_end(void)
{
    atomic_store(&sampler.is_over, true);
    (void)pthread_join(sampler.thread, NULL);
}
