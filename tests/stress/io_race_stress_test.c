/* SPDX-License-Identifier: MIT */
/*
 * Each operation against a cancel or a deadline, and against what completes it, all at any moment:
 * it is done and says so, or is not done; and nothing is written after it has returned.
 *
 * WEFT_STRESS_ROUNDS is the number of races for each operation (scripts/test.sh --long), and
 * WEFT_STRESS_ONLY names a single one.
 */
#define _GNU_SOURCE 1

#include "../support/random.h"
#include "io_races.h"
#include "stress.h"

#include <pthread.h>
#include <string.h>

enum { RACES = TEST_IS_SANITIZED ? 500 : 2500, RACES_WITH_PROCESSES = 50 };

static void check_guards(const struct scene *scene, char in_buffer)
{
    for (size_t i = 0; i < GUARD; i++)
        CHECK(scene->before[i] == 'g' && scene->after[i] == 'g');
    for (size_t i = 0; in_buffer != '\0' && i < LENGTH; i++)
        CHECK_EQ(scene->buffer[i], in_buffer);
}

static int operate(void *arg)
{
    struct scene *scene = arg;

    scene->result = scene->operation->call(scene);
    memcpy(scene->got, scene->buffer, LENGTH);
    check_guards(scene, '\0');
    memset(scene->buffer, 'z', LENGTH); /* from here on it is ours again */
    return 0;
}

static void yield_some(struct random *random)
{
    for (unsigned i = random_below(random, 4); i > 0; i--)
        CHECK_EQ(weft_yield(), 0);
}

static void race_once(struct scene *scene, struct random *random, bool is_stopped)
{
    bool has_deadline = is_stopped && random_below(random, 4) == 0;
    bool is_cancelled = is_stopped && (!has_deadline || random_below(random, 2) == 0);
    bool is_cancelled_first = is_cancelled && random_below(random, 3) == 0;
    weft_fiber *fiber;

    scene->filled = scene->drained = 0;
    if (scene->operation->arrange != NULL)
        scene->operation->arrange(scene);
    scene->deadline = has_deadline ? weft_after(random_below(random, 40) * WEFT_MICROSECOND)
                                   : WEFT_FOREVER;
    fiber = must_spawn(operate, scene);
    yield_some(random);
    if (is_cancelled_first)
        weft_cancel(fiber);
    if (scene->operation->complete != NULL)
        scene->operation->complete(scene);
    yield_some(random);
    if (is_cancelled && !is_cancelled_first)
        weft_cancel(fiber);
    CHECK_EQ(must_join(fiber), 0);
    CHECK(is_stopped || scene->result >= 0);
    scene->operation->settle(scene);
    check_guards(scene, 'z');
}

struct tally {
    uint64_t seed;
    unsigned done[RACE_OPERATIONS], stopped[RACE_OPERATIONS];
};

static void race(struct tally *tally, int which)
{
    const struct operation *operation = race_operation(which);
    struct random random = random_stream(tally->seed, (uint64_t)which);
    struct scene scene = {.operation = operation, .fds = {-1, -1}, .other = {-1, -1}};
    unsigned rounds = stress_rounds(operation->makes_processes ? RACES_WITH_PROCESSES : RACES);

    memset(scene.before, 'g', GUARD);
    memset(scene.after, 'g', GUARD);
    if (operation->begin != NULL)
        operation->begin(&scene);
    for (unsigned i = 0; i < rounds; i++) {
        race_once(&scene, &random, i % 16 != 0);
        tally->done[which] += scene.result >= 0;
        tally->stopped[which] += scene.result < 0;
    }
    if (scene.folder[0] != '\0')
        race_remove_folder(&scene);
    for (int i = 0; i < 2; i++) {
        if (scene.fds[i] >= 0)
            CHECK_EQ(weft_close(scene.fds[i]), 0);
        if (scene.other[i] >= 0)
            CHECK_EQ(weft_close(scene.other[i]), 0);
    }
}

static int race_each(void *arg)
{
    const char *only = getenv("WEFT_STRESS_ONLY");

    for (int i = 0; i < RACE_OPERATIONS; i++)
        if (only == NULL || strcmp(only, race_operation(i)->name) == 0)
            race(arg, i);
    return 0;
}

/* Nothing is lost, done twice, or done and not said.  The run ends with as many operations
 * completed as were submitted, and with the descriptors that it began with. */
WORKER_TEST(io_race_stress, a_stopped_operation_is_done_or_is_not, 4 * STRESS_TIMEOUT_S)
{
    struct tally tally = {.seed = random_seed("io_race_stress")};
    sigset_t set = race_signals();

    cr_assert_eq(pthread_sigmask(SIG_BLOCK, &set, NULL), 0);
    cr_expect_eq(run_workers(*workers, race_each, &tally), 0);
    for (int i = 0; i < RACE_OPERATIONS; i++)
        cr_log_info("%-12s %7u done, %7u stopped", race_operation(i)->name, tally.done[i],
                    tally.stopped[i]);
    for (int i = 0; i < RACE_OPERATIONS && getenv("WEFT_STRESS_ONLY") == NULL; i++) {
        cr_expect_gt(tally.done[i], 0, "%s", race_operation(i)->name);
        cr_expect_gt(tally.stopped[i], 0, "%s", race_operation(i)->name);
    }
}
