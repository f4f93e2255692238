/* SPDX-License-Identifier: MIT */
/*
 * Pthread locks that are held over a call that suspends.
 *
 * A fiber must not suspend while its thread holds a pthread lock: it may go on on another thread,
 * which must not unlock it, and until then every fiber that wants the lock blocks its worker.  Such
 * a program works until it is loaded.  With this header it aborts at the first suspension, and says
 * where the lock was taken.
 *
 *   #include <weft/pthread_checks.h>     after the other headers; or for all files of a program:
 *                                        cc -include weft/pthread_checks.h
 *
 * By -include it comes before all of a file, and the C library's headers with it: what a file
 * defines for these, as _GNU_SOURCE, then belongs on the command line as well (-D_GNU_SOURCE).
 *
 * It takes the place of the functions of pthread.h that lock and unlock, for what is compiled with
 * it and without NDEBUG, or with WEFT_PTHREAD_CHECKS defined as 1.  Locks that are taken elsewhere,
 * as in libraries, are not seen.  Those of std::mutex are where <mutex> comes after this header, as
 * with -include, and are named by a line of the C++ library.  It is not part of weft.h.
 */
#ifndef WEFT_PTHREAD_CHECKS_H
#define WEFT_PTHREAD_CHECKS_H

#include "base.h"

#include <pthread.h>

#ifndef WEFT_PTHREAD_CHECKS
#ifdef NDEBUG
#define WEFT_PTHREAD_CHECKS 0
#else
#define WEFT_PTHREAD_CHECKS 1
#endif
#endif

#ifdef __cplusplus
extern "C" {
#endif

/*
 * Say that the calling thread has taken a lock that belongs to it, at `place` in the program, if
 * `error` is 0 or EOWNERDEAD.  For locks of other kinds, too.
 *
 * Returns   `error`.
 * Context   any thread, any fiber; what a plain thread says does not matter.
 * Switches  never; a fiber that does before weft_pthread_given_back() aborts the program.
 */
WEFT_API int weft_pthread_taken(int error, const void *lock, const char *place);

/*
 * Say that the calling thread gives back a lock, which need not be one that it has taken.
 *
 * Returns   nothing.
 * Context   any thread, any fiber.
 * Switches  never.
 */
WEFT_API void weft_pthread_given_back(const void *lock);

#if WEFT_PTHREAD_CHECKS
#define WEFT_PTHREAD_TAKES(function, type)                                               \
    WEFT_UNUSED static inline int weft_##function(type *lock, const char *place)         \
    {                                                                                    \
        return weft_pthread_taken(function(lock), (const void *)(uintptr_t)lock, place); \
    }

#define WEFT_PTHREAD_TAKES_UNTIL(function, type)                                               \
    WEFT_UNUSED static inline int weft_##function(type *lock, const struct timespec *time,     \
                                                  const char *place)                           \
    {                                                                                          \
        return weft_pthread_taken(function(lock, time), (const void *)(uintptr_t)lock, place); \
    }

#define WEFT_PTHREAD_TAKES_BY_CLOCK(function, type)                                               \
    WEFT_UNUSED static inline int weft_##function(type *lock, clockid_t clock,                    \
                                                  const struct timespec *time, const char *place) \
    {                                                                                             \
        return weft_pthread_taken(function(lock, clock, time), (const void *)(uintptr_t)lock,     \
                                  place);                                                         \
    }

#define WEFT_PTHREAD_GIVES(function, type)                      \
    WEFT_UNUSED static inline int weft_##function(type *lock)   \
    {                                                           \
        weft_pthread_given_back((const void *)(uintptr_t)lock); \
        return function(lock);                                  \
    }

#define WEFT_PTHREAD_LINE(line) #line
#define WEFT_PTHREAD_AT(file, line) file ":" WEFT_PTHREAD_LINE(line)
#define WEFT_PTHREAD_PLACE WEFT_PTHREAD_AT(__FILE__, __LINE__)

WEFT_PTHREAD_TAKES(pthread_mutex_lock, pthread_mutex_t)
WEFT_PTHREAD_TAKES(pthread_mutex_trylock, pthread_mutex_t)
WEFT_PTHREAD_GIVES(pthread_mutex_unlock, pthread_mutex_t)
#define pthread_mutex_lock(mutex) weft_pthread_mutex_lock(mutex, WEFT_PTHREAD_PLACE)
#define pthread_mutex_trylock(mutex) weft_pthread_mutex_trylock(mutex, WEFT_PTHREAD_PLACE)
#define pthread_mutex_unlock(mutex) weft_pthread_mutex_unlock(mutex)

#if defined(_POSIX_C_SOURCE) && _POSIX_C_SOURCE >= 200112L
WEFT_PTHREAD_TAKES_UNTIL(pthread_mutex_timedlock, pthread_mutex_t)
WEFT_PTHREAD_TAKES_UNTIL(pthread_rwlock_timedrdlock, pthread_rwlock_t)
WEFT_PTHREAD_TAKES_UNTIL(pthread_rwlock_timedwrlock, pthread_rwlock_t)
WEFT_PTHREAD_TAKES(pthread_rwlock_rdlock, pthread_rwlock_t)
WEFT_PTHREAD_TAKES(pthread_rwlock_wrlock, pthread_rwlock_t)
WEFT_PTHREAD_TAKES(pthread_rwlock_tryrdlock, pthread_rwlock_t)
WEFT_PTHREAD_TAKES(pthread_rwlock_trywrlock, pthread_rwlock_t)
WEFT_PTHREAD_GIVES(pthread_rwlock_unlock, pthread_rwlock_t)
WEFT_PTHREAD_TAKES(pthread_spin_lock, pthread_spinlock_t)
WEFT_PTHREAD_TAKES(pthread_spin_trylock, pthread_spinlock_t)
WEFT_PTHREAD_GIVES(pthread_spin_unlock, pthread_spinlock_t)
#define pthread_mutex_timedlock(mutex, time) \
    weft_pthread_mutex_timedlock(mutex, time, WEFT_PTHREAD_PLACE)
#define pthread_rwlock_timedrdlock(lock, time) \
    weft_pthread_rwlock_timedrdlock(lock, time, WEFT_PTHREAD_PLACE)
#define pthread_rwlock_timedwrlock(lock, time) \
    weft_pthread_rwlock_timedwrlock(lock, time, WEFT_PTHREAD_PLACE)
#define pthread_rwlock_rdlock(lock) weft_pthread_rwlock_rdlock(lock, WEFT_PTHREAD_PLACE)
#define pthread_rwlock_wrlock(lock) weft_pthread_rwlock_wrlock(lock, WEFT_PTHREAD_PLACE)
#define pthread_rwlock_tryrdlock(lock) weft_pthread_rwlock_tryrdlock(lock, WEFT_PTHREAD_PLACE)
#define pthread_rwlock_trywrlock(lock) weft_pthread_rwlock_trywrlock(lock, WEFT_PTHREAD_PLACE)
#define pthread_rwlock_unlock(lock) weft_pthread_rwlock_unlock(lock)
#define pthread_spin_lock(lock) weft_pthread_spin_lock(lock, WEFT_PTHREAD_PLACE)
#define pthread_spin_trylock(lock) weft_pthread_spin_trylock(lock, WEFT_PTHREAD_PLACE)
#define pthread_spin_unlock(lock) weft_pthread_spin_unlock(lock)
#endif

/* glibc's own. */
#if defined(_GNU_SOURCE) && defined(__GLIBC__) && \
    (__GLIBC__ > 2 || (__GLIBC__ == 2 && __GLIBC_MINOR__ >= 30))
WEFT_PTHREAD_TAKES_BY_CLOCK(pthread_mutex_clocklock, pthread_mutex_t)
WEFT_PTHREAD_TAKES_BY_CLOCK(pthread_rwlock_clockrdlock, pthread_rwlock_t)
WEFT_PTHREAD_TAKES_BY_CLOCK(pthread_rwlock_clockwrlock, pthread_rwlock_t)
#define pthread_mutex_clocklock(mutex, clock, time) \
    weft_pthread_mutex_clocklock(mutex, clock, time, WEFT_PTHREAD_PLACE)
#define pthread_rwlock_clockrdlock(lock, clock, time) \
    weft_pthread_rwlock_clockrdlock(lock, clock, time, WEFT_PTHREAD_PLACE)
#define pthread_rwlock_clockwrlock(lock, clock, time) \
    weft_pthread_rwlock_clockwrlock(lock, clock, time, WEFT_PTHREAD_PLACE)
#endif
#endif

#ifdef __cplusplus
}
#endif

#endif
