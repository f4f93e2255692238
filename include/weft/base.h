/* SPDX-License-Identifier: MIT */
/* What every other header needs: the export macro, time and deadlines, the error convention. */
#ifndef WEFT_BASE_H
#define WEFT_BASE_H

#include <stddef.h>
#include <stdint.h>

#define WEFT_VERSION_MAJOR 0
#define WEFT_VERSION_MINOR 1
#define WEFT_VERSION_PATCH 0
#define WEFT_VERSION_STRING "0.1.0"

#if defined(__GNUC__)
#define WEFT_API __attribute__((visibility("default")))
#define WEFT_MUST_USE __attribute__((warn_unused_result))
#define WEFT_UNUSED __attribute__((unused))
#else
#define WEFT_API
#define WEFT_MUST_USE
#define WEFT_UNUSED
#endif

#ifdef __cplusplus
extern "C" {
#endif

/*
 * Errors.  A function that can fail returns a negative errno (-ETIMEDOUT, -ECANCELED, -ENOMEM,
 * ...). errno itself has no meaning after any call here: it lives in thread-local storage, and a
 * fiber may wake on another thread.  Out-parameters are untouched on failure.  Breaking a rule of
 * this interface (joining a fiber twice, say) is not an error but a bug in the program: it aborts
 * with the rule's name.
 */

/* A handle to a runtime: see runtime.h. */
typedef struct weft_runtime weft_runtime;

/* A point on weft's clock (CLOCK_MONOTONIC), in nanoseconds.  Deadlines are such points. */
typedef int64_t weft_time;

#define WEFT_FOREVER INT64_MAX /* the deadline that never passes */
#define WEFT_NANOSECOND INT64_C(1)
#define WEFT_MICROSECOND INT64_C(1000)
#define WEFT_MILLISECOND INT64_C(1000000)
#define WEFT_SECOND INT64_C(1000000000)

/*
 * The current time.
 *
 * Returns   nanoseconds since an arbitrary point, never decreasing, at least 0.
 * Context   any thread, any fiber, signal handlers.
 * Switches  never.
 */
WEFT_API weft_time weft_now(void);

/*
 * The deadline `ns` nanoseconds from now.
 *
 * Returns   weft_now() + ns, or WEFT_FOREVER where that would overflow.  A negative `ns` gives a
 *           deadline that has passed already.
 * Context   any thread, any fiber, signal handlers.
 * Switches  never.
 */
WEFT_API weft_time weft_after(int64_t ns);

/*
 * The version of the library that is loaded, which can be newer than WEFT_VERSION_STRING.
 *
 * Returns   a static string, "MAJOR.MINOR.PATCH".
 * Context   any thread, any fiber, signal handlers.
 * Switches  never.
 */
WEFT_API const char *weft_version(void);

#ifdef __cplusplus
}
#endif

#endif
