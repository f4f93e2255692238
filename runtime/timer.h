/* SPDX-License-Identifier: MIT */
/*
 * Timers: a hierarchical wheel per worker, O(1) to arm and to cancel, its nodes embedded in what
 * waits.  (Varghese and Lauck, "Hashed and Hierarchical Timing Wheels", SOSP 1987, scheme 7.)
 *
 * A tick is 65.536 µs.  Level L has 64 slots of 64^L ticks; a timer sits on the level of the
 * highest digit (base 64) in which its tick differs from the wheel's.  A slot knows the earliest
 * tick in it, and is cascaded when that has come, not when the wheel enters it: timers that are
 * cancelled first, as most are, never move, and a worker that sleeps is woken for timers alone.
 *
 * A wheel has a lock, since a fiber that was woken on another worker cancels its timer from there,
 * and since any worker may expire it, so that no timer waits behind a worker that computes.
 */
#ifndef WF_RUNTIME_TIMER_H
#define WF_RUNTIME_TIMER_H

#include "arch/atomic.h"
#include "runtime/lock.h"

#include <stdbool.h>
#include <stdint.h>

enum {
    WF_WHEEL_TICK_SHIFT = 16, /* nanoseconds to ticks */
    WF_WHEEL_DIGIT_BITS = 6,
    WF_WHEEL_SLOTS = 1 << WF_WHEEL_DIGIT_BITS,
    WF_WHEEL_LEVELS = 8, /* 16 + 8 * 6 bits: every deadline fits */
};

struct wf_wheel;

/* What a timer is a part of. */
enum wf_timer_kind {
    WF_TIMER_OF_WAITER, /* wait.h */
    WF_TIMER_OF_SCOPE,  /* scope.h */
};

/* All fields but `wheel` and `kind` are under the lock of that wheel. */
struct wf_timer {
    struct wf_wheel *wheel; /* the wheel it was last armed on; whoever owns the timer */
    struct wf_timer *next;  /* in its slot, or in the list that wf_wheel_expire() returns */
    struct wf_timer **link; /* what points to it; NULL while not armed */
    uint64_t tick;          /* when it expires */
    uint32_t kind;          /* enum wf_timer_kind; immutable */
    uint16_t level;         /* WF_WHEEL_LEVELS: in the due list */
    uint16_t slot;
};

struct wf_slot {
    struct wf_timer *first;
    uint64_t earliest; /* while occupied: no timer in it is earlier; one that was may be gone */
};

/* On each level only slots from the wheel's position on are occupied. */
struct wf_wheel {
    struct wf_lock lock;
    WF_ATOMIC(uint64_t) count;          /* armed timers; written under the lock, read by anyone */
    uint64_t elapsed;                   /* under the lock: every earlier tick has been expired */
    uint64_t occupied[WF_WHEEL_LEVELS]; /* under the lock: bit s set if slot s has timers */
    struct wf_timer *due;               /* under the lock: expired already when armed */
    struct wf_slot slots[WF_WHEEL_LEVELS][WF_WHEEL_SLOTS]; /* under the lock */
};

/* The struct is zeroed by the caller. */
void wf_wheel_init(struct wf_wheel *wheel, int64_t now);

/* Caller: the owner of a timer that is not armed.  A deadline that has passed expires at once. */
void wf_timer_arm(struct wf_wheel *wheel, struct wf_timer *timer, int64_t deadline);

/* Caller: the owner of a timer that was armed.  When it returns, wf_wheel_expire() on another
 * thread has done with the timer, claimed or not. */
void wf_timer_cancel(struct wf_timer *timer);

enum wf_timer_claim {
    WF_TIMER_CLAIMED, /* it is returned */
    WF_TIMER_VOID,    /* nobody waits for it any more */
    WF_TIMER_LATER,   /* this cannot be told now: it expires again at the tick after `now` */
    WF_TIMER_MOVED,   /* claim() has called wf_timer_move() */
};

/*
 * Disarms all timers due at `now` and returns, in the order of their ticks and linked by `next`,
 * those that claim(timer) claims; it is called under the wheel's lock.  A `now` that is behind
 * another caller's is harmless.
 *
 * Caller: any worker.
 */
struct wf_timer *wf_wheel_expire(struct wf_wheel *wheel, int64_t now,
                                 enum wf_timer_claim (*claim)(struct wf_timer *));

/* Gives a timer that is due a later deadline, which may be behind `now` all the same.  Caller:
 * claim(), which then returns WF_TIMER_MOVED. */
void wf_timer_move(struct wf_timer *timer, int64_t deadline);

/* When the next timer expires, in nanoseconds; INT64_MAX while none is armed.  It is early only
 * where the timer that was the earliest of its slot has been cancelled since: once, since the slot
 * is cascaded then.  Caller: the worker whose wheel it is; to any other it is a hint. */
int64_t wf_wheel_next(struct wf_wheel *wheel);

/* False only if no timer is armed.  Caller: the worker whose wheel it is; to any other it is a
 * hint. */
static inline bool wf_wheel_is_armed(struct wf_wheel *wheel)
{
    /* relaxed: the wheel's worker arms its timers itself; a cancel seen late costs a look. */
    return atomic_load_explicit(&wheel->count, memory_order_relaxed) != 0;
}

#endif
