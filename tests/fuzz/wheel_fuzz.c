/* SPDX-License-Identifier: MIT */
/* The timer wheel against a list of deadlines, over all levels and all ways to claim. */
#include "driver.h"
#include "runtime/timer.h"

#include <string.h>

enum { TIMERS = 16, STEP_BYTES = 4 };

#define TICK (INT64_C(1) << WF_WHEEL_TICK_SHIFT)
#define LAST_TICK ((uint64_t)(INT64_MAX / TICK))

struct entry {
    struct wf_timer timer; /* first */
    enum wf_timer_claim answer;
    int64_t deadline, later; /* `later` is what it moves to */
    bool is_armed;
    unsigned claims;
};

static struct wf_wheel wheel;
static struct entry entries[TIMERS];
static int64_t now;

static uint64_t tick_of(int64_t deadline)
{
    return deadline <= 0 ? 0 : ((uint64_t)deadline - 1) / (uint64_t)TICK + 1;
}

static uint64_t tick_now(void)
{
    return (uint64_t)now / (uint64_t)TICK;
}

static enum wf_timer_claim claim(struct wf_timer *timer)
{
    struct entry *entry = (struct entry *)(void *)timer;
    enum wf_timer_claim answer = entry->answer;

    FUZZ_CHECK(entry->is_armed && tick_of(entry->deadline) <= tick_now());
    FUZZ_CHECK(++entry->claims == 1);
    if (answer == WF_TIMER_MOVED) {
        wf_timer_move(timer, entry->later);
        entry->deadline = entry->later;
    }
    /* What is due still comes with the tick after `now`. */
    if (answer == WF_TIMER_LATER || tick_of(entry->deadline) <= tick_now())
        entry->deadline = tick_now() < LAST_TICK ? (int64_t)(tick_now() + 1) * TICK : INT64_MAX;
    if (answer == WF_TIMER_VOID || answer == WF_TIMER_CLAIMED)
        entry->is_armed = false;
    return answer;
}

static void expire(void)
{
    uint64_t earliest = UINT64_MAX;
    unsigned claimed = 0;
    int64_t next;

    for (unsigned i = 0; i < TIMERS; i++)
        entries[i].claims = 0;
    for (struct wf_timer *timer = wf_wheel_expire(&wheel, now, claim); timer; timer = timer->next)
        claimed++;
    for (unsigned i = 0; i < TIMERS; i++) {
        struct entry *entry = &entries[i];

        claimed -= entry->claims > 0 && entry->answer == WF_TIMER_CLAIMED;
        FUZZ_CHECK(!entry->is_armed || tick_of(entry->deadline) > tick_now());
        if (entry->is_armed && tick_of(entry->deadline) < earliest)
            earliest = tick_of(entry->deadline);
    }
    FUZZ_CHECK(claimed == 0);
    FUZZ_CHECK(wf_wheel_is_armed(&wheel) == (earliest != UINT64_MAX));
    next = wf_wheel_next(&wheel);
    if (earliest == UINT64_MAX)
        FUZZ_CHECK(next == INT64_MAX);
    else if (earliest < LAST_TICK)
        FUZZ_CHECK(next <= (int64_t)earliest * TICK);
}

/* So many bits of distance, and the bits below from the two bytes. */
static int64_t distance_of(const uint8_t *bytes)
{
    unsigned bits = bytes[0] % 63;
    uint64_t low = (uint64_t)(bytes[1] | bytes[2] << 8);

    return (int64_t)(((low * UINT64_C(0x9e3779b97f4a7c15)) & ((UINT64_C(1) << bits) - 1)) |
                     (bits > 0 ? UINT64_C(1) << (bits - 1) : 0));
}

static int64_t add(int64_t a, int64_t b)
{
    return b > INT64_MAX - 1 - a ? INT64_MAX - 1 : a + b;
}

static void step(const uint8_t *bytes)
{
    struct entry *entry = &entries[bytes[0] % TIMERS];
    int64_t distance = distance_of(bytes + 1);

    if (bytes[0] >= 0xc0) {
        now = add(now, distance);
        expire();
    } else if (entry->is_armed) {
        wf_timer_cancel(&entry->timer);
        entry->is_armed = false;
    } else {
        entry->answer = (enum wf_timer_claim)(bytes[0] / TIMERS % 4);
        entry->deadline = bytes[1] >= 0xe0 ? now - distance % (now + 1) : add(now, distance);
        entry->later = add(entry->deadline, distance);
        entry->is_armed = true;
        wf_timer_arm(&wheel, &entry->timer, entry->deadline);
    }
}

void fuzz_one(const uint8_t *data, size_t size)
{
    memset(&wheel, 0, sizeof wheel);
    memset(entries, 0, sizeof entries);
    if (size < 3)
        return;
    now = distance_of(data);
    wf_wheel_init(&wheel, now);
    for (size_t at = 3; at + STEP_BYTES <= size && at < 800; at += STEP_BYTES)
        step(data + at);
    /* All that is armed expires in the end, but for what lies behind the last tick of time. */
    for (unsigned i = 0; i < TIMERS; i++)
        entries[i].answer = WF_TIMER_CLAIMED;
    now = INT64_MAX - 2 * TICK;
    expire();
    for (unsigned i = 0; i < TIMERS; i++) {
        FUZZ_CHECK(!entries[i].is_armed || tick_of(entries[i].deadline) > tick_now());
        if (entries[i].is_armed)
            wf_timer_cancel(&entries[i].timer);
    }
    FUZZ_CHECK(!wf_wheel_is_armed(&wheel));
}
