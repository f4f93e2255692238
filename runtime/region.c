/* SPDX-License-Identifier: MIT */
/* Where regions come from and go to.  None is unmapped before its runtime ends: see task.h. */
#include "runtime/model.h"

/* Of address space: 8,000 tasks, more than fit on most stacks. */
#define REGION_SIZE (64 * 1024)

void wf_task_pool_init(struct wf_task_pool *pool)
{
    pool->list.next = &pool->list;
    pool->list.previous = &pool->list;
}

void wf_task_pool_destroy(struct wf_task_pool *pool)
{
    struct wf_region *region = pool->made;

    while (region != NULL) {
        struct wf_region *made = region->made;

        wf_os_unmap(region, REGION_SIZE);
        region = made;
    }
}

static struct wf_region *make_region(struct wf_task_pool *pool, unsigned stack_class)
{
    struct wf_region *region = wf_os_map(REGION_SIZE);
    struct wf_task **slots;

    if (region == NULL)
        return NULL;
    region->stack_class = stack_class;
    slots = (struct wf_task **)(void *)(region + 1);
    wf_split_init(&region->split, slots, (REGION_SIZE - sizeof *region) / sizeof(struct wf_task *));
    wf_lock_acquire(&pool->lock);
    region->made = pool->made;
    pool->made = region;
    wf_lock_release(&pool->lock);
    return region;
}

/* Takes a region for fibers with such stacks out of a list of unused ones. */
static struct wf_region *take_unused(struct wf_region **list, unsigned stack_class)
{
    struct wf_region *region;

    while (*list != NULL && (*list)->stack_class != stack_class)
        list = &(*list)->unused;
    region = *list;
    if (region != NULL)
        *list = region->unused;
    return region;
}

struct wf_region *wf_region_take(struct wf_worker *self, unsigned stack_class)
{
    struct wf_task_pool *pool = &self->runtime->tasks;
    struct wf_region *region = take_unused(&self->regions.first, stack_class);

    if (region != NULL) {
        self->regions.count--;
        return region;
    }
    wf_lock_acquire(&pool->lock);
    region = take_unused(&pool->unused, stack_class);
    wf_lock_release(&pool->lock);
    return region != NULL ? region : make_region(pool, stack_class);
}

void wf_region_give(struct wf_worker *self, struct wf_region *region)
{
    struct wf_task_pool *pool = &self->runtime->tasks;

    if (self->regions.count < WF_REGION_CACHE) {
        region->unused = self->regions.first;
        self->regions.first = region;
        self->regions.count++;
        return;
    }
    wf_lock_acquire(&pool->lock);
    region->unused = pool->unused;
    pool->unused = region;
    wf_lock_release(&pool->lock);
}
