/* SPDX-License-Identifier: MIT */
/* Threads that pass something on.  Questions and methods are those of weft's benchmarks of the same
 * names; a POSIX semaphore, the quickest that glibc has, stands for a channel. */
#include "ring.h"

#include "harness/chameneos.h"

#include <limits.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdlib.h>

enum { RING = 503, STACK_SIZE = 64 * 1024 };

static struct place {
    sem_t in;
    uint64_t token;
    uint64_t passed;
} places[RING];
static sem_t done;
static const uint64_t last_token = UINT64_MAX;

static void give(struct place *place, uint64_t token)
{
    place->token = token;
    sem_post(&place->in);
}

static void *pass_on(void *arg)
{
    struct place *place = arg;
    struct place *next = &places[(size_t)(place + 1 - places) % RING];

    for (;;) {
        uint64_t token;

        while (sem_wait(&place->in) != 0)
            continue;
        token = place->token;
        if (token == last_token)
            return NULL;
        place->passed++;
        if (token > 0)
            give(next, token - 1);
        else
            sem_post(&done);
    }
}

/* A thread that is missing would make the others wait for ever. */
static void start_all(pthread_t *threads, int count, void *(*run)(void *), void *first, size_t size)
{
    pthread_attr_t attr;

    pthread_attr_init(&attr);
    pthread_attr_setstacksize(&attr, STACK_SIZE);
    for (int i = 0; i < count; i++)
        if (pthread_create(&threads[i], &attr, run, (char *)first + (size_t)i * size) != 0)
            abort();
    pthread_attr_destroy(&attr);
}

void bench_ring_pass(struct bench *b)
{
    pthread_t threads[RING];
    uint64_t passed = 0;

    sem_init(&done, 0, 0);
    for (int i = 0; i < RING; i++) {
        sem_init(&places[i].in, 0, 0);
        places[i].passed = 0;
    }
    start_all(threads, RING, pass_on, places, sizeof *places);
    bench_start(b);
    give(&places[0], b->batch);
    while (sem_wait(&done) != 0)
        continue;
    bench_stop(b);
    for (int i = 0; i < RING; i++) {
        give(&places[i], last_token);
        pthread_join(threads[i], NULL);
        passed += places[i].passed;
    }
    if (passed != b->batch + 1)
        bench_fail(b, "%llu passes", (unsigned long long)passed);
}

static struct mall {
    pthread_mutex_t mutex;
    uint64_t left;
    struct creature *waiting;
} mall = {.mutex = PTHREAD_MUTEX_INITIALIZER};

struct creature {
    sem_t met;
    int colour;
    uint64_t meetings;
};

static void *go_to_the_mall(void *arg)
{
    struct creature *self = arg;

    for (;;) {
        struct creature *other;

        pthread_mutex_lock(&mall.mutex);
        if (mall.left == 0) {
            pthread_mutex_unlock(&mall.mutex);
            return NULL;
        }
        self->meetings++;
        other = mall.waiting;
        mall.waiting = other ? NULL : self;
        if (other) {
            mall.left--;
            self->colour = other->colour = chameneos_complement(self->colour, other->colour);
        }
        pthread_mutex_unlock(&mall.mutex);
        if (other)
            sem_post(&other->met);
        else
            while (sem_wait(&self->met) != 0)
                continue;
    }
}

void bench_chameneos_meet(struct bench *b)
{
    struct creature creatures[CHAMENEOS_CREATURES];
    pthread_t threads[CHAMENEOS_CREATURES];
    uint64_t meetings = 0;

    mall.left = b->batch;
    mall.waiting = NULL;
    for (int i = 0; i < CHAMENEOS_CREATURES; i++) {
        creatures[i] = (struct creature){.colour = i % CHAMENEOS_COLOURS};
        sem_init(&creatures[i].met, 0, 0);
    }
    bench_start(b);
    start_all(threads, CHAMENEOS_CREATURES, go_to_the_mall, creatures, sizeof *creatures);
    for (int i = 0; i < CHAMENEOS_CREATURES; i++) {
        pthread_join(threads[i], NULL);
        meetings += creatures[i].meetings;
    }
    bench_stop(b);
    if (meetings != 2 * b->batch)
        bench_fail(b, "%llu meetings", (unsigned long long)meetings);
}
