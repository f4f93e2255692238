/* SPDX-License-Identifier: MIT */
/*
 * The rules of the integration benchmark, for weft and its C and C++ peers: x * x * x + x from 0 to
 * INTEGRATE_END by trapezoids, each cut in two until that changes nothing worth having.  How often
 * cannot be known beforehand, and the tree leans to the side of the large values.
 */
#ifndef WEFT_BENCH_INTEGRATE_H
#define WEFT_BENCH_INTEGRATE_H

enum { INTEGRATE_END = 100, INTEGRATE_LEAVES = 833659 };

static const double integrate_tolerance = 1e-10;

struct integrate_piece {
    double left, right; /* the range */
    double at_left, at_right;
    double area; /* of the one trapezoid */
};

/* What a piece came to.  The area's last digits depend on nothing but the tree, and the leaves
 * tell that the tree is the right one. */
struct integrate_sum {
    double area;
    long leaves;
};

static inline double integrate_at(double x)
{
    return (x * x + 1) * x;
}

static inline struct integrate_piece integrate_all(void)
{
    double end = INTEGRATE_END, top = integrate_at(end);
    struct integrate_piece piece = {0, end, 0, top, top * end / 2};

    return piece;
}

/* Cuts a piece into its halves; returns whether that was worth it. */
static inline int integrate_cut(struct integrate_piece piece, struct integrate_piece *low,
                                struct integrate_piece *high, double *area)
{
    double middle = (piece.left + piece.right) / 2, at_middle = integrate_at(middle);
    double half = (piece.right - piece.left) / 2;
    struct integrate_piece first = {piece.left, middle, piece.at_left, at_middle,
                                    (piece.at_left + at_middle) * half / 2};
    struct integrate_piece second = {middle, piece.right, at_middle, piece.at_right,
                                     (at_middle + piece.at_right) * half / 2};
    double change = first.area + second.area - piece.area;

    *low = first;
    *high = second;
    *area = first.area + second.area;
    return change > integrate_tolerance || change < -integrate_tolerance;
}

static inline int integrate_is_right(struct integrate_sum sum)
{
    double end = INTEGRATE_END, exact = end * end * (end * end / 4 + 0.5);
    double error = (sum.area - exact) / exact;

    return sum.leaves == INTEGRATE_LEAVES && error < 1e-9 && error > -1e-9;
}

#endif
