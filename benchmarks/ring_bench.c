/* SPDX-License-Identifier: MIT */
#define WEFT_LOCK_CHECKS 0 /* as in a program that is built for speed */

#include "harness/chameneos.h"
#include "weft_bench.h"

#include <weft.h>

enum { RING = 503 };

WEFT_CHANNEL_DEFINE(tokens, uint64_t)

struct ring {
    struct place {
        tokens in;
        tokens *out;
        tokens *done;
        uint64_t passed;
    } places[RING];
    tokens done;
};

/* The token counts down; who gets zero ends the round. */
static int pass_on(void *arg)
{
    struct place *place = arg;
    uint64_t token;

    while (tokens_receive(&place->in, &token, WEFT_FOREVER) == 0) {
        place->passed++;
        if (tokens_send(token > 0 ? place->out : place->done, token > 0 ? token - 1 : 0,
                        WEFT_FOREVER) != 0)
            return -1;
    }
    return 0;
}

/*
 * ring/pass/fibers=503/workers=1, workers=2
 *
 * Question  What does it cost to hand something on when only one of many fibers can run?
 * Method    503 fibers in a ring, each waits for a number on its channel and sends one less to the
 *           next; b->batch passes.
 * Includes  an unbuffered channel's send and receive and a switch, for each pass.
 * Excludes  starting and ending the fibers.
 * Distrust  workers=2: the second has nothing to do, and what it shows is what its presence costs.
 *           A pass that is lost fails.
 */
void bench_ring_pass(struct bench *b)
{
    static struct ring ring;
    weft_fiber *fibers[RING];
    uint64_t passed = 0, token = 0;
    int started = 0, errors;

    ring.done = (tokens){WEFT_CHANNEL_INIT(uint64_t, NULL, 0)};
    for (int i = 0; i < RING; i++)
        ring.places[i] = (struct place){
            {WEFT_CHANNEL_INIT(uint64_t, NULL, 0)}, &ring.places[(i + 1) % RING].in, &ring.done, 0};
    while (started < RING && weft_spawn(&fibers[started], pass_on, &ring.places[started]) == 0)
        started++;
    errors = started < RING;
    if (!errors) {
        bench_start(b);
        errors += tokens_send(&ring.places[0].in, b->batch, WEFT_FOREVER) != 0;
        errors += tokens_receive(&ring.done, &token, WEFT_FOREVER) != 0;
        bench_stop(b);
    }
    for (int i = 0; i < started; i++)
        tokens_close(&ring.places[i].in);
    for (int i = 0; i < started; i++) {
        errors += weft_join(fibers[i], NULL, WEFT_FOREVER) != 0;
        passed += ring.places[i].passed;
    }
    if (errors != 0 || passed != b->batch + 1)
        bench_fail(b, "%llu passes, %d errors", (unsigned long long)passed, errors);
}

struct mall {
    weft_mutex mutex;
    uint64_t left; /* meetings to come */
    struct creature *waiting;
};

struct creature {
    struct mall *mall;
    weft_semaphore met; /* released by whom it met while it waited */
    int colour;
    uint64_t meetings;
};

static int go_to_the_mall(void *arg)
{
    struct creature *self = arg;
    struct mall *mall = self->mall;

    for (;;) {
        struct creature *other;

        if (weft_mutex_lock(&mall->mutex, WEFT_FOREVER) != 0)
            return -1;
        if (mall->left == 0) {
            weft_mutex_unlock(&mall->mutex);
            return 0;
        }
        self->meetings++;
        other = mall->waiting;
        mall->waiting = other ? NULL : self;
        if (other) {
            mall->left--;
            self->colour = other->colour = chameneos_complement(self->colour, other->colour);
        }
        weft_mutex_unlock(&mall->mutex);
        if (other)
            weft_semaphore_release(&other->met, 1);
        else if (weft_semaphore_acquire(&self->met, 1, WEFT_FOREVER) != 0)
            return -1;
    }
}

/*
 * chameneos/meet/creatures=10/workers=1, workers=2
 *
 * Question  What does a meeting of two of many cost, where nobody knows whom it will meet?
 * Method    ten creatures of three colours come to one place until b->batch pairs have met: the
 *           first of a pair waits for the second, who changes the colours of both (C. Kaiser and
 *           J.-F. Pradat-Peyre, Chameneos, a concurrency game, 2003).
 * Includes  two locks of one mutex and one wait and wake, for each meeting.
 * Excludes  nothing.
 * Distrust  workers=2 on fewer than two free cores.  A meeting that is lost fails.
 */
void bench_chameneos_meet(struct bench *b)
{
    struct mall mall = {WEFT_MUTEX_INIT, b->batch, NULL};
    struct creature creatures[CHAMENEOS_CREATURES];
    weft_fiber *fibers[CHAMENEOS_CREATURES];
    uint64_t meetings = 0;
    int errors = 0;

    for (int i = 0; i < CHAMENEOS_CREATURES; i++)
        creatures[i] = (struct creature){&mall, WEFT_SEMAPHORE_INIT(0), i % CHAMENEOS_COLOURS, 0};
    bench_start(b);
    for (int i = 0; i < CHAMENEOS_CREATURES; i++)
        errors += weft_spawn(&fibers[i], go_to_the_mall, &creatures[i]) != 0;
    for (int i = 0; i < CHAMENEOS_CREATURES; i++) {
        errors += weft_join(fibers[i], NULL, WEFT_FOREVER) != 0;
        meetings += creatures[i].meetings;
    }
    bench_stop(b);
    if (errors != 0 || meetings != 2 * b->batch)
        bench_fail(b, "%llu meetings, %d errors", (unsigned long long)meetings, errors);
}
