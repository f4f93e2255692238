/* SPDX-License-Identifier: MIT */
/* Threads that are woken many at once; as in main.c, below is only what differs from weft. */
#include "harness/bench.h"

#include <pthread.h>

enum { STACK_SIZE = 64 * 1024, PARTIES_MAX = 1000 };

static unsigned create_all(pthread_t *threads, unsigned count, void *(*fn)(void *), void *arg)
{
    pthread_attr_t attr;
    unsigned created = 0;

    pthread_attr_init(&attr);
    pthread_attr_setstacksize(&attr, STACK_SIZE);
    while (created < count && pthread_create(&threads[created], &attr, fn, arg) == 0)
        created++;
    pthread_attr_destroy(&attr);
    return created;
}

struct march {
    struct bench *bench;
    pthread_barrier_t barrier;
    uint64_t steps; /* that are timed; one more comes before them */
    uint64_t serials;
};

static void *march_along(void *arg)
{
    struct march *march = arg;

    for (uint64_t i = 0; i <= march->steps; i++) {
        if (pthread_barrier_wait(&march->barrier) != PTHREAD_BARRIER_SERIAL_THREAD)
            continue;
        __atomic_fetch_add(&march->serials, 1, __ATOMIC_RELAXED);
        if (i == 0)
            bench_start(march->bench);
        if (i == march->steps)
            bench_stop(march->bench);
    }
    return NULL;
}

/* The kernel runs the threads on whichever of the CPUs it likes that the row has: one for two
 * parties, else two. */
void barrier_cross(struct bench *b)
{
    static pthread_t threads[PARTIES_MAX];
    unsigned parties = (unsigned)b->spec->parameter;
    static struct march march;

    march.bench = b;
    march.steps = b->batch;
    march.serials = 0;
    pthread_barrier_init(&march.barrier, NULL, parties);
    if (create_all(threads, parties, march_along, &march) < parties) {
        bench_fail(b, "not all threads were created"); /* the others wait for ever: leave them */
        return;
    }
    for (unsigned i = 0; i < parties; i++)
        pthread_join(threads[i], NULL);
    pthread_barrier_destroy(&march.barrier);
    if (march.serials != b->batch + 1)
        bench_fail(b, "not all crossings took place");
}

struct audience {
    pthread_mutex_t mutex;
    pthread_cond_t changed;
    pthread_cond_t assembled;
    uint64_t rounds; /* that are timed; one more comes after them */
    uint64_t round;  /* under the mutex, as are the next two */
    uint64_t waiting;
    uint64_t woken;
    unsigned count;
};

static void *listen_to(void *arg)
{
    struct audience *audience = arg;

    pthread_mutex_lock(&audience->mutex);
    for (uint64_t i = 0; i <= audience->rounds; i++) {
        if (++audience->waiting == audience->count)
            pthread_cond_signal(&audience->assembled);
        while (audience->round == i)
            pthread_cond_wait(&audience->changed, &audience->mutex);
        audience->woken++;
    }
    pthread_mutex_unlock(&audience->mutex);
    return NULL;
}

/* Times from where all wait for the first time until they do so for the last. */
static void address(struct bench *b, struct audience *audience)
{
    pthread_mutex_lock(&audience->mutex);
    while (audience->round <= audience->rounds) {
        while (audience->waiting < audience->count)
            pthread_cond_wait(&audience->assembled, &audience->mutex);
        if (audience->round == 0)
            bench_start(b);
        if (audience->round == audience->rounds)
            bench_stop(b);
        audience->waiting = 0;
        audience->round++;
        pthread_cond_broadcast(&audience->changed);
    }
    pthread_mutex_unlock(&audience->mutex);
}

void condvar_broadcast(struct bench *b)
{
    static pthread_t threads[PARTIES_MAX];
    static struct audience audience;

    audience = (struct audience){.mutex = PTHREAD_MUTEX_INITIALIZER,
                                 .changed = PTHREAD_COND_INITIALIZER,
                                 .assembled = PTHREAD_COND_INITIALIZER,
                                 .rounds = b->batch};
    audience.count = (unsigned)b->spec->parameter;
    if (create_all(threads, audience.count, listen_to, &audience) < audience.count) {
        bench_fail(b, "not all threads were created");
        return;
    }
    address(b, &audience);
    for (unsigned i = 0; i < audience.count; i++)
        pthread_join(threads[i], NULL);
    if (audience.woken != (b->batch + 1) * audience.count)
        bench_fail(b, "some were not woken");
}
