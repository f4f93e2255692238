/* SPDX-License-Identifier: MIT */
/*
 * The rules of the sorting benchmark, for weft and its C and C++ peers: Cilk's merge sort.  Four
 * quarters are sorted side by side, merged in pairs side by side, and merged; a merge is itself cut
 * in two where its halves can be told.  Below a limit both are plain loops.
 */
#ifndef WEFT_BENCH_CILKSORT_H
#define WEFT_BENCH_CILKSORT_H

#include "harness/bench.h"

#include <stddef.h>
#include <stdint.h>
#include <string.h>

enum { CILKSORT_COUNT = 1 << 20, CILKSORT_LEAF = 2048, CILKSORT_INSERTION = 20 };

static uint32_t cilksort_values[CILKSORT_COUNT] BENCH_ALIGNED;
static uint32_t cilksort_room[CILKSORT_COUNT] BENCH_ALIGNED; /* as much again, to merge into */
static uint64_t cilksort_sum;

struct cilksort_range {
    uint32_t *values;
    uint32_t *room;
    size_t count;
};

/* Two sorted ranges and where they go. */
struct cilksort_merge {
    const uint32_t *a, *b;
    size_t a_count, b_count;
    uint32_t *to;
};

/* A linear congruential generator's upper bits, the same numbers in each sample. */
static inline struct cilksort_range cilksort_prepare(void)
{
    struct cilksort_range all = {cilksort_values, cilksort_room, CILKSORT_COUNT};
    uint64_t state = 1;

    cilksort_sum = 0;
    for (size_t i = 0; i < CILKSORT_COUNT; i++) {
        state = state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
        cilksort_values[i] = (uint32_t)(state >> 32);
        cilksort_sum += cilksort_values[i];
    }
    return all;
}

static inline struct cilksort_range cilksort_part(struct cilksort_range all, size_t first,
                                                  size_t count)
{
    struct cilksort_range part = {all.values + first, all.room + first, count};

    return part;
}

/* Quicksort with the middle of three, insertion at the end: the same in all languages. */
static inline void cilksort_leaf(uint32_t *values, size_t count)
{
    while (count > CILKSORT_INSERTION) {
        uint32_t a = values[0], b = values[count / 2], c = values[count - 1];
        uint32_t pivot = a < b ? (b < c ? b : a < c ? c : a) : (a < c ? a : b < c ? c : b);
        ptrdiff_t low = -1, high = (ptrdiff_t)count;

        for (;;) {
            while (values[++low] < pivot)
                continue;
            while (values[--high] > pivot)
                continue;
            if (low >= high)
                break;
            uint32_t other = values[low];
            values[low] = values[high];
            values[high] = other;
        }
        cilksort_leaf(values + high + 1, count - (size_t)high - 1);
        count = (size_t)high + 1;
    }
    for (size_t i = 1; i < count; i++) {
        uint32_t value = values[i];
        size_t place = i;

        for (; place > 0 && values[place - 1] > value; place--)
            values[place] = values[place - 1];
        values[place] = value;
    }
}

static inline void cilksort_merge_leaf(struct cilksort_merge merge)
{
    const uint32_t *a_end = merge.a + merge.a_count, *b_end = merge.b + merge.b_count;

    while (merge.a < a_end && merge.b < b_end)
        *merge.to++ = *merge.b < *merge.a ? *merge.b++ : *merge.a++;
    memcpy(merge.to, merge.a, (size_t)(a_end - merge.a) * sizeof *merge.to);
    merge.to += a_end - merge.a;
    memcpy(merge.to, merge.b, (size_t)(b_end - merge.b) * sizeof *merge.to);
}

/* Cuts the longer range in the middle, and the other where that value belongs. */
static inline void cilksort_cut(struct cilksort_merge merge, struct cilksort_merge *low,
                                struct cilksort_merge *high)
{
    size_t first = 0, last, half;

    if (merge.a_count < merge.b_count) {
        struct cilksort_merge swapped = {merge.b, merge.a, merge.b_count, merge.a_count, merge.to};
        merge = swapped;
    }
    half = merge.a_count / 2;
    last = merge.b_count;
    while (first < last) {
        size_t middle = (first + last) / 2;

        if (merge.b[middle] < merge.a[half])
            first = middle + 1;
        else
            last = middle;
    }
    struct cilksort_merge lower = {merge.a, merge.b, half, first, merge.to};
    struct cilksort_merge upper = {merge.a + half, merge.b + first, merge.a_count - half,
                                   merge.b_count - first, merge.to + half + first};
    *low = lower;
    *high = upper;
}

static inline int cilksort_is_right(void)
{
    uint64_t sum = cilksort_values[0];

    for (size_t i = 1; i < CILKSORT_COUNT; i++) {
        if (cilksort_values[i - 1] > cilksort_values[i])
            return 0;
        sum += cilksort_values[i];
    }
    return sum == cilksort_sum;
}

#endif
