/* SPDX-License-Identifier: MIT */
/*
 * Where workers are on several NUMA nodes, what they make lies in the arena of their node, and goes
 * back there from wherever it is freed.
 *
 * usage: nodes COUNT     how many nodes have arenas of their own; 0: one arena, or malloc, serves
 * all
 *
 * The environment makes up the machine; worker i is on node i modulo COUNT.  Chaos mode resumes
 * each fiber on another worker than it left.
 */
#include "doctor.h"

#include <linux/mempolicy.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>
#include <weft.h>

/* By a weak name, as the library has it: this program is also linked without jemalloc. */
extern int mallctl(const char *name, void *old, size_t *old_size, void *new, size_t size)
    __attribute__((weak));

enum { NODES_MAX = 4, FIBERS = 16, ROUNDS = 30, SHELVES = 37, SIZES = 5 };

static unsigned node_count;
static unsigned shared_arena;
static unsigned arenas[NODES_MAX];
static bool is_bound[NODES_MAX]; /* as the doctor says */

static _Atomic(weft_channel *) shelves[SHELVES]; /* channels wait here for whoever frees them */
static _Atomic(unsigned) made[NODES_MAX];

static unsigned arena_of(void *memory)
{
    unsigned arena = 0;
    size_t size = sizeof arena;

    CHECK(mallctl("arenas.lookup", &arena, &size, &memory, sizeof memory) == 0);
    return arena;
}

/* Whether pages here come from this node, if it has any left. */
static bool prefers(void *memory, unsigned node)
{
    unsigned long mask[16] = {0};
    int policy = 0;

    CHECK(syscall(SYS_get_mempolicy, &policy, mask, 1025, memory, MPOL_F_ADDR) == 0);
    return policy == MPOL_PREFERRED && mask[0] == 1UL << node;
}

/* Whether the system binds memory to this node for us: containers may forbid it. */
static bool can_bind(unsigned node)
{
    unsigned long mask[16] = {1UL << node};
    size_t size = (size_t)sysconf(_SC_PAGESIZE);
    void *page = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    bool is_done;

    CHECK(page != MAP_FAILED);
    is_done = syscall(SYS_mbind, page, size, MPOL_PREFERRED, mask, 1025, 0) == 0;
    CHECK(munmap(page, size) == 0);
    return is_done;
}

static void read_doctor(void)
{
    char *text = ask_doctor();
    char *line = strstr(text, "\nallocator ");
    unsigned count = 0, node, arena;

    CHECK(line != NULL);
    if (mallctl != NULL && strstr(line, "jemalloc ") != NULL)
        CHECK(sscanf(strstr(line, ", arena "), ", arena %u", &shared_arena) == 1);
    for (; (line = strstr(line, "NUMA node ")) != NULL; line++, count++) {
        CHECK(sscanf(line, "NUMA node %u: arena %u", &node, &arena) == 2);
        CHECK(node < NODES_MAX);
        arenas[node] = arena;
        is_bound[node] = strncmp(strchr(line, ','), ", bound", 7) == 0;
        CHECK(is_bound[node] == (getenv("HWLOC_THISSYSTEM") != NULL && can_bind(node)));
    }
    CHECK(count == node_count);
    free(text);
}

static void check_place(weft_channel *channel, int worker, unsigned workers)
{
    unsigned node;

    if (node_count == 0 || (unsigned)worker >= workers) { /* a spare is at home nowhere */
        CHECK(shared_arena == 0 || arena_of(channel) == shared_arena);
        return;
    }
    node = (unsigned)worker % node_count;
    CHECK(arena_of(channel) == arenas[node]);
    CHECK(!is_bound[node] || prefers(channel, node));
    (void)atomic_fetch_add(&made[node], 1);
}

/* Of sizes that lie in slabs of the arena, and of one that has an extent of its own. */
static weft_channel *make_channel(unsigned number)
{
    static const size_t capacities[SIZES] = {1, 10, 300, 2000, 8000};
    weft_channel *channel = NULL;

    CHECK(weft_channel_create(&channel, 8, capacities[number % SIZES]) == 0);
    return channel;
}

static bool have_all_made(void)
{
    for (unsigned node = 0; node < node_count; node++)
        if (atomic_load(&made[node]) == 0)
            return false;
    return true;
}

static int make_and_free(void *arg)
{
    unsigned number = (unsigned)(uintptr_t)arg;

    for (unsigned round = 0; round < ROUNDS || !have_all_made(); round++) {
        /* Nothing suspends between these two. */
        int worker = weft_worker_index();
        weft_channel *channel = make_channel(number + round);

        check_place(channel, worker, weft_worker_count());
        channel = atomic_exchange(&shelves[(number * 7 + round) % SHELVES], channel);
        CHECK(weft_yield() == 0);
        weft_channel_free(channel);
    }
    return 0;
}

static int run(void *arg)
{
    weft_fiber *fibers[FIBERS];
    struct weft_stats stats;
    uint64_t before;

    (void)arg;
    CHECK(weft_stats_read(&stats) == 0);
    before = stats.allocated_bytes;
    for (uintptr_t i = 0; i < FIBERS; i++)
        CHECK(weft_spawn(&fibers[i], make_and_free, (void *)i) == 0);
    for (int i = 0; i < FIBERS; i++)
        CHECK(weft_join(fibers[i], NULL, WEFT_FOREVER) == 0);
    for (int i = 0; i < SHELVES; i++)
        weft_channel_free(atomic_exchange(&shelves[i], NULL));
    CHECK(weft_stats_read(&stats) == 0);
    /* Queues may have grown meanwhile; the channels were ten megabytes. */
    CHECK(stats.allocated_bytes < before + 1000 * 1000);
    CHECK((stats.node_allocations > 0) == (node_count > 0));
    for (unsigned node = 0; node < node_count; node++) {
        /* At least its queues, which its thread made. */
        CHECK(weft_stats_read_worker(node, &stats) == 0);
        CHECK(stats.node_allocations >= 2);
    }
    return 0;
}

/* What no worker makes is for all. */
static void check_outside(void)
{
    weft_channel *channel = make_channel(0);

    CHECK(shared_arena == 0 || arena_of(channel) == shared_arena);
    weft_channel_free(channel);
}

int main(int argc, char **argv)
{
    cpu_set_t cpus;

    CHECK(argc == 2);
    node_count = (unsigned)atoi(argv[1]);
    CHECK(sched_getaffinity(0, sizeof cpus, &cpus) == 0);
    if (!CPU_ISSET(0, &cpus) || !CPU_ISSET(1, &cpus)) {
        (void)puts("skipped: the machine that is made up has CPUs 0 and 1");
        return 77;
    }
    read_doctor();
    /* A second runtime finds the arenas of the first. */
    for (int i = 0; i < 2; i++)
        CHECK(weft_run(NULL, run, NULL) == 0);
    check_outside();
    read_doctor();
    return 0;
}
