/* SPDX-License-Identifier: MIT */
/*
 * Two hyperthreads share the execution units of one core.  Code that could keep all units busy
 * gets about two thirds of its speed while the sibling computes; a chain of dependent operations,
 * which uses one unit at a time, keeps its speed.  So the ratio of the two tells a busy sibling
 * from a lower clock frequency, which slows both alike.  In a virtual machine the sibling can
 * belong to somebody else, and nothing but such a measurement shows it.
 */
#include "harness/probe.h"

#include "harness/bench.h"

#include <pthread.h>
#include <sched.h>
#include <unistd.h>

enum { PAIRS = 16, ADDS = 4000, LINKS = 2000 };

/* Six additions that do not depend on each other in each pass: as many as the core can take. */
static uint64_t time_throughput(void)
{
    uint64_t a = 1, b = 2, c = 3, d = 4, e = 5, f = 6;
    uint64_t start = bench_now_ns();

    for (uint64_t i = 0; i < ADDS; i++) {
        a += i;
        b += i;
        c += i;
        d += i;
        e += i;
        f += i;
        __asm__ volatile("" : "+r"(a), "+r"(b), "+r"(c), "+r"(d), "+r"(e), "+r"(f));
    }
    return bench_now_ns() - start;
}

/* Four operations in each pass, each of which needs the result of the one before.  The empty
 * statements keep the compiler from joining them. */
static uint64_t time_latency(void)
{
    uint64_t a = 1;
    uint64_t start = bench_now_ns();

    for (uint64_t i = 0; i < LINKS; i++) {
        a += i;
        __asm__ volatile("" : "+r"(a));
        a ^= i;
        __asm__ volatile("" : "+r"(a));
        a += i;
        __asm__ volatile("" : "+r"(a));
        a ^= i;
        __asm__ volatile("" : "+r"(a));
    }
    return bench_now_ns() - start;
}

/* The median of many short pairs: an interrupt spoils one pair, a busy sibling all. */
static void *probe_here(void *arg)
{
    double ratios[PAIRS];

    for (int i = 0; i < PAIRS; i++) {
        double throughput = (double)time_throughput();
        double latency = (double)time_latency();

        ratios[i] = latency > 0 ? throughput / latency : 0;
    }
    bench_sort(ratios, PAIRS);
    *(double *)arg = (ratios[PAIRS / 2 - 1] + ratios[PAIRS / 2]) / 2;
    return NULL;
}

/* A thread of its own, since the caller may be a fiber on a pinned worker. */
static double probe_cpu(size_t cpu)
{
    double ratio = 0;
    pthread_attr_t attr;
    pthread_t thread;
    cpu_set_t set;

    CPU_ZERO(&set);
    CPU_SET(cpu, &set);
    pthread_attr_init(&attr);
    if (pthread_attr_setaffinity_np(&attr, sizeof set, &set) == 0 &&
        pthread_create(&thread, &attr, probe_here, &ratio) == 0)
        pthread_join(thread, NULL);
    pthread_attr_destroy(&attr);
    return ratio;
}

double bench_probe(void)
{
    double worst = 0;
    cpu_set_t cpus;

    /* Those of the main thread: the calling one may be a pinned worker. */
    if (sched_getaffinity(getpid(), sizeof cpus, &cpus) != 0)
        return 0;
    for (size_t cpu = 0; cpu < CPU_SETSIZE; cpu++) {
        if (CPU_ISSET(cpu, &cpus)) {
            double ratio = probe_cpu(cpu);

            worst = ratio > worst ? ratio : worst;
        }
    }
    return worst;
}
