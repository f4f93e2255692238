/* SPDX-License-Identifier: MIT */
/* sync/bucket.h: the arithmetic of rate limiters, with given times. */
#include "sync/bucket.h"

#include "../support/fixture.h"
#include "../support/random.h"

enum { STEPS = 100000 };

static struct wf_bucket bucket_of(uint64_t permits, int64_t period, uint64_t burst)
{
    return (struct wf_bucket){permits, period, burst, 0};
}

/* Takes one at `now`, or at the first moment after it when there is one, which it returns. */
static int64_t take_one(struct wf_bucket *bucket, int64_t now)
{
    int64_t due;

    wf_bucket_cap(bucket, now, 0);
    due = wf_bucket_due(bucket, 1);
    wf_bucket_take(bucket, 1);
    return due > now ? due : now;
}

/* An interval that is rounded, up or down, is off by a millisecond after three million permits. */
Test(bucket, thirds_of_a_second_add_up, .timeout = TEST_TIMEOUT_S)
{
    struct wf_bucket bucket = bucket_of(3, WEFT_SECOND, 1);
    int64_t now = take_one(&bucket, 5 * WEFT_SECOND);

    cr_expect_eq(now, 5 * WEFT_SECOND);
    for (int64_t i = 1; i <= 3000000; i++) {
        now = take_one(&bucket, now);
        cr_assert_eq(now, 5 * WEFT_SECOND + (i * WEFT_SECOND + 2) / 3, "number %lld", (long long)i);
    }
}

Test(bucket, gives_a_burst_at_once_and_then_evenly, .timeout = TEST_TIMEOUT_S)
{
    struct wf_bucket bucket = bucket_of(100, WEFT_SECOND, 10);

    for (int i = 0; i < 10; i++)
        cr_expect_eq(take_one(&bucket, 1000), 1000);
    for (int i = 1; i <= 10; i++)
        cr_expect_eq(take_one(&bucket, 1000), 1000 + i * 10 * WEFT_MILLISECOND);
}

/* What comes while it is full is lost: after an hour there is one burst, not one more. */
Test(bucket, does_not_hold_more_than_a_burst, .timeout = TEST_TIMEOUT_S)
{
    struct wf_bucket bucket = bucket_of(1, WEFT_SECOND, 4);
    int64_t now = 3600 * WEFT_SECOND;

    for (int i = 0; i < 4; i++)
        cr_expect_eq(take_one(&bucket, now), now);
    cr_expect_eq(take_one(&bucket, now), now + WEFT_SECOND);
    now += 3600 * WEFT_SECOND;
    wf_bucket_cap(&bucket, now, 0);
    cr_expect_leq(wf_bucket_due(&bucket, 4), now);
    cr_expect_eq(wf_bucket_due(&bucket, 5), now + WEFT_SECOND);
}

/* A count of the tokens themselves, in units of 1 / period of a permit. */
struct tokens {
    uint64_t held;
    int64_t counted_at;
};

static void count_tokens(struct tokens *tokens, const struct wf_bucket *bucket, int64_t now)
{
    uint64_t most = bucket->burst * (uint64_t)bucket->period;

    tokens->held += (uint64_t)(now - tokens->counted_at) * bucket->permits;
    if (tokens->held > most)
        tokens->held = most;
    tokens->counted_at = now;
}

/* The two are the same bucket, told in two ways; neither may ever be a nanosecond off. */
Test(bucket, agrees_with_a_count_of_tokens, .timeout = TEST_TIMEOUT_S)
{
    struct random random = random_stream(random_seed("bucket"), 0);

    for (int round = 0; round < 50; round++) {
        struct wf_bucket bucket = bucket_of(1 + random_below(&random, 1000),
                                            (int64_t)(1 + random_below(&random, 100000)),
                                            1 + random_below(&random, 50));
        struct tokens tokens = {bucket.burst * (uint64_t)bucket.period, 0};
        int64_t now = 0;

        for (int i = 0; i < STEPS / 50; i++) {
            uint64_t count = 1 + random_below(&random, (unsigned)bucket.burst);
            uint64_t price = count * (uint64_t)bucket.period;
            bool is_there;

            now += (int64_t)random_below(&random, 3000);
            count_tokens(&tokens, &bucket, now);
            is_there = tokens.held >= price;
            wf_bucket_cap(&bucket, now, 0);
            cr_assert_eq(wf_bucket_due(&bucket, count) <= now, is_there);
            cr_assert_eq(wf_bucket_has(&bucket, count, now), is_there);
            if (!is_there) { /* the first nanosecond in which they are */
                now = wf_bucket_due(&bucket, count);
                count_tokens(&tokens, &bucket, now - 1);
                cr_assert_lt(tokens.held, price);
                count_tokens(&tokens, &bucket, now);
                cr_assert_geq(tokens.held, price);
                wf_bucket_cap(&bucket, now, 0);
            }
            wf_bucket_take(&bucket, count);
            tokens.held -= price;
        }
    }
}

/* A sum that wrapped around would let everybody through. */
Test(bucket, the_largest_numbers_fit, .timeout = TEST_TIMEOUT_S)
{
    struct wf_bucket slow = bucket_of(1, INT64_MAX, WF_BUCKET_MAX);
    struct wf_bucket fast = bucket_of(WF_BUCKET_MAX, 1, WF_BUCKET_MAX);
    struct wf_bucket one = bucket_of(WF_BUCKET_MAX, INT64_MAX, 1);

    cr_assert(wf_bucket_is_valid(&slow) && wf_bucket_is_valid(&fast) && wf_bucket_is_valid(&one));
    wf_bucket_cap(&slow, INT64_MAX, 0);
    cr_expect_leq(wf_bucket_due(&slow, WF_BUCKET_MAX), INT64_MAX);
    wf_bucket_take(&slow, WF_BUCKET_MAX);
    cr_expect_eq(wf_bucket_due(&slow, 1), INT64_MAX);
    cr_expect_eq(wf_bucket_due(&slow, WF_BUCKET_MAX), INT64_MAX);

    wf_bucket_cap(&fast, INT64_MAX - 10, 0);
    wf_bucket_take(&fast, WF_BUCKET_MAX);
    cr_expect_eq(wf_bucket_due(&fast, 1), INT64_MAX - 9);
    cr_expect_eq(wf_bucket_due(&fast, WF_BUCKET_MAX), INT64_MAX - 9);

    cr_expect_lt(wf_bucket_due(&one, 1), 1);
    wf_bucket_take(&one, 1); /* an interval of a little less than 2 ns */
    cr_expect_eq(wf_bucket_due(&one, 1), 2);
    wf_bucket_take(&one, 1);
    cr_expect_eq(wf_bucket_due(&one, 1), 4);
}

Test(bucket, knows_what_is_out_of_range, .timeout = TEST_TIMEOUT_S)
{
    const struct wf_bucket bad[] = {
        {0, 1, 1, 0},
        {1, 0, 1, 0},
        {1, 1, 0, 0},
        {WF_BUCKET_MAX + 1, 1, 1, 0},
        {0, 0, 0, 0},
        {1, -1, 1, 0},
        {1, 1, WF_BUCKET_MAX + 1, 0},
    };
    struct wf_bucket good = bucket_of(1, 1, 1);

    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        cr_expect(!wf_bucket_is_valid(&bad[i]), "number %zu", i);
    cr_expect(wf_bucket_is_valid(&good));
}
