/* SPDX-License-Identifier: MIT */
#include "history.h"

#include "check.h"

#include <stdlib.h>
#include <string.h>

enum { CONFIGURATIONS_MAX = 1 << 18 };

struct configuration {
    uint64_t done; /* the operations so far, one bit each; 0: an empty slot */
    struct history_state state;
};

struct search {
    const struct history *history;
    history_model *model;
    uint64_t all;
    struct configuration *seen; /* a hash table, open */
    size_t slots;               /* a power of two */
    size_t count;
};

void history_add_part(struct history *history, uint64_t called, uint64_t returned, int kind,
                      int actor, int value)
{
    unsigned index = atomic_fetch_add(&history->count, 1);

    CHECK(index < HISTORY_OPS_MAX);
    history->ops[index] = (struct history_op){called, returned, kind, actor, value};
}

void history_add(struct history *history, uint64_t called, int kind, int actor, int value)
{
    history_add_part(history, called, atomic_fetch_add(&history->clock, 1), kind, actor, value);
}

static size_t hash_of(uint64_t done, const struct history_state *state)
{
    uint64_t hash = done;

    /* FNV-1a, a word at a time. */
    for (int i = 0; i < HISTORY_STATE_WORDS; i++)
        hash = (hash ^ (uint64_t)(uint32_t)state->words[i]) * UINT64_C(0x100000001b3);
    return (size_t)(hash ^ (hash >> 29));
}

static struct configuration *find(struct search *search, uint64_t done,
                                  const struct history_state *state)
{
    size_t slot = hash_of(done, state) & (search->slots - 1);

    while (search->seen[slot].done != 0 &&
           (search->seen[slot].done != done ||
            memcmp(&search->seen[slot].state, state, sizeof *state) != 0))
        slot = (slot + 1) & (search->slots - 1);
    return &search->seen[slot];
}

static void grow(struct search *search)
{
    struct configuration *old = search->seen;
    size_t slots = search->slots;

    search->slots *= 2;
    search->seen = calloc(search->slots, sizeof *search->seen);
    CHECK(search->seen != NULL);
    for (size_t i = 0; i < slots; i++)
        if (old[i].done != 0)
            *find(search, old[i].done, &old[i].state) = old[i];
    free(old);
}

/* Returns false if the search has been here before. */
static bool remember(struct search *search, uint64_t done, const struct history_state *state)
{
    struct configuration *slot;

    if (done == 0)
        return true;
    if (search->count * 2 >= search->slots)
        grow(search);
    slot = find(search, done, state);
    if (slot->done != 0)
        return false;
    slot->done = done;
    slot->state = *state;
    search->count++;
    return true;
}

static bool is_done(uint64_t done, unsigned index)
{
    return (done >> index & 1) != 0;
}

/* What was called after another had returned cannot come before that one. */
static uint64_t first_return(const struct search *search, unsigned count, uint64_t done)
{
    uint64_t first = UINT64_MAX;

    for (unsigned i = 0; i < count; i++)
        if (!is_done(done, i) && search->history->ops[i].returned < first)
            first = search->history->ops[i].returned;
    return first;
}

static enum history_verdict go_on(struct search *search, uint64_t done,
                                  const struct history_state *state)
{
    unsigned count = atomic_load(&search->history->count);
    enum history_verdict verdict = HISTORY_WRONG;
    uint64_t limit;

    if (done == search->all)
        return HISTORY_EXPLAINED;
    if (search->count == CONFIGURATIONS_MAX)
        return HISTORY_UNDECIDED;
    if (!remember(search, done, state))
        return HISTORY_WRONG;
    limit = first_return(search, count, done);
    for (unsigned i = 0; i < count && verdict == HISTORY_WRONG; i++) {
        struct history_state next = *state;

        if (!is_done(done, i) && search->history->ops[i].called < limit &&
            search->model(&next, &search->history->ops[i]))
            verdict = go_on(search, done | UINT64_C(1) << i, &next);
    }
    return verdict;
}

enum history_verdict history_check(const struct history *history,
                                   const struct history_state *initial, history_model *model)
{
    struct search search = {.history = history, .model = model, .slots = 1024};
    unsigned count = atomic_load(&history->count);
    enum history_verdict verdict;

    CHECK(count <= HISTORY_OPS_MAX);
    search.all = count == 64 ? UINT64_MAX : (UINT64_C(1) << count) - 1;
    search.seen = calloc(search.slots, sizeof *search.seen);
    CHECK(search.seen != NULL);
    verdict = go_on(&search, 0, initial);
    free(search.seen);
    return verdict;
}

void history_print(const struct history *history, FILE *out)
{
    unsigned count = atomic_load(&history->count);

    for (unsigned i = 0; i < count && i < HISTORY_OPS_MAX; i++) {
        const struct history_op *op = &history->ops[i];

        fprintf(out, "  from %llu to %llu: actor %d, kind %d, value %d\n",
                (unsigned long long)op->called, (unsigned long long)op->returned, op->actor,
                op->kind, op->value);
    }
}
