/* SPDX-License-Identifier: MIT */
/* task.h: loops and reductions over ranges. */
#include "../support/fixture.h"

#include <errno.h>
#include <fenv.h>
#include <stdatomic.h>
#include <stdlib.h>

struct marks {
    _Atomic(unsigned char) *seen;
    size_t largest;
    bool waits;
};

static void mark(size_t begin, size_t end, void *arg)
{
    struct marks *marks = arg;

    CHECK(begin < end && (marks->largest == 0 || end - begin <= marks->largest));
    for (size_t i = begin; i < end; i++)
        (void)atomic_fetch_add(&marks->seen[i], 1);
    if (marks->waits)
        CHECK_EQ(weft_yield(), 0);
}

static int run_loops(void *arg)
{
    static const size_t lengths[] = {0, 1, 2, 63, 64, 1000, 30000};
    static const size_t grains[] = {0, 1, 7, 100000, SIZE_MAX};

    (void)arg;
    for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++)
        for (size_t j = 0; j < sizeof grains / sizeof *grains; j++) {
            struct marks marks = {calloc(lengths[i] + 10, 1), grains[j], lengths[i] <= 1000};

            CHECK(marks.seen != NULL);
            weft_parallel_for(5, lengths[i] + 5, grains[j], mark, &marks);
            weft_parallel_for(7, 7, grains[j], mark, &marks);
            weft_parallel_for(8, 7, grains[j], mark, &marks);
            for (size_t k = 0; k < lengths[i] + 10; k++)
                CHECK_EQ(marks.seen[k], k >= 5 && k < lengths[i] + 5);
            free(marks.seen);
        }
    return 0;
}

/* Pieces cover the range: a boundary off by one does an element twice or never. */
WORKER_TEST(parallel, a_loop_covers_its_range_once, TEST_TIMEOUT_S)
{
    cr_expect_eq(run_workers(*workers, run_loops, NULL), 0);
}

/* x -> a x + b modulo 2^64: composing such maps is associative and not commutative. */
struct map {
    uint64_t a, b;
};

static void compose(void *left, const void *right, void *arg)
{
    struct map *f = left;
    const struct map *g = right;

    (void)arg;
    *f = (struct map){f->a * g->a, f->b * g->a + g->b};
}

static void fold_maps(void *value, size_t begin, size_t end, void *arg)
{
    for (size_t i = begin; i < end; i++)
        compose(value, &(struct map){2 * i + 1, i * i}, arg);
    if ((end - begin) % 2 == 1)
        CHECK_EQ(weft_yield(), 0);
}

static void add(void *left, const void *right, void *arg)
{
    (void)arg;
    *(uint64_t *)left += *(const uint64_t *)right;
}

static _Atomic(int) elsewhere;

/* Takes its time in the fiber that began, so that others are done first and want of what is left.
 * It computes: one that sleeps has its own worker help it at the start, and nobody later. */
static void fold_numbers(void *value, size_t begin, size_t end, void *forker)
{
    weft_time until = weft_after(20 * WEFT_MICROSECOND);

    if (weft_self() != forker)
        (void)atomic_fetch_add(&elsewhere, 1);
    while (weft_self() == forker && weft_now() < until)
        ;
    for (size_t i = begin; i < end; i++)
        *(uint64_t *)value += i;
}

static int reduce_into_identity(void *arg)
{
    bool has_others = *(unsigned *)arg > 1;

    for (int i = 0; i < 20 || (has_others && i < 1000 && atomic_load(&elsewhere) < 20); i++) {
        uint64_t sums[] = {5, 0, 7};
        struct weft_reduction how = {sizeof *sums, &sums[1], fold_numbers, add, weft_self()};

        CHECK_EQ(weft_parallel_reduce(1, 101, 1, &how, &sums[1]), 0);
        CHECK_EQ(sums[1], 5050);
        CHECK(sums[0] == 5 && sums[2] == 7);
        /* An empty range leaves it as it is. */
        CHECK_EQ(weft_parallel_reduce(3, 3, 1, &how, &sums[1]), 0);
        CHECK_EQ(sums[1], 5050);
    }
    return 0;
}

/* Halves that are forked late start from the identity as it was. */
WORKER_TEST(parallel, a_result_may_be_the_identity, TEST_TIMEOUT_S)
{
    atomic_store(&elsewhere, 0);
    cr_expect_eq(run_workers(*workers, reduce_into_identity, workers), 0);
    if (*workers > 1)
        cr_expect_gt(atomic_load(&elsewhere), 0, "no half was taken");
}

static int run_reductions(void *arg)
{
    struct map identity = {1, 0};
    struct weft_reduction how = {sizeof identity, &identity, fold_maps, compose, NULL};

    (void)arg;
    for (size_t length = 0; length < 3000; length = length * 2 + 1)
        for (size_t grain = 0; grain < 3; grain++) {
            struct map expected = identity, result = {0, 0};

            for (size_t i = 0; i < length; i++)
                compose(&expected, &(struct map){2 * i + 1, i * i}, NULL);
            CHECK_EQ(weft_parallel_reduce(0, length, grain, &how, &result), 0);
            CHECK(result.a == expected.a && result.b == expected.b);
        }
    how.size = 0;
    CHECK_EQ(weft_parallel_reduce(0, 1, 0, &how, &identity), -EINVAL);
    how.size = WEFT_REDUCE_SIZE_MAX + 1;
    CHECK_EQ(weft_parallel_reduce(0, 1, 0, &how, &identity), -EINVAL);
    return 0;
}

/* Partial values are put together in the order of the range, whoever has computed them. */
WORKER_TEST(parallel, a_reduction_keeps_the_order, TEST_TIMEOUT_S)
{
    cr_expect_eq(run_workers(*workers, run_reductions, NULL), 0);
}

struct rounding {
    int mode;
    bool is_nested; /* the piece calls a loop in another mode */
    _Atomic(int) pieces;
    _Atomic(int) strangers; /* that ran in another mode */
};

static bool rounds(int mode)
{
    volatile double one = 1, three = 3, quotient = one / three;

    /* What fegetround() looks at is not what rounds doubles on x86-64. */
    return fegetround() == mode && (quotient * 3 > 1) == (mode == FE_UPWARD);
}

static void look_at_rounding(size_t begin, size_t end, void *arg)
{
    struct rounding *rounding = arg;
    int other = rounding->mode == FE_UPWARD ? FE_DOWNWARD : FE_UPWARD;
    bool is_right = rounds(rounding->mode);

    (void)begin, (void)end;
    /* What others take while this one is away is to be in the mode of the call, not in this. */
    CHECK_EQ(fesetround(other), 0);
    CHECK_EQ(weft_sleep(WEFT_MILLISECOND / 10), 0);
    is_right &= rounds(other);
    if (rounding->is_nested) {
        struct rounding inner = {.mode = other};

        weft_parallel_for(0, 8, 1, look_at_rounding, &inner);
        CHECK_EQ(inner.pieces, 8);
        CHECK_EQ(inner.strangers, 0);
        is_right &= rounds(other);
    }
    CHECK_EQ(fesetround(rounding->mode), 0);
    CHECK_EQ(weft_yield(), 0);
    is_right &= rounds(rounding->mode);
    (void)atomic_fetch_add(&rounding->pieces, 1);
    if (!is_right)
        (void)atomic_fetch_add(&rounding->strangers, 1);
}

static int run_rounding(void *arg)
{
    (void)arg;
    for (int round = 0; round < 10; round++) {
        struct rounding rounding = {.mode = round % 2 == 0 ? FE_UPWARD : FE_DOWNWARD,
                                    .is_nested = round >= 5};

        CHECK_EQ(fesetround(rounding.mode), 0);
        weft_parallel_for(0, 32, 1, look_at_rounding, &rounding);
        CHECK(rounds(rounding.mode));
        CHECK_EQ(fesetround(FE_TONEAREST), 0);
        CHECK_EQ(rounding.pieces, 32);
        CHECK_EQ(rounding.strangers, 0);
    }
    return 0;
}

/* A piece that others have taken is made in a fiber of a worker's: it must not round as that worker
 * does, nor as whatever the caller's fiber was at when it was taken. */
WORKER_TEST(parallel, pieces_round_as_their_caller_does, TEST_TIMEOUT_S)
{
    cr_expect_eq(run_workers(*workers, run_rounding, NULL), 0);
    if (*workers > 1)
        cr_expect_gt(run_stats().tasks_stolen, 0);
}
