/* SPDX-License-Identifier: MIT */
/*
 * Loops over ranges, by lazy binary splitting (Tzannes, Caragea, Barua and Vishkin, PPoPP 2010): a
 * range is worked off piece by piece, and before each piece its second half is forked if somebody
 * wants work and there is nothing else for him.  So a loop that nobody helps with divides nothing.
 */
#include "runtime/model.h"

#include <errno.h>
#include <string.h>
#include <weft/task.h>

/* Of what is left of a range, how much is done without a look at who wants work: so much of an
 * even share may be waited for in vain at the end. */
enum { PIECES = 64 };

struct range {
    size_t begin, end, grain;
};

struct loop {
    struct range range;
    void (*fn)(size_t begin, size_t end, void *arg);
    void *arg;
};

struct fold {
    struct range range;
    const struct weft_reduction *how;
    void *value;
};

/* The end of the piece to do next. */
static size_t piece_end(const struct range *range)
{
    size_t left = range->end - range->begin;
    size_t piece = range->grain != 0 ? range->grain : left / PIECES + 1;

    return piece < left ? range->begin + piece : range->end;
}

/* Cuts the second half off, if it is to be forked now.  Returns false if not. */
static bool halve(weft_team team, struct range *range, struct range *half)
{
    size_t middle;

    if (piece_end(range) == range->end || !wf_task_is_wanted(team))
        return false;
    middle = range->begin + (range->end - range->begin) / 2;
    *half = (struct range){middle, range->end, range->grain};
    range->end = middle;
    return true;
}

WEFT_TASK_VOID(run_loop, struct loop)

static void run_loop(weft_team team, struct loop loop)
{
    struct run_loop_task second;
    struct loop half = loop;

    while (loop.range.begin < loop.range.end) {
        size_t end;

        if (halve(team, &loop.range, &half.range)) {
            run_loop_fork(&team, &second, half);
            run_loop(team, loop);
            run_loop_join(&team, &second);
            return;
        }
        end = piece_end(&loop.range);
        loop.fn(loop.range.begin, end, loop.arg);
        loop.range.begin = end;
    }
}

void weft_parallel_for(size_t begin, size_t end, size_t grain,
                       void (*fn)(size_t begin, size_t end, void *arg), void *arg)
{
    if (begin < end)
        run_loop_call((struct loop){{begin, end, grain}, fn, arg});
}

WEFT_TASK_VOID(run_fold, struct fold)

/* Forks the second half with a value of its own and adds that to ours: in a function of its own, so
 * that only a range that is halved needs room for a value. */
WF_NOINLINE static void fold_halves(weft_team team, struct fold fold, struct range half)
{
    _Alignas(max_align_t) char value[WEFT_REDUCE_SIZE_MAX];
    struct run_fold_task second;

    memcpy(value, fold.how->identity, fold.how->size);
    run_fold_fork(&team, &second, (struct fold){half, fold.how, value});
    run_fold(team, fold);
    run_fold_join(&team, &second);
    fold.how->combine(fold.value, value, fold.how->arg);
}

static void run_fold(weft_team team, struct fold fold)
{
    while (fold.range.begin < fold.range.end) {
        struct range half;
        size_t end;

        if (halve(team, &fold.range, &half)) {
            fold_halves(team, fold, half);
            return;
        }
        end = piece_end(&fold.range);
        fold.how->fold(fold.value, fold.range.begin, end, fold.how->arg);
        fold.range.begin = end;
    }
}

static bool overlap(const void *a, const void *b, size_t size)
{
    return (uintptr_t)a - (uintptr_t)b < size || (uintptr_t)b - (uintptr_t)a < size;
}

/* The result is the identity, which halves that are forked later want as it was.  A function of its
 * own, as few need the room. */
WF_NOINLINE static void fold_into_identity(struct fold fold)
{
    _Alignas(max_align_t) char identity[WEFT_REDUCE_SIZE_MAX];
    struct weft_reduction how = *fold.how;

    memcpy(identity, fold.value, how.size);
    how.identity = identity;
    fold.how = &how;
    run_fold_call(fold);
}

int weft_parallel_reduce(size_t begin, size_t end, size_t grain, const struct weft_reduction *how,
                         void *result)
{
    struct fold fold = {{begin, end, grain}, how, result};
    bool is_shared;

    if (how->size == 0 || how->size > WEFT_REDUCE_SIZE_MAX)
        return -EINVAL;
    is_shared = overlap(how->identity, result, how->size);
    memmove(result, how->identity, how->size);
    if (begin < end && is_shared)
        fold_into_identity(fold);
    else if (begin < end)
        run_fold_call(fold);
    return 0;
}
