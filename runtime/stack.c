/* SPDX-License-Identifier: MIT */
#include "runtime/stack.h"

#include "arch/os.h"
#include "runtime/alloc.h"
#include "runtime/check.h"

#include <errno.h>

enum {
    CACHE_MAX = 64,   /* guessed: beyond this a worker's free stacks are shared */
    CACHE_BATCH = 32, /* moved to or from the depot at a time */
    CARVE_BATCH = 8,  /* guessed: each costs a page fault, so not many ahead of need */
    MARKER_BATCH = 8, /* the first one in a slab; the next are larger */
    RECORD_ALIGNMENT = 64,
    /* A cache line: the frames of a recursion leave gaps, which one word could fall into. */
    CANARY_WORDS = 8,
};

#define CANARY UINT64_C(0x9e3779b97f4a7c15) /* any value that programs are unlikely to write */

unsigned wf_stack_class(size_t size)
{
    unsigned size_class = 0;

    while (size_class < WF_STACK_CLASSES && wf_stack_class_size(size_class) < size)
        size_class++;
    return size_class;
}

enum wf_guard wf_stack_guard_probe(void)
{
    size_t page = wf_os_page_size();
    void *memory = wf_os_map(page);
    enum wf_guard guard = WF_GUARD_MAPPING;

    if (memory == NULL)
        return guard;
    if (wf_os_guard_marker(memory, page) == 0)
        guard = WF_GUARD_MARKER;
    wf_os_unmap(memory, page);
    return guard;
}

int wf_stack_depot_init(struct wf_stack_depot *depot, size_t record_size, enum wf_guard guard,
                        uint32_t group_count, const uint32_t *group_order)
{
    depot->groups = wf_alloc(group_count * sizeof *depot->groups);
    if (depot->groups == NULL)
        return -ENOMEM;
    depot->group_count = group_count;
    depot->group_order = group_order;
    depot->record_size = (record_size + RECORD_ALIGNMENT - 1) / RECORD_ALIGNMENT * RECORD_ALIGNMENT;
    depot->page_size = wf_os_page_size();
    depot->guard = guard == WF_GUARD_AUTO ? wf_stack_guard_probe() : guard;
    /* A guarded stack takes two mappings; half of the limit is left to the program. */
    depot->mapping_quota = wf_os_max_map_count() / 4;
    depot->carved_limit = UINT64_MAX;
    return 0;
}

void wf_stack_depot_limit(struct wf_stack_depot *depot, uint64_t bytes)
{
    depot->carved_limit = bytes;
}

void wf_stack_depot_destroy(struct wf_stack_depot *depot)
{
    for (uint32_t group = 0; group < depot->group_count; group++)
        for (unsigned size_class = 0; size_class < WF_STACK_CLASSES; size_class++)
            wf_shelf_unmap(depot, &depot->groups[group].shelves[size_class]);
    wf_chunk_forget(depot);
    wf_free(depot->groups);
    depot->groups = NULL;
    depot->group_count = 0;
}

void wf_stack_write_canary(const struct wf_stack_depot *depot, const struct wf_stack *stack)
{
    for (int i = 0; i < CANARY_WORDS; i++)
        ((uint64_t *)(void *)(stack->base + depot->page_size))[i] = CANARY;
}

static void complain_of_guards(struct wf_stack_depot *depot)
{
    if (!depot->has_complained)
        wf_complain("no more guard pages to be had after %lu stacks: new stacks have a canary "
                    "only; raise vm.max_map_count or use Linux 6.13 or later",
                    (unsigned long)depot->carved);
    depot->has_complained = true;
}

/* Walks down the ladder of guards until one holds. */
static enum wf_guard make_guard(struct wf_stack_depot *depot, char *base)
{
    if (depot->guard == WF_GUARD_MARKER) {
        if (wf_os_guard_marker(base, depot->page_size) == 0)
            return WF_GUARD_MARKER;
        /* EINVAL: not this kernel, or memory locked by mlockall(). */
        depot->guard = WF_GUARD_MAPPING;
    }
    if (depot->guard == WF_GUARD_MAPPING && depot->mapping_quota > 0) {
        if (wf_os_guard_mapping(base, depot->page_size) == 0) {
            depot->mapping_quota--;
            return WF_GUARD_MAPPING;
        }
        depot->mapping_quota = 0; /* until some come back */
    }
    if (depot->guard != WF_GUARD_CANARY)
        complain_of_guards(depot);
    return WF_GUARD_CANARY;
}

/* Markers are made for stacks that come later as well: many at once cost half as much
 * (docs/benchmarking.md#memoryparked). */
enum wf_guard wf_stack_guard_next(struct wf_stack_depot *depot, struct wf_slab *slab, char *base,
                                  size_t stride, unsigned end)
{
    unsigned next = slab->carved + 1u;
    enum wf_guard guard;

    if (slab->carved < slab->marked)
        return WF_GUARD_MARKER;
    guard = make_guard(depot, base);
    if (guard != WF_GUARD_MARKER)
        return guard;
    if (end > slab->carved * 2u + MARKER_BATCH)
        end = slab->carved * 2u + MARKER_BATCH;
    slab->marked = (uint8_t)(next + wf_os_guard_markers(base + stride, depot->page_size, stride,
                                                        end - next));
    return guard;
}

void wf_stack_count_carved(struct wf_stack_depot *depot, unsigned size_class, enum wf_guard guard)
{
    depot->carved++;
    depot->carved_bytes += wf_stack_class_size(size_class);
    depot->unguarded += guard == WF_GUARD_CANARY;
    if (depot->carved > depot->carved_max)
        depot->carved_max = depot->carved;
    if (depot->unguarded > depot->unguarded_max)
        depot->unguarded_max = depot->unguarded;
}

static void push(struct wf_stack **list, struct wf_stack *stack)
{
    stack->next = *list;
    *list = stack;
}

static struct wf_stack *pop(struct wf_stack **list)
{
    struct wf_stack *stack = *list;

    *list = stack->next;
    return stack;
}

static void put(struct wf_stack_cache *cache, unsigned size_class, struct wf_stack *stack)
{
    push(&cache->free[size_class], stack);
    cache->count[size_class]++;
}

/* Stacks on their way from the depot to a cache. */
struct batch {
    struct wf_stack_place places[CACHE_BATCH];
    unsigned count;
};

static void put_all(struct wf_stack_depot *depot, struct wf_stack_cache *cache, unsigned size_class,
                    const struct batch *batch)
{
    for (unsigned i = 0; i < batch->count; i++) {
        const struct wf_stack_place *place = &batch->places[i];

        if (place->is_cold)
            wf_shelf_fill(depot, place);
        put(cache, size_class, place->stack);
    }
}

/* Moves free stacks of the group to the cache. */
static void take_free(struct wf_stack_depot *depot, uint32_t index, struct wf_stack_cache *cache,
                      unsigned size_class)
{
    struct wf_stack_group *group = &depot->groups[index];
    struct wf_shelf *shelf = &group->shelves[size_class];
    struct batch batch;
    unsigned effort = 0;

    /* A stack that comes back meanwhile is missed: one more is carved then. */
    if (wf_shelf_count(shelf) == 0)
        return;
    batch.count = 0;
    wf_lock_acquire(&group->lock);
    while (effort < CACHE_BATCH && wf_shelf_count(shelf) > 0) {
        struct wf_stack_place *place = &batch.places[batch.count++];

        wf_shelf_take(depot, shelf, place);
        /* A cold one costs a page fault, as one that is carved. */
        effort += place->is_cold ? CACHE_BATCH / CARVE_BATCH : 1;
    }
    wf_lock_release(&group->lock);
    put_all(depot, cache, size_class, &batch);
}

/* Makes `count` stacks for the cache, or fewer: no more than `limit` bytes shall be carved. */
static void carve(struct wf_stack_depot *depot, struct wf_stack_cache *cache, unsigned size_class,
                  unsigned count, uint64_t limit)
{
    struct wf_stack_group *group = &depot->groups[cache->group];
    struct batch batch;

    batch.count = 0;
    wf_lock_acquire(&group->lock);
    wf_lock_acquire(&depot->lock);
    while (batch.count < count && depot->carved_bytes + wf_stack_class_size(size_class) <= limit &&
           wf_shelf_carve(depot, cache->group, size_class, &batch.places[batch.count]))
        batch.count++;
    wf_lock_release(&depot->lock);
    wf_lock_release(&group->lock);
    put_all(depot, cache, size_class, &batch);
}

/* Not inline: its room for a batch would be made at each spawn. */
static WF_NOINLINE void refill(struct wf_stack_depot *depot, struct wf_stack_cache *cache,
                               unsigned size_class)
{
    const uint32_t *order = depot->group_order + (size_t)cache->group * depot->group_count;

    for (uint32_t i = 0; i < depot->group_count && cache->free[size_class] == NULL; i++)
        take_free(depot, order[i], cache, size_class);
    if (cache->free[size_class] == NULL)
        carve(depot, cache, size_class, CARVE_BATCH, depot->carved_limit);
}

struct wf_stack *wf_stack_alloc(struct wf_stack_depot *depot, struct wf_stack_cache *cache,
                                unsigned size_class)
{
    struct wf_stack *stack = cache->free[size_class];

    if (WF_UNLIKELY(stack == NULL)) {
        refill(depot, cache, size_class);
        stack = cache->free[size_class];
        if (stack == NULL)
            return NULL;
    }
    cache->free[size_class] = stack->next;
    cache->count[size_class]--;
    return stack;
}

struct wf_stack *wf_stack_alloc_exempt(struct wf_stack_depot *depot, struct wf_stack_cache *cache,
                                       unsigned size_class)
{
    struct wf_stack *stack = wf_stack_alloc(depot, cache, size_class);

    if (stack != NULL)
        return stack;
    carve(depot, cache, size_class, 1, UINT64_MAX);
    return cache->free[size_class] != NULL ? wf_stack_alloc(depot, cache, size_class) : NULL;
}

/* Each goes home to its own group. */
static void give_home(struct wf_stack_depot *depot, struct wf_stack **list, unsigned size_class,
                      uint32_t count)
{
    struct wf_stack_group *held = NULL;

    for (uint32_t i = 0; i < count; i++) {
        struct wf_stack *stack = pop(list);
        struct wf_stack_group *home = &depot->groups[stack->group];

        if (held != home) {
            if (held != NULL)
                wf_lock_release(&held->lock);
            wf_lock_acquire(&home->lock);
            held = home;
        }
        wf_shelf_give(&home->shelves[size_class], stack);
    }
    if (held != NULL)
        wf_lock_release(&held->lock);
}

static WF_COLD void spill(struct wf_stack_depot *depot, struct wf_stack_cache *cache,
                          unsigned size_class)
{
    give_home(depot, &cache->free[size_class], size_class, CACHE_BATCH);
    cache->count[size_class] -= CACHE_BATCH;
}

static void flush_class(struct wf_stack_depot *depot, struct wf_stack_cache *cache,
                        unsigned size_class, uint32_t count)
{
    struct wf_stack **list = &cache->free[size_class];

    for (uint32_t kept = cache->count[size_class] - count; kept > 0; kept--)
        list = &(*list)->next;
    give_home(depot, list, size_class, count);
    cache->count[size_class] -= count;
}

void wf_stack_flush(struct wf_stack_depot *depot, struct wf_stack_cache *cache, bool all)
{
    for (unsigned size_class = 0; size_class < WF_STACK_CLASSES; size_class++)
        flush_class(depot, cache, size_class,
                    all ? cache->count[size_class] : cache->count[size_class] / 2);
}

void wf_stack_review(struct wf_stack_depot *depot, bool all)
{
    for (uint32_t i = 0; i < depot->group_count; i++) {
        struct wf_stack_group *group = &depot->groups[i];

        wf_lock_acquire(&group->lock);
        for (unsigned size_class = 0; size_class < WF_STACK_CLASSES; size_class++)
            wf_shelf_review(&group->shelves[size_class], all);
        wf_lock_release(&group->lock);
    }
}

bool wf_stack_trim(struct wf_stack_depot *depot, unsigned limit)
{
    for (uint32_t i = 0; i < depot->group_count; i++)
        for (unsigned size_class = 0; size_class < WF_STACK_CLASSES; size_class++)
            for (; wf_shelf_trim(depot, i, size_class); limit--)
                if (limit == 0)
                    return true;
    return false;
}

bool wf_stack_is_trimmed(struct wf_stack_depot *depot)
{
    uint32_t warm = 0;

    for (uint32_t i = 0; i < depot->group_count; i++) {
        struct wf_stack_group *group = &depot->groups[i];

        wf_lock_acquire(&group->lock);
        for (unsigned size_class = 0; size_class < WF_STACK_CLASSES; size_class++)
            warm += group->shelves[size_class].warm + group->shelves[size_class].empty;
        wf_lock_release(&group->lock);
    }
    return warm == 0;
}

void wf_stack_free(struct wf_stack_depot *depot, struct wf_stack_cache *cache,
                   struct wf_stack *stack)
{
    unsigned size_class = stack->size_class;

    push(&cache->free[size_class], stack);
    if (WF_UNLIKELY(++cache->count[size_class] > CACHE_MAX))
        spill(depot, cache, size_class);
}

bool wf_stack_is_intact(const struct wf_stack_depot *depot, const struct wf_stack *stack)
{
    const uint64_t *words = (const uint64_t *)(const void *)(stack->base + depot->page_size);
    uint64_t difference = 0;

    if (stack->guard != WF_GUARD_CANARY)
        return true;
    for (int i = 0; i < CANARY_WORDS; i++)
        difference |= words[i] ^ CANARY;
    return difference == 0;
}

const struct wf_stack *wf_stack_find_guard(struct wf_stack_depot *depot, const void *address)
{
    const struct wf_stack *stack = NULL;

    for (uint32_t i = 0; i < depot->group_count; i++)
        for (unsigned size_class = 0; size_class < WF_STACK_CLASSES && stack == NULL; size_class++)
            stack = wf_shelf_find_guard(depot, &depot->groups[i].shelves[size_class],
                                        (uintptr_t)address);
    return stack;
}

void wf_stack_visit(struct wf_stack_depot *depot, void (*visit)(struct wf_stack *, void *),
                    void *arg)
{
    for (uint32_t i = 0; i < depot->group_count; i++) {
        struct wf_stack_group *group = &depot->groups[i];

        wf_lock_acquire(&group->lock);
        for (unsigned size_class = 0; size_class < WF_STACK_CLASSES; size_class++)
            wf_shelf_visit(depot, &group->shelves[size_class], visit, arg);
        wf_lock_release(&group->lock);
    }
}
