/* SPDX-License-Identifier: MIT */
/* Work that is divided as it goes, with leaves of some microseconds: what programs do with tasks.
 * forkjoin_bench.c has trees without a leaf size, which measure the tasks themselves. */
#include "harness/cilksort.h"
#include "harness/integrate.h"
#include "harness/knapsack.h"
#include "harness/loops.h"
#include "harness/matmul.h"
#include "harness/strassen.h"
#include "weft_bench.h"

#include <weft.h>

WEFT_TASK_VOID(multiply, struct matmul_block)

static void multiply(weft_team team, struct matmul_block block)
{
    struct multiply_task tasks[3];

    if (block.size <= MATMUL_LEAF) {
        matmul_leaf(block);
        return;
    }
    for (int middle = 0; middle < 2; middle++) {
        multiply_fork(&team, &tasks[0], matmul_quarter(block, 0, middle, 1));
        multiply_fork(&team, &tasks[1], matmul_quarter(block, 1, middle, 0));
        multiply_fork(&team, &tasks[2], matmul_quarter(block, 1, middle, 1));
        multiply(team, matmul_quarter(block, 0, middle, 0));
        for (int i = 3; i-- > 0;)
            multiply_join(&team, &tasks[i]);
    }
}

/*
 * forkjoin/matmul/n=512
 *
 * Question  Does divide and conquer with leaves of some microseconds scale with the workers?
 * Method    512 x 512 doubles, each square cut in four, twice: the four products of one half, then
 *           those of the other; plain loops at 32 x 32.  The time of one product.
 * Includes  the arithmetic, which is nearly all.
 * Excludes  filling the matrices, the check.
 * Distrust  a comparison between compilers: they make different loops.  A wrong product fails.
 */
void bench_forkjoin_matmul(struct bench *b)
{
    struct matmul_block all = matmul_prepare();

    bench_start(b);
    multiply_call(all);
    bench_stop(b);
    if (!matmul_is_right())
        bench_fail(b, "the product is wrong");
}

WEFT_TASK(integrate, struct integrate_sum, struct integrate_piece)

static struct integrate_sum integrate(weft_team team, struct integrate_piece piece)
{
    struct integrate_sum sum = {0, 1}, other;
    struct integrate_piece low, high;
    struct integrate_task task;

    if (!integrate_cut(piece, &low, &high, &sum.area))
        return sum;
    integrate_fork(&team, &task, high);
    sum = integrate(team, low);
    other = integrate_join(&team, &task);
    sum.area += other.area;
    sum.leaves += other.leaves;
    return sum;
}

/*
 * forkjoin/integrate
 *
 * Question  What does a tree cost that nobody can divide beforehand, with tiny tasks that carry
 *           structures?
 * Method    the area below x * x * x + x by trapezoids that are cut in two until that changes less
 *           than 1e-10; a task for each cut, without a leaf size.
 * Includes  a task of five doubles and a result of two for each cut, 0.8 million of them.
 * Excludes  nothing.
 * Distrust  compilers that join multiplication and addition: the tree would be another, and the
 *           count of its leaves tells.  A wrong area fails.
 */
void bench_forkjoin_integrate(struct bench *b)
{
    struct integrate_sum sum;

    bench_start(b);
    sum = integrate_call(integrate_all());
    bench_stop(b);
    if (!integrate_is_right(sum))
        bench_fail(b, "%.17g from %ld leaves is wrong", sum.area, sum.leaves);
}

WEFT_TASK_VOID(merge, struct cilksort_merge)
WEFT_TASK_VOID(sort, struct cilksort_range)

static void merge(weft_team team, struct cilksort_merge whole)
{
    struct cilksort_merge low, high;
    struct merge_task task;

    if (whole.a_count + whole.b_count <= CILKSORT_LEAF) {
        cilksort_merge_leaf(whole);
        return;
    }
    cilksort_cut(whole, &low, &high);
    merge_fork(&team, &task, high);
    merge(team, low);
    merge_join(&team, &task);
}

static void sort(weft_team team, struct cilksort_range all)
{
    size_t quarter = all.count / 4, half = 2 * quarter, rest = all.count - half;
    struct merge_task upper;
    struct sort_task tasks[3];

    if (all.count <= CILKSORT_LEAF) {
        cilksort_leaf(all.values, all.count);
        return;
    }
    sort_fork(&team, &tasks[0], cilksort_part(all, quarter, quarter));
    sort_fork(&team, &tasks[1], cilksort_part(all, half, quarter));
    sort_fork(&team, &tasks[2], cilksort_part(all, half + quarter, rest - quarter));
    sort(team, cilksort_part(all, 0, quarter));
    for (int i = 3; i-- > 0;)
        sort_join(&team, &tasks[i]);
    merge_fork(&team, &upper,
               (struct cilksort_merge){all.values + half, all.values + half + quarter, quarter,
                                       rest - quarter, all.room + half});
    merge(team,
          (struct cilksort_merge){all.values, all.values + quarter, quarter, quarter, all.room});
    merge_join(&team, &upper);
    merge(team, (struct cilksort_merge){all.room, all.room + half, half, rest, all.values});
}

/*
 * forkjoin/cilksort/n=1048576
 *
 * Question  How well does work scale whose memory traffic grows with it?
 * Method    Cilk's merge sort of a million random numbers of 32 bits: quarters, merges that are cut
 *           in two themselves, plain loops below 2,048 numbers, the same quicksort in all
 *           implementations.
 * Includes  the sort.
 * Excludes  making the numbers, the check.
 * Distrust  a comparison with a library's sort.  A wrong order or sum fails.
 */
void bench_forkjoin_cilksort(struct bench *b)
{
    struct cilksort_range all = cilksort_prepare();

    bench_start(b);
    sort_call(all);
    bench_stop(b);
    if (!cilksort_is_right())
        bench_fail(b, "the numbers are not sorted");
}

struct strassen_call {
    const struct strassen_product *whole;
    int part;
};

WEFT_TASK_VOID(multiply_part, struct strassen_call)

static void strassen(weft_team team, const struct strassen_product *product)
{
    struct multiply_part_task tasks[STRASSEN_PRODUCTS];

    if (strassen_is_leaf(product)) {
        strassen_leaf(product);
        return;
    }
    for (int part = 1; part < STRASSEN_PRODUCTS; part++)
        multiply_part_fork(&team, &tasks[part], (struct strassen_call){product, part});
    multiply_part(team, (struct strassen_call){product, 0});
    for (int part = STRASSEN_PRODUCTS; part-- > 1;)
        multiply_part_join(&team, &tasks[part]);
    strassen_join(product);
}

static void multiply_part(weft_team team, struct strassen_call call)
{
    struct strassen_product product = strassen_part(call.whole, call.part);

    strassen(team, &product);
}

WEFT_TASK_VOID(strassen_all, struct strassen_product)

static void strassen_all(weft_team team, struct strassen_product product)
{
    strassen(team, &product);
}

/*
 * forkjoin/strassen/n=512
 *
 * Question  Do tasks with much memory of their own, seven at a time, scale with the workers?
 * Method    Strassen's product of the matrices of forkjoin/matmul: sums of quarters, seven
 * products, three levels; plain loops at 64 x 64.  The time of one product. Includes  the
 * arithmetic, which is nearly all; 64 MB of temporary sums and products. Excludes  filling the
 * matrices, the first touch of the memory, the check. Distrust  a comparison between compilers, or
 * with forkjoin/matmul, whose leaves are smaller.  A wrong product fails.
 */
void bench_forkjoin_strassen(struct bench *b)
{
    struct strassen_product all = strassen_prepare();

    bench_start(b);
    strassen_all_call(all);
    bench_stop(b);
    if (!matmul_is_right())
        bench_fail(b, "the product is wrong");
}

WEFT_TASK(fill, struct knapsack_sum, struct knapsack_node)

static struct knapsack_sum fill(weft_team team, struct knapsack_node node)
{
    struct knapsack_sum with = {0, 0}, without;
    struct fill_task task;

    if (knapsack_is_leaf(node)) {
        with.best = node.value;
        with.nodes = 1;
        return with;
    }
    fill_fork(&team, &task, knapsack_without(node));
    if (knapsack_fits(node))
        with = fill(team, knapsack_with(node));
    without = fill_join(&team, &task);
    return knapsack_add(with, without);
}

/*
 * forkjoin/knapsack/n=40
 *
 * Question  What does branch and bound cost, a tree whose branches end anywhere?
 * Method    the best filling for 40 items: with or without each, a task for each that is left out,
 *           until no filling below can be good enough; without a leaf size.
 * Includes  a task of three numbers and a result of two for each of 1.9 million nodes.
 * Excludes  sorting the items.  The bound is known beforehand, or each run would search another
 * tree. Distrust  nothing that we know.  Another best value or count of nodes fails.
 */
void bench_forkjoin_knapsack(struct bench *b)
{
    struct knapsack_node root = knapsack_prepare();
    struct knapsack_sum sum;

    bench_start(b);
    sum = fill_call(root);
    bench_stop(b);
    if (!knapsack_is_right(sum))
        bench_fail(b, "best %d of %ld nodes is wrong", sum.best, sum.nodes);
}

static void pull_bodies(size_t begin, size_t end, void *arg)
{
    (void)arg;
    nbody_rows(begin, end);
}

/*
 * parallel/nbody/n=2048
 *
 * Question  What does a parallel loop of even bodies cost beside the work?
 * Method    each of 2,048 bodies adds up the pull of all others, some 10 us each: one step.
 * Includes  the arithmetic, the start and end of the loop.
 * Excludes  the check.
 * Distrust  a comparison between compilers.  Pulls that do not cancel out fail.
 */
void bench_parallel_nbody(struct bench *b)
{
    nbody_prepare();
    bench_start(b);
    weft_parallel_for(0, NBODY_COUNT, 0, pull_bodies, NULL);
    bench_stop(b);
    if (!nbody_is_right())
        bench_fail(b, "the pulls do not cancel out");
}

static void draw_rows(size_t begin, size_t end, void *arg)
{
    (void)arg;
    for (size_t row = begin; row < end; row++)
        mandelbrot_row(row);
}

/*
 * parallel/mandelbrot/n=256
 *
 * Question  How well is a loop shared whose bodies differ by a factor of a thousand?
 * Method    256 rows of the Mandelbrot set with at most a thousand steps for each point.
 * Includes  the arithmetic, the start and end of the loop.
 * Excludes  the check.
 * Distrust  compilers that join multiplication and addition; the sum of all steps would differ, and
 *           the sample fail.
 */
void bench_parallel_mandelbrot(struct bench *b)
{
    bench_start(b);
    weft_parallel_for(0, MANDELBROT_SIZE, 1, draw_rows, NULL);
    bench_stop(b);
    if (!mandelbrot_is_right())
        bench_fail(b, "the picture is wrong");
}

static void sum_blocks(size_t begin, size_t end, void *arg)
{
    (void)arg;
    scan_sum_blocks(begin, end);
}

static void write_blocks(size_t begin, size_t end, void *arg)
{
    (void)arg;
    scan_write_blocks(begin, end);
}

/*
 * parallel/scan/n=4194304
 *
 * Question  What do two short parallel loops cost, one after the other?
 * Method    the prefix sums of four million numbers in blocks of 16,384: the sum of each block,
 * then each block from where the others end. Includes  the memory's speed, which is most of it.
 * Excludes  the check.
 * Distrust  machines whose one core can use the memory to the full: nothing scales there.
 */
void bench_parallel_scan(struct bench *b)
{
    scan_prepare();
    bench_start(b);
    weft_parallel_for(0, SCAN_BLOCKS, 0, sum_blocks, NULL);
    scan_join_blocks();
    weft_parallel_for(0, SCAN_BLOCKS, 0, write_blocks, NULL);
    bench_stop(b);
    if (!scan_is_right())
        bench_fail(b, "the sums are wrong");
}
