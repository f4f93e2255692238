/* SPDX-License-Identifier: MIT */
/* What stands on the locks: keyed mutexes, single flights, rate limiters, broadcasts. */
#include "weft_bench.h"

#include <weft.h>

enum { BUCKETS = 64, KEYS = 1024, RECEIVERS = 4, KEPT = 16 };

/*
 * keyed_mutex/uncontended
 *
 * Question  What does it cost to lock a key that nobody else wants, and to unlock it?
 * Method    b->batch pairs, one after the other, by one fiber on one worker, of 1,024 keys of eight
 *           bytes in turns.
 * Includes  the hash of the key, and the lock of its bucket, twice.
 * Excludes  waiting, and other keys that are locked in the same bucket.
 * Distrust  nothing in particular.
 */
void bench_keyed_mutex_uncontended(struct bench *b)
{
    static weft_key_bucket buckets[BUCKETS];
    static weft_keyed_mutex mutex = WEFT_KEYED_MUTEX_INIT(buckets, BUCKETS);
    weft_key_hold hold = WEFT_KEY_HOLD_INIT;
    uint64_t failures = 0;

    bench_start(b);
    for (uint64_t i = 0; i < b->batch; i++) {
        uint64_t key = i % KEYS;

        if (weft_keyed_mutex_lock(&mutex, &hold, &key, sizeof key, WEFT_FOREVER) == 0)
            weft_keyed_mutex_unlock(&mutex, &hold);
        else
            failures++;
    }
    bench_stop(b);
    if (failures != 0)
        bench_fail(b, "some locks failed");
}

static int answer(void *arg, void *result)
{
    *(uint64_t *)result = ++*(uint64_t *)arg;
    return 0;
}

/*
 * singleflight/alone
 *
 * Question  What does a single flight add to a call that nobody else makes?
 * Method    b->batch calls, one after the other, by one fiber on one worker, of 1,024 keys of eight
 *           bytes in turns.
 * Includes  the hash of the key, the lock of its bucket, twice, and the call of the function.
 * Excludes  waiting: nobody shares a result.
 * Distrust  nothing in particular.
 */
void bench_singleflight_alone(struct bench *b)
{
    static weft_key_bucket buckets[BUCKETS];
    static weft_singleflight flights = WEFT_SINGLEFLIGHT_INIT(uint64_t, buckets, BUCKETS);
    uint64_t calls = 0;
    uint64_t result = 0;
    uint64_t failures = 0;

    bench_start(b);
    for (uint64_t i = 0; i < b->batch; i++) {
        uint64_t key = i % KEYS;

        if (weft_singleflight_do(&flights, &key, sizeof key, answer, &calls, &result, sizeof result,
                                 WEFT_FOREVER) != 0)
            failures++;
    }
    bench_stop(b);
    if (failures != 0 || calls != b->batch || result != b->batch)
        bench_fail(b, "some calls failed");
}

/*
 * rate_limiter/uncontended
 *
 * Question  What does it cost to take a permit that is there?
 * Method    b->batch permits, one after the other, by one fiber on one worker, from a limiter that
 *           has more than can be taken.
 * Includes  reading the clock, a lock, and two products of 128 bits.
 * Excludes  waiting.
 * Distrust  a machine whose clock is not read in user mode.
 */
void bench_rate_limiter_uncontended(struct bench *b)
{
    weft_rate_limiter limiter = WEFT_RATE_LIMITER_INIT(UINT64_C(1) << 40, WEFT_SECOND,
                                                       UINT64_C(1) << 40);
    uint64_t failures = 0;

    bench_start(b);
    for (uint64_t i = 0; i < b->batch; i++)
        failures += weft_rate_limiter_acquire(&limiter, 1, WEFT_FOREVER) != 0;
    bench_stop(b);
    if (failures != 0)
        bench_fail(b, "the limiter ran out of permits");
}

/*
 * broadcast/send_receive/receivers=4
 *
 * Question  What does it cost that four receivers see a value?
 * Method    one fiber on one worker sends b->batch values of eight bytes, and after each receives
 * it at four positions.  An operation is one value. Includes  a lock and a copy for the sending,
 * and for each receiving. Excludes  waiting, and fetching lines from other cores. Distrust  nothing
 * in particular.
 */
void bench_broadcast_send_receive(struct bench *b)
{
    static uint64_t buffer[KEPT];
    weft_broadcast news = WEFT_BROADCAST_INIT(uint64_t, buffer, KEPT);
    weft_broadcast_receiver receivers[RECEIVERS];
    uint64_t failures = 0;

    for (int i = 0; i < RECEIVERS; i++)
        weft_broadcast_subscribe(&news, &receivers[i]);
    bench_start(b);
    for (uint64_t i = 0; i < b->batch; i++) {
        failures += weft_broadcast_send(&news, &i, sizeof i) != 0;
        for (int j = 0; j < RECEIVERS; j++) {
            uint64_t value = i + 1;

            failures += weft_broadcast_receive(&receivers[j], &value, sizeof value, WEFT_FOREVER) !=
                        0;
            failures += value != i;
        }
    }
    bench_stop(b);
    if (failures != 0)
        bench_fail(b, "some values were not seen");
}
