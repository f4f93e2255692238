/* SPDX-License-Identifier: MIT */
#include "runtime/slab.h"

#include "arch/os.h"
#include "arch/sanitizer.h"
#include "runtime/alloc.h"
#include "runtime/check.h"
#include "runtime/chunk.h"
#include "runtime/stack.h"

enum {
    CHUNK_SLABS = 64,  /* at most: as many as a word has bits */
    CHUNK_GROWTH = 8,  /* so that few lie in gaps, as mappings of their own */
    SHEET_CHUNKS = 16, /* a kilobyte */
};

/* Chunks are described together: by themselves they are smaller than what is allocated, and there
 * are hundreds of them to a million stacks. */
struct wf_chunk_sheet {
    struct wf_chunk_sheet *next;
    unsigned used;
    struct wf_chunk chunks[SHEET_CHUNKS];
};

static uint64_t bits_below(unsigned count)
{
    return count < 64 ? (UINT64_C(1) << count) - 1 : UINT64_MAX;
}

static unsigned lowest_bit(uint64_t bits)
{
    return (unsigned)__builtin_ctzll(bits);
}

uint32_t wf_shelf_count(struct wf_shelf *shelf)
{
    /* relaxed: a hint; under the lock it is exact. */
    return atomic_load_explicit(&shelf->count, memory_order_relaxed);
}

static void add_to_count(struct wf_shelf *shelf, uint32_t change)
{
    /* relaxed: a hint to those who do not hold the lock. */
    atomic_store_explicit(&shelf->count, wf_shelf_count(shelf) + change, memory_order_relaxed);
}

static struct wf_chunk *first_chunk(struct wf_shelf *shelf)
{
    /* SK.1 acquire: the chunk's fields. */
    return atomic_load_explicit(&shelf->chunks, memory_order_acquire);
}

static void unlink_slab(struct wf_shelf *shelf, struct wf_slab *slab)
{
    struct wf_slab_list *list = &shelf->lists[slab->list];

    if (slab->list == WF_SLAB_UNLISTED)
        return;
    *(slab->previous != NULL ? &slab->previous->next : &list->first) = slab->next;
    *(slab->next != NULL ? &slab->next->previous : &list->last) = slab->previous;
    slab->next = slab->previous = NULL;
    shelf->empty -= slab->list == WF_SLAB_EMPTY;
    slab->list = WF_SLAB_UNLISTED;
}

static void link_slab(struct wf_shelf *shelf, struct wf_slab *slab, unsigned name)
{
    struct wf_slab_list *list = &shelf->lists[name];

    slab->list = (uint8_t)name;
    if (name == WF_SLAB_UNLISTED)
        return;
    slab->next = list->first;
    *(list->first != NULL ? &list->first->previous : &list->last) = slab;
    list->first = slab;
    shelf->empty += name == WF_SLAB_EMPTY;
}

/* Puts the slab into the list that it belongs to now.  `warm_before` is what it counted in
 * shelf.warm before it was changed. */
static void sort(struct wf_shelf *shelf, struct wf_slab *slab, uint32_t warm_before)
{
    unsigned name = slab->free_count == 0              ? WF_SLAB_UNLISTED
                    : slab->free_count == slab->carved ? WF_SLAB_EMPTY
                    : slab->warm_count > 0             ? WF_SLAB_WARM
                                                       : WF_SLAB_COLD;

    if (name != slab->list) {
        unlink_slab(shelf, slab);
        link_slab(shelf, slab, name);
    }
    shelf->warm += (name == WF_SLAB_WARM ? slab->warm_count : 0) - warm_before;
    if (shelf->warm < shelf->warm_low)
        shelf->warm_low = shelf->warm;
    if (shelf->empty < shelf->empty_low)
        shelf->empty_low = shelf->empty;
}

/* What the slab counts in shelf.warm. */
static uint32_t warm_in(const struct wf_slab *slab)
{
    return slab->list == WF_SLAB_WARM ? slab->warm_count : 0;
}

static void list_chunk(struct wf_stack_depot *depot, struct wf_shelf *shelf, struct wf_chunk *chunk)
{
    chunk->bare = bits_below(chunk->slab_count);
    chunk->next = first_chunk(shelf);
    chunk->next_bare = shelf->with_bare;
    shelf->with_bare = chunk;
    shelf->slab_count += chunk->slab_count;
    depot->mapped_bytes += wf_chunk_bytes(depot, chunk);
    /* SK.1 release: the chunk's fields. */
    atomic_store_explicit(&shelf->chunks, chunk, memory_order_release);
}

/* The next one that is not used, zeroed: it is used once its sheet counts it.  NULL when there is
 * no memory. */
static struct wf_chunk *find_chunk(struct wf_stack_depot *depot)
{
    struct wf_chunk_sheet *sheet = depot->sheets;

    if (sheet == NULL || sheet->used == SHEET_CHUNKS) {
        sheet = wf_alloc(sizeof *sheet);
        if (sheet == NULL)
            return NULL;
        sheet->next = depot->sheets;
        depot->sheets = sheet;
    }
    return &sheet->chunks[sheet->used];
}

/* More slabs at a time the more there are, so that few words are needed to remember them. */
static struct wf_chunk *map_chunk(struct wf_stack_depot *depot, uint32_t group, unsigned size_class)
{
    struct wf_shelf *shelf = &depot->groups[group].shelves[size_class];
    size_t bytes = wf_chunk_slab_bytes(depot, size_class);
    uint32_t count = shelf->slab_count < 1 ? 1
                     : shelf->slab_count < CHUNK_SLABS / CHUNK_GROWTH
                         ? shelf->slab_count * CHUNK_GROWTH
                         : CHUNK_SLABS;
    struct wf_chunk *chunk = find_chunk(depot);

    if (chunk == NULL)
        return NULL;
    chunk->size_class = (uint16_t)size_class;
    chunk->group = group;
    for (chunk->slab_count = count; chunk->slab_count > 0; chunk->slab_count /= 2) {
        chunk->base = wf_os_map(wf_chunk_bytes(depot, chunk));
        if (chunk->base != NULL)
            break;
    }
    if (chunk->base == NULL)
        return NULL;
    depot->sheets->used++;
    chunk->slabs = (struct wf_slab *)(void *)(chunk->base + chunk->slab_count * bytes);
    list_chunk(depot, shelf, chunk);
    return chunk;
}

/* The slab with room for a stack that never was; NULL when there is no memory. */
static struct wf_slab *find_room(struct wf_stack_depot *depot, uint32_t group, unsigned size_class)
{
    struct wf_shelf *shelf = &depot->groups[group].shelves[size_class];
    struct wf_chunk *chunk = shelf->with_bare;
    unsigned index;

    if (shelf->open != NULL && shelf->open->carved < wf_chunk_stacks_per_slab(size_class))
        return shelf->open;
    if (chunk == NULL)
        chunk = map_chunk(depot, group, size_class);
    if (chunk == NULL)
        return NULL;
    index = lowest_bit(chunk->bare);
    chunk->bare &= chunk->bare - 1;
    if (chunk->bare == 0)
        shelf->with_bare = chunk->next_bare;
    shelf->open = &chunk->slabs[index];
    shelf->open->chunk = chunk;
    return shelf->open;
}

static struct wf_stack *record_of(const struct wf_stack_depot *depot, const struct wf_slab *slab,
                                  unsigned index)
{
    return wf_chunk_record(depot, wf_chunk_slab_base(depot, slab), slab->chunk->size_class, index);
}

static void name_cold(const struct wf_stack_depot *depot, struct wf_slab *slab, unsigned index,
                      struct wf_stack_place *place)
{
    place->stack = record_of(depot, slab, index);
    /* Touches nothing of it.  From here on it may be visited. */
    wf_san_record(place->stack, depot->record_size);
    place->is_cold = true;
    place->index = (uint8_t)index;
    place->guard = (slab->mappings >> index & 1) != 0   ? WF_GUARD_MAPPING
                   : (slab->canaries >> index & 1) != 0 ? WF_GUARD_CANARY
                                                        : WF_GUARD_MARKER;
    place->slab = slab;
}

void wf_shelf_fill(const struct wf_stack_depot *depot, const struct wf_stack_place *place)
{
    struct wf_slab *slab = place->slab;
    unsigned size_class = slab->chunk->size_class;
    struct wf_stack *stack = place->stack;

    stack->base = wf_chunk_slab_base(depot, slab) +
                  place->index * wf_chunk_stride(depot, size_class);
    stack->slab = slab;
    stack->size_class = (uint8_t)size_class;
    stack->index = place->index;
    stack->group = slab->chunk->group;
    stack->guard = place->guard;
    if (stack->guard == WF_GUARD_CANARY)
        wf_stack_write_canary(depot, stack);
}

bool wf_shelf_carve(struct wf_stack_depot *depot, uint32_t group, unsigned size_class,
                    struct wf_stack_place *place)
{
    struct wf_shelf *shelf = &depot->groups[group].shelves[size_class];
    size_t stride = wf_chunk_stride(depot, size_class);
    struct wf_slab *slab;
    enum wf_guard guard;
    unsigned index;
    char *base;

    slab = find_room(depot, group, size_class);
    if (slab == NULL)
        return false;
    index = slab->carved;
    base = wf_chunk_slab_base(depot, slab) + index * stride;
    guard = wf_stack_guard_next(depot, slab, base, stride, wf_chunk_stacks_per_slab(size_class));
    wf_stack_count_carved(depot, size_class, guard);
    if (guard == WF_GUARD_MAPPING)
        slab->mappings |= UINT64_C(1) << index;
    else if (guard == WF_GUARD_CANARY)
        slab->canaries |= UINT64_C(1) << index;
    slab->carved++;
    sort(shelf, slab, warm_in(slab)); /* it may have been empty, and is not any more */
    wf_san_stack_mapped(base, stride);
    name_cold(depot, slab, index, place);
    return true;
}

static void set_free(struct wf_slab *slab, uint64_t bits, unsigned count)
{
    slab->free |= bits;
    slab->free_count = (uint8_t)(slab->free_count + count);
}

static void set_taken(struct wf_slab *slab, uint64_t bits, unsigned count)
{
    slab->free &= ~bits;
    slab->free_count = (uint8_t)(slab->free_count - count);
}

void wf_shelf_take(const struct wf_stack_depot *depot, struct wf_shelf *shelf,
                   struct wf_stack_place *place)
{
    struct wf_slab *slab = shelf->lists[WF_SLAB_WARM].first;
    uint32_t warm;
    unsigned index;

    if (slab == NULL)
        slab = shelf->lists[WF_SLAB_EMPTY].first;
    if (slab == NULL)
        slab = shelf->lists[WF_SLAB_COLD].first;
    warm = warm_in(slab);
    if (slab->warm_count == 0) {
        index = lowest_bit(slab->free);
        slab->cold &= ~(UINT64_C(1) << index);
        name_cold(depot, slab, index, place);
    } else {
        index = lowest_bit(slab->free & ~slab->cold);
        slab->warm_count--;
        place->stack = record_of(depot, slab, index);
        place->is_cold = false;
    }
    set_taken(slab, UINT64_C(1) << index, 1);
    sort(shelf, slab, warm);
    add_to_count(shelf, UINT32_MAX); /* less one */
}

void wf_shelf_give(struct wf_shelf *shelf, struct wf_stack *stack)
{
    struct wf_slab *slab = stack->slab;
    uint32_t warm = warm_in(slab);

    WF_ASSERT((slab->free >> stack->index & 1) == 0);
    set_free(slab, UINT64_C(1) << stack->index, 1);
    slab->warm_count++;
    sort(shelf, slab, warm);
    add_to_count(shelf, 1);
}

void wf_shelf_review(struct wf_shelf *shelf, bool all)
{
    shelf->empty_excess = all ? shelf->empty : (shelf->empty_low + 1) / 2;
    shelf->warm_excess = all ? shelf->warm : (shelf->warm_low + 1) / 2;
    shelf->empty_low = shelf->empty;
    shelf->warm_low = shelf->warm;
}

/* Makes a slab bare that is in no list, and so nobody's.  Caller holds the group's lock. */
static void make_bare(struct wf_stack_depot *depot, struct wf_shelf *shelf, struct wf_slab *slab)
{
    struct wf_chunk *chunk = slab->chunk;

    wf_lock_acquire(&depot->lock);
    depot->mapping_quota += (unsigned)__builtin_popcountll(slab->mappings);
    depot->unguarded -= (unsigned)__builtin_popcountll(slab->canaries);
    depot->carved -= slab->carved;
    depot->carved_bytes -= slab->carved * wf_stack_class_size(chunk->size_class);
    wf_lock_release(&depot->lock);
    *slab = (struct wf_slab){.carved = 0};
    if (chunk->bare == 0) {
        chunk->next_bare = shelf->with_bare;
        shelf->with_bare = chunk;
    }
    chunk->bare |= UINT64_C(1) << (slab - chunk->slabs);
    if (chunk->bare != bits_below(chunk->slab_count))
        return;
    /* The array goes as well; and neighbours share page tables, which go only with both. */
    (void)wf_os_renew(chunk->base, wf_chunk_bytes(depot, chunk));
}

/* The slab that has been empty for longest. */
static unsigned trim_slab(struct wf_stack_depot *depot, struct wf_stack_group *group,
                          struct wf_shelf *shelf)
{
    struct wf_slab *slab = shelf->lists[WF_SLAB_EMPTY].last;
    unsigned warm = slab->warm_count;
    bool is_renewed;

    shelf->empty_excess--;
    unlink_slab(shelf, slab);
    if (shelf->empty < shelf->empty_low)
        shelf->empty_low = shelf->empty;
    if (shelf->open == slab)
        shelf->open = NULL;
    add_to_count(shelf, 0u - slab->free_count);
    wf_lock_release(&group->lock);
    is_renewed = wf_os_renew(wf_chunk_slab_base(depot, slab),
                             wf_chunk_slab_bytes(depot, slab->chunk->size_class)) == 0;
    wf_lock_acquire(&group->lock);
    /* If the system refuses, the slab stays out of use. */
    if (is_renewed)
        make_bare(depot, shelf, slab);
    return warm;
}

/* Gives back the pages of the stacks, run by run. */
static void discard_stacks(const struct wf_stack_depot *depot, const struct wf_slab *slab,
                           uint64_t bits)
{
    size_t stride = wf_chunk_stride(depot, slab->chunk->size_class);
    char *base = wf_chunk_slab_base(depot, slab);

    while (bits != 0) {
        unsigned first = lowest_bit(bits);
        uint64_t rest = ~(bits >> first);
        unsigned length = rest != 0 ? lowest_bit(rest) : 64;

        /* Guards within the range stay: the first is left out because canaries have no mark. */
        wf_os_discard(base + first * stride + depot->page_size, length * stride - depot->page_size);
        bits &= ~(bits_below(length) << first);
    }
}

static unsigned trim_stacks(struct wf_stack_depot *depot, struct wf_stack_group *group,
                            struct wf_shelf *shelf)
{
    struct wf_slab *slab = shelf->lists[WF_SLAB_WARM].last;
    uint64_t bits = 0, left = slab->free & ~slab->cold;
    uint32_t warm = warm_in(slab);
    unsigned count = 0;

    for (; left != 0 && count < shelf->warm_excess; count++) {
        bits |= left & (0 - left);
        left &= left - 1;
    }
    shelf->warm_excess -= count;
    set_taken(slab, bits, count); /* so that nobody takes them meanwhile */
    slab->warm_count = (uint8_t)(slab->warm_count - count);
    sort(shelf, slab, warm);
    add_to_count(shelf, 0u - count);
    wf_lock_release(&group->lock);
    discard_stacks(depot, slab, bits);
    wf_lock_acquire(&group->lock);
    warm = warm_in(slab);
    set_free(slab, bits, count);
    slab->cold |= bits;
    sort(shelf, slab, warm);
    add_to_count(shelf, count);
    return count;
}

bool wf_shelf_trim(struct wf_stack_depot *depot, uint32_t index, unsigned size_class)
{
    struct wf_stack_group *group = &depot->groups[index];
    struct wf_shelf *shelf = &group->shelves[size_class];
    unsigned count = 0;
    bool has_excess = false;

    if (wf_shelf_count(shelf) == 0)
        return false;
    wf_lock_acquire(&group->lock);
    if (shelf->empty_excess > 0 && shelf->empty > 0) {
        count = trim_slab(depot, group, shelf);
        has_excess = true;
    } else if (shelf->warm_excess > 0 && shelf->warm > 0) {
        count = trim_stacks(depot, group, shelf);
        has_excess = true;
    }
    wf_lock_release(&group->lock);
    wf_lock_acquire(&depot->lock);
    depot->trimmed += count;
    wf_lock_release(&depot->lock);
    return has_excess;
}

void wf_shelf_unmap(struct wf_stack_depot *depot, struct wf_shelf *shelf)
{
    struct wf_chunk *chunk = first_chunk(shelf);

    while (chunk != NULL) {
        struct wf_chunk *next = chunk->next;

        wf_san_unmap(chunk->base, wf_chunk_bytes(depot, chunk));
        wf_os_unmap(chunk->base, wf_chunk_bytes(depot, chunk));
        chunk = next;
    }
}

void wf_chunk_forget(struct wf_stack_depot *depot)
{
    struct wf_chunk_sheet *sheet;

    while ((sheet = depot->sheets) != NULL) {
        depot->sheets = sheet->next;
        wf_free(sheet);
    }
}

const struct wf_stack *wf_shelf_find_guard(const struct wf_stack_depot *depot,
                                           struct wf_shelf *shelf, uintptr_t address)
{
    for (const struct wf_chunk *chunk = first_chunk(shelf); chunk != NULL; chunk = chunk->next) {
        uintptr_t offset = address - (uintptr_t)chunk->base;
        size_t stride = wf_chunk_stride(depot, chunk->size_class);
        size_t bytes = wf_chunk_slab_bytes(depot, chunk->size_class);
        const struct wf_stack *stack;

        if (offset >= chunk->slab_count * bytes)
            continue;
        stack = wf_chunk_record(depot, chunk->base + offset / bytes * bytes, chunk->size_class,
                                (unsigned)(offset % bytes / stride));
        /* One that was never handed out has no guard and a record of zeros. */
        return offset % stride < depot->page_size && stack->guard != WF_GUARD_CANARY &&
                       stack->base != NULL
                   ? stack
                   : NULL;
    }
    return NULL;
}

static void visit_slab(const struct wf_stack_depot *depot, const struct wf_slab *slab,
                       void (*visit)(struct wf_stack *, void *), void *arg)
{
    uint64_t bits = bits_below(slab->carved) & ~slab->free;

    for (; bits != 0; bits &= bits - 1)
        visit(record_of(depot, slab, lowest_bit(bits)), arg);
}

void wf_shelf_visit(struct wf_stack_depot *depot, struct wf_shelf *shelf,
                    void (*visit)(struct wf_stack *, void *), void *arg)
{
    for (const struct wf_chunk *chunk = first_chunk(shelf); chunk != NULL; chunk = chunk->next) {
        uint64_t bits = bits_below(chunk->slab_count) & ~chunk->bare;

        for (; bits != 0; bits &= bits - 1)
            visit_slab(depot, &chunk->slabs[lowest_bit(bits)], visit, arg);
    }
}
