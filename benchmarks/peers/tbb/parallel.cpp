/* SPDX-License-Identifier: MIT */
/* Divided work and loops by oneTBB.  Questions and methods are those of weft's benchmarks of the
 * same names; below is only what differs. */
#include "parallel.h"

#include "harness/cilksort.h"
#include "harness/integrate.h"
#include "harness/knapsack.h"
#include "harness/loops.h"
#include "harness/matmul.h"
#include "harness/strassen.h"

#include <oneapi/tbb/blocked_range.h>
#include <oneapi/tbb/parallel_for.h>
#include <oneapi/tbb/parallel_invoke.h>
#include <oneapi/tbb/parallel_scan.h>
#include <oneapi/tbb/task_group.h>

namespace
{

void multiply(matmul_block block)
{
    if (block.size <= MATMUL_LEAF) {
        matmul_leaf(block);
        return;
    }
    for (int middle = 0; middle < 2; middle++)
        tbb::parallel_invoke([=] { multiply(matmul_quarter(block, 0, middle, 0)); },
                             [=] { multiply(matmul_quarter(block, 0, middle, 1)); },
                             [=] { multiply(matmul_quarter(block, 1, middle, 0)); },
                             [=] { multiply(matmul_quarter(block, 1, middle, 1)); });
}

integrate_sum integrate(integrate_piece piece)
{
    integrate_piece low;
    integrate_piece high;
    integrate_sum sum{0, 1};
    if (!integrate_cut(piece, &low, &high, &sum.area))
        return sum;
    integrate_sum other;
    tbb::task_group group;
    group.run([&] { other = integrate(high); });
    sum = integrate(low);
    group.wait();
    sum.area += other.area;
    sum.leaves += other.leaves;
    return sum;
}

void merge(cilksort_merge whole)
{
    if (whole.a_count + whole.b_count <= CILKSORT_LEAF) {
        cilksort_merge_leaf(whole);
        return;
    }
    cilksort_merge low;
    cilksort_merge high;
    cilksort_cut(whole, &low, &high);
    tbb::parallel_invoke([&] { merge(low); }, [&] { merge(high); });
}

void sort(cilksort_range all)
{
    if (all.count <= CILKSORT_LEAF) {
        cilksort_leaf(all.values, all.count);
        return;
    }
    const std::size_t quarter = all.count / 4;
    const std::size_t half = 2 * quarter;
    const std::size_t rest = all.count - half;
    tbb::parallel_invoke([=] { sort(cilksort_part(all, 0, quarter)); },
                         [=] { sort(cilksort_part(all, quarter, quarter)); },
                         [=] { sort(cilksort_part(all, half, quarter)); },
                         [=] { sort(cilksort_part(all, half + quarter, rest - quarter)); });
    uint32_t *const upper = all.values + half;
    tbb::parallel_invoke(
        [=] {
            merge({all.values, all.values + quarter, quarter, quarter, all.room});
        },
        [=] {
            merge({upper, upper + quarter, quarter, rest - quarter, all.room + half});
        });
    merge({all.room, all.room + half, half, rest, all.values});
}

void strassen(const strassen_product &product)
{
    if (strassen_is_leaf(&product)) {
        strassen_leaf(&product);
        return;
    }
    const auto part = [&product](int number) { strassen(strassen_part(&product, number)); };
    tbb::parallel_invoke([&] { part(0); }, [&] { part(1); }, [&] { part(2); }, [&] { part(3); },
                         [&] { part(4); }, [&] { part(5); }, [&] { part(6); });
    strassen_join(&product);
}

knapsack_sum fill(knapsack_node node)
{
    if (knapsack_is_leaf(node))
        return {node.value, 1};
    knapsack_sum with{0, 0};
    knapsack_sum without;
    tbb::task_group group;
    group.run([&] { without = fill(knapsack_without(node)); });
    if (knapsack_fits(node))
        with = fill(knapsack_with(node));
    group.wait();
    return knapsack_add(with, without);
}

} // namespace

void bench_forkjoin_strassen(bench *b)
{
    const strassen_product all = strassen_prepare();
    bench_start(b);
    strassen(all);
    bench_stop(b);
    if (!matmul_is_right())
        bench_fail(b, "the product is wrong");
}

void bench_forkjoin_knapsack(bench *b)
{
    const knapsack_node root = knapsack_prepare();
    bench_start(b);
    const knapsack_sum sum = fill(root);
    bench_stop(b);
    if (!knapsack_is_right(sum))
        bench_fail(b, "best %d of %ld nodes is wrong", sum.best, sum.nodes);
}

void bench_forkjoin_matmul(bench *b)
{
    const matmul_block all = matmul_prepare();
    bench_start(b);
    multiply(all);
    bench_stop(b);
    if (!matmul_is_right())
        bench_fail(b, "the product is wrong");
}

void bench_forkjoin_integrate(bench *b)
{
    bench_start(b);
    const integrate_sum sum = integrate(integrate_all());
    bench_stop(b);
    if (!integrate_is_right(sum))
        bench_fail(b, "%.17g from %ld leaves is wrong", sum.area, sum.leaves);
}

void bench_forkjoin_cilksort(bench *b)
{
    const cilksort_range all = cilksort_prepare();
    bench_start(b);
    sort(all);
    bench_stop(b);
    if (!cilksort_is_right())
        bench_fail(b, "the numbers are not sorted");
}

void bench_parallel_nbody(bench *b)
{
    nbody_prepare();
    bench_start(b);
    tbb::parallel_for(tbb::blocked_range<std::size_t>(0, NBODY_COUNT),
                      [](const auto &rows) { nbody_rows(rows.begin(), rows.end()); });
    bench_stop(b);
    if (!nbody_is_right())
        bench_fail(b, "the pulls do not cancel out");
}

void bench_parallel_mandelbrot(bench *b)
{
    bench_start(b);
    tbb::parallel_for(std::size_t{0}, std::size_t{MANDELBROT_SIZE}, mandelbrot_row);
    bench_stop(b);
    if (!mandelbrot_is_right())
        bench_fail(b, "the picture is wrong");
}

/* TBB has a scan of its own: it goes over a block once where its left neighbour is done by then. */
void bench_parallel_scan(bench *b)
{
    scan_prepare();
    bench_start(b);
    tbb::parallel_scan(
        tbb::blocked_range<std::size_t>(0, SCAN_COUNT, SCAN_BLOCK), uint64_t{0},
        [](const auto &range, uint64_t sum, bool is_final) {
            for (std::size_t i = range.begin(); i < range.end(); i++) {
                sum += scan_in[i];
                if (is_final)
                    scan_out[i] = sum;
            }
            return sum;
        },
        [](uint64_t left, uint64_t right) { return left + right; });
    bench_stop(b);
    if (!scan_is_right())
        bench_fail(b, "the sums are wrong");
}
