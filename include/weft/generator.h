/* SPDX-License-Identifier: MIT */
/* Generators: functions that give one value after the other, and go on where they were. */
#ifndef WEFT_GENERATOR_H
#define WEFT_GENERATOR_H

#include "base.h"

#ifdef __cplusplus
extern "C" {
#endif

/*
 * A generator: a function with a stack of its own, which runs while somebody asks it for a value
 * and stands still in between.  It runs as a part of the fiber, or of the plain thread, that asks:
 * another one each time if need be, but one at a time.  In a fiber it may call whatever the fiber
 * may; a call that waits makes the fiber wait.
 *
 * So what belongs to a fiber belongs to the one that asks, and stays with it over a yield.  A scope
 * or a shield (weft/scope.h) that the generator has opened must be closed before its next yield:
 * until then whoever asked is inside, with its deadline and its cancel, and only that fiber can
 * close it, and has to before it closes one that it opened earlier.  The same holds for a mutex or
 * another lock, which whoever asked would hold meanwhile, and which another fiber must not unlock.
 * Values of keys (weft/local.h) are those of whoever asks, another fiber perhaps after a yield.
 *
 * Values are pointers; to what, and how long that is valid, is between the two sides.
 *
 * A generator inherits the floating-point control modes (rounding, masked exceptions) of whoever
 * asks, as any function does, and one that changes them changes them for both.  Forks and joins of
 * tasks (weft/task.h) must not have a yield between them.
 */
typedef struct weft_generator weft_generator;

/*
 * Make a generator.  Nothing runs yet: the first weft_generator_next() calls `fn(generator, arg)`,
 * whose result ends it: 0 or more for an end like any other, a negative errno for a failure.
 *
 * The stack has `stack_size_kib`, rounded up to a power of two, 16 to 8192, or 64 for 0, of which
 * less than 1 KiB are weft's own.  It has a guard page.
 *
 * Returns   0, or a negative errno with nothing made and `*generator` untouched.
 * Context   any fiber, any thread.
 * Switches  never.
 * Errors    -EINVAL (stack size out of range), -ENOMEM, -ENOTSUP (the thread has a shadow stack).
 */
WEFT_API WEFT_MUST_USE int weft_generator_create(weft_generator **generator,
                                                 int (*fn)(weft_generator *generator, void *arg),
                                                 void *arg, uint32_t stack_size_kib);

/*
 * Let the generator go on until it yields its next value.
 *
 * Returns   0, and the value is in `*value` (unless `value` is NULL); a negative errno with
 *           `*value` untouched: -ENODATA is the end, and what the generator failed with is reported
 *           once before that.
 * Context   any fiber, any thread.  A generator that runs already, as it does for itself, aborts.
 * Switches  only if the generator does.
 * Errors    -ENODATA, and those that the generator returns.
 */
WEFT_API WEFT_MUST_USE int weft_generator_next(weft_generator *generator, void **value);

/*
 * weft_generator_next(), and the yield that the generator stands at gives it `sent`.
 *
 * Returns   as weft_generator_next().
 * Context   as weft_generator_next().
 * Switches  only if the generator does.
 * Errors    -EINVAL (it stands at no yield, since it has not begun: ask for its first value first),
 *           and those of weft_generator_next().
 */
WEFT_API WEFT_MUST_USE int weft_generator_send(weft_generator *generator, void *sent, void **value);

/*
 * weft_generator_next(), and the yield that the generator stands at returns `error`, which is
 * negative.  A generator that has not begun ends, and one that has ended stays so: both return
 * `error`.
 *
 * Returns   as weft_generator_next(); a generator that does not handle the error returns it.
 * Context   as weft_generator_next().
 * Switches  only if the generator does.
 * Errors    -ENODATA, and those that the generator returns.
 */
WEFT_API WEFT_MUST_USE int weft_generator_throw(weft_generator *generator, int error, void **value);

/*
 * End the generator: the yield that it stands at, and each one after that, returns -ECANCELED,
 * until its function returns; so it can clean up, and then what it has deferred is called.  One
 * that has not begun does not run any more.
 * One that has ended already is left as it is.
 *
 * Returns   0, or the failure that the function returned, if that is not -ECANCELED.
 * Context   as weft_generator_next().
 * Switches  only if the generator does.
 * Errors    those that the generator returns.
 */
WEFT_API int weft_generator_close(weft_generator *generator);

/*
 * weft_generator_close(), and give back the stack.  NULL is allowed.  A later use aborts while the
 * stack is kept for another generator; after that it is like the use of any freed memory.
 *
 * Returns   nothing.
 * Context   as weft_generator_next().
 * Switches  only if the generator does.
 */
WEFT_API void weft_generator_free(weft_generator *generator);

/*
 * What the generator's function returned, for those who end with more than success.
 *
 * Returns   the result; -EBUSY while it has not ended; of one that has ended before it began what
 *           was thrown into it, or -ECANCELED.
 * Context   as weft_generator_next().
 * Switches  never.
 * Cancel    none: -ECANCELED tells of the generator, not of the caller.
 * Errors    -EBUSY, -ECANCELED, and those that the generator returns.
 */
WEFT_API int weft_generator_result(const weft_generator *generator);

/*
 * Give `value` to whoever asked, and stand still until the next is asked for.
 *
 * Returns   0, and `*sent` (unless `sent` is NULL) is what was sent, or NULL; a negative errno that
 *           was thrown; -ECANCELED, at once, when the generator is being closed.  On failure
 *           `*sent` is untouched.
 * Context   the function of this generator, or what it calls, on the generator's stack; elsewhere
 *           it aborts: in another fiber, or in a generator that this one asks.
 * Switches  to whoever asked; the caller may go on in another fiber, on another thread.
 * Cancel    none: it yields also in a cancelled fiber.  -ECANCELED tells of a close.
 * Errors    -ECANCELED, and whatever is thrown.
 */
WEFT_API WEFT_MUST_USE int weft_generator_yield(weft_generator *generator, void *value,
                                                void **sent);

/*
 * Have `fn(arg)` called when the function of the generator has returned, on every way out: its end,
 * a failure, what was thrown, a close or a free.  The last one deferred comes first.  It runs as a
 * part of whoever asked then; it may suspend and defer more, but a yield in it returns -ECANCELED.
 * (weft_defer() is another thing: there the function of the fiber has to return.)
 *
 * Returns   0, or a negative errno: it will not be called.
 * Context   as weft_generator_yield().
 * Switches  never.
 * Errors    -ENOMEM.
 */
WEFT_API WEFT_MUST_USE int weft_generator_defer(weft_generator *generator, void (*fn)(void *),
                                                void *arg);

/*
 * Yield all values of `inner`, pass on to it what is sent and thrown, and close it when `generator`
 * is being closed.  Each value takes a switch more than it would from `inner` itself.
 *
 * Returns   0 at the end of `inner`, or the negative errno that it failed with; -ECANCELED when
 *           `generator` is being closed.
 * Context   as weft_generator_yield().
 * Switches  to whoever asked.
 * Cancel    none but what `inner` makes of it: -ECANCELED tells of a close, or is its failure.
 * Errors    -ECANCELED, and those that `inner` returns.
 */
WEFT_API WEFT_MUST_USE int weft_generator_delegate(weft_generator *generator,
                                                   weft_generator *inner);

/* A loop over the values of a generator: `value` is a variable of type void * that the caller has
 * declared.  Failures end the loop as the end does; weft_generator_result() tells them apart. */
#define WEFT_GENERATOR_EACH(value, generator) \
    while (weft_generator_next((generator), &(value)) == 0)

#ifdef __cplusplus
}
#endif

#endif
