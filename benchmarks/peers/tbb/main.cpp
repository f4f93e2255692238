/* SPDX-License-Identifier: MIT */
/* oneTBB beside weft.  Questions and methods are those of weft's benchmarks of the same names;
 * below is only what differs. */
#include "harness/bench.h"
#include "harness/by_workers.h"
#include "harness/queens.h"
#include "harness/uts.h"
#include "parallel.h"

#include <oneapi/tbb/global_control.h>
#include <oneapi/tbb/task_arena.h>
#include <oneapi/tbb/task_group.h>

#include <array>
#include <iterator>

namespace
{

/* The limit and the arena are of the benchmark's size, and the main thread is one of the workers.
 */
int run_in_arena(unsigned workers, int (*fn)(void *), void *arg)
{
    tbb::global_control limit(tbb::global_control::max_allowed_parallelism, workers);
    tbb::task_arena arena(static_cast<int>(workers));
    return arena.execute([&] { return fn(arg); });
}

/* A group for each pair of calls, one of which is run and the other called: as TBB's guide has it
 * for recursion. */
uint64_t fib(unsigned n)
{
    if (n < 2)
        return n;
    uint64_t left;
    tbb::task_group group;
    group.run([&left, n] { left = fib(n - 1); });
    const uint64_t right = fib(n - 2);
    group.wait();
    return left + right;
}

void forkjoin_fib(bench *b)
{
    const auto n = static_cast<unsigned>(b->spec->parameter);
    uint64_t previous = 0;
    uint64_t number = 1;
    uint64_t errors = 0;
    for (unsigned i = 1; i < n; i++) {
        const uint64_t next = previous + number;
        previous = number;
        number = next;
    }

    bench_start(b);
    for (uint64_t i = 0; i < b->batch; i++)
        errors += fib(n) != number;
    bench_stop(b);

    if (errors != 0 || b->spec->ops != number + previous - 1)
        bench_fail(b, "fib(%u) is wrong", n);
}

uint64_t search(const uts_tree &tree, uts_node node, unsigned depth)
{
    const unsigned count = uts_child_count(&tree, &node, depth);
    std::array<uint64_t, UTS_CHILDREN_MAX> nodes;
    uint64_t sum = 1;
    if (count == 0)
        return sum;
    tbb::task_group group;
    for (unsigned i = 0; i < count; i++)
        group.run([&, i] { nodes[i] = search(tree, uts_child(&node, i), depth + 1); });
    group.wait();
    for (unsigned i = 0; i < count; i++)
        sum += nodes[i];
    return sum;
}

void bench_forkjoin_uts(bench *b)
{
    const uts_tree &tree = uts_trees[b->spec->parameter];
    bench_start(b);
    const uint64_t nodes = search(tree, uts_root(tree.seed), 0);
    bench_stop(b);

    if (nodes != tree.nodes)
        bench_fail(b, "the tree has %llu nodes", static_cast<unsigned long long>(nodes));
}

void bench_forkjoin_uts_large(bench *b)
{
    bench_forkjoin_uts(b);
    bench_report(b, "s", 0, bench_elapsed_s(b));
}

uint64_t explore(uts_node node)
{
    const unsigned count = uts_t3_child_count(&node);
    std::array<uint64_t, UTS_T3_CHILDREN> nodes;
    uint64_t sum = 1;
    if (count == 0)
        return sum;
    tbb::task_group group;
    for (unsigned i = 0; i < count; i++)
        group.run([&, i] { nodes[i] = explore(uts_child(&node, i)); });
    group.wait();
    for (unsigned i = 0; i < count; i++)
        sum += nodes[i];
    return sum;
}

void bench_forkjoin_uts_t3(bench *b)
{
    static std::array<uint64_t, UTS_T3_ROOT_CHILDREN> nodes;
    const uts_node root = uts_root(UTS_T3_SEED);
    uint64_t sum = 1;
    bench_start(b);
    tbb::task_group group;
    for (unsigned i = 0; i < UTS_T3_ROOT_CHILDREN; i++)
        group.run([&root, i] { nodes[i] = explore(uts_child(&root, i)); });
    group.wait();
    for (const uint64_t part : nodes)
        sum += part;
    bench_stop(b);

    if (sum != UTS_T3_NODES)
        bench_fail(b, "the tree has %llu nodes", static_cast<unsigned long long>(sum));
}

unsigned solve(const queens_board &board)
{
    if (board.placed == QUEENS)
        return 1;
    std::array<unsigned, QUEENS> solutions{};
    tbb::task_group group;
    for (int column = 0; column < QUEENS; column++) {
        if (queens_is_safe(&board, column)) {
            unsigned &result = solutions[static_cast<std::size_t>(column)];
            group.run([&result, next = queens_place(board, column)] { result = solve(next); });
        }
    }
    group.wait();
    unsigned sum = 0;
    for (const unsigned part : solutions)
        sum += part;
    return sum;
}

void forkjoin_queens(bench *b)
{
    bench_start(b);
    const unsigned solutions = solve(queens_board{});
    bench_stop(b);

    if (solutions != QUEENS_SOLUTIONS)
        bench_fail(b, "there are %u solutions", solutions);
}

constexpr unsigned tasks_32 = 3524577; /* forks of fib(32) */

/* Without n=40, which takes a minute for a few samples: n=32 says the same of each task. */
const bench_case cases[] = {
    BENCH_EACH_BY_WORKERS("forkjoin/fib/n=32", BENCH_NS_PER_OP, tasks_32, 32, forkjoin_fib,
                          run_in_arena),
    BENCH_TREES(run_in_arena, run_in_arena),
    BENCH_LARGE_TREE(run_in_arena),
    BENCH_BY_WORKERS("forkjoin/queens/n=13", forkjoin_queens, run_in_arena),
    BENCH_DIVIDED(run_in_arena),
    BENCH_LOOPS(run_in_arena),
};

} // namespace

int main(int argc, char **argv)
{
    return bench_main(argc, argv, "tbb", cases, std::size(cases));
}
