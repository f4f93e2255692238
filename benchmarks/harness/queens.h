/* SPDX-License-Identifier: MIT */
/* The rule of the queens benchmark, for weft and its C and C++ peers. */
#ifndef WEFT_BENCH_QUEENS_H
#define WEFT_BENCH_QUEENS_H

enum { QUEENS = 13, QUEENS_SOLUTIONS = 73712 };

/* The queens of the first `placed` rows; none attacks another. */
struct queens_board {
    int placed;
    signed char columns[QUEENS];
};

/* Whether a queen in the next row at `column` is attacked by none of those that are there. */
static inline int queens_is_safe(const struct queens_board *board, int column)
{
    for (int i = 0; i < board->placed; i++) {
        int difference = board->columns[i] - column;
        int rows = board->placed - i;

        if (difference == 0 || difference == rows || difference == -rows)
            return 0;
    }
    return 1;
}

static inline struct queens_board queens_place(struct queens_board board, int column)
{
    board.columns[board.placed++] = (signed char)column;
    return board;
}

#endif
