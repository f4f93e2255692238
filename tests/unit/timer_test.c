/* SPDX-License-Identifier: MIT */
/* runtime/timer.c against a list of deadlines, over all levels of the wheel. */
#include "runtime/timer.h"

#include "check.h"
#include "random.h"

#include <criterion/criterion.h>
#include <pthread.h>
#include <stdlib.h>

enum { TIMEOUT_S = 120, TIMERS = 500, STEPS = 30000, CROWD = 100000, RACES = 20000 };

#define TICK (INT64_C(1) << WF_WHEEL_TICK_SHIFT)

struct entry {
    struct wf_timer timer; /* first */
    int64_t deadline;
    bool is_armed;
    unsigned claims;
};

static enum wf_timer_claim claim(struct wf_timer *timer)
{
    ((struct entry *)(void *)timer)->claims++;
    return WF_TIMER_CLAIMED;
}

static enum wf_timer_claim refuse(struct wf_timer *timer)
{
    ((struct entry *)(void *)timer)->claims++;
    return WF_TIMER_VOID;
}

static enum wf_timer_claim put_off(struct wf_timer *timer)
{
    ((struct entry *)(void *)timer)->claims++;
    return WF_TIMER_LATER;
}

/* When a deadline is due: at the first tick that is not before it. */
static uint64_t tick_of(int64_t deadline)
{
    return deadline <= 0 ? 0 : ((uint64_t)deadline - 1) / (uint64_t)TICK + 1;
}

static void arm(struct wf_wheel *wheel, struct entry *entry, int64_t deadline)
{
    entry->deadline = deadline;
    entry->is_armed = true;
    entry->claims = 0;
    wf_timer_arm(wheel, &entry->timer, deadline);
}

/* Expires at `now` and compares with what the list says; then looks at wf_wheel_next().  Returns
 * how many were due. */
static unsigned expire_and_compare(struct wf_wheel *wheel, struct entry *entries, unsigned count,
                                   int64_t now)
{
    struct wf_timer *timer = wf_wheel_expire(wheel, now, claim);
    uint64_t earliest = UINT64_MAX;
    unsigned returned = 0, due = 0;
    int64_t next;

    for (; timer != NULL; timer = timer->next) {
        cr_assert(((struct entry *)(void *)timer)->is_armed, "a cancelled timer fired");
        returned++;
    }
    for (unsigned i = 0; i < count; i++) {
        struct entry *entry = &entries[i];
        bool is_due = entry->is_armed && tick_of(entry->deadline) <= (uint64_t)now / (uint64_t)TICK;

        cr_assert_eq(entry->claims, is_due ? 1 : 0, "deadline %lld at %lld",
                     (long long)entry->deadline, (long long)now);
        due += is_due;
        if (is_due)
            entry->is_armed = false;
        entry->claims = 0;
        if (entry->is_armed && tick_of(entry->deadline) < earliest)
            earliest = tick_of(entry->deadline);
    }
    cr_assert_eq(returned, due);
    next = wf_wheel_next(wheel);
    if (earliest == UINT64_MAX)
        cr_assert_eq(next, INT64_MAX, "nothing is armed");
    else if (earliest < (uint64_t)(INT64_MAX / TICK))
        cr_assert_leq(next, (int64_t)earliest * TICK, "the wheel would wake too late");
    cr_assert_eq(wf_wheel_is_armed(wheel), earliest != UINT64_MAX);
    return due;
}

/* Deadlines of every size, so that each level of the wheel is used and cascaded. */
static int64_t random_deadline(struct random *random, int64_t now)
{
    unsigned bits = random_below(random, 63);
    int64_t distance = (int64_t)(random_next(random) & ((UINT64_C(1) << bits) - 1));

    if (random_below(random, 20) == 0)
        return now - distance;
    return distance > INT64_MAX - 1 - now ? INT64_MAX - 1 : now + distance;
}

/* Random arming, cancelling and advancing.  A wheel that loses a timer hangs a fiber for ever; one
 * that fires early or twice corrupts the wait it belonged to. */
Test(timer, behaves_like_a_list_of_deadlines, .timeout = TIMEOUT_S)
{
    struct random random = random_stream(random_seed("timer"), 0);

    for (unsigned run = 0; run < 20; run++) {
        struct wf_wheel *wheel = calloc(1, sizeof *wheel);
        struct entry *entries = calloc(TIMERS, sizeof *entries);
        int64_t now = random_below(&random, 2) ? 0 : (int64_t)(random_next(&random) >> 3);

        cr_assert(wheel != NULL && entries != NULL);
        wf_wheel_init(wheel, now);
        for (unsigned step = 0; step < STEPS / 20; step++) {
            struct entry *entry = &entries[random_below(&random, TIMERS)];

            if (entry->is_armed && random_below(&random, 2) == 0) {
                wf_timer_cancel(&entry->timer);
                entry->is_armed = false;
            } else if (!entry->is_armed) {
                arm(wheel, entry, random_deadline(&random, now));
            }
            if (random_below(&random, 8) == 0) {
                int64_t advance = (int64_t)(random_next(&random) >>
                                            (20 + random_below(&random, 40)));

                now = advance > INT64_MAX - now ? INT64_MAX : now + advance;
                (void)expire_and_compare(wheel, entries, TIMERS, now);
            }
        }
        free(entries);
        free(wheel);
    }
}

/* A worker that sleeps until wf_wheel_next() and then expires must come to each deadline on its
 * own: a wheel that answers with a tick that has passed would spin, one that is late would hang,
 * and one that is early would wake a program that has nothing to do. */
Test(timer, following_next_reaches_every_deadline_in_time, .timeout = TIMEOUT_S)
{
    struct random random = random_stream(random_seed("timer"), 1);
    struct wf_wheel *wheel = calloc(1, sizeof *wheel);
    struct entry *entries = calloc(TIMERS, sizeof *entries);
    int64_t now = 123456789;

    cr_assert(wheel != NULL && entries != NULL);
    wf_wheel_init(wheel, now);
    for (unsigned i = 0; i < TIMERS; i++)
        arm(wheel, &entries[i], now + (int64_t)(random_next(&random) >> (2 + i % 50)));
    while (wf_wheel_is_armed(wheel)) {
        int64_t next = wf_wheel_next(wheel);

        if (next == INT64_MAX)
            break; /* only deadlines in the last two ticks of time are left */
        cr_assert(next > now || next == 0);
        now = next > now ? next : now;
        cr_assert_gt(expire_and_compare(wheel, entries, TIMERS, now), 0, "nothing is due at %lld",
                     (long long)now);
    }
    free(entries);
    free(wheel);
}

/* Whoever is left in the slot of a cancelled timer is not looked at again and again: the wheel is
 * early once, and exact then. */
Test(timer, a_cancelled_timer_makes_next_early_once, .timeout = TIMEOUT_S)
{
    struct wf_wheel *wheel = calloc(1, sizeof *wheel);
    struct entry entries[2] = {{.is_armed = false}, {.is_armed = false}};
    int64_t hour = 3600 * INT64_C(1000000000);
    int64_t next;

    cr_assert(wheel != NULL);
    wf_wheel_init(wheel, 0);
    arm(wheel, &entries[0], hour);
    arm(wheel, &entries[1], hour + hour / 100);
    wf_timer_cancel(&entries[0].timer);
    entries[0].is_armed = false;
    next = wf_wheel_next(wheel);
    if (next / TICK != (int64_t)tick_of(entries[1].deadline))
        cr_expect_eq(expire_and_compare(wheel, entries, 2, next), 0);
    next = wf_wheel_next(wheel);
    cr_expect_eq(next / TICK, (int64_t)tick_of(entries[1].deadline));
    cr_expect_eq(expire_and_compare(wheel, entries, 2, next), 1);
    free(wheel);
}

/* A slot is left as it is until its first timer is due, and others that are armed meanwhile, for
 * before and after that, are filed below it. */
Test(timer, comes_in_order_from_a_slot_that_was_entered_long_ago, .timeout = TIMEOUT_S)
{
    static const int64_t before = 100 * 4096 * TICK, late = before + 4000 * TICK;
    struct wf_wheel *wheel = calloc(1, sizeof *wheel);
    struct entry entries[4];

    cr_assert(wheel != NULL);
    for (unsigned i = 0; i < 4; i++)
        entries[i] = (struct entry){.is_armed = false};
    wf_wheel_init(wheel, 0);
    arm(wheel, &entries[0], late);
    cr_expect_eq(expire_and_compare(wheel, entries, 4, before + 10 * TICK), 0);
    arm(wheel, &entries[1], late - TICK);
    arm(wheel, &entries[2], late + TICK);
    arm(wheel, &entries[3], late);
    for (int64_t now = late - TICK; now <= late + TICK; now += TICK) {
        cr_expect_eq(wf_wheel_next(wheel), now);
        cr_expect_eq(expire_and_compare(wheel, entries, 4, now), now == late ? 2 : 1);
    }
    cr_expect_not(wf_wheel_is_armed(wheel));
    free(wheel);
}

/* The ends of time: nothing overflows, and what has passed fires at once. */
Test(timer, deadlines_at_the_ends_of_time, .timeout = TIMEOUT_S)
{
    struct wf_wheel *wheel = calloc(1, sizeof *wheel);
    struct entry entries[5];
    int64_t now = 1000 * TICK;

    cr_assert_not_null(wheel);
    for (unsigned i = 0; i < 5; i++)
        entries[i] = (struct entry){.is_armed = false};
    wf_wheel_init(wheel, now);
    arm(wheel, &entries[0], INT64_MIN);
    arm(wheel, &entries[1], -1);
    arm(wheel, &entries[2], 0);
    arm(wheel, &entries[3], now - 1);
    cr_expect_eq(wf_wheel_next(wheel), 0, "a deadline has passed already");
    arm(wheel, &entries[4], INT64_MAX - 1);
    (void)expire_and_compare(wheel, entries, 5, now);
    cr_expect(entries[4].is_armed && !entries[3].is_armed && !entries[0].is_armed);
    (void)expire_and_compare(wheel, entries, 5, INT64_MAX / 2);
    cr_expect(entries[4].is_armed);
    wf_timer_cancel(&entries[4].timer);
    cr_expect_eq(wf_wheel_next(wheel), INT64_MAX);
    free(wheel);
}

/* A timer never fires before its deadline, not even within its tick. */
Test(timer, never_fires_early, .timeout = TIMEOUT_S)
{
    for (int64_t offset = -2; offset <= 2; offset++) {
        struct wf_wheel *wheel = calloc(1, sizeof *wheel);
        struct entry entry = {.is_armed = false};
        int64_t deadline = 77 * TICK + offset;

        cr_assert_not_null(wheel);
        wf_wheel_init(wheel, 70 * TICK);
        arm(wheel, &entry, deadline);
        cr_expect_null(wf_wheel_expire(wheel, deadline - 1, claim));
        cr_expect_not_null(wf_wheel_expire(wheel, deadline + TICK, claim));
        free(wheel);
    }
}

/* A claim that fails disarms the timer all the same: its fiber is being woken by someone else. */
Test(timer, refused_timers_are_disarmed_and_not_returned, .timeout = TIMEOUT_S)
{
    struct wf_wheel *wheel = calloc(1, sizeof *wheel);
    struct entry entry = {.is_armed = false};

    cr_assert_not_null(wheel);
    arm(wheel, &entry, 5 * TICK);
    cr_expect_null(wf_wheel_expire(wheel, 6 * TICK, refuse));
    cr_expect_eq(entry.claims, 1);
    cr_expect_not(wf_wheel_is_armed(wheel));
    wf_timer_cancel(&entry.timer); /* the owner cannot know, and cancels it still */
    arm(wheel, &entry, 7 * TICK);
    cr_expect_eq(wf_wheel_expire(wheel, 7 * TICK, claim), &entry.timer);
    free(wheel);
}

/* A timer whose fiber is pinned by someone else must not be lost: it comes again at the next tick,
 * until it can be claimed. */
Test(timer, timers_put_off_come_again, .timeout = TIMEOUT_S)
{
    struct wf_wheel *wheel = calloc(1, sizeof *wheel);
    struct entry entry = {.is_armed = false};

    cr_assert_not_null(wheel);
    arm(wheel, &entry, 5 * TICK);
    cr_expect_null(wf_wheel_expire(wheel, 5 * TICK, put_off));
    cr_expect_eq(entry.claims, 1);
    cr_expect(wf_wheel_is_armed(wheel));
    cr_expect_eq(wf_wheel_next(wheel), 6 * TICK);
    cr_expect_null(wf_wheel_expire(wheel, 5 * TICK, claim), "not twice in one tick");
    cr_expect_eq(wf_wheel_expire(wheel, 6 * TICK, claim), &entry.timer);
    cr_expect_not(wf_wheel_is_armed(wheel));
    free(wheel);
}

/* The other one is armed still, or a worker would sleep past it. */
Test(timer, a_cancel_after_the_end_changes_nothing, .timeout = TIMEOUT_S)
{
    struct wf_wheel *wheel = calloc(1, sizeof *wheel);
    struct entry first = {.is_armed = false}, second = {.is_armed = false};

    cr_assert(wheel != NULL);
    wf_wheel_init(wheel, 0);
    arm(wheel, &first, TICK);
    arm(wheel, &second, 10 * TICK);
    cr_expect_eq(wf_wheel_expire(wheel, TICK, claim), &first.timer);
    wf_timer_cancel(&first.timer);
    cr_expect(wf_wheel_is_armed(wheel));
    wf_timer_cancel(&second.timer);
    cr_expect_not(wf_wheel_is_armed(wheel));
    free(wheel);
}

/* A hundred thousand timers in one tick, half of them cancelled again in random order. */
Test(timer, a_crowd_in_one_tick, .timeout = TIMEOUT_S)
{
    struct random random = random_stream(random_seed("timer"), 2);
    struct wf_wheel *wheel = calloc(1, sizeof *wheel);
    struct entry *entries = calloc(CROWD, sizeof *entries);
    int64_t deadline = INT64_C(123456) * TICK;

    cr_assert(wheel != NULL && entries != NULL);
    for (unsigned i = 0; i < CROWD; i++)
        arm(wheel, &entries[i], deadline - (int64_t)random_below(&random, (unsigned)TICK));
    for (unsigned i = 0; i < CROWD / 2; i++) {
        struct entry *entry = &entries[random_below(&random, CROWD)];

        if (entry->is_armed)
            wf_timer_cancel(&entry->timer);
        entry->is_armed = false;
    }
    (void)expire_and_compare(wheel, entries, CROWD, deadline - TICK);
    (void)expire_and_compare(wheel, entries, CROWD, deadline);
    cr_expect_not(wf_wheel_is_armed(wheel));
    free(entries);
    free(wheel);
}

struct race {
    struct wf_wheel wheel;
    struct wf_timer timer;
    _Atomic(int) inside;
    int claims; /* plain memory: ThreadSanitizer sees a claim that the cancel did not wait for */
    _Atomic(int) is_over;
};

static struct race race;

static enum wf_timer_claim claim_slowly(struct wf_timer *timer)
{
    (void)timer;
    atomic_store(&race.inside, 1);
    race.claims++;
    for (int i = 0; i < 50; i++)
        atomic_load(&race.inside);
    atomic_store(&race.inside, 0);
    return WF_TIMER_CLAIMED;
}

static void *run_expirer(void *arg)
{
    (void)arg;
    while (atomic_load(&race.is_over) == 0)
        wf_wheel_expire(&race.wheel, 1, claim_slowly);
    return NULL;
}

/* A fiber that was woken elsewhere cancels its timer from there.  When the cancel returns, the
 * wheel's worker must be done with the timer: its next claim would hit the fiber's next wait. */
Test(timer, cancel_from_another_thread_ends_all_claims, .timeout = TIMEOUT_S)
{
    pthread_t expirer;
    int fired = 0;

    cr_assert_eq(pthread_create(&expirer, NULL, run_expirer, NULL), 0);
    for (int i = 0; i < RACES; i++) {
        int claims = race.claims;

        wf_timer_arm(&race.wheel, &race.timer, 0);
        if (i % 3 == 0)
            for (int pause = 0; pause < i % 200; pause++)
                atomic_load(&race.inside);
        wf_timer_cancel(&race.timer);
        CHECK_EQ(atomic_load(&race.inside), 0);
        CHECK(race.claims - claims <= 1);
        fired += race.claims - claims;
    }
    atomic_store(&race.is_over, 1);
    cr_assert_eq(pthread_join(expirer, NULL), 0);
    cr_expect_not(wf_wheel_is_armed(&race.wheel));
    cr_log_info("%d of %d fired before they were cancelled", fired, RACES);
}
