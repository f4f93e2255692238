/* SPDX-License-Identifier: MIT */
/* OpenMP's tasks in gcc's libgomp beside weft.  Questions and methods are those of weft's
 * benchmarks of the same names; below is only what differs.  There is no cut-off (`if`, `final`)
 * here either: the question is what a task costs. */
#include "harness/bench.h"
#include "harness/by_workers.h"
#include "harness/queens.h"
#include "harness/uts.h"
#include "parallel.h"

#include <omp.h>

/* One thread of the team works off the tree, the others take what it makes. */
static int run_in_team(unsigned workers, int (*fn)(void *), void *arg)
{
    int result = 0;

    omp_set_dynamic(0);
#pragma omp parallel num_threads((int)workers)
#pragma omp single
    result = fn(arg);
    return result;
}

static uint64_t fib(unsigned n)
{
    uint64_t left, right;

    if (n < 2)
        return n;
#pragma omp task shared(left)
    left = fib(n - 1);
    right = fib(n - 2);
#pragma omp taskwait
    return left + right;
}

static void forkjoin_fib(struct bench *b)
{
    unsigned n = (unsigned)b->spec->parameter;
    uint64_t previous = 0, number = 1, errors = 0;

    for (unsigned i = 1; i < n; i++) {
        uint64_t next = previous + number;
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

static uint64_t search(const struct uts_tree *tree, struct uts_node node, unsigned depth)
{
    unsigned count = uts_child_count(tree, &node, depth);
    uint64_t nodes[UTS_CHILDREN_MAX];
    uint64_t sum = 1;

    for (unsigned i = 0; i < count; i++) {
#pragma omp task shared(nodes, node)
        nodes[i] = search(tree, uts_child(&node, i), depth + 1);
    }
#pragma omp taskwait
    for (unsigned i = 0; i < count; i++)
        sum += nodes[i];
    return sum;
}

static void bench_forkjoin_uts(struct bench *b)
{
    const struct uts_tree *tree = &uts_trees[b->spec->parameter];
    uint64_t nodes;

    bench_start(b);
    nodes = search(tree, uts_root(tree->seed), 0);
    bench_stop(b);

    if (nodes != tree->nodes)
        bench_fail(b, "the tree has %llu nodes", (unsigned long long)nodes);
}

static uint64_t explore(struct uts_node node)
{
    unsigned count = uts_t3_child_count(&node);
    uint64_t nodes[UTS_T3_CHILDREN];
    uint64_t sum = 1;

    for (unsigned i = 0; i < count; i++) {
#pragma omp task shared(nodes, node)
        nodes[i] = explore(uts_child(&node, i));
    }
#pragma omp taskwait
    for (unsigned i = 0; i < count; i++)
        sum += nodes[i];
    return sum;
}

static void bench_forkjoin_uts_t3(struct bench *b)
{
    static uint64_t nodes[UTS_T3_ROOT_CHILDREN];
    struct uts_node root = uts_root(UTS_T3_SEED);
    uint64_t sum = 1;

    bench_start(b);
    for (unsigned i = 0; i < UTS_T3_ROOT_CHILDREN; i++) {
#pragma omp task shared(nodes, root)
        nodes[i] = explore(uts_child(&root, i));
    }
#pragma omp taskwait
    for (unsigned i = 0; i < UTS_T3_ROOT_CHILDREN; i++)
        sum += nodes[i];
    bench_stop(b);

    if (sum != UTS_T3_NODES)
        bench_fail(b, "the tree has %llu nodes", (unsigned long long)sum);
}

static unsigned solve(struct queens_board board)
{
    unsigned solutions[QUEENS] = {0};
    unsigned sum = 0;

    if (board.placed == QUEENS)
        return 1;
    for (int column = 0; column < QUEENS; column++) {
        struct queens_board next;

        if (!queens_is_safe(&board, column))
            continue;
        next = queens_place(board, column);
#pragma omp task shared(solutions)
        solutions[column] = solve(next);
    }
#pragma omp taskwait
    for (int column = 0; column < QUEENS; column++)
        sum += solutions[column];
    return sum;
}

static void forkjoin_queens(struct bench *b)
{
    unsigned solutions;

    bench_start(b);
    solutions = solve((struct queens_board){0});
    bench_stop(b);

    if (solutions != QUEENS_SOLUTIONS)
        bench_fail(b, "there are %u solutions", solutions);
}

enum { TASKS_32 = 3524577 }; /* forks of fib(32) */

/* Without n=40 and T1L: 165,580,140 tasks take libgomp minutes, 102,181,082 the better part of one,
 * and n=32 and T1 say the same of each. */
static const struct bench_case cases[] = {
    BENCH_EACH_BY_WORKERS("forkjoin/fib/n=32", BENCH_NS_PER_OP, TASKS_32, 32, forkjoin_fib,
                          run_in_team),
    BENCH_TREES(run_in_team, run_in_team),
    BENCH_BY_WORKERS("forkjoin/queens/n=13", forkjoin_queens, run_in_team),
    BENCH_DIVIDED(run_in_team),
    BENCH_LOOPS(NULL),
};

int main(int argc, char **argv)
{
    return bench_main(argc, argv, "openmp", cases, sizeof cases / sizeof *cases);
}
