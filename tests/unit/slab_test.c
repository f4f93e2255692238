/* SPDX-License-Identifier: MIT */
/* runtime/slab.c: memory of stacks that nobody needs goes back, and comes again. */
#define _GNU_SOURCE 1

#include "runtime/stack.h"

#include "../support/child.h"

#include <criterion/criterion.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "fixture.h"

enum { TIMEOUT_S = 120, RECORD = 200, MANY = 1000, GUARD_HIT = 42 };

static const uint32_t one_group = 0;

struct depot {
    struct wf_stack_depot depot;
    struct wf_stack_cache cache;
    struct wf_stack *stacks[MANY];
};

static void set_up(struct depot *self, enum wf_guard guard)
{
    memset(self, 0, sizeof *self);
    cr_assert_eq(wf_stack_depot_init(&self->depot, RECORD, guard, 1, &one_group), 0);
}

static void take(struct depot *self, int first, int end)
{
    for (int i = first; i < end; i++) {
        self->stacks[i] = wf_stack_alloc(&self->depot, &self->cache, 0);
        cr_assert_not_null(self->stacks[i]);
        ((volatile char *)self->stacks[i])[-1] = 1;
    }
}

static void give(struct depot *self, int first, int end)
{
    for (int i = first; i < end; i++)
        wf_stack_free(&self->depot, &self->cache, self->stacks[i]);
}

static void review_and_trim(struct depot *self, bool all)
{
    wf_stack_review(&self->depot, all);
    while (wf_stack_trim(&self->depot, 1))
        ;
}

static void trim_all(struct depot *self)
{
    wf_stack_flush(&self->depot, &self->cache, true);
    review_and_trim(self, true);
    cr_expect(wf_stack_is_trimmed(&self->depot));
}

static bool has_memory(const struct depot *self, const void *record)
{
    uintptr_t page = (uintptr_t)record / self->depot.page_size * self->depot.page_size;
    unsigned char resident = 0;

    cr_assert_eq(mincore((void *)page, 1, &resident), 0);
    return (resident & 1) != 0;
}

/* Whether the page below a stack's record has memory. */
static bool is_resident(const struct depot *self, int i)
{
    return has_memory(self, self->stacks[i]);
}

static int count_resident(const struct depot *self, int first, int end)
{
    int count = 0;

    for (int i = first; i < end; i++)
        count += is_resident(self, i);
    return count;
}

static uint32_t free_stacks(struct depot *self)
{
    return wf_shelf_count(&self->depot.groups[0].shelves[0]);
}

/* A process must not keep the memory of its busiest moment; in slabs that are still used the free
 * stacks give their pages back one by one. */
Test(slab, free_stacks_lose_their_memory_and_used_ones_keep_it, .timeout = TIMEOUT_S)
{
    static struct depot self;

    set_up(&self, WF_GUARD_AUTO);
    take(&self, 0, MANY);
    cr_expect_eq(count_resident(&self, 0, MANY), MANY);
    for (int i = 0; i < MANY; i++)
        if (i % 10 != 0 || i > 500)
            give(&self, i, i + 1);
    trim_all(&self);
    for (int i = 0; i < MANY; i++)
        cr_assert_eq(is_resident(&self, i), i % 10 == 0 && i <= 500, "stack %d", i);
    for (int i = 0; i <= 500; i += 10)
        cr_assert_eq(((volatile char *)self.stacks[i])[-1], 1, "stack %d lost its contents", i);
    wf_stack_depot_destroy(&self.depot);
}

/* Late readers look at records of fibers that have ended: what they find must say that nobody waits
 * there, and must be there at all. */
Test(slab, records_without_memory_read_as_zeros, .timeout = TIMEOUT_S)
{
    static const char zeros[RECORD];
    static struct depot self;

    set_up(&self, WF_GUARD_AUTO);
    take(&self, 0, MANY);
    give(&self, 1, MANY);
    trim_all(&self);
    for (int i = 1; i < MANY; i++)
        cr_assert_eq(memcmp(self.stacks[i], zeros, RECORD), 0, "stack %d", i);
    wf_stack_depot_destroy(&self.depot);
}

/* What comes back is complete: usable to its last byte, guarded and counted. */
static void expect_reusable(enum wf_guard guard)
{
    static struct depot self;

    set_up(&self, guard);
    for (int round = 0; round < 3; round++) {
        take(&self, 0, MANY);
        for (int i = 0; i < MANY; i++) {
            struct wf_stack *stack = self.stacks[i];
            char *bottom = wf_stack_bottom(&self.depot, stack);

            cr_assert_eq(stack->guard, guard);
            cr_assert(wf_stack_is_intact(&self.depot, stack));
            bottom[64] = 1;
            for (int j = 0; j < i && i < 100; j++)
                cr_assert_neq(stack, self.stacks[j]);
        }
        /* Some stay in use: cold stacks among them, and bare slabs beside them. */
        give(&self, round == 1 ? 0 : 32, MANY);
        trim_all(&self);
        if (round != 1)
            give(&self, 0, 32);
    }
    wf_stack_depot_destroy(&self.depot);
}

Test(slab, guard_markers_survive, .timeout = TIMEOUT_S)
{
    if (wf_stack_guard_probe() != WF_GUARD_MARKER)
        cr_skip_test("this kernel has no guard markers (Linux 6.13)");
    expect_reusable(WF_GUARD_MARKER);
}

Test(slab, guard_mappings_survive, .timeout = TIMEOUT_S)
{
    expect_reusable(WF_GUARD_MAPPING);
}

Test(slab, canaries_survive, .timeout = TIMEOUT_S)
{
    expect_reusable(WF_GUARD_CANARY);
}

/* volatile: the handler reads it, and it must be written before the fault. */
static char *volatile expected_fault;

static void on_fault(int signal, siginfo_t *info, void *context)
{
    (void)signal, (void)context;
    _exit((char *)info->si_addr == expected_fault ? GUARD_HIT : 1);
}

/* Guard * 2 + whether the slab stays in use, so that the guard itself must outlive the trim. */
CHILD(touch_guard_again)
{
    static struct depot self;
    struct sigaction action = {.sa_flags = SA_SIGINFO};
    int kept = parameter % 2 != 0 ? 1 : 0;

    set_up(&self, (enum wf_guard)(parameter / 2));
    take(&self, 0, 64);
    give(&self, kept, 64);
    trim_all(&self);
    take(&self, kept, 64);
    action.sa_sigaction = on_fault;
    (void)sigaction(SIGSEGV, &action, NULL);
    for (int i = 0; i < 64; i++)
        *(volatile char *)wf_stack_bottom(&self.depot, self.stacks[i]) = 1;
    expected_fault = wf_stack_bottom(&self.depot, self.stacks[40]) - 1;
    *(volatile char *)expected_fault = 1;
    return 3;
}

static void expect_guard_hit(enum wf_guard guard)
{
    for (unsigned kept = 0; kept < 2; kept++) {
        struct child_end end;

        run_child("touch_guard_again", guard * 2 + kept, NULL, &end);
        cr_expect_eq(end.exit_status, GUARD_HIT, "status %d, signal %d: %s", end.exit_status,
                     end.signal, end.output);
    }
}

/* A guard that went with the memory would be missed by nobody until the overflow. */
Test(slab, guard_markers_fault_afterwards, .timeout = TIMEOUT_S)
{
    if (wf_stack_guard_probe() != WF_GUARD_MARKER)
        cr_skip_test("this kernel has no guard markers (Linux 6.13)");
    expect_guard_hit(WF_GUARD_MARKER);
}

Test(slab, guard_mappings_fault_afterwards, .timeout = TIMEOUT_S)
{
    expect_guard_hit(WF_GUARD_MAPPING);
}

/* Mappings are the process's: those that are gone may be used again. */
Test(slab, the_budget_of_mappings_comes_back, .timeout = TIMEOUT_S)
{
    static struct depot self;
    unsigned long quota;

    set_up(&self, WF_GUARD_MAPPING);
    quota = self.depot.mapping_quota = 200;
    take(&self, 0, MANY);
    cr_expect_eq(self.depot.mapping_quota, 0);
    cr_expect_gt(self.depot.unguarded, 0);
    give(&self, 0, MANY);
    trim_all(&self);
    cr_expect_eq(self.depot.mapping_quota, quota);
    take(&self, 0, 100);
    for (int i = 0; i < 100; i++)
        cr_assert_eq(self.stacks[i]->guard, WF_GUARD_MAPPING);
    wf_stack_depot_destroy(&self.depot);
}

/* What a server needs again and again must stay: a burst that comes back within the interval takes
 * its stacks from the depot, and these are not too many. */
Test(slab, what_was_wanted_since_the_last_review_stays, .timeout = TIMEOUT_S)
{
    static struct depot self;
    uint64_t trimmed;

    set_up(&self, WF_GUARD_AUTO);
    take(&self, 0, MANY);
    give(&self, 0, MANY);
    wf_stack_flush(&self.depot, &self.cache, true);
    wf_stack_review(&self.depot, false);
    wf_stack_review(&self.depot, false);
    for (int round = 0; round < 10; round++) {
        take(&self, 0, MANY);
        give(&self, 0, MANY);
        wf_stack_flush(&self.depot, &self.cache, true);
        review_and_trim(&self, false);
        if (round == 0)
            trimmed = self.depot.trimmed;
    }
    cr_expect_eq(self.depot.trimmed, trimmed, "each round needed all of them");
    cr_expect_eq(count_resident(&self, 0, MANY), MANY);
    wf_stack_depot_destroy(&self.depot);
}

/* Half of what nobody wanted, each time: a pause costs little, and after twenty nothing is left. */
Test(slab, what_nobody_wants_goes_by_halves, .timeout = TIMEOUT_S)
{
    static struct depot self;
    int before, after;

    set_up(&self, WF_GUARD_AUTO);
    take(&self, 0, MANY);
    give(&self, 0, MANY);
    wf_stack_flush(&self.depot, &self.cache, true);
    wf_stack_review(&self.depot, false);
    before = count_resident(&self, 0, MANY);
    review_and_trim(&self, false);
    after = count_resident(&self, 0, MANY);
    cr_expect_leq(after, before / 2 + 64, "%d of %d", after, before);
    cr_expect_geq(after, before / 4, "%d of %d", after, before);
    for (int i = 0; i < 20; i++)
        review_and_trim(&self, false);
    cr_expect(wf_stack_is_trimmed(&self.depot));
    cr_expect_eq(count_resident(&self, 0, MANY), 0);
    wf_stack_depot_destroy(&self.depot);
}

static void expect_first_touch_by_fill(struct depot *self, const struct wf_stack_place *place)
{
    cr_assert(place->is_cold);
    cr_expect_not(has_memory(self, place->stack), "its page was touched under the locks");
    wf_shelf_fill(&self->depot, place);
    cr_expect(has_memory(self, place->stack));
    cr_expect_eq(place->stack->slab, place->slab);
    cr_expect_eq(place->stack->index, place->index);
}

/* The monitor wants the locks as well.  While a worker made thousands of stacks, and the system
 * took long for each page, it got them too seldom to see that the worker was stuck. */
Test(slab, pages_are_touched_without_the_locks, .timeout = TIMEOUT_S)
{
    static struct depot self;
    struct wf_stack_place place;
    struct wf_shelf *shelf;

    set_up(&self, WF_GUARD_AUTO);
    shelf = &self.depot.groups[0].shelves[0];
    take(&self, 0, 16);
    give(&self, 0, 16);
    cr_assert(wf_shelf_carve(&self.depot, 0, 0, &place));
    expect_first_touch_by_fill(&self, &place);
    trim_all(&self);
    wf_shelf_take(&self.depot, shelf, &place);
    expect_first_touch_by_fill(&self, &place);
    wf_stack_depot_destroy(&self.depot);
}

/* Stacks that have memory are warm, and slabs in use shall fill before others are touched. */
Test(slab, warm_stacks_are_taken_first, .timeout = TIMEOUT_S)
{
    static struct depot self;

    set_up(&self, WF_GUARD_AUTO);
    take(&self, 0, 64);
    give(&self, 1, 64);
    trim_all(&self);
    take(&self, 1, 9); /* cold ones */
    give(&self, 1, 9);
    wf_stack_flush(&self.depot, &self.cache, true);
    for (int i = 1; i < 9; i++) {
        self.stacks[i] = wf_stack_alloc(&self.depot, &self.cache, 0);
        cr_assert(is_resident(&self, i), "stack %d", i);
    }
    wf_stack_depot_destroy(&self.depot);
}

struct shared {
    struct wf_stack_depot depot;
    struct wf_stack_cache caches[4];
    _Atomic(struct wf_stack *) market[64];
    _Atomic(uint64_t) trimmed;
    _Atomic(int) is_over;
};

struct trader {
    struct shared *shared;
    struct wf_stack_cache *cache;
    pthread_t thread;
};

/* The word below a stack says whether somebody has it. */
static uint64_t *mark_of(struct wf_stack *stack)
{
    return (uint64_t *)(void *)stack - 1;
}

static void *trade(void *arg)
{
    const struct trader *self = arg;
    struct shared *shared = self->shared;
    unsigned random = (unsigned)(self->cache - shared->caches) + 1;

    for (int i = 0; i < 10000 || atomic_load(&shared->trimmed) < 100; i++) {
        struct wf_stack *stack = wf_stack_alloc(&shared->depot, self->cache, 0);

        CHECK(stack != NULL);
        CHECK_EQ(*mark_of(stack), 0);
        *mark_of(stack) = 1;
        random = random * 1664525 + 1013904223;
        stack = atomic_exchange(&shared->market[random / 65536 % 64], stack);
        if (stack != NULL) {
            CHECK_EQ(*mark_of(stack), 1);
            *mark_of(stack) = 0;
            wf_stack_free(&shared->depot, self->cache, stack);
        }
        if (random / 65536 % 16 == 0)
            wf_stack_flush(&shared->depot, self->cache, random / (65536 * 16) % 2 == 0);
    }
    return NULL;
}

static void *trim(void *arg)
{
    struct shared *shared = arg;

    for (unsigned i = 0; atomic_load(&shared->is_over) == 0; i++) {
        wf_stack_review(&shared->depot, i % 2 == 0);
        while (wf_stack_trim(&shared->depot, 1))
            ;
        atomic_store(&shared->trimmed, shared->depot.trimmed);
    }
    return NULL;
}

static void count_visit(struct wf_stack *stack, void *arg)
{
    (void)stack;
    ++*(uint64_t *)arg;
}

/* Memory that goes while others take stacks must be nobody's: none is lost, none is handed out
 * twice, and none loses what is on it. */
Test(slab, trimming_races_with_nobody, .timeout = TIMEOUT_S)
{
    static struct shared shared;
    struct trader traders[4];
    uint64_t held = 0, visited = 0;
    pthread_t trimmer;

    cr_assert_eq(wf_stack_depot_init(&shared.depot, RECORD, WF_GUARD_AUTO, 1, &one_group), 0);
    cr_assert_eq(pthread_create(&trimmer, NULL, trim, &shared), 0);
    for (int i = 0; i < 4; i++) {
        traders[i] = (struct trader){.shared = &shared, .cache = &shared.caches[i]};
        cr_assert_eq(pthread_create(&traders[i].thread, NULL, trade, &traders[i]), 0);
    }
    for (int i = 0; i < 4; i++)
        cr_assert_eq(pthread_join(traders[i].thread, NULL), 0);
    atomic_store(&shared.is_over, 1);
    cr_assert_eq(pthread_join(trimmer, NULL), 0);
    for (int i = 0; i < 64; i++)
        held += shared.market[i] != NULL;
    for (int i = 0; i < 4; i++)
        held += shared.caches[i].count[0];
    wf_stack_visit(&shared.depot, count_visit, &visited);
    cr_expect_eq(visited, held);
    wf_stack_depot_destroy(&shared.depot);
}

/* Each size has slabs of its own, of few stacks for the largest. */
Test(slab, every_size_can_be_trimmed, .timeout = TIMEOUT_S)
{
    static struct depot self;

    set_up(&self, WF_GUARD_AUTO);
    for (unsigned size_class = 0; size_class < WF_STACK_CLASSES; size_class++) {
        for (int round = 0; round < 2; round++) {
            for (int i = 0; i < 70; i++) {
                self.stacks[i] = wf_stack_alloc(&self.depot, &self.cache, size_class);
                cr_assert_not_null(self.stacks[i]);
                *(volatile char *)(wf_stack_bottom(&self.depot, self.stacks[i]) + 64) = 1;
            }
            give(&self, 0, 70);
            trim_all(&self);
            cr_expect_eq(count_resident(&self, 0, 70), 0, "class %u", size_class);
        }
    }
    cr_expect_eq(free_stacks(&self), 0, "empty slabs are bare");
    wf_stack_depot_destroy(&self.depot);
}
