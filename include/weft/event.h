/* SPDX-License-Identifier: MIT */
/*
 * Events, for fibers and plain threads in any mix: something has happened, or it has not yet.
 *
 *   static weft_event is_ready = WEFT_EVENT_INIT;
 *
 *   weft_event_set(&is_ready);                                      one of them
 *   if (weft_event_wait(&is_ready, weft_after(WEFT_SECOND)) == 0)   as many as like
 *       ...
 *
 * A manual event (WEFT_EVENT_INIT) stays set, and lets everybody through, until it is reset.  An
 * automatic one (WEFT_EVENT_AUTO_INIT) lets one through for each set and resets itself by that: the
 * one that has waited longest, or the next that comes.  Setting it twice before that counts once:
 * what counts is a semaphore (semaphore.h).
 *
 * Whoever came through may free the event, if nobody else is going to use it: a set does not touch
 * it any more once another can have seen it.
 */
#ifndef WEFT_EVENT_H
#define WEFT_EVENT_H

#include "base.h"

#include <stdbool.h>

#ifdef __cplusplus
extern "C" {
#endif

/* The fields are the library's. */
typedef struct weft_event {
    void *queue;
    uint32_t lock;
    uint32_t flags;
} weft_event;

enum { WEFT_EVENT_IS_AUTO = 2 }; /* a flag; the others are the library's */

/* Zero is a manual event that is not set. */
#define WEFT_EVENT_INIT \
    {                   \
        NULL, 0, 0      \
    }
#define WEFT_EVENT_AUTO_INIT        \
    {                               \
        NULL, 0, WEFT_EVENT_IS_AUTO \
    }

/*
 * Set the event.  A manual one lets all through that wait.  An automatic one lets one through that
 * waits and is not set; if nobody waits it is set.
 *
 * Returns   nothing.  Setting an event that is set changes nothing.
 * Context   any thread, any fiber.
 * Switches  never.
 */
WEFT_API void weft_event_set(weft_event *event);

/*
 * Take the set back: from here on they wait.  Those that were let through are not called back.
 *
 * Returns   nothing.  Resetting an event that is not set changes nothing.
 * Context   any thread, any fiber.
 * Switches  never.
 */
WEFT_API void weft_event_reset(weft_event *event);

/*
 * Wait until the event is set; an automatic one is then reset, by the same step.
 *
 * Returns   0, or a negative errno.
 * Deadline  absolute; an event that is set lets through also after it.  0 does not wait.
 * Context   any thread, any fiber.
 * Switches  yes, unless it is set.
 * Cancel    ends the wait with -ECANCELED.  A fiber that is cancelled still comes through an event
 *           that is set, and one that was let through before the cancel returns 0: no set of an
 *           automatic event is lost.
 * Errors    -ETIMEDOUT, -ECANCELED.
 */
WEFT_API WEFT_MUST_USE int weft_event_wait(weft_event *event, weft_time deadline);

/*
 * Whether the event is set.
 *
 * Returns   true if it is, which can have changed by then.
 * Context   any thread, any fiber.
 * Switches  never.
 */
WEFT_API bool weft_event_is_set(weft_event *event);

/*
 * Say that `event` will not be used any more.  Need not be called; it is there to find mistakes.
 *
 * Returns   nothing.  Aborts if somebody waits; from now on every call with it aborts, too, until
 *           it is initialised anew.
 * Context   any thread, any fiber.
 * Switches  never.
 */
WEFT_API void weft_event_destroy(weft_event *event);

#ifdef __cplusplus
}
#endif

#endif
