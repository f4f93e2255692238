/* SPDX-License-Identifier: MIT */
/* libuv beside weft.  Questions and methods are those of weft's benchmarks of the same names; below
 * is only what differs. */
#include "harness/bench.h"
#include "harness/echo_rows.h"
#include "harness/io_rows.h"
#include "libuv.h"

#include <stdlib.h>
#include <uv.h>

enum { ARMED = 1000000, SPARES = 1024, TIMES = 4096 };

static unsigned fired;

static void note_fired(uv_timer_t *timer)
{
    (void)timer;
    fired++;
}

static uint64_t random_ms(uint64_t *state)
{
    *state = *state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return ((*state >> 16) % 3600 + 60) * 1000;
}

/* The loop never runs: what is measured is its heap of timers. */
static uv_timer_t *arm_crowd(uv_loop_t *loop, uint64_t *state)
{
    uv_timer_t *timers = calloc(ARMED + SPARES, sizeof *timers);

    for (unsigned i = 0; timers != NULL && i < ARMED + SPARES; i++) {
        uv_timer_init(loop, &timers[i]);
        if (i < ARMED)
            uv_timer_start(&timers[i], note_fired, random_ms(state), 0);
    }
    return timers;
}

static void timer_arm_cancel(struct bench *b)
{
    static uv_timer_t *timers; /* the same for all samples */
    static uint64_t times[TIMES];
    uint64_t state = 1, armed = 0;

    if (timers == NULL) {
        timers = arm_crowd(uv_default_loop(), &state);
        for (unsigned i = 0; i < TIMES; i++)
            times[i] = random_ms(&state);
    }
    if (timers == NULL) {
        bench_fail(b, "no memory");
        return;
    }
    bench_start(b);
    for (uint64_t i = 0; i < b->batch; i++) {
        uv_timer_t *timer = &timers[ARMED + i % SPARES];

        uv_timer_start(timer, note_fired, times[i % TIMES], 0);
        armed += (uint64_t)uv_is_active((uv_handle_t *)timer);
        uv_timer_stop(timer);
    }
    bench_stop(b);
    if (armed != b->batch || fired != 0)
        bench_fail(b, "some timers were not armed, or fired");
}

/* Starting an active timer again moves it; the loop's clock is not read for it. */
static void timer_extend(struct bench *b)
{
    uv_timer_t timer;

    uv_timer_init(uv_default_loop(), &timer);
    uv_timer_start(&timer, note_fired, 3600 * 1000, 0);
    bench_start(b);
    for (uint64_t i = 0; i < b->batch; i++)
        uv_timer_start(&timer, note_fired, 3600 * 1000 + i, 0);
    bench_stop(b);
    if (!uv_is_active((uv_handle_t *)&timer) || uv_timer_get_due_in(&timer) < 3600 * 1000)
        bench_fail(b, "the timer was not moved");
    uv_timer_stop(&timer);
    uv_close((uv_handle_t *)&timer, NULL);
    uv_run(uv_default_loop(), UV_RUN_NOWAIT);
}

static const struct bench_case cases[] = {
    {"timer/arm_cancel", BENCH_NS_PER_OP, 1, 1, 0, timer_arm_cancel, NULL},
    {"timer/extend", BENCH_NS_PER_OP, 1, 1, 0, timer_extend, NULL},
    BENCH_ECHO_MANY(NULL),
    BENCH_ROUNDS(NULL),
};

int main(int argc, char **argv)
{
    return bench_main(argc, argv, "libuv", cases, sizeof cases / sizeof *cases);
}
