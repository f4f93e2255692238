/* SPDX-License-Identifier: MIT */
/* A POSIX thread in the place of a fiber.  Questions and methods are those of weft's benchmarks of
 * the same names; below is only what differs. */
#include "echo.h"
#include "file.h"
#include "harness/bench.h"
#include "harness/by_workers.h"
#include "harness/echo_rows.h"
#include "harness/io_rows.h"
#include "loops.h"
#include "ring.h"
#include "rounds.h"

#include <limits.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* Small stacks for both: what a program that counts on many threads would choose. */
enum { STACK_SIZE = 64 * 1024 };

static void *count_one(void *arg)
{
    ++*(uint64_t *)arg;
    return NULL;
}

/* The kernel runs the new thread on whichever of the CPUs it likes that the row has, one for each
 * worker of the others. */
static void spawn_join_empty(struct bench *b)
{
    pthread_attr_t attr;
    uint64_t ran = 0;
    int rc = 0;

    pthread_attr_init(&attr);
    pthread_attr_setstacksize(&attr, STACK_SIZE);
    bench_start(b);
    for (uint64_t i = 0; i < b->batch && rc == 0; i++) {
        pthread_t thread;

        rc = pthread_create(&thread, &attr, count_one, &ran);
        if (rc == 0)
            rc = pthread_join(thread, NULL);
    }
    bench_stop(b);
    pthread_attr_destroy(&attr);

    if (rc != 0)
        bench_fail(b, "%s", strerror(rc));
    if (ran != b->batch)
        bench_fail(b, "some threads did not run");
}

struct crowd {
    pthread_mutex_t mutex;
    pthread_cond_t arrival;
    pthread_cond_t release;
    uint64_t arrived;
    uint64_t woken;
    bool is_released;
};

static void *park(void *arg)
{
    struct crowd *crowd = arg;
    struct timespec deadline;

    clock_gettime(CLOCK_REALTIME, &deadline);
    deadline.tv_sec += 3600;
    pthread_mutex_lock(&crowd->mutex);
    crowd->arrived++;
    pthread_cond_signal(&crowd->arrival);
    while (!crowd->is_released)
        pthread_cond_timedwait(&crowd->release, &crowd->mutex, &deadline);
    crowd->woken++;
    pthread_mutex_unlock(&crowd->mutex);
    return NULL;
}

static void release_crowd(struct crowd *crowd, const pthread_t *threads, uint64_t count)
{
    pthread_mutex_lock(&crowd->mutex);
    crowd->is_released = true;
    pthread_cond_broadcast(&crowd->release);
    pthread_mutex_unlock(&crowd->mutex);
    for (uint64_t i = 0; i < count; i++)
        pthread_join(threads[i], NULL);
}

/* The threads wait on a condition with a deadline; the kernel's own memory for a thread (16 KiB of
 * kernel stack and its records) is not in VmRSS and so not in the result. */
static void memory_parked(struct bench *b)
{
    struct crowd crowd = {.mutex = PTHREAD_MUTEX_INITIALIZER,
                          .arrival = PTHREAD_COND_INITIALIZER,
                          .release = PTHREAD_COND_INITIALIZER};
    uint64_t count = b->spec->parameter;
    pthread_t *threads = malloc(count * sizeof *threads);
    pthread_attr_t attr;
    uint64_t created = 0;
    uint64_t before, after;
    int rc = 0;

    if (!threads) {
        bench_fail(b, "out of memory");
        return;
    }
    memset(threads, 1, count * sizeof *threads);
    pthread_attr_init(&attr);
    pthread_attr_setstacksize(&attr, STACK_SIZE);
    before = bench_resident_bytes();
    while (created < count && (rc = pthread_create(&threads[created], &attr, park, &crowd)) == 0)
        created++;
    pthread_attr_destroy(&attr);
    pthread_mutex_lock(&crowd.mutex);
    while (crowd.arrived < created)
        pthread_cond_wait(&crowd.arrival, &crowd.mutex);
    if (crowd.woken != 0)
        bench_fail(b, "some threads were not asleep");
    pthread_mutex_unlock(&crowd.mutex);
    after = bench_resident_bytes();
    bench_value(b, ((double)after - (double)before) / (double)count);

    release_crowd(&crowd, threads, created);
    if (created < count)
        bench_fail(b, "only %llu threads: %s", (unsigned long long)created, strerror(rc));
    free(threads);
}

static void *end_at_once(void *arg)
{
    return arg;
}

/* glibc takes locks without a compare-and-swap until a process has had a second thread (from 2.34
 * on, by SINGLE_THREAD_P in pthread_mutex_lock.c: 4 ns instead of 12), and a server has had one. */
static void mutex_uncontended(struct bench *b)
{
    static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
    static uint64_t count;
    uint64_t before = count;
    pthread_t second;

    if (pthread_create(&second, NULL, end_at_once, NULL) != 0) {
        bench_fail(b, "no second thread");
        return;
    }
    pthread_join(second, NULL);
    bench_start(b);
    for (uint64_t i = 0; i < b->batch; i++) {
        pthread_mutex_lock(&mutex);
        count++;
        pthread_mutex_unlock(&mutex);
    }
    bench_stop(b);
    if (count - before != b->batch)
        bench_fail(b, "some locks failed");
}

enum { CONTENDERS = 1000 };

struct contention {
    pthread_mutex_t mutex;
    uint64_t count; /* under the mutex, as are the next two when the threads end */
    uint64_t locks;
    uint64_t longest_ns;
    int is_over; /* atomic */
    bool is_timed;
};

static void *contend(void *arg)
{
    struct contention *contention = arg;
    uint64_t locks = 0;
    uint64_t longest = 0;

    while (__atomic_load_n(&contention->is_over, __ATOMIC_RELAXED) == 0) {
        uint64_t start = contention->is_timed ? bench_now_ns() : 0;

        pthread_mutex_lock(&contention->mutex);
        if (contention->is_timed && bench_now_ns() - start > longest)
            longest = bench_now_ns() - start;
        contention->count++;
        pthread_mutex_unlock(&contention->mutex);
        locks++;
    }
    pthread_mutex_lock(&contention->mutex);
    contention->locks += locks;
    if (longest > contention->longest_ns)
        contention->longest_ns = longest;
    pthread_mutex_unlock(&contention->mutex);
    return NULL;
}

static double run_contention(struct bench *b, struct contention *contention)
{
    static pthread_t threads[CONTENDERS];
    const struct timespec window = {b->is_quick ? 0 : 1, b->is_quick ? 250000000 : 0};
    uint64_t start = bench_now_ns();
    pthread_attr_t attr;
    unsigned created = 0;

    pthread_attr_init(&attr);
    pthread_attr_setstacksize(&attr, STACK_SIZE);
    while (created < CONTENDERS &&
           pthread_create(&threads[created], &attr, contend, contention) == 0)
        created++;
    pthread_attr_destroy(&attr);
    nanosleep(&window, NULL);
    __atomic_store_n(&contention->is_over, 1, __ATOMIC_RELAXED);
    for (unsigned i = 0; i < created; i++)
        pthread_join(threads[i], NULL);
    if (created < CONTENDERS)
        bench_fail(b, "only %u threads were created", created);
    if (contention->count != contention->locks)
        bench_fail(b, "two held the mutex at once");
    return (double)(bench_now_ns() - start) / (double)contention->locks;
}

static void mutex_contended(struct bench *b)
{
    struct contention plain = {.mutex = PTHREAD_MUTEX_INITIALIZER};
    struct contention timed = {.mutex = PTHREAD_MUTEX_INITIALIZER, .is_timed = true};
    double ns = run_contention(b, &plain);

    (void)run_contention(b, &timed);
    bench_report(b, "ns_per_op", 0, ns);
    bench_report(b, "longest_us", 0, (double)timed.longest_ns / 1e3);
}

enum { READERS_MAX = 1000, OPS_PER_WRITE = 20 };

struct library {
    pthread_rwlock_t lock;
    uint64_t value; /* under the lock, as are the next three when the threads end */
    uint64_t ops;
    uint64_t writes;
    uint64_t threads;
    int is_over; /* atomic */
};

static uint64_t use(struct library *library, uint64_t number, uint64_t count)
{
    uint64_t writes = 0;

    for (uint64_t i = 0; i < count; i++) {
        if ((number + i) % OPS_PER_WRITE == 0) {
            if (pthread_rwlock_wrlock(&library->lock) != 0)
                break;
            library->value++;
            writes++;
        } else {
            if (pthread_rwlock_rdlock(&library->lock) != 0 || library->value == UINT64_MAX)
                break;
        }
        pthread_rwlock_unlock(&library->lock);
    }
    return writes;
}

static void rwlock_alone(struct bench *b)
{
    static struct library library = {.lock = PTHREAD_RWLOCK_INITIALIZER};
    uint64_t before = library.value;
    uint64_t writes;

    bench_start(b);
    writes = use(&library, 0, b->batch);
    bench_stop(b);
    if (writes != (b->batch + OPS_PER_WRITE - 1) / OPS_PER_WRITE ||
        library.value - before != writes)
        bench_fail(b, "some locks failed");
}

static void *use_until_over(void *arg)
{
    struct library *library = arg;
    uint64_t ops = 0;
    uint64_t writes = 0;
    uint64_t number;

    pthread_rwlock_wrlock(&library->lock);
    number = library->threads++;
    pthread_rwlock_unlock(&library->lock);
    while (__atomic_load_n(&library->is_over, __ATOMIC_RELAXED) == 0) {
        writes += use(library, number + ops, 1);
        ops++;
    }
    pthread_rwlock_wrlock(&library->lock);
    library->ops += ops;
    library->writes += writes;
    pthread_rwlock_unlock(&library->lock);
    return NULL;
}

/* glibc's lock prefers readers, unless it is told otherwise. */
static void rwlock_read_mostly(struct bench *b)
{
    static pthread_t threads[READERS_MAX];
    struct library library = {.lock = PTHREAD_RWLOCK_INITIALIZER};
    const struct timespec window = {b->is_quick ? 0 : 1, b->is_quick ? 250000000 : 0};
    uint64_t start = bench_now_ns();
    pthread_attr_t attr;
    unsigned created = 0;

    pthread_attr_init(&attr);
    pthread_attr_setstacksize(&attr, STACK_SIZE);
    while (created < READERS_MAX &&
           pthread_create(&threads[created], &attr, use_until_over, &library) == 0)
        created++;
    pthread_attr_destroy(&attr);
    nanosleep(&window, NULL);
    __atomic_store_n(&library.is_over, 1, __ATOMIC_RELAXED);
    for (unsigned i = 0; i < created; i++)
        pthread_join(threads[i], NULL);
    bench_report(b, "ns_per_op", 0, (double)(bench_now_ns() - start) / (double)library.ops);
    if (created < READERS_MAX)
        bench_fail(b, "only %u threads were created", created);
    if (library.value != library.writes)
        bench_fail(b, "two wrote at once");
}

static void semaphore_uncontended(struct bench *b)
{
    sem_t semaphore;
    uint64_t failures = 0;
    int value = 0;

    sem_init(&semaphore, 0, 1);
    bench_start(b);
    for (uint64_t i = 0; i < b->batch; i++) {
        if (sem_wait(&semaphore) == 0)
            sem_post(&semaphore);
        else
            failures++;
    }
    bench_stop(b);
    sem_getvalue(&semaphore, &value);
    sem_destroy(&semaphore);
    if (failures != 0 || value != 1)
        bench_fail(b, "permits were lost");
}

struct pingpong {
    pthread_mutex_t mutex;
    pthread_cond_t turned;
    uint64_t turn; /* under the mutex; the first player's while it is even */
    uint64_t end;
    uint64_t waits;
};

static void play(struct pingpong *game, uint64_t parity)
{
    pthread_mutex_lock(&game->mutex);
    while (game->turn < game->end) {
        if (game->turn % 2 == parity) {
            game->turn++;
            pthread_cond_signal(&game->turned);
        } else {
            game->waits++;
            pthread_cond_wait(&game->turned, &game->mutex);
        }
    }
    pthread_cond_broadcast(&game->turned);
    pthread_mutex_unlock(&game->mutex);
}

static void *play_second(void *arg)
{
    play(arg, 1);
    return NULL;
}

/* Both threads are on one CPU where the row is measured by scripts/bench.sh. */
static void condvar_pingpong(struct bench *b)
{
    struct pingpong game = {PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, 0, b->batch, 0};
    pthread_t thread;

    bench_start(b);
    if (pthread_create(&thread, NULL, play_second, &game) != 0) {
        bench_fail(b, "no thread");
        return;
    }
    play(&game, 0);
    pthread_join(thread, NULL);
    bench_stop(b);
    if (game.turn != b->batch || game.waits + 2 < b->batch)
        bench_fail(b, "some turns were not waited for");
}

/* barrier.c */
void barrier_cross(struct bench *b);
void condvar_broadcast(struct bench *b);

static const struct bench_case cases[] = {
    {"spawn/join_empty/workers=1", BENCH_NS_PER_OP, 1, 1, 0, spawn_join_empty, NULL},
    {"memory/parked/n=10000", BENCH_BYTES_PER_FIBER, 1, 1, 10000, memory_parked, NULL},
    {"mutex/uncontended", BENCH_NS_PER_OP, 1, 1, 0, mutex_uncontended, NULL},
    {"mutex/contended", BENCH_REPORT, 2, 1, 0, mutex_contended, NULL},
    {"mutex/contended/workers=4", BENCH_REPORT, 4, 1, 0, mutex_contended, NULL},
    {"mutex/contended/workers=8", BENCH_REPORT, 8, 1, 0, mutex_contended, NULL},
    {"rwlock/read_mostly/fibers=1", BENCH_NS_PER_OP, 1, 1, 0, rwlock_alone, NULL},
    {"rwlock/read_mostly/fibers=1000", BENCH_REPORT, 2, 1, 0, rwlock_read_mostly, NULL},
    {"semaphore/uncontended", BENCH_NS_PER_OP, 1, 1, 0, semaphore_uncontended, NULL},
    {"condvar/pingpong", BENCH_NS_PER_OP, 1, 1, 0, condvar_pingpong, NULL},
    {"condvar/broadcast/waiters=100", BENCH_NS_PER_OP, 2, 100, 100, condvar_broadcast, NULL},
    BENCH_OPERATIONS(NULL),
    BENCH_MOVES(NULL),
    BENCH_FILES(NULL),
    BENCH_ROUNDS(NULL),
    {"barrier/cross/parties=2", BENCH_NS_PER_OP, 1, 2, 2, barrier_cross, NULL},
    {"barrier/cross/parties=10", BENCH_NS_PER_OP, 2, 10, 10, barrier_cross, NULL},
    {"barrier/cross/parties=1000", BENCH_NS_PER_OP, 2, 1000, 1000, barrier_cross, NULL},
    BENCH_LOOPS(run_in_pool),
    {"ring/pass/fibers=503/workers=1", BENCH_NS_PER_OP, 1, 1, 0, bench_ring_pass, NULL},
    {"chameneos/meet/creatures=10/workers=1", BENCH_NS_PER_OP, 1, 1, 0, bench_chameneos_meet, NULL},
    {"ring/pass/fibers=503/workers=2", BENCH_NS_PER_OP, 2, 1, 0, bench_ring_pass, NULL},
    {"chameneos/meet/creatures=10/workers=2", BENCH_NS_PER_OP, 2, 1, 0, bench_chameneos_meet, NULL},
    BENCH_ECHO(NULL),
};

int main(int argc, char **argv)
{
    return bench_main(argc, argv, "pthread", cases, sizeof cases / sizeof *cases);
}
