/* SPDX-License-Identifier: MIT */
/* A workload for all peers: how many primes there are below two million.  A copy of this file with
 * other work in it is all that a new comparison needs; run.sh says how it is run. */
#include <stdint.h>

#define WORK_NAME "template/primes/n=2000000"
enum { PRIMES_END = 2000000, PRIMES_COUNT = 148933, PRIMES_LEAF = 2000 };

typedef struct {
    uint32_t begin, end;
} work_piece;
typedef uint64_t work_result;

static inline work_piece work_all(void)
{
    return (work_piece){2, PRIMES_END};
}

/* Cuts a piece in two; returns 0 if it is small enough to be done at once. */
static inline int work_cut(work_piece piece, work_piece *low, work_piece *high)
{
    uint32_t middle = piece.begin + (piece.end - piece.begin) / 2;

    *low = (work_piece){piece.begin, middle};
    *high = (work_piece){middle, piece.end};
    return piece.end - piece.begin > PRIMES_LEAF;
}

static inline work_result work_do(work_piece piece)
{
    work_result count = 0;
    for (uint32_t n = piece.begin; n < piece.end; n++) {
        uint32_t divisor = 2;
        while (divisor * divisor <= n && n % divisor != 0)
            divisor++;
        count += divisor * divisor > n;
    }
    return count;
}

static inline work_result work_join(work_result low, work_result high)
{
    return low + high;
}

static inline int work_is_right(work_result count)
{
    return count == PRIMES_COUNT;
}
