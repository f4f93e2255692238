/* SPDX-License-Identifier: MIT */
/* The rules of the loop benchmarks, for weft and its C and C++ peers: bodies that are even, uneven,
 * and short.  Each is checked against the plain loop's result, bit by bit. */
#ifndef WEFT_BENCH_LOOPS_H
#define WEFT_BENCH_LOOPS_H

#include "harness/bench.h"

#include <math.h>
#include <stddef.h>
#include <stdint.h>

/* One step of the n-body problem: every body's pull on every other. */
enum { NBODY_COUNT = 2048 };

static double nbody_place[NBODY_COUNT][3] BENCH_ALIGNED;
static double nbody_pull[NBODY_COUNT][3] BENCH_ALIGNED;

static inline void nbody_prepare(void)
{
    for (int i = 0; i < NBODY_COUNT; i++) {
        nbody_place[i][0] = (i * 37) % 1009;
        nbody_place[i][1] = (i * 101) % 997;
        nbody_place[i][2] = (i * 53) % 991;
        nbody_pull[i][0] = nbody_pull[i][1] = nbody_pull[i][2] = 0;
    }
}

static inline void nbody_rows(size_t begin, size_t end)
{
    for (size_t i = begin; i < end; i++) {
        double x = 0, y = 0, z = 0;

        for (size_t j = 0; j < NBODY_COUNT; j++) {
            double dx = nbody_place[j][0] - nbody_place[i][0];
            double dy = nbody_place[j][1] - nbody_place[i][1];
            double dz = nbody_place[j][2] - nbody_place[i][2];
            double square = dx * dx + dy * dy + dz * dz + 0.01;
            double factor = 1 / (square * sqrt(square));

            x += dx * factor;
            y += dy * factor;
            z += dz * factor;
        }
        nbody_pull[i][0] = x;
        nbody_pull[i][1] = y;
        nbody_pull[i][2] = z;
    }
}

/* The pulls cancel out, but are not zero. */
static inline int nbody_is_right(void)
{
    double sum = 0, size = 0;

    for (int i = 0; i < NBODY_COUNT; i++) {
        for (int axis = 0; axis < 3; axis++) {
            sum += nbody_pull[i][axis];
            size += fabs(nbody_pull[i][axis]);
        }
        if (nbody_pull[i][0] == 0)
            return 0;
    }
    return fabs(sum) < 1e-9 * size;
}

/* Rows of the Mandelbrot set: some take a thousand times as long as others. */
enum { MANDELBROT_SIZE = 256, MANDELBROT_STEPS = 1000, MANDELBROT_SUM = 13589901 };

static uint32_t mandelbrot_rows[MANDELBROT_SIZE] BENCH_ALIGNED;

static inline void mandelbrot_row(size_t row)
{
    double b = 2.5 * (double)row / MANDELBROT_SIZE - 1.25;
    uint32_t sum = 0;

    for (int column = 0; column < MANDELBROT_SIZE; column++) {
        double a = 3.0 * column / MANDELBROT_SIZE - 2.25;
        double x = 0, y = 0;
        uint32_t steps = 0;

        while (steps < MANDELBROT_STEPS && x * x + y * y <= 4) {
            double next = x * x - y * y + a;

            y = 2 * x * y + b;
            x = next;
            steps++;
        }
        sum += steps;
    }
    mandelbrot_rows[row] = sum;
}

static inline int mandelbrot_is_right(void)
{
    uint64_t sum = 0;

    for (int row = 0; row < MANDELBROT_SIZE; row++) {
        sum += mandelbrot_rows[row];
        mandelbrot_rows[row] = 0;
    }
    return sum == MANDELBROT_SUM;
}

/* The prefix sums of four million numbers.  In two passes over blocks, where the implementation has
 * nothing of its own for it: the sum of each block, then each block from where the others end. */
enum { SCAN_COUNT = 1 << 22, SCAN_BLOCK = 1 << 14, SCAN_BLOCKS = SCAN_COUNT / SCAN_BLOCK };

static uint64_t scan_in[SCAN_COUNT] BENCH_ALIGNED;
static uint64_t scan_out[SCAN_COUNT] BENCH_ALIGNED;
static uint64_t scan_blocks[SCAN_BLOCKS];

static inline void scan_prepare(void)
{
    for (uint64_t i = 0; i < SCAN_COUNT; i++) {
        scan_in[i] = i % 1000;
        scan_out[i] = 0;
    }
}

static inline void scan_sum_blocks(size_t begin, size_t end)
{
    for (size_t block = begin; block < end; block++) {
        uint64_t sum = 0;

        for (size_t i = block * SCAN_BLOCK; i < (block + 1) * SCAN_BLOCK; i++)
            sum += scan_in[i];
        scan_blocks[block] = sum;
    }
}

/* Each block's sum becomes the sum of all blocks before it. */
static inline void scan_join_blocks(void)
{
    uint64_t sum = 0;

    for (size_t block = 0; block < SCAN_BLOCKS; block++) {
        uint64_t own = scan_blocks[block];

        scan_blocks[block] = sum;
        sum += own;
    }
}

static inline void scan_write_blocks(size_t begin, size_t end)
{
    for (size_t block = begin; block < end; block++) {
        uint64_t sum = scan_blocks[block];

        for (size_t i = block * SCAN_BLOCK; i < (block + 1) * SCAN_BLOCK; i++) {
            sum += scan_in[i];
            scan_out[i] = sum;
        }
    }
}

static inline int scan_is_right(void)
{
    uint64_t sum = 0;

    for (uint64_t i = 0; i < SCAN_COUNT; i++) {
        sum += i % 1000;
        if (scan_out[i] != sum)
            return 0;
    }
    return 1;
}

#endif
