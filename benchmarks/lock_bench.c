/* SPDX-License-Identifier: MIT */
/* As a program that is built for speed has its locks. */
#define WEFT_LOCK_CHECKS 0

#include "weft_bench.h"

#include <stdatomic.h>
#include <weft.h>

/*
 * mutex/uncontended
 *
 * Question  What does a lock and unlock cost that nobody else wants?
 * Method    b->batch pairs, one after the other, by one fiber on one worker.
 * Includes  two compare-and-swaps in a cache line that stays.
 * Excludes  waiting, and fetching the line from another core.
 * Distrust  nothing in particular: the mutex is not local, so the pairs cannot be left out.
 */
void bench_mutex_uncontended(struct bench *b)
{
    static weft_mutex mutex = WEFT_MUTEX_INIT;
    static uint64_t count; /* under the mutex */
    uint64_t before = count;

    bench_start(b);
    for (uint64_t i = 0; i < b->batch; i++) {
        if (weft_mutex_lock(&mutex, WEFT_FOREVER) == 0) {
            count++;
            weft_mutex_unlock(&mutex);
        }
    }
    bench_stop(b);
    if (count - before != b->batch)
        bench_fail(b, "some locks failed");
}

enum { CONTENDERS = 1000 };

struct contention {
    weft_mutex mutex;
    uint64_t count; /* under the mutex */
    _Atomic int is_over;
    _Atomic uint64_t locks;
    _Atomic uint64_t longest_ns;
    int is_timed;
};

static int contend(void *arg)
{
    struct contention *contention = arg;
    uint64_t locks = 0;
    uint64_t longest = 0;
    uint64_t known;

    /* relaxed: a hint that it is over. */
    while (atomic_load_explicit(&contention->is_over, memory_order_relaxed) == 0) {
        uint64_t start = contention->is_timed ? bench_now_ns() : 0;

        if (weft_mutex_lock(&contention->mutex, WEFT_FOREVER) != 0)
            break;
        if (contention->is_timed && bench_now_ns() - start > longest)
            longest = bench_now_ns() - start;
        contention->count++;
        weft_mutex_unlock(&contention->mutex);
        locks++;
    }
    /* relaxed: results, read after the joins. */
    atomic_fetch_add_explicit(&contention->locks, locks, memory_order_relaxed);
    known = atomic_load_explicit(&contention->longest_ns, memory_order_relaxed);
    while (longest > known &&
           !atomic_compare_exchange_weak(&contention->longest_ns, &known, longest))
        ;
    return 0;
}

static double run_contention(struct bench *b, struct contention *contention)
{
    static weft_fiber *fibers[CONTENDERS];
    uint64_t start = bench_now_ns();
    unsigned spawned = 0;
    uint64_t elapsed;

    while (spawned < CONTENDERS && weft_spawn(&fibers[spawned], contend, contention) == 0)
        spawned++;
    (void)weft_sleep(b->is_quick ? WEFT_SECOND / 4 : WEFT_SECOND);
    atomic_store(&contention->is_over, 1);
    for (unsigned i = 0; i < spawned; i++)
        (void)!weft_join(fibers[i], NULL, WEFT_FOREVER);
    elapsed = bench_now_ns() - start;
    if (spawned < CONTENDERS)
        bench_fail(b, "only %u fibers were spawned", spawned);
    if (contention->count != contention->locks)
        bench_fail(b, "two held the mutex at once");
    return (double)elapsed / (double)contention->locks;
}

/*
 * mutex/contended, and with workers=4 and 8
 *
 * Question  How many critical sections pass through one mutex that a thousand want, and how long
 *           does the unluckiest of them wait?
 * Method    1,000 fibers on two workers, or so many, lock, count and unlock without a pause for a
 *           second; then the same with a clock around each lock, for the longest wait.
 * Includes  spawning and joining the fibers.
 * Excludes  work outside the critical section: there is none.
 * Distrust  a busy machine: a worker that is off its CPU while it holds the mutex stops all.
 */
void bench_mutex_contended(struct bench *b)
{
    struct contention plain = {.mutex = WEFT_MUTEX_INIT};
    struct contention timed = {.mutex = WEFT_MUTEX_INIT, .is_timed = 1};
    double ns = run_contention(b, &plain);

    (void)run_contention(b, &timed);
    bench_report(b, "ns_per_op", 0, ns);
    bench_report(b, "longest_us", 0, (double)timed.longest_ns / 1e3);
}

/*
 * semaphore/uncontended
 *
 * Question  What does it cost to take a permit that is there, and to give it back?
 * Method    b->batch pairs, one after the other, by one fiber on one worker.
 * Includes  the lock within the semaphore, twice.
 * Excludes  waiting, and fetching the line from another core.
 * Distrust  nothing in particular.
 */
void bench_semaphore_uncontended(struct bench *b)
{
    weft_semaphore semaphore = WEFT_SEMAPHORE_INIT(1);
    uint64_t failures = 0;

    bench_start(b);
    for (uint64_t i = 0; i < b->batch; i++) {
        if (weft_semaphore_acquire(&semaphore, 1, WEFT_FOREVER) == 0)
            weft_semaphore_release(&semaphore, 1);
        else
            failures++;
    }
    bench_stop(b);
    if (failures != 0 || weft_semaphore_available(&semaphore) != 1)
        bench_fail(b, "permits were lost");
}

struct pingpong {
    weft_mutex mutex;
    weft_condition turned;
    uint64_t turn; /* under the mutex; the first player's while it is even */
    uint64_t end;
    uint64_t waits;
};

static int play(struct pingpong *game, uint64_t parity)
{
    int error = weft_mutex_lock(&game->mutex, WEFT_FOREVER);

    if (error != 0)
        return error;
    while (game->turn < game->end && error == 0) {
        if (game->turn % 2 == parity) {
            game->turn++;
            weft_condition_signal(&game->turned);
        } else {
            game->waits++;
            error = weft_condition_wait(&game->turned, &game->mutex, WEFT_FOREVER);
        }
    }
    weft_condition_broadcast(&game->turned);
    weft_mutex_unlock(&game->mutex);
    return error;
}

static int play_second(void *arg)
{
    return play(arg, 1);
}

/*
 * condvar/pingpong
 *
 * Question  What does it cost to pass a turn on by a condition variable?
 * Method    Two fibers on one worker wait for their turns under one mutex; a batch is so many
 * turns. Includes  a signal, a wait, a switch, and unlocking and locking the mutex, each turn.
 * Excludes  a second worker.
 * Distrust  fewer waits than turns, which fails the run.
 */
void bench_condvar_pingpong(struct bench *b)
{
    struct pingpong game = {WEFT_MUTEX_INIT, WEFT_CONDITION_INIT, 0, b->batch, 0};
    weft_fiber *fiber;
    int result = -1;

    bench_start(b);
    if (weft_spawn(&fiber, play_second, &game) != 0 || play(&game, 0) != 0 ||
        weft_join(fiber, &result, WEFT_FOREVER) != 0 || result != 0)
        bench_fail(b, "the game was broken off");
    bench_stop(b);
    if (game.turn != b->batch || game.waits + 2 < b->batch)
        bench_fail(b, "some turns were not waited for");
}
