/* SPDX-License-Identifier: MIT */
#include "weft_bench.h"

#include <weft.h>

enum { MEMBERS = 100 };

static int count_one(void *arg)
{
    ++*(uint64_t *)arg;
    return 0;
}

/*
 * scope/spawn_join_100
 *
 * Question  What does a member of a group cost that is spawned, run and waited for together?
 * Method    b->batch scopes one after the other, each with 100 fibers that count; per fiber.
 * Includes  making the scope, spawn, run and end of each fiber, one park of the owner per scope.
 * Excludes  page faults and stack mapping (the warm-up pays them), a second worker.
 * Distrust  nothing in particular; a wrong count fails the run.
 */
void bench_scope_spawn_join(struct bench *b)
{
    uint64_t ran = 0;

    bench_start(b);
    for (uint64_t i = 0; i < b->batch; i++) {
        weft_scope scope = WEFT_SCOPE_INIT;
        int error = 0;

        for (int j = 0; j < MEMBERS && error == 0; j++)
            error = weft_scope_spawn(&scope, count_one, &ran);
        if (weft_scope_close(&scope, error) != 0)
            bench_fail(b, "a spawn failed: %d", error);
    }
    bench_stop(b);
    if (ran != b->batch * MEMBERS)
        bench_fail(b, "some fibers did not run");
}
