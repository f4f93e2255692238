/* SPDX-License-Identifier: MIT */
/*
 * The rules of Strassen's matrix multiplication, for weft and its C and C++ peers.  The matrices
 * and the check are those of matmul.h; seven products of sums of quarters, each with room of its
 * own, take the place of eight.  Below a limit there are plain loops.
 */
#ifndef WEFT_BENCH_STRASSEN_H
#define WEFT_BENCH_STRASSEN_H

#include "harness/matmul.h"

#include <string.h>

enum { STRASSEN_LEAF = 64, STRASSEN_PRODUCTS = 7 };

/* c = a * b, squares of `size` whose rows are so many elements apart. */
struct strassen_product {
    double *c;
    const double *a, *b;
    ptrdiff_t c_row, a_row, b_row;
    int size;
    double *room; /* STRASSEN_PRODUCTS parts, each for two sums, a product, and its own parts */
};

enum {
    STRASSEN_ROOM_128 = STRASSEN_PRODUCTS * 3 * 64 * 64,
    STRASSEN_ROOM_256 = STRASSEN_PRODUCTS * (3 * 128 * 128 + STRASSEN_ROOM_128),
    STRASSEN_ROOM = STRASSEN_PRODUCTS * (3 * 256 * 256 + STRASSEN_ROOM_256),
};

static double strassen_room[STRASSEN_ROOM] BENCH_ALIGNED;

/* Of each part of a product of so many rows. */
static inline ptrdiff_t strassen_part_room(int size)
{
    return (size > 256   ? STRASSEN_ROOM
            : size > 128 ? STRASSEN_ROOM_256
                         : STRASSEN_ROOM_128) /
           STRASSEN_PRODUCTS;
}

static inline struct strassen_product strassen_prepare(void)
{
    struct matmul_block all = matmul_prepare();
    struct strassen_product whole = {all.c,       all.a,       all.b,    MATMUL_SIZE,
                                     MATMUL_SIZE, MATMUL_SIZE, all.size, strassen_room};

    memset(strassen_room, 0, sizeof strassen_room); /* its pages are there before the clock runs */
    return whole;
}

static inline int strassen_is_leaf(const struct strassen_product *product)
{
    return product->size <= STRASSEN_LEAF;
}

static inline void strassen_leaf(const struct strassen_product *product)
{
    for (int i = 0; i < product->size; i++) {
        double *c = product->c + i * product->c_row;

        for (int j = 0; j < product->size; j++)
            c[j] = 0;
        for (int k = 0; k < product->size; k++) {
            const double *b = product->b + k * product->b_row;
            double factor = product->a[i * product->a_row + k];

            for (int j = 0; j < product->size; j++)
                c[j] += factor * b[j];
        }
    }
}

/* Quarters are numbered 0 1 above 2 3.  What a factor is made of: first + sign * second. */
struct strassen_factor {
    signed char first, second, sign;
};

/* Writes the factor to `to`, or returns the quarter itself where it is one. */
static inline const double *strassen_add(double *to, const double *from, ptrdiff_t *row, int half,
                                         struct strassen_factor factor)
{
    const double *first = from + (factor.first / 2 * *row + factor.first % 2) * half;
    const double *second = from + (factor.second / 2 * *row + factor.second % 2) * half;

    if (factor.sign == 0)
        return first;
    for (int i = 0; i < half; i++) {
        for (int j = 0; j < half; j++)
            to[i * half + j] = first[i * *row + j] + factor.sign * second[i * *row + j];
    }
    *row = half;
    return to;
}

/* One of the seven products, its factors included. */
static inline struct strassen_product strassen_part(const struct strassen_product *whole, int part)
{
    static const struct strassen_factor a[] = {{0, 3, 1}, {2, 3, 1},  {0, 0, 0}, {3, 3, 0},
                                               {0, 1, 1}, {2, 0, -1}, {1, 3, -1}};
    static const struct strassen_factor b[] = {{0, 3, 1}, {0, 0, 0}, {1, 3, -1}, {2, 0, -1},
                                               {3, 3, 0}, {0, 1, 1}, {2, 3, 1}};
    int half = whole->size / 2;
    ptrdiff_t square = (ptrdiff_t)half * half;
    double *room = whole->room + part * strassen_part_room(whole->size);
    struct strassen_product product = {room,         NULL,         NULL, half,
                                       whole->a_row, whole->b_row, half, room + 3 * square};

    product.a = strassen_add(room + square, whole->a, &product.a_row, half, a[part]);
    product.b = strassen_add(room + 2 * square, whole->b, &product.b_row, half, b[part]);
    return product;
}

/* All parts are done. */
static inline void strassen_join(const struct strassen_product *whole)
{
    int half = whole->size / 2;
    const double *m[STRASSEN_PRODUCTS];

    for (int part = 0; part < STRASSEN_PRODUCTS; part++)
        m[part] = whole->room + part * strassen_part_room(whole->size);
    for (int i = 0; i < half; i++) {
        double *above = whole->c + i * whole->c_row, *under = above + half * whole->c_row;

        for (int j = 0; j < half; j++) {
            ptrdiff_t at = (ptrdiff_t)i * half + j;

            above[j] = m[0][at] + m[3][at] - m[4][at] + m[6][at];
            above[half + j] = m[2][at] + m[4][at];
            under[j] = m[1][at] + m[3][at];
            under[half + j] = m[0][at] - m[1][at] + m[2][at] + m[5][at];
        }
    }
}

#endif
