/* SPDX-License-Identifier: MIT */
/* Divided work and loops by OpenMP.  Questions and methods are those of weft's benchmarks of the
 * same names; below is only what differs.  The loops are worksharing loops, each with the parallel
 * region that a program would give it; the threads stay between two regions. */
#include "parallel.h"

#include "harness/cilksort.h"
#include "harness/integrate.h"
#include "harness/knapsack.h"
#include "harness/loops.h"
#include "harness/matmul.h"
#include "harness/strassen.h"

static void multiply(struct matmul_block block)
{
    if (block.size <= MATMUL_LEAF) {
        matmul_leaf(block);
        return;
    }
    for (int middle = 0; middle < 2; middle++) {
#pragma omp task
        multiply(matmul_quarter(block, 0, middle, 1));
#pragma omp task
        multiply(matmul_quarter(block, 1, middle, 0));
#pragma omp task
        multiply(matmul_quarter(block, 1, middle, 1));
        multiply(matmul_quarter(block, 0, middle, 0));
#pragma omp taskwait
    }
}

static struct integrate_sum integrate(struct integrate_piece piece)
{
    struct integrate_sum sum = {0, 1}, other;
    struct integrate_piece low, high;

    if (!integrate_cut(piece, &low, &high, &sum.area))
        return sum;
#pragma omp task shared(other) firstprivate(high)
    other = integrate(high);
    sum = integrate(low);
#pragma omp taskwait
    sum.area += other.area;
    sum.leaves += other.leaves;
    return sum;
}

static void merge(struct cilksort_merge whole)
{
    struct cilksort_merge low, high;

    if (whole.a_count + whole.b_count <= CILKSORT_LEAF) {
        cilksort_merge_leaf(whole);
        return;
    }
    cilksort_cut(whole, &low, &high);
#pragma omp task firstprivate(high)
    merge(high);
    merge(low);
#pragma omp taskwait
}

static void sort(struct cilksort_range all)
{
    size_t quarter = all.count / 4, half = 2 * quarter, rest = all.count - half;
    uint32_t *upper = all.values + half;

    if (all.count <= CILKSORT_LEAF) {
        cilksort_leaf(all.values, all.count);
        return;
    }
#pragma omp task
    sort(cilksort_part(all, quarter, quarter));
#pragma omp task
    sort(cilksort_part(all, half, quarter));
#pragma omp task
    sort(cilksort_part(all, half + quarter, rest - quarter));
    sort(cilksort_part(all, 0, quarter));
#pragma omp taskwait
#pragma omp task
    merge(
        (struct cilksort_merge){upper, upper + quarter, quarter, rest - quarter, all.room + half});
    merge((struct cilksort_merge){all.values, all.values + quarter, quarter, quarter, all.room});
#pragma omp taskwait
    merge((struct cilksort_merge){all.room, all.room + half, half, rest, all.values});
}

static void strassen(const struct strassen_product *product)
{
    if (strassen_is_leaf(product)) {
        strassen_leaf(product);
        return;
    }
    for (int number = 0; number < STRASSEN_PRODUCTS; number++) {
#pragma omp task firstprivate(number)
        {
            struct strassen_product part = strassen_part(product, number);

            strassen(&part);
        }
    }
#pragma omp taskwait
    strassen_join(product);
}

void bench_forkjoin_strassen(struct bench *b)
{
    struct strassen_product all = strassen_prepare();

    bench_start(b);
    strassen(&all);
    bench_stop(b);
    if (!matmul_is_right())
        bench_fail(b, "the product is wrong");
}

static struct knapsack_sum fill(struct knapsack_node node)
{
    struct knapsack_sum with = {0, 0}, without;

    if (knapsack_is_leaf(node)) {
        with.best = node.value;
        with.nodes = 1;
        return with;
    }
#pragma omp task shared(without) firstprivate(node)
    without = fill(knapsack_without(node));
    if (knapsack_fits(node))
        with = fill(knapsack_with(node));
#pragma omp taskwait
    return knapsack_add(with, without);
}

void bench_forkjoin_knapsack(struct bench *b)
{
    struct knapsack_node root = knapsack_prepare();
    struct knapsack_sum sum;

    bench_start(b);
    sum = fill(root);
    bench_stop(b);
    if (!knapsack_is_right(sum))
        bench_fail(b, "best %d of %ld nodes is wrong", sum.best, sum.nodes);
}

void bench_forkjoin_matmul(struct bench *b)
{
    struct matmul_block all = matmul_prepare();

    bench_start(b);
    multiply(all);
    bench_stop(b);
    if (!matmul_is_right())
        bench_fail(b, "the product is wrong");
}

void bench_forkjoin_integrate(struct bench *b)
{
    struct integrate_sum sum;

    bench_start(b);
    sum = integrate(integrate_all());
    bench_stop(b);
    if (!integrate_is_right(sum))
        bench_fail(b, "%.17g from %ld leaves is wrong", sum.area, sum.leaves);
}

void bench_forkjoin_cilksort(struct bench *b)
{
    struct cilksort_range all = cilksort_prepare();

    bench_start(b);
    sort(all);
    bench_stop(b);
    if (!cilksort_is_right())
        bench_fail(b, "the numbers are not sorted");
}

void bench_parallel_nbody(struct bench *b)
{
    nbody_prepare();
    bench_start(b);
#pragma omp parallel for schedule(static) num_threads((int)b->spec->workers)
    for (size_t row = 0; row < NBODY_COUNT; row++)
        nbody_rows(row, row + 1);
    bench_stop(b);
    if (!nbody_is_right())
        bench_fail(b, "the pulls do not cancel out");
}

void bench_parallel_mandelbrot(struct bench *b)
{
    bench_start(b);
#pragma omp parallel for schedule(dynamic) num_threads((int)b->spec->workers)
    for (size_t row = 0; row < MANDELBROT_SIZE; row++)
        mandelbrot_row(row);
    bench_stop(b);
    if (!mandelbrot_is_right())
        bench_fail(b, "the picture is wrong");
}

/* In blocks: libgomp 12 has `reduction(inscan)`, but goes over all three times. */
void bench_parallel_scan(struct bench *b)
{
    scan_prepare();
    bench_start(b);
#pragma omp parallel num_threads((int)b->spec->workers)
    {
#pragma omp for schedule(static)
        for (size_t block = 0; block < SCAN_BLOCKS; block++)
            scan_sum_blocks(block, block + 1);
#pragma omp single
        scan_join_blocks();
#pragma omp for schedule(static)
        for (size_t block = 0; block < SCAN_BLOCKS; block++)
            scan_write_blocks(block, block + 1);
    }
    bench_stop(b);
    if (!scan_is_right())
        bench_fail(b, "the sums are wrong");
}
