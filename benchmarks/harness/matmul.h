/* SPDX-License-Identifier: MIT */
/* The rules of the matrix multiplication benchmark, for weft and its C and C++ peers. */
#ifndef WEFT_BENCH_MATMUL_H
#define WEFT_BENCH_MATMUL_H

#include "harness/bench.h"

#include <stddef.h>

enum { MATMUL_SIZE = 512, MATMUL_LEAF = 32 };

/* Static, so that no implementation has another allocator's alignment. */
static double matmul_a[MATMUL_SIZE * MATMUL_SIZE] BENCH_ALIGNED;
static double matmul_b[MATMUL_SIZE * MATMUL_SIZE] BENCH_ALIGNED;
static double matmul_c[MATMUL_SIZE * MATMUL_SIZE] BENCH_ALIGNED;

/* c += a * b, squares of `size` within matrices whose rows are MATMUL_SIZE long. */
struct matmul_block {
    double *c;
    const double *a, *b;
    int size;
};

/* Small whole numbers: every sum is exact, in whatever order. */
static inline struct matmul_block matmul_prepare(void)
{
    for (int i = 0; i < MATMUL_SIZE * MATMUL_SIZE; i++) {
        matmul_a[i] = (i * 7 + i / MATMUL_SIZE) % 17 - 8;
        matmul_b[i] = (i * 5 + i / MATMUL_SIZE) % 13 - 6;
        matmul_c[i] = 0;
    }
    struct matmul_block all = {matmul_c, matmul_a, matmul_b, MATMUL_SIZE};
    return all;
}

/* Quarter (row, column) of c from quarters (row, middle) of a and (middle, column) of b. */
static inline struct matmul_block matmul_quarter(struct matmul_block block, int row, int middle,
                                                 int column)
{
    ptrdiff_t half = block.size / 2;
    struct matmul_block quarter = {block.c + (row * MATMUL_SIZE + column) * half,
                                   block.a + (row * MATMUL_SIZE + middle) * half,
                                   block.b + (middle * MATMUL_SIZE + column) * half,
                                   block.size / 2};
    return quarter;
}

static inline void matmul_leaf(struct matmul_block block)
{
    for (int i = 0; i < block.size; i++) {
        for (int k = 0; k < block.size; k++) {
            double factor = block.a[i * MATMUL_SIZE + k];

            for (int j = 0; j < block.size; j++)
                block.c[i * MATMUL_SIZE + j] += factor * block.b[k * MATMUL_SIZE + j];
        }
    }
}

/* Freivalds' check with a vector of many values: c * x is a * (b * x), or something is wrong. */
static inline int matmul_is_right(void)
{
    static double bx[MATMUL_SIZE];

    for (int i = 0; i < MATMUL_SIZE; i++) {
        bx[i] = 0;
        for (int j = 0; j < MATMUL_SIZE; j++)
            bx[i] += matmul_b[i * MATMUL_SIZE + j] * (j % 101 + 1);
    }
    for (int i = 0; i < MATMUL_SIZE; i++) {
        double cx = 0, abx = 0;

        for (int j = 0; j < MATMUL_SIZE; j++) {
            cx += matmul_c[i * MATMUL_SIZE + j] * (j % 101 + 1);
            abx += matmul_a[i * MATMUL_SIZE + j] * bx[j];
        }
        if (cx != abx)
            return 0;
    }
    return 1;
}

#endif
