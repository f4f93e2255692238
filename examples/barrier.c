/* SPDX-License-Identifier: MIT */
/* Heat in a rod, computed by four fibers, each with a part of its own.  A barrier keeps them in
 * step: nobody reads what a neighbour has not written yet, or writes what it has not read yet.  One
 * that cannot go on breaks the barrier, and the others learn of it; then all begin again. */
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <weft.h>

enum { FIBERS = 4, CELLS = 64, PART = CELLS / FIBERS, STEPS = 500 };

static weft_barrier step_is_done = WEFT_BARRIER_INIT(FIBERS);
static double rods[2][CELLS + 2]; /* the ends are kept at 100 and 0 degrees */
static int steps_reported;
static int failing_step; /* of the first part, for the sake of the example */

static int compute_part(void *arg)
{
    int first = (int)(intptr_t)arg;
    int result = 0;

    for (int step = 0; step < STEPS && result >= 0; step++) {
        const double *old = rods[step % 2];
        double *rod = rods[(step + 1) % 2];

        if (first == 1 && step == failing_step) {
            weft_barrier_break(&step_is_done); /* nobody waits for this one any more */
            return -EIO;
        }
        for (int i = first; i < first + PART; i++)
            rod[i] = old[i] + 0.4 * (old[i - 1] - 2 * old[i] + old[i + 1]);
        result = weft_barrier_wait(&step_is_done, weft_after(10 * WEFT_SECOND));
        /* One of the four gets another value than the rest, and does what is to be done once. */
        if (result == WEFT_BARRIER_SERIAL)
            steps_reported++;
    }
    return result;
}

static int compute(void)
{
    weft_scope parts = WEFT_SCOPE_INIT;
    int error = 0;

    for (int j = 0; j < 2; j++)
        for (int i = 0; i <= CELLS; i++)
            rods[j][i] = i == 0 ? 100 : 0;
    steps_reported = 0;
    for (int i = 0; i < FIBERS && error == 0; i++)
        error = weft_scope_spawn(&parts, compute_part, (void *)(intptr_t)(1 + PART * i));
    return weft_scope_close(&parts, error);
}

static int app(void *arg)
{
    int error;

    (void)arg;
    failing_step = STEPS / 2;
    error = compute();
    printf("the first attempt: %d, after %d steps\n", error, steps_reported);
    if (error == 0 || !weft_barrier_is_broken(&step_is_done))
        return -EIO;
    weft_barrier_reset(&step_is_done); /* all have come back, so nobody arrives by mistake */
    failing_step = -1;
    error = compute();
    for (int i = 0; i <= CELLS && error == 0; i += PART)
        printf("%5.1f\n", rods[STEPS % 2][i]);
    return error;
}

/* Heat flows one way: each cell is warmer than the next. */
static int is_plausible(void)
{
    const double *rod = rods[STEPS % 2];

    for (int i = 0; i <= CELLS; i++)
        if (rod[i] < rod[i + 1])
            return 0;
    return steps_reported == STEPS && rod[1] > 90 && rod[1] < 100;
}

int main(void)
{
    return weft_run(NULL, app, NULL) < 0 || !is_plausible();
}
