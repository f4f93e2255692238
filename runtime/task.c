/* SPDX-License-Identifier: MIT */
/* Fork-join: where tasks are kept, who is woken for them, how they are stolen and joined. */
#include "runtime/task.h"

#include "arch/cpu.h"
#include "runtime/balance.h"
#include "runtime/fiber.h"
#include "runtime/model.h"
#include "runtime/wait_internal.h"

#include <errno.h>

enum {
    /* Guessed: longer than an owner takes to come to its next fork, shorter than a wake. */
    SEARCH_NS = 50 * 1000,
    SEARCH_PAUSES = 16, /* between two looks */
    /* A wake costs some 10 µs; one in vain in a millisecond is 1 % of a worker. */
    BACKOFF_MIN_NS = 100 * 1000,
    BACKOFF_MAX_NS = 1000 * 1000,
};

_Static_assert(offsetof(struct wf_split, limit) == offsetof(struct weft_task_deque, limit),
               "the header finds the limit");
_Static_assert(offsetof(struct wf_task, state) == offsetof(struct weft_task, state) &&
                   offsetof(struct wf_task, runner) == offsetof(struct weft_task, runner) &&
                   sizeof(struct wf_task) == sizeof(struct weft_task),
               "the header and the library mean the same task");

/* What a team has where there is no deque: each fork finds it full, each join finds nothing. */
static struct wf_task *no_slots[1];
static struct wf_split no_split = {.first = &no_slots[1], .end = &no_slots[1]};

static struct wf_split *split_of(weft_team team)
{
    return (struct wf_split *)(void *)team.deque;
}

static struct wf_region *region_of(weft_team team)
{
    return (struct wf_region *)(void *)team.deque;
}

static weft_team team_of(struct wf_split *split, struct wf_task **head)
{
    return (weft_team){(struct weft_task_deque *)(void *)split, (struct weft_task **)(void *)head};
}

static struct wf_task **head_of(weft_team team)
{
    return (struct wf_task **)(void *)team.head;
}

static struct wf_task *task_of(struct weft_task *task)
{
    return (struct wf_task *)(void *)task;
}

static void show_region(struct wf_worker *self, struct wf_region *region)
{
    /* TR.1 seq_cst: the region, or that there is none. */
    atomic_store_explicit(&self->region, region, memory_order_seq_cst);
}

/* Makes a region for the running fiber, which has none or one in other modes. */
static inline struct wf_region *begin_region(struct wf_worker *self, uint64_t modes)
{
    struct weft_fiber *fiber = self->current;
    struct wf_region *region = wf_region_take(self, fiber->stack.size_class);

    if (region == NULL)
        return NULL;
    region->depth = 1;
    region->fiber = fiber;
    region->outer = fiber->region;
    region->modes = modes;
    if (region->outer != NULL)
        wf_region_leave(self, region->outer);
    wf_split_watch(&region->split, self->runtime->worker_count > 1);
    fiber->region = region;
    show_region(self, region);
    return region;
}

weft_team weft_team_begin(void)
{
    struct wf_worker *self = wf_self();
    struct wf_region *region;
    uint64_t modes;

    if (self == NULL)
        return team_of(&no_split, no_split.first);
    modes = wf_context_modes(&self->current->context);
    region = self->current->region;
    if (region != NULL && region->modes == modes) {
        region->depth++;
        return team_of(&region->split, wf_split_head(&region->split));
    }
    region = begin_region(self, modes);
    if (region == NULL)
        return team_of(&no_split, no_split.first);
    return team_of(&region->split, region->split.first);
}

void weft_team_end(weft_team team)
{
    struct wf_worker *self;
    struct wf_region *region = region_of(team);

    if (split_of(team) == &no_split)
        return;
    self = wf_self();
    if (region != self->current->region || wf_split_head(&region->split) != head_of(team))
        wf_panic("a task was forked and not joined (fiber %lu)", (unsigned long)self->current->id);
    if (--region->depth > 0)
        return;
    WF_ASSERT(head_of(team) == region->split.first);
    show_region(self, NULL);
    self->current->region = region->outer;
    if (region->outer != NULL)
        wf_region_return(self, region->outer);
    wf_region_give(self, region);
}

/* Wakes a helper if there are sleepers and nobody searches.  Returns false if it is too early for
 * that: the last ones were woken in vain.  Caller: whoever has just shared something. */
static bool call_help(struct wf_worker *self)
{
    struct wf_task_pool *pool = &self->runtime->tasks;
    int64_t now, woke, backoff;

    /* TK.4 seq_cst, TR.2: after the share; a worker that has not announced its sleep yet sees it.
     */
    if (atomic_load_explicit(&self->runtime->park.sleeping, memory_order_seq_cst) == 0 ||
        !wf_park_wants_helper(&self->runtime->park))
        return true;
    now = wf_os_now();
    /* relaxed: these three spare wakes, nothing depends on them. */
    woke = atomic_load_explicit(&pool->woke, memory_order_relaxed);
    backoff = atomic_load_explicit(&pool->backoff, memory_order_relaxed);
    if (atomic_load_explicit(&pool->vain, memory_order_relaxed) == 0)
        backoff = 0;
    if (now - woke < backoff)
        return false;
    backoff = backoff == 0                   ? BACKOFF_MIN_NS
              : backoff * 2 < BACKOFF_MAX_NS ? backoff * 2
                                             : BACKOFF_MAX_NS;
    /* relaxed: as above. */
    atomic_store_explicit(&pool->woke, now, memory_order_relaxed);
    atomic_store_explicit(&pool->backoff, backoff, memory_order_relaxed);
    atomic_store_explicit(&pool->vain, 1, memory_order_relaxed);
    wf_balance_wake(self, self->index);
    return true;
}

/* Shares what has been asked for.  While help is needed and may not be called yet, the fiber comes
 * here at each fork.  Caller: the owner. */
static void serve_ask(struct wf_region *region, struct wf_task **head)
{
    uint32_t count = wf_split_private(&region->split, head);

    wf_split_watch(&region->split, false);
    if (count > 0 && !wf_split_has_shared(&region->split))
        wf_split_share(&region->split, (count + 1) / 2);
    if (!call_help(wf_self()))
        wf_split_watch(&region->split, true);
}

struct weft_task **weft_task_fork_slow(struct weft_task_deque *deque, struct weft_task **head,
                                       struct weft_task *task)
{
    weft_team team = {deque, head};
    struct wf_split *split = split_of(team);

    if (head_of(team) == split->end) {
        /* relaxed: nobody else comes to see it. */
        atomic_store_explicit(&task_of(task)->state, WF_TASK_IN_PLACE, memory_order_relaxed);
        return team.head;
    }
    *team.head = task;
    serve_ask(region_of(team), head_of(team) + 1);
    return team.head + 1;
}

bool wf_task_is_wanted(weft_team team)
{
    struct wf_split *split = split_of(team);

    return wf_split_is_asked(split) && split != &no_split &&
           wf_split_private(split, head_of(team)) == 0 && !wf_split_has_shared(split);
}

/* What a fiber that runs a stolen task is told when the one that forked it is cancelled. */
static uint32_t bits_for(int refusal)
{
    if (refusal == 0)
        return 0;
    return refusal == -ETIMEDOUT ? WF_CANCEL_TASK_LATE : WF_CANCEL_TASK;
}

/* Takes the joiner out, once for each reason, to cancel the task's runner by itself: a canceller
 * can be a plain thread, which must not wait for a ring while it holds a lock that workers take. */
bool wf_task_interrupt_join(struct wf_worker *self, struct wf_waiter *waiter, int reason)
{
    const struct wf_region *region = wf_fiber_of_waiter(waiter)->region;

    (void)self;
    return (region->passed_on & bits_for(reason)) == 0 && wf_task_withdraw(waiter->place, waiter);
}

/* Cancels whoever runs the task. */
static void pass_cancel_on(struct wf_worker *self, struct wf_region *region, struct wf_task *task,
                           int reason)
{
    region->passed_on |= bits_for(reason);
    wf_lock_acquire(&region->lock);
    if (task->runner != NULL) {
        /* WT.3 seq_cst: before our look whether it waits. */
        atomic_fetch_or_explicit(&task->runner->cancelled, bits_for(reason), memory_order_seq_cst);
        wf_wait_cancel(self, &task->runner->waiter);
    }
    wf_lock_release(&region->lock);
}

/* Keeps its registers out of the way of joins that need not wait. */
static WF_NOINLINE void wait_for_task(struct wf_region *region, struct wf_task *task)
{
    region->passed_on = 0;
    while (!wf_task_is_done(task)) {
        struct wf_worker *self = wf_self();
        struct wf_waiter *waiter = wf_wait_begin(self, wf_task_interrupt_join, task);

        if (!wf_task_await(task, waiter))
            return;
        self = wf_wait_end(self, WEFT_FOREVER);
        if (waiter->result != 0)
            pass_cancel_on(self, region, task, waiter->result);
    }
}

weft_team weft_task_join_slow(struct weft_task_deque *deque, struct weft_task **joined_head,
                              struct weft_task *joined)
{
    weft_team team = {deque, joined_head};
    struct wf_split *split = split_of(team);
    struct wf_task *task = task_of(joined);
    struct wf_task **head = head_of(team);

    if (head[-1] != wf_split_mark(task)) {
        /* relaxed: only we have written it. */
        if (head != split->end ||
            atomic_load_explicit(&task->state, memory_order_relaxed) != WF_TASK_IN_PLACE)
            wf_panic("a task is joined that is not the youngest of its function");
        return team;
    }
    if (wf_split_take_back(split, head)) {
        head[-1] = NULL;
        return team_of(split, head - 1);
    }
    if (!wf_task_is_done(task))
        wait_for_task(region_of(team), task);
    wf_split_forget(split, head);
    return team_of(NULL, head - 1);
}

static void link_region(struct wf_task_pool *pool, struct wf_region *region)
{
    region->next = &pool->list;
    region->previous = pool->list.previous;
    region->previous->next = region;
    pool->list.previous = region;
    region->is_listed = true;
    /* TR.2 seq_cst: before the look for sleepers. */
    atomic_fetch_add_explicit(&pool->listed, 1, memory_order_seq_cst);
}

static void unlink_region(struct wf_task_pool *pool, struct wf_region *region)
{
    region->previous->next = region->next;
    region->next->previous = region->previous;
    region->is_listed = false;
    /* relaxed: under the lock; a look that comes too early finds nothing in the list. */
    atomic_fetch_sub_explicit(&pool->listed, 1, memory_order_relaxed);
}

void wf_region_leave(struct wf_worker *self, struct wf_region *region)
{
    struct wf_task_pool *pool = &self->runtime->tasks;
    struct wf_split *split = &region->split;
    uint32_t count = wf_split_private(split, wf_split_head(split));

    show_region(self, NULL);
    if (count > 0)
        wf_split_share(split, count);
    if (!wf_split_has_shared(split))
        return;
    region->was_listed = true;
    wf_lock_acquire(&pool->lock);
    link_region(pool, region);
    wf_lock_release(&pool->lock);
    (void)call_help(self); /* if it is too early, this worker will look there itself */
}

void wf_region_return(struct wf_worker *self, struct wf_region *region)
{
    struct wf_task_pool *pool = &self->runtime->tasks;

    show_region(self, region);
    if (!region->was_listed)
        return;
    region->was_listed = false;
    wf_lock_acquire(&pool->lock);
    if (region->is_listed)
        unlink_region(pool, region);
    wf_lock_release(&pool->lock);
}

/* What the runner of a task is told when it begins.  A shield of its own in place of that bit would
 * also keep off what cancels the forker within its shield. */
static WF_COLD uint32_t inherit(struct weft_runtime *runtime, uint32_t owner)
{
    uint32_t bits = bits_for(wf_cancel_judge(runtime, owner));

    if ((owner & (WF_CANCEL_SHIELD | WF_CANCEL_TASK_SHIELD)) != 0)
        bits |= WF_CANCEL_TASK_SHIELD;
    return bits;
}

/* Takes the right to run a claimed task, and the cancel and the shield of its owner. */
static void start_task(struct wf_worker *self, struct wf_region *region, struct wf_task *task)
{
    struct weft_fiber *fiber = self->current;
    uint32_t owner;

    wf_lock_acquire(&region->lock);
    task->runner = fiber;
    /* relaxed: whoever cancels the owner from now on takes the lock, or the owner does; what it was
     * in when it forked the task came before the share (TK.1). */
    owner = atomic_load_explicit(&region->fiber->cancelled, memory_order_relaxed);
    if (WF_UNLIKELY(owner != 0 || wf_runtime_is_ending(self->runtime))) {
        /* relaxed: our own flag, and we do not wait. */
        atomic_fetch_or_explicit(&fiber->cancelled, inherit(self->runtime, owner),
                                 memory_order_relaxed);
    }
    wf_lock_release(&region->lock);
}

static void finish_task(struct wf_region *region, struct wf_task *task)
{
    struct wf_waiter *waiter;

    wf_lock_acquire(&region->lock);
    task->runner = NULL;
    wf_lock_release(&region->lock);
    waiter = wf_task_complete(task);
    if (waiter != NULL)
        wf_wake(wf_self(), waiter, 0);
}

/* The fiber that runs one stolen task. */
static int run_stolen(void *arg)
{
    struct wf_region *region = arg;
    struct wf_task *task = wf_split_claim(&region->split);
    struct weft_task *forked = (struct weft_task *)(void *)task;
    struct wf_worker *self = wf_self();
    weft_team team;

    if (task == NULL)
        return 0; /* the owner or another thief was faster */
    wf_count(&self->counters.tasks_stolen, 1);
    /* The loop that made this fiber has modes of its own. */
    wf_context_set_modes(&self->current->context, region->modes);
    /* relaxed: a hint; the load spares the store. */
    if (atomic_load_explicit(&self->runtime->tasks.vain, memory_order_relaxed) != 0) {
        /* relaxed: as above. */
        atomic_store_explicit(&self->runtime->tasks.vain, 0, memory_order_relaxed);
    }
    if (wf_split_has_shared(&region->split))
        (void)call_help(self);
    start_task(self, region, task);
    /* Reports name the task where they name the line that spawned other fibers: nobody spawned this
     * one, and the place of the fork is not known. */
    self->current->spawn_site = (const void *)(uintptr_t)forked->run;
    team = weft_team_begin();
    forked->run(team, forked);
    weft_team_end(team);
    finish_task(region, task);
    return 0;
}

static struct wf_region *running_region(struct wf_worker *self, uint32_t victim)
{
    struct wf_worker *worker = self->runtime->workers[self->victims[victim]];

    /* TR.1 seq_cst: the region's fields, and after our announcement of a sleep. */
    return atomic_load_explicit(&worker->region, memory_order_seq_cst);
}

static bool has_listed(struct wf_task_pool *pool)
{
    /* TR.2 seq_cst: after our announcement of a sleep. */
    return atomic_load_explicit(&pool->listed, memory_order_seq_cst) != 0;
}

/* A region whose fiber has no worker and that has something to steal. */
static struct wf_region *find_listed(struct wf_task_pool *pool)
{
    struct wf_region *region;

    if (!has_listed(pool))
        return NULL;
    wf_lock_acquire(&pool->lock);
    region = pool->list.next;
    /* Of those that have been emptied, none gets anything new until its fiber is back. */
    while (region != &pool->list && !wf_split_has_shared(&region->split)) {
        struct wf_region *next = region->next;

        unlink_region(pool, region);
        region = next;
    }
    wf_lock_release(&pool->lock);
    return region != &pool->list ? region : NULL;
}

/* A region that has something to steal; the others are asked.  `*is_running` says whether there is
 * any to wait for. */
static struct wf_region *find_region(struct wf_worker *self, bool *is_running)
{
    uint32_t crew = wf_runtime_crew(self->runtime);

    for (uint32_t i = 0; i + 1 < self->runtime->crew_max; i++) {
        struct wf_region *region = self->victims[i] < crew ? running_region(self, i) : NULL;

        if (region == NULL)
            continue;
        if (wf_split_has_shared(&region->split))
            return region;
        wf_split_ask(&region->split);
        *is_running = true;
    }
    return find_listed(&self->runtime->tasks);
}

bool wf_task_look(struct wf_worker *self)
{
    bool is_running = false;

    return !self->lacks_fiber && find_region(self, &is_running) != NULL;
}

static bool has_own_work(struct wf_worker *self)
{
    return wf_inject_size(&self->runtime->inject) != 0;
}

/* A fiber that will claim a task of the region. */
static struct weft_fiber *make_thief(struct wf_worker *self, struct wf_region *region)
{
    struct weft_fiber *fiber = NULL;

    if (region != NULL) {
        /* Without a fiber there is nothing to stay awake for: the owner runs the task itself. */
        self->lacks_fiber = wf_fiber_create_detached(self, region->stack_class, NULL, run_stolen,
                                                     region, (const void *)(uintptr_t)run_stolen,
                                                     &fiber) != 0;
        /* In chaos mode it would go to another worker, and all may have left by now: the end of the
         * runtime waits for the fibers that it has counted, and this one can come after that. */
        if (fiber != NULL)
            fiber->last_worker = UINT32_MAX;
    }
    return fiber;
}

struct weft_fiber *wf_task_take(struct wf_worker *self)
{
    return make_thief(self, find_listed(&self->runtime->tasks));
}

struct weft_fiber *wf_task_steal(struct wf_worker *self)
{
    int64_t deadline = 0;
    bool is_running = false;
    struct wf_region *region = find_region(self, &is_running);

    while (region == NULL && is_running && !has_own_work(self)) {
        for (int i = 0; i < SEARCH_PAUSES; i++)
            wf_cpu_pause();
        if (deadline == 0)
            deadline = wf_os_now() + SEARCH_NS;
        else if (wf_os_now() >= deadline)
            return NULL;
        is_running = false;
        region = find_region(self, &is_running);
    }
    return make_thief(self, region);
}
