/* SPDX-License-Identifier: MIT */
/* runtime/stack.c: sizes, guards, reuse. */
#include "runtime/stack.h"

#include "../support/child.h"

#include <criterion/criterion.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "fixture.h"

enum { TIMEOUT_S = 120, RECORD = 200, GUARD_HIT = 42 };

static const uint32_t one_group = 0;

static struct wf_stack_depot make_depot(enum wf_guard guard)
{
    struct wf_stack_depot depot;

    memset(&depot, 0, sizeof depot);
    cr_assert_eq(wf_stack_depot_init(&depot, RECORD, guard, 1, &one_group), 0);
    return depot;
}

/* A class too small would overflow, one too large would waste address space; beyond the last class
 * the caller has to refuse. */
Test(stack, classes_hold_what_they_are_asked_for, .timeout = TIMEOUT_S)
{
    cr_expect_eq(wf_stack_class(0), 0);
    cr_expect_eq(wf_stack_class(1), 0);
    for (unsigned c = 0; c < WF_STACK_CLASSES; c++) {
        size_t size = wf_stack_class_size(c);

        cr_expect_eq(size, (size_t)16384 << c);
        cr_expect_eq(wf_stack_class(size), c);
        cr_expect_eq(wf_stack_class(size + 1), c + 1);
    }
    cr_expect_eq(wf_stack_class(SIZE_MAX), WF_STACK_CLASSES);
}

static void expect_usable(const struct wf_stack_depot *depot, struct wf_stack *stack)
{
    char *bottom = wf_stack_bottom(depot, stack);
    char *top = bottom + wf_stack_class_size(stack->size_class);

    cr_assert_eq((uintptr_t)stack % 64, 0, "records are aligned to cache lines");
    cr_assert_geq((char *)stack, bottom);
    cr_assert_leq((char *)stack + RECORD, top, "the record is on its own stack");
    cr_assert_geq((char *)stack, top - 16 * 64 - 256, "at the high end, where the page is touched");
    /* The lowest byte, above a canary if there is one, and the last below the record. */
    bottom[sizeof(uint64_t)] = 1;
    ((char *)stack)[-1] = 1;
}

/* Every class can be had, and all of its bytes between guard and record can be written. */
Test(stack, stacks_of_each_class_are_usable_and_apart, .timeout = TIMEOUT_S)
{
    struct wf_stack_depot depot = make_depot(WF_GUARD_AUTO);
    struct wf_stack_cache cache = {.group = 0};

    for (unsigned c = 0; c < WF_STACK_CLASSES; c++) {
        struct wf_stack *first = wf_stack_alloc(&depot, &cache, c);
        struct wf_stack *second = wf_stack_alloc(&depot, &cache, c);
        ptrdiff_t distance;

        cr_assert(first != NULL && second != NULL);
        cr_assert_eq(first->size_class, c);
        expect_usable(&depot, first);
        expect_usable(&depot, second);
        distance = second->base - first->base;
        cr_assert_geq(labs((long)distance), (long)wf_stack_class_size(c));
        wf_stack_free(&depot, &cache, first);
        wf_stack_free(&depot, &cache, second);
    }
    wf_stack_depot_destroy(&depot);
}

/* volatile: the handler reads it, and it must be written before the fault. */
static char *volatile expected_fault;

/* Runs on the ordinary stack: the fault is in another one. */
static void on_fault(int signal, siginfo_t *info, void *context)
{
    (void)signal, (void)context;
    _exit((char *)info->si_addr == expected_fault ? GUARD_HIT : 1);
}

/* Touches the last byte below the usable part: the handler must see exactly that address. */
CHILD(touch_guard)
{
    struct wf_stack_depot depot = make_depot((enum wf_guard)parameter);
    struct wf_stack_cache cache = {.group = 0};
    struct wf_stack *stack = wf_stack_alloc(&depot, &cache, 0);
    struct sigaction action = {.sa_flags = SA_SIGINFO};

    if (stack == NULL || stack->guard != parameter)
        return 2;
    action.sa_sigaction = on_fault;
    (void)sigaction(SIGSEGV, &action, NULL);
    *(volatile char *)wf_stack_bottom(&depot, stack) = 1;
    expected_fault = wf_stack_bottom(&depot, stack) - 1;
    *(volatile char *)expected_fault = 1;
    return 3;
}

static void expect_guard_hit(enum wf_guard guard)
{
    struct child_end end;

    run_child("touch_guard", guard, NULL, &end);
    cr_expect_eq(end.exit_status, GUARD_HIT, "status %d, signal %d: %s", end.exit_status,
                 end.signal, end.output);
}

/* An overflow must stop at the guard, whichever form it has: without it, it would write into the
 * neighbour's stack. */
Test(stack, guard_markers_fault, .timeout = TIMEOUT_S)
{
    if (wf_stack_guard_probe() != WF_GUARD_MARKER)
        cr_skip_test("this kernel has no guard markers (Linux 6.13)");
    expect_guard_hit(WF_GUARD_MARKER);
}

/* Whether the kernel can read there. */
static bool is_readable(int pipe_end, const char *address)
{
    return write(pipe_end, address, 1) == 1;
}

/* Most markers are made some stacks ahead, several by one call: none may be left out, none may lie
 * in a stack, and those that were made ahead must not be lost when memory goes back. */
Test(stack, every_stack_has_its_marker, .timeout = TIMEOUT_S)
{
    enum { STACKS = 200, SIZES = 3 };
    static const unsigned sizes[SIZES] = {0, 4, 9};
    struct wf_stack_depot depot = make_depot(WF_GUARD_MARKER);
    struct wf_stack_cache cache = {.group = 0};
    int ends[2];

    if (wf_stack_guard_probe() != WF_GUARD_MARKER)
        cr_skip_test("this kernel has no guard markers (Linux 6.13)");
    cr_assert_eq(pipe(ends), 0);
    for (int i = 0; i < STACKS * SIZES; i++) {
        struct wf_stack *stack = wf_stack_alloc(&depot, &cache, sizes[i % SIZES]);
        char *bottom = wf_stack_bottom(&depot, stack);

        cr_assert_eq(stack->guard, WF_GUARD_MARKER);
        cr_assert_not(is_readable(ends[1], bottom - 1), "stack %d", i);
        cr_assert_not(is_readable(ends[1], stack->base), "stack %d", i);
        cr_assert(is_readable(ends[1], bottom), "stack %d", i);
        cr_assert(is_readable(ends[1], (char *)stack - 1), "stack %d", i);
        if (i % 7 == 0)
            wf_stack_free(&depot, &cache, stack);
        if (i % 50 == 49) {
            wf_stack_flush(&depot, &cache, true);
            wf_stack_review(&depot, true);
            (void)wf_stack_trim(&depot, UINT_MAX);
        }
    }
    (void)close(ends[0]);
    (void)close(ends[1]);
    wf_stack_depot_destroy(&depot);
}

Test(stack, guard_mappings_fault, .timeout = TIMEOUT_S)
{
    expect_guard_hit(WF_GUARD_MAPPING);
}

/* Where there is no guard page, an overflow is noticed when the stack is given back at the latest.
 */
Test(stack, an_overwritten_canary_is_noticed, .timeout = TIMEOUT_S)
{
    struct wf_stack_depot depot = make_depot(WF_GUARD_CANARY);
    struct wf_stack_cache cache = {.group = 0};
    struct wf_stack *stack = wf_stack_alloc(&depot, &cache, 1);

    cr_assert_not_null(stack);
    cr_expect_eq(stack->guard, WF_GUARD_CANARY);
    cr_expect_eq(depot.unguarded, depot.carved);
    cr_expect(wf_stack_is_intact(&depot, stack));
    wf_stack_bottom(&depot, stack)[7] ^= 1;
    cr_expect_not(wf_stack_is_intact(&depot, stack));
    wf_stack_depot_destroy(&depot);
}

/* The quota of mappings belongs to the whole program.  When it is used up, stacks are still handed
 * out, but the metric says that they are unguarded. */
Test(stack, mappings_fall_back_to_canaries_at_the_quota, .timeout = TIMEOUT_S)
{
    struct wf_stack_depot depot = make_depot(WF_GUARD_MAPPING);
    struct wf_stack_cache cache = {.group = 0};
    unsigned mapped = 0, canaries = 0;

    cr_expect_gt(depot.mapping_quota, 0);
    depot.mapping_quota = 3;
    for (unsigned i = 0; i < 24; i++) {
        struct wf_stack *stack = wf_stack_alloc(&depot, &cache, 0);

        cr_assert_not_null(stack);
        mapped += stack->guard == WF_GUARD_MAPPING;
        canaries += stack->guard == WF_GUARD_CANARY;
        cr_assert(wf_stack_is_intact(&depot, stack));
    }
    cr_expect_eq(mapped, 3);
    cr_expect_eq(canaries, 21);
    cr_expect_eq(depot.unguarded, depot.carved - 3);
    wf_stack_depot_destroy(&depot);
}

/* The stack given back last is the warmest. */
Test(stack, reuse_is_last_in_first_out, .timeout = TIMEOUT_S)
{
    struct wf_stack_depot depot = make_depot(WF_GUARD_AUTO);
    struct wf_stack_cache cache = {.group = 0};
    struct wf_stack *stacks[10];

    for (unsigned i = 0; i < 10; i++)
        stacks[i] = wf_stack_alloc(&depot, &cache, 2);
    for (unsigned i = 0; i < 10; i++)
        wf_stack_free(&depot, &cache, stacks[i]);
    for (unsigned i = 10; i-- > 0;)
        cr_assert_eq(wf_stack_alloc(&depot, &cache, 2), stacks[i]);
    wf_stack_depot_destroy(&depot);
}

/* A worker that frees what another one spawned must not hoard: with caches of their own alone, a
 * pair of producer and consumer would map stacks without end. */
Test(stack, surplus_of_one_cache_feeds_another, .timeout = TIMEOUT_S)
{
    struct wf_stack_depot depot = make_depot(WF_GUARD_AUTO);
    struct wf_stack_cache producer = {.group = 0}, consumer = {.group = 0};
    uint64_t carved = 0;

    for (unsigned round = 0; round < 50; round++) {
        struct wf_stack *stacks[100];

        for (unsigned i = 0; i < 100; i++) {
            stacks[i] = wf_stack_alloc(&depot, &producer, 0);
            cr_assert_not_null(stacks[i]);
        }
        for (unsigned i = 0; i < 100; i++)
            wf_stack_free(&depot, &consumer, stacks[i]);
        if (round == 25)
            carved = depot.carved;
    }
    cr_expect_eq(depot.carved, carved, "in a steady state nothing new is carved, after %lu",
                 (unsigned long)carved);
    cr_expect_leq(depot.carved, 300);
    wf_stack_depot_destroy(&depot);
}

/* Hot words of many fibers must not share cache sets: sixteen records in a row start at sixteen
 * different offsets in their pages. */
Test(stack, colours_of_neighbours_differ, .timeout = TIMEOUT_S)
{
    struct wf_stack_depot depot = make_depot(WF_GUARD_AUTO);
    struct wf_stack_cache cache = {.group = 0};
    uintptr_t offsets[16];

    for (unsigned i = 0; i < 16; i++) {
        offsets[i] = (uintptr_t)wf_stack_alloc(&depot, &cache, 0) % depot.page_size;
        for (unsigned j = 0; j < i; j++)
            cr_assert_neq(offsets[i], offsets[j], "stacks %u and %u", j, i);
    }
    wf_stack_depot_destroy(&depot);
}

static void count_visit(struct wf_stack *stack, void *arg)
{
    unsigned *count = arg;

    cr_assert_lt(stack->size_class, WF_STACK_CLASSES);
    cr_assert_not_null(stack->base);
    (*count)++;
}

/* The end of a run cancels all fibers by visiting all stacks: one that was missed would never end.
 */
Test(stack, visit_reaches_every_stack_that_was_handed_out, .timeout = TIMEOUT_S)
{
    struct wf_stack_depot depot = make_depot(WF_GUARD_AUTO);
    struct wf_stack_cache cache = {.group = 0};
    unsigned visited = 0;

    wf_stack_visit(&depot, count_visit, &visited);
    cr_expect_eq(visited, 0);
    for (unsigned i = 0; i < 150; i++)
        cr_assert_not_null(wf_stack_alloc(&depot, &cache, i % 3));
    wf_stack_visit(&depot, count_visit, &visited);
    cr_expect_geq(visited, 150);
    cr_expect_eq(visited, depot.carved);
    wf_stack_depot_destroy(&depot);
}

CHILD(exhaust_address_space)
{
    struct wf_stack_depot depot = make_depot(WF_GUARD_CANARY);
    struct wf_stack_cache cache = {.group = 0};
    struct rlimit limit = {.rlim_cur = 256 << 20, .rlim_max = 256 << 20};
    unsigned count = 0;
    struct wf_stack *last = NULL;

    (void)parameter;
    if (setrlimit(RLIMIT_AS, &limit) != 0)
        return 2;
    for (struct wf_stack *stack; (stack = wf_stack_alloc(&depot, &cache, 9)) != NULL; count++)
        last = stack;
    if (count == 0 || count > 32)
        return 3;
    /* Refused is not broken: what comes back can be handed out again. */
    wf_stack_free(&depot, &cache, last);
    return wf_stack_alloc(&depot, &cache, 9) == last ? GUARD_HIT : 4;
}

/* Without address space a spawn fails with an error, and goes on working when stacks come back. */
Test(stack, no_memory_is_an_answer, .timeout = TIMEOUT_S)
{
    struct child_end end;

    if (TEST_IS_SANITIZED)
        cr_skip_test("a sanitizer needs the address space");
    run_child("exhaust_address_space", 0, NULL, &end);
    cr_expect_eq(end.exit_status, GUARD_HIT, "status %d, signal %d: %s", end.exit_status,
                 end.signal, end.output);
}
