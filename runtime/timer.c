/* SPDX-License-Identifier: MIT */
#include "runtime/timer.h"

#include "runtime/check.h"

/* Rounds up: a timer never expires early. */
static uint64_t tick_of_deadline(int64_t deadline)
{
    if (deadline <= 0)
        return 0;
    return ((uint64_t)deadline + (1u << WF_WHEEL_TICK_SHIFT) - 1) >> WF_WHEEL_TICK_SHIFT;
}

static void link_timer(struct wf_timer **list, struct wf_timer *timer)
{
    timer->next = *list;
    timer->link = list;
    if (timer->next != NULL)
        timer->next->link = &timer->next;
    *list = timer;
}

static void unlink_timer(struct wf_wheel *wheel, struct wf_timer *timer)
{
    *timer->link = timer->next;
    if (timer->next != NULL)
        timer->next->link = timer->link;
    timer->link = NULL;
    if (timer->level < WF_WHEEL_LEVELS && wheel->slots[timer->level][timer->slot].first == NULL)
        wheel->occupied[timer->level] &= ~(UINT64_C(1) << timer->slot);
}

/* Files a timer by its tick relative to wheel->elapsed. */
static void place(struct wf_wheel *wheel, struct wf_timer *timer)
{
    uint64_t differs = timer->tick ^ wheel->elapsed;
    struct wf_slot *slot;

    if (timer->tick <= wheel->elapsed) {
        timer->level = WF_WHEEL_LEVELS;
        link_timer(&wheel->due, timer);
        return;
    }
    timer->level = (uint16_t)((unsigned)(63 - __builtin_clzll(differs)) / WF_WHEEL_DIGIT_BITS);
    timer->slot = (uint16_t)(timer->tick >> (timer->level * WF_WHEEL_DIGIT_BITS)) &
                  (WF_WHEEL_SLOTS - 1);
    slot = &wheel->slots[timer->level][timer->slot];
    if (slot->first == NULL || timer->tick < slot->earliest)
        slot->earliest = timer->tick;
    wheel->occupied[timer->level] |= UINT64_C(1) << timer->slot;
    link_timer(&slot->first, timer);
}

/* The count is a hint for wf_wheel_is_armed() and is written only under the lock. */
static void add_count(struct wf_wheel *wheel, int64_t change)
{
    /* relaxed: writers hold the lock. */
    uint64_t count = atomic_load_explicit(&wheel->count, memory_order_relaxed);

    /* relaxed: readers take it for a hint. */
    atomic_store_explicit(&wheel->count, count + (uint64_t)change, memory_order_relaxed);
}

void wf_wheel_init(struct wf_wheel *wheel, int64_t now)
{
    wheel->elapsed = (uint64_t)now >> WF_WHEEL_TICK_SHIFT;
}

void wf_timer_arm(struct wf_wheel *wheel, struct wf_timer *timer, int64_t deadline)
{
    WF_ASSERT(timer->link == NULL);
    timer->wheel = wheel;
    timer->tick = tick_of_deadline(deadline);
    wf_lock_acquire(&wheel->lock);
    place(wheel, timer);
    add_count(wheel, 1);
    wf_lock_release(&wheel->lock);
}

void wf_timer_cancel(struct wf_timer *timer)
{
    struct wf_wheel *wheel = timer->wheel;

    wf_lock_acquire(&wheel->lock);
    if (timer->link != NULL) {
        unlink_timer(wheel, timer);
        add_count(wheel, -1);
    }
    wf_lock_release(&wheel->lock);
}

void wf_timer_move(struct wf_timer *timer, int64_t deadline)
{
    timer->tick = tick_of_deadline(deadline);
}

/* The slot whose time comes first: the first one of some level.  That need not be the lowest, since
 * on each level above the wheel may have entered a slot that is not cascaded yet.  Returns its
 * earliest tick, or UINT64_MAX if all slots are empty. */
static uint64_t find_next_slot(const struct wf_wheel *wheel, unsigned *level, unsigned *slot)
{
    uint64_t tick = UINT64_MAX;

    *level = *slot = 0;
    for (unsigned l = 0; l < WF_WHEEL_LEVELS; l++) {
        unsigned first;

        if (wheel->occupied[l] == 0)
            continue;
        first = (unsigned)__builtin_ctzll(wheel->occupied[l]);
        if (wheel->slots[l][first].earliest >= tick)
            continue;
        *level = l;
        *slot = first;
        tick = wheel->slots[l][first].earliest;
    }
    WF_CHECK(tick >= wheel->elapsed);
    return tick;
}

static void enter_slot(struct wf_wheel *wheel, unsigned level, unsigned slot)
{
    struct wf_timer *timer = wheel->slots[level][slot].first;

    wheel->slots[level][slot].first = NULL;
    wheel->occupied[level] &= ~(UINT64_C(1) << slot);
    while (timer != NULL) {
        struct wf_timer *next = timer->next;

        place(wheel, timer);
        timer = next;
    }
}

/* Moves the due timers that can be claimed to the end of a list; returns its new end. */
static struct wf_timer **drain_due(struct wf_wheel *wheel, uint64_t now_tick,
                                   struct wf_timer **tail,
                                   enum wf_timer_claim (*claim)(struct wf_timer *))
{
    while (wheel->due != NULL) {
        struct wf_timer *timer = wheel->due;
        enum wf_timer_claim outcome = claim(timer);

        unlink_timer(wheel, timer);
        if (outcome == WF_TIMER_LATER || outcome == WF_TIMER_MOVED) {
            uint64_t passed = now_tick > wheel->elapsed ? now_tick : wheel->elapsed;

            /* Not a tick that this call still comes to. */
            if (outcome == WF_TIMER_LATER || timer->tick <= passed)
                timer->tick = passed + 1;
            place(wheel, timer);
            continue;
        }
        add_count(wheel, -1);
        if (outcome == WF_TIMER_CLAIMED) {
            *tail = timer;
            tail = &timer->next;
        }
    }
    return tail;
}

struct wf_timer *wf_wheel_expire(struct wf_wheel *wheel, int64_t now,
                                 enum wf_timer_claim (*claim)(struct wf_timer *))
{
    uint64_t now_tick = (uint64_t)now >> WF_WHEEL_TICK_SHIFT;
    struct wf_timer *claimed = NULL;
    struct wf_timer **tail = &claimed;
    unsigned level, slot;
    uint64_t tick;

    wf_lock_acquire(&wheel->lock);
    tail = drain_due(wheel, now_tick, tail, claim);
    while ((tick = find_next_slot(wheel, &level, &slot)) <= now_tick) {
        wheel->elapsed = tick;
        enter_slot(wheel, level, slot);
        tail = drain_due(wheel, now_tick, tail, claim);
    }
    if (now_tick > wheel->elapsed)
        wheel->elapsed = now_tick;
    *tail = NULL;
    wf_lock_release(&wheel->lock);
    return claimed;
}

int64_t wf_wheel_next(struct wf_wheel *wheel)
{
    unsigned level, slot;
    uint64_t tick;
    bool is_due;

    if (!wf_wheel_is_armed(wheel))
        return INT64_MAX;
    wf_lock_acquire(&wheel->lock);
    is_due = wheel->due != NULL;
    tick = find_next_slot(wheel, &level, &slot);
    wf_lock_release(&wheel->lock);
    if (is_due)
        return 0;
    return tick < (UINT64_MAX >> 1 >> WF_WHEEL_TICK_SHIFT) ? (int64_t)(tick << WF_WHEEL_TICK_SHIFT)
                                                           : INT64_MAX;
}
