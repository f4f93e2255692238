/* SPDX-License-Identifier: MIT */
/*
 * Fibers allocate, move to another thread, and free there.  An address of the allocator's caches
 * that is kept over a switch, by the compiler or by the library, gives one block to two of them.
 *
 * usage: migrate malloc|jemalloc     where the library's own memory is to come from
 *
 * The environment sets chaos mode, in which each fiber resumes on another worker than it left.
 */
#include "doctor.h"

#include <dlfcn.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <weft.h>

enum { FIBERS = 64, ROUNDS = 200, HELD = 8 };

static _Atomic(unsigned) moves;

/* As large as its mark says, and full of it. */
static unsigned char *make_block(unsigned number)
{
    size_t size = 16 + number % 3000;
    unsigned char *block = malloc(size);

    CHECK(block != NULL);
    memset(block, (int)(number % 251), size);
    return block;
}

static void end_block(unsigned char *block, unsigned number)
{
    size_t size = 16 + number % 3000;

    for (size_t i = 0; i < size; i++)
        CHECK(block[i] == number % 251);
    free(block);
}

static int allocate_and_move(void *arg)
{
    unsigned seed = (unsigned)(uintptr_t)arg * 7919;
    unsigned char *held[HELD];

    for (unsigned round = 0; round < ROUNDS; round++) {
        int worker = weft_worker_index();

        for (unsigned i = 0; i < HELD; i++)
            held[i] = make_block(seed + round * 31 + i);
        CHECK(weft_yield() == 0);
        if (weft_worker_index() != worker)
            (void)atomic_fetch_add(&moves, 1);
        for (unsigned i = 0; i < HELD; i++)
            end_block(held[i], seed + round * 31 + i);
    }
    return 0;
}

static int run(void *arg)
{
    static weft_fiber *fibers[FIBERS];
    struct weft_stats stats;

    (void)arg;
    for (uintptr_t i = 0; i < FIBERS; i++)
        CHECK(weft_spawn(&fibers[i], allocate_and_move, (void *)i) == 0);
    for (int i = 0; i < FIBERS; i++)
        CHECK(weft_join(fibers[i], NULL, WEFT_FOREVER) == 0);
    CHECK(weft_stats_read(&stats) == 0);
    CHECK(stats.allocated_bytes > 0);
    return 0;
}

static void check_allocator(const char *expected)
{
    bool has_jemalloc = dlsym(RTLD_DEFAULT, "mallocx") != NULL;
    char *text = ask_doctor();
    char row[64];

    (void)snprintf(row, sizeof row, "\nallocator          %s", expected);
    if (strstr(text, row) == NULL) {
        (void)fprintf(stderr, "the library's memory is not from %s:\n%s", expected, text);
        abort();
    }
    free(text);
    /* The library has not brought it along. */
    CHECK(!has_jemalloc || strcmp(expected, "jemalloc") == 0);
}

int main(int argc, char **argv)
{
    CHECK(argc == 2);
    check_allocator(argv[1]);
    CHECK(weft_run(NULL, run, NULL) == 0);
    CHECK(atomic_load(&moves) > FIBERS);
    return 0;
}
