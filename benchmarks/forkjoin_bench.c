/* SPDX-License-Identifier: MIT */
#include "harness/queens.h"
#include "weft_bench.h"

#include <weft.h>

WEFT_TASK(fib, uint64_t, unsigned)

static uint64_t fib(weft_team team, unsigned n)
{
    struct fib_task left;
    uint64_t right;

    if (n < 2)
        return n;
    fib_fork(&team, &left, n - 1);
    right = fib(team, n - 2);
    return fib_join(&team, &left) + right;
}

/*
 * forkjoin/fib/n=32 and n=40, each with workers=1 to 8
 *
 * Question  What does a task cost when nobody takes it, and does a second worker halve the time?
 * Method    Fibonacci's function by its own definition, b->batch times: fib(n + 1) - 1 forks, each
 *           with its join, and nothing else to do.  There is no cut-off below which calls are
 *           plain.  n=32 is short enough for peers whose tasks cost a hundred times as much.
 * Includes  the recursion itself, and what the first ask of a thief costs.
 * Excludes  start and end of the runtime.
 * Distrust  figures of another compiler or level: the functions are small enough for several
 *           levels of the recursion to be inlined into one.  workers=2 on fewer than two free
 *           cores.  A wrong number fails.
 */
void bench_forkjoin_fib(struct bench *b)
{
    uint64_t ops = b->spec->ops; /* fib(n + 1) - 1 */
    uint64_t previous = 0, number = 1;
    unsigned n = (unsigned)b->spec->parameter;
    uint64_t errors = 0;

    for (unsigned i = 1; i < n; i++) {
        uint64_t next = previous + number;
        previous = number;
        number = next;
    }
    bench_start(b);
    for (uint64_t i = 0; i < b->batch; i++)
        errors += fib_call(n) != number;
    bench_stop(b);

    if (errors != 0)
        bench_fail(b, "fib(%u) is wrong", n);
    if (ops != number + previous - 1)
        bench_fail(b, "fib(%u) is another number of tasks", n);
}

WEFT_TASK(solve, unsigned, struct queens_board)

/* Returns in how many ways the board can be completed. */
static unsigned solve(weft_team team, struct queens_board board)
{
    struct solve_task tasks[QUEENS];
    unsigned forked = 0, solutions = 0;

    if (board.placed == QUEENS)
        return 1;
    for (int column = 0; column < QUEENS; column++) {
        if (queens_is_safe(&board, column))
            solve_fork(&team, &tasks[forked++], queens_place(board, column));
    }
    while (forked-- > 0)
        solutions += solve_join(&team, &tasks[forked]);
    return solutions;
}

/*
 * forkjoin/queens/n=13/workers=1 to 8
 *
 * Question  What is left of the cost of tasks when each has some real work?
 * Method    all solutions of 13 queens: a task per valid board, which tries each column of the next
 *           row against the queens that are there and forks a task with a copy of the board for
 *           each one that is safe; 4,674,890 boards.  The time of the whole search.
 * Includes  the search.
 * Excludes  start and end of the runtime.
 * Distrust  a comparison with a program that checks all pairs of queens again for each board.
 *           workers=2 on fewer than two free cores.  Any other count than 73,712 fails.
 */
void bench_forkjoin_queens(struct bench *b)
{
    unsigned solutions;

    bench_start(b);
    solutions = solve_call((struct queens_board){0});
    bench_stop(b);

    if (solutions != QUEENS_SOLUTIONS)
        bench_fail(b, "there are %u solutions", solutions);
}
