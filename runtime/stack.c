/* SPDX-License-Identifier: MIT */
#include "runtime/stack.h"

#include "arch/os.h"
#include "arch/sanitizer.h"
#include "runtime/alloc.h"
#include "runtime/check.h"

#include <errno.h>

enum {
    SLAB_STACKS = 64,
    SLAB_BYTES_MAX = 16 * 1024 * 1024, /* fewer stacks in the slabs of the largest sizes */
    CACHE_MAX = 64,                    /* guessed: beyond this a worker's free stacks are shared */
    CACHE_BATCH = 32,                  /* moved to or from the depot at a time */
    CARVE_BATCH = 8, /* guessed: each costs a page fault, so not many ahead of need */
    COLOURS = 16,
    COLOUR_BYTES = 64,
    /* A cache line: the frames of a recursion leave gaps, which one word could fall into. */
    CANARY_WORDS = 8,
};

#define CANARY UINT64_C(0x9e3779b97f4a7c15) /* any value that programs are unlikely to write */

struct wf_slab {
    struct wf_slab *next;
    char *base;
    unsigned size_class;
    unsigned count;  /* stacks that fit */
    unsigned carved; /* of those, how many have been handed out */
};

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
    depot->record_size = (record_size + COLOUR_BYTES - 1) / COLOUR_BYTES * COLOUR_BYTES;
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

/* A stack and its guard. */
static size_t stride_of(const struct wf_stack_depot *depot, unsigned size_class)
{
    return wf_stack_class_size(size_class) + depot->page_size;
}

static struct wf_slab *first_slab(struct wf_stack_group *group, unsigned size_class)
{
    /* SK.1 acquire: the slab's fields. */
    return atomic_load_explicit(&group->slabs[size_class], memory_order_acquire);
}

static void unmap_slabs(struct wf_stack_depot *depot, struct wf_slab *slab)
{
    while (slab != NULL) {
        struct wf_slab *next = slab->next;

        wf_os_unmap(slab->base, slab->count * stride_of(depot, slab->size_class));
        wf_free(slab);
        slab = next;
    }
}

void wf_stack_depot_destroy(struct wf_stack_depot *depot)
{
    for (uint32_t group = 0; group < depot->group_count; group++)
        for (unsigned size_class = 0; size_class < WF_STACK_CLASSES; size_class++)
            unmap_slabs(depot, first_slab(&depot->groups[group], size_class));
    wf_free(depot->groups);
    depot->groups = NULL;
    depot->group_count = 0;
}

static struct wf_stack *record_at(const struct wf_stack_depot *depot, const struct wf_slab *slab,
                                  unsigned index)
{
    char *top = slab->base + (index + 1) * stride_of(depot, slab->size_class);
    size_t colour = (size_t)(index % COLOURS) * COLOUR_BYTES;

    return (struct wf_stack *)(void *)(top - colour - depot->record_size);
}

static struct wf_slab *map_slab(const struct wf_stack_depot *depot, unsigned size_class)
{
    size_t size = stride_of(depot, size_class);
    struct wf_slab *slab = wf_alloc(sizeof *slab);

    if (slab == NULL)
        return NULL;
    slab->size_class = size_class;
    slab->count = wf_stack_class_size(size_class) * SLAB_STACKS <= SLAB_BYTES_MAX
                      ? SLAB_STACKS
                      : (unsigned)(SLAB_BYTES_MAX / wf_stack_class_size(size_class));
    slab->base = wf_os_map(slab->count * size);
    if (slab->base == NULL) {
        wf_free(slab);
        return NULL;
    }
    return slab;
}

/* Caller holds the lock.  Walks down the ladder of guards until one holds. */
static enum wf_guard install_guard(struct wf_stack_depot *depot, char *base)
{
    if (depot->guard == WF_GUARD_MARKER) {
        if (wf_os_guard_marker(base, depot->page_size) == 0)
            return WF_GUARD_MARKER;
        /* EINVAL: not this kernel, or memory locked by mlockall(). */
        depot->guard = WF_GUARD_MAPPING;
    }
    if (depot->guard == WF_GUARD_MAPPING && depot->mapping_quota > 0) {
        depot->mapping_quota--;
        if (wf_os_guard_mapping(base, depot->page_size) == 0)
            return WF_GUARD_MAPPING;
    }
    if (depot->guard != WF_GUARD_CANARY) {
        depot->guard = WF_GUARD_CANARY;
        wf_complain("no more guard pages to be had after %lu stacks: new stacks have a canary "
                    "only; raise vm.max_map_count or use Linux 6.13 or later",
                    (unsigned long)depot->carved);
    }
    for (int i = 0; i < CANARY_WORDS; i++)
        ((uint64_t *)(void *)(base + depot->page_size))[i] = CANARY;
    depot->unguarded++;
    if (depot->has_canaries != NULL)
        /* relaxed: whoever hands the stack on publishes it. */
        atomic_store_explicit(depot->has_canaries, 1, memory_order_relaxed);
    return WF_GUARD_CANARY;
}

/* The slab of the group with room for one more stack; NULL when there is no memory.  Caller holds
 * the group's lock. */
static struct wf_slab *find_room(struct wf_stack_depot *depot, struct wf_stack_group *group,
                                 unsigned size_class)
{
    struct wf_slab *first = first_slab(group, size_class), *slab;

    if (first != NULL && first->carved < first->count)
        return first;
    slab = map_slab(depot, size_class);
    if (slab == NULL)
        return NULL;
    slab->next = first;
    /* SK.1 release: the slab's fields. */
    atomic_store_explicit(&group->slabs[size_class], slab, memory_order_release);
    depot->mapped_bytes += slab->count * stride_of(depot, size_class);
    return slab;
}

/* Caller holds both locks. */
static struct wf_stack *carve(struct wf_stack_depot *depot, uint32_t group, unsigned size_class)
{
    struct wf_slab *slab;
    struct wf_stack *stack;
    char *base;

    if (depot->carved_bytes + wf_stack_class_size(size_class) > depot->carved_limit)
        return NULL;
    slab = find_room(depot, &depot->groups[group], size_class);
    if (slab == NULL)
        return NULL;
    base = slab->base + slab->carved * stride_of(depot, size_class);
    stack = record_at(depot, slab, slab->carved);
    wf_san_record(stack, depot->record_size);
    stack->base = base;
    stack->size_class = (uint16_t)size_class;
    stack->guard = (uint16_t)install_guard(depot, base);
    stack->group = group;
    slab->carved++;
    depot->carved++;
    depot->carved_bytes += wf_stack_class_size(size_class);
    wf_san_stack_mapped(base, stride_of(depot, size_class));
    return stack;
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

static uint32_t count_free(struct wf_stack_group *group, unsigned size_class)
{
    /* relaxed: a hint; under the lock it is exact. */
    return atomic_load_explicit(&group->count[size_class], memory_order_relaxed);
}

/* Caller holds the group's lock. */
static void set_free(struct wf_stack_group *group, unsigned size_class, uint32_t count)
{
    /* relaxed: a hint to those who do not hold the lock. */
    atomic_store_explicit(&group->count[size_class], count, memory_order_relaxed);
}

/* Moves free stacks of the group to the cache. */
static void take_free(struct wf_stack_group *group, struct wf_stack_cache *cache,
                      unsigned size_class)
{
    uint32_t count, taken;

    /* A stack that comes back meanwhile is missed: one more is carved then. */
    if (count_free(group, size_class) == 0)
        return;
    wf_lock_acquire(&group->lock);
    count = count_free(group, size_class);
    taken = count < CACHE_BATCH ? count : CACHE_BATCH;
    for (uint32_t i = 0; i < taken; i++)
        push(&cache->free[size_class], pop(&group->free[size_class]));
    set_free(group, size_class, count - taken);
    cache->count[size_class] += taken;
    wf_lock_release(&group->lock);
}

static void carve_batch(struct wf_stack_depot *depot, struct wf_stack_cache *cache,
                        unsigned size_class)
{
    struct wf_stack_group *group = &depot->groups[cache->group];

    wf_lock_acquire(&group->lock);
    wf_lock_acquire(&depot->lock);
    for (unsigned i = 0; i < CARVE_BATCH; i++) {
        struct wf_stack *stack = carve(depot, cache->group, size_class);

        if (stack == NULL)
            break;
        push(&cache->free[size_class], stack);
        cache->count[size_class]++;
    }
    wf_lock_release(&depot->lock);
    wf_lock_release(&group->lock);
}

static void refill(struct wf_stack_depot *depot, struct wf_stack_cache *cache, unsigned size_class)
{
    const uint32_t *order = depot->group_order + (size_t)cache->group * depot->group_count;

    for (uint32_t i = 0; i < depot->group_count && cache->free[size_class] == NULL; i++)
        take_free(&depot->groups[order[i]], cache, size_class);
    if (cache->free[size_class] == NULL)
        carve_batch(depot, cache, size_class);
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

/* Each goes home to its own group. */
static void spill(struct wf_stack_depot *depot, struct wf_stack_cache *cache, unsigned size_class)
{
    struct wf_stack_group *held = NULL;

    for (unsigned i = 0; i < CACHE_BATCH; i++) {
        struct wf_stack *stack = pop(&cache->free[size_class]);
        struct wf_stack_group *home = &depot->groups[stack->group];

        if (held != home) {
            if (held != NULL)
                wf_lock_release(&held->lock);
            wf_lock_acquire(&home->lock);
            held = home;
        }
        push(&home->free[size_class], stack);
        set_free(home, size_class, count_free(home, size_class) + 1);
    }
    wf_lock_release(&held->lock);
    cache->count[size_class] -= CACHE_BATCH;
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

static const struct wf_stack *find_guard_in(const struct wf_stack_depot *depot,
                                            const struct wf_slab *slab, uintptr_t address)
{
    uintptr_t offset = address - (uintptr_t)slab->base;
    size_t stride = stride_of(depot, slab->size_class);
    const struct wf_stack *stack;

    if (offset >= slab->count * stride || offset % stride >= depot->page_size)
        return NULL;
    stack = record_at(depot, slab, (unsigned)(offset / stride));
    /* One that was never handed out has no guard and a record of zeros. */
    return stack->base != NULL && stack->guard != WF_GUARD_CANARY ? stack : NULL;
}

const struct wf_stack *wf_stack_find_guard(struct wf_stack_depot *depot, const void *address)
{
    const struct wf_stack *stack = NULL;

    for (uint32_t i = 0; i < depot->group_count; i++)
        for (unsigned size_class = 0; size_class < WF_STACK_CLASSES; size_class++)
            for (const struct wf_slab *slab = first_slab(&depot->groups[i], size_class);
                 slab != NULL && stack == NULL; slab = slab->next)
                stack = find_guard_in(depot, slab, (uintptr_t)address);
    return stack;
}

void wf_stack_visit(struct wf_stack_depot *depot, void (*visit)(struct wf_stack *, void *),
                    void *arg)
{
    for (uint32_t i = 0; i < depot->group_count; i++) {
        struct wf_stack_group *group = &depot->groups[i];

        wf_lock_acquire(&group->lock);
        for (unsigned size_class = 0; size_class < WF_STACK_CLASSES; size_class++)
            for (const struct wf_slab *slab = first_slab(group, size_class); slab != NULL;
                 slab = slab->next)
                for (unsigned j = 0; j < slab->carved; j++)
                    visit(record_at(depot, slab, j), arg);
        wf_lock_release(&group->lock);
    }
}
