/* SPDX-License-Identifier: MIT */
/*
 * Barriers, for fibers and plain threads in any mix: nobody goes on before all have come.
 *
 *   static weft_barrier step_is_done = WEFT_BARRIER_INIT(4);
 *
 *   for (int i = 0; i < STEPS && result >= 0; i++) {
 *       compute(part, i);
 *       result = weft_barrier_wait(&step_is_done, WEFT_FOREVER);
 *       if (result == WEFT_BARRIER_SERIAL)
 *           report(i);                          one of the four
 *   }
 *
 * A barrier is cyclic: once all parties have arrived and gone on, it waits for as many again.
 *
 * It is all or none.  If one party's wait ends by a deadline or a cancel, the crossing cannot take
 * place any more, and the barrier is broken: the others get -EPIPE, those that wait and those that
 * come later, until somebody resets it.  (As Python's threading.Barrier; a POSIX barrier knows
 * neither deadlines nor cancels.)
 *
 * Whoever has crossed it may free the barrier, if nobody else is going to call anything with it:
 * the others of the same crossing do not touch it any more.
 */
#ifndef WEFT_BARRIER_H
#define WEFT_BARRIER_H

#include "base.h"

#include <stdbool.h>

#ifdef __cplusplus
extern "C" {
#endif

/* The fields are the library's. */
typedef struct weft_barrier {
    void *queue;
    uint32_t lock;
    uint32_t parties;
    uint32_t arrived;
    uint32_t cycle;
    uint32_t is_broken;
    uint32_t reserved;
} weft_barrier;

/* For so many parties, at least one. */
#define WEFT_BARRIER_INIT(parties)     \
    {                                  \
        NULL, 0, (parties), 0, 0, 0, 0 \
    }

/* What the party gets that arrived last. */
enum { WEFT_BARRIER_SERIAL = 1 };

/*
 * Arrive, and wait until all parties have.
 *
 * Returns   0, or WEFT_BARRIER_SERIAL for one of each crossing, or a negative errno.  Aborts if the
 *           barrier was made for no party.
 * Deadline  absolute; the last party crosses also after it.  0 does not wait.  If it passes first,
 *           the barrier is broken.
 * Context   any thread, any fiber.
 * Switches  yes, except the last party.
 * Cancel    ends the wait with -ECANCELED and breaks the barrier, unless all had arrived before.  A
 *           fiber that is cancelled still crosses as the last party.
 * Errors    -ETIMEDOUT, -ECANCELED, -EPIPE (broken or reset, here or meanwhile).
 */
WEFT_API WEFT_MUST_USE int weft_barrier_wait(weft_barrier *barrier, weft_time deadline);

/*
 * Break the barrier: for a party that will not come.
 *
 * Returns   nothing.  Those that wait get -EPIPE, and so do those that come until it is reset.
 * Context   any thread, any fiber.
 * Switches  never.
 */
WEFT_API void weft_barrier_break(weft_barrier *barrier);

/*
 * Begin again, with no party arrived and the barrier not broken.
 *
 * Returns   nothing.  Those that wait get -EPIPE.  Parties that have not taken notice of the break
 *           yet arrive in the new cycle: it is safe once the others are known to have come back.
 * Context   any thread, any fiber.
 * Switches  never.
 */
WEFT_API void weft_barrier_reset(weft_barrier *barrier);

/*
 * Whether the barrier is broken.
 *
 * Returns   true if it is, which can have changed by then.
 * Context   any thread, any fiber.
 * Switches  never.
 */
WEFT_API bool weft_barrier_is_broken(weft_barrier *barrier);

/*
 * Say that `barrier` will not be used any more.  Need not be called; it is there to find mistakes.
 *
 * Returns   nothing.  Aborts if somebody waits; from now on every call with it aborts, too, until
 *           it is initialised anew.
 * Context   any thread, any fiber.
 * Switches  never.
 */
WEFT_API void weft_barrier_destroy(weft_barrier *barrier);

#ifdef __cplusplus
}
#endif

#endif
