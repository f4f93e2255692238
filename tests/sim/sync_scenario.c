/* SPDX-License-Identifier: MIT */
/*
 * Scheduler and synchronisation: a random tree of fibers that lock, send, sleep, select, spawn,
 * join and cancel each other, over a handful of shared objects.
 *
 * What must hold whatever the schedule is: nobody is in a lock beside its holder, nobody has more
 * permits than there are, what is sent is received once or still there, a wait ends early only with
 * a cause, every fiber that was spawned ends with its own result, and all of it ends.
 *
 * The accounts are plain variables: in a simulation nothing happens between two calls of weft.
 */
#include "scenario.h"

#include <errno.h>
#include <stdio.h>

enum {
    PERMITS = 3,
    FIBERS_MAX = 60,
    DEPTH_MAX = 4,
    STEPS_MAX = 10,
    CHILDREN_MAX = 4,
    SLOTS = 4,
};

struct world {
    enum scenario_bug bug;
    weft_mutex mutex, outer, inner;
    weft_rwlock rwlock;
    weft_semaphore permits;
    weft_event event;
    weft_channel *channel;
    int in_mutex, readers, writers, held, counter, counted;
    int spawned, ended;
    unsigned sent, received;
    uint64_t sum_sent, sum_received, next_item;
    const char *failure; /* the first rule that did not hold */
};

struct actor {
    struct world *world;
    int depth;
    int number;
};

static void require(struct world *world, bool holds, const char *rule)
{
    if (!holds && world->failure == NULL) {
        world->failure = rule;
        fprintf(stderr, "scenario: broken rule: %s\n", rule);
    }
}

static weft_time some_deadline(void)
{
    switch (scenario_draw(4)) {
    case 0:
        return weft_now() + scenario_draw(1000); /* as good as passed */
    case 1:
        return weft_after(scenario_draw(200) * WEFT_MICROSECOND);
    default:
        return weft_after(scenario_draw(20) * WEFT_MILLISECOND);
    }
}

static weft_time deadline_or_never(void)
{
    return scenario_draw(2) == 0 ? WEFT_FOREVER : some_deadline();
}

/* A wait has ended with `result`: has it a cause? */
static void require_cause(struct world *world, int result, weft_time deadline)
{
    if (result == -ETIMEDOUT) /* a scope around it may have had a deadline too: -ETIMEDOUT stays */
        require(world, deadline <= weft_now() || weft_sleep(0) == -ETIMEDOUT,
                "a wait times out after its deadline");
    else if (result == -ECANCELED)
        require(world, weft_is_cancelled(), "a wait is cancelled if its fiber is");
    else
        require(world, result >= 0 || result == -EPIPE, "a wait fails for a reason it may have");
}

static void pause_for_a_while(void)
{
    if (scenario_draw(3) == 0)
        (void)weft_yield();
    else if (scenario_draw(3) == 0)
        (void)weft_sleep(scenario_draw(300) * WEFT_MICROSECOND);
}

static void use_mutex(struct world *world)
{
    weft_time deadline = deadline_or_never();
    int error = weft_mutex_lock(&world->mutex, deadline);

    require_cause(world, error, deadline);
    if (error != 0)
        return;
    require(world, world->in_mutex++ == 0, "one fiber at a time has the mutex");
    pause_for_a_while();
    world->in_mutex--;
    weft_mutex_unlock(&world->mutex);
}

/* Two locks, one for each of two counters; BUG_LOST_UPDATE goes without, BUG_LOCK_ORDER takes them
 * in either order. */
static void use_counter(struct world *world)
{
    bool is_locked = world->bug != BUG_LOST_UPDATE;
    bool is_swapped = world->bug == BUG_LOCK_ORDER && scenario_draw(2) == 0;
    weft_mutex *first = is_swapped ? &world->inner : &world->outer;
    weft_mutex *second = is_swapped ? &world->outer : &world->inner;
    int counter;

    if (is_locked && weft_mutex_lock(first, WEFT_FOREVER) != 0)
        return;
    if (is_locked && weft_mutex_lock(second, WEFT_FOREVER) != 0) {
        weft_mutex_unlock(first);
        return;
    }
    counter = world->counter;
    pause_for_a_while();
    world->counter = counter + 1;
    world->counted++;
    if (is_locked) {
        weft_mutex_unlock(second);
        weft_mutex_unlock(first);
    }
}

struct errand {
    struct world *world;
    weft_event done;
    bool is_done;
};

static int do_errand(void *arg)
{
    struct errand *errand = arg;

    pause_for_a_while();
    errand->is_done = true;
    weft_event_set(&errand->done);
    return 0;
}

/* The event is reset before the look, and a set after it is not lost; BUG_LATE_RESET resets it
 * after the look. */
static void use_errand(struct world *world)
{
    struct errand errand = {.world = world, .done = WEFT_EVENT_INIT};
    weft_fiber *fiber;
    int error = 0;

    if (weft_spawn(&fiber, do_errand, &errand) != 0)
        return;
    for (;;) {
        if (world->bug != BUG_LATE_RESET)
            weft_event_reset(&errand.done);
        if (errand.is_done || error != 0)
            break;
        if (world->bug == BUG_LATE_RESET) {
            pause_for_a_while();
            weft_event_reset(&errand.done);
        }
        error = weft_event_wait(&errand.done, WEFT_FOREVER);
        require_cause(world, error, WEFT_FOREVER);
    }
    while (weft_join(fiber, NULL, WEFT_FOREVER) != 0)
        (void)weft_yield();
}

struct shared_mutex {
    weft_mutex mutex;
    int count;
};

static int count_once(void *arg)
{
    struct shared_mutex *shared = arg;
    int error = weft_mutex_lock(&shared->mutex, WEFT_FOREVER);

    if (error != 0)
        return error;
    shared->count++;
    if (scenario_draw(2) == 0)
        pause_for_a_while();
    weft_mutex_unlock(&shared->mutex);
    return 0;
}

/* A mutex that two fibers lock once: whoever sleeps without need is woken by nobody. */
static void share_mutex(struct world *world)
{
    struct shared_mutex shared = {.mutex = WEFT_MUTEX_INIT};
    weft_fiber *fiber;
    int error, result;

    if (weft_spawn(&fiber, count_once, &shared) != 0)
        return;
    error = count_once(&shared);
    require_cause(world, error, WEFT_FOREVER);
    while (weft_join(fiber, &result, WEFT_FOREVER) != 0)
        (void)weft_yield();
    require(world, shared.count == (error == 0) + (result == 0), "each lock counts once");
}

static int wait_for_nobody(void *arg)
{
    weft_event event = WEFT_EVENT_INIT;

    (void)arg;
    return weft_event_wait(&event, WEFT_FOREVER);
}

/* Before it waits, as it begins to, or while it does. */
static void cancel_one(struct world *world)
{
    weft_fiber *fiber;
    int result = 0;

    if (weft_spawn(&fiber, wait_for_nobody, NULL) != 0)
        return;
    pause_for_a_while();
    weft_cancel(fiber);
    while (weft_join(fiber, &result, WEFT_FOREVER) != 0)
        (void)weft_yield();
    require(world, result == -ECANCELED, "who is cancelled ends its wait");
}

static void use_permits(struct world *world)
{
    unsigned count = 1 + scenario_draw(2);
    weft_time deadline = deadline_or_never();
    int error = weft_semaphore_acquire(&world->permits, count, deadline);

    require_cause(world, error, deadline);
    if (error != 0)
        return;
    world->held += (int)count;
    require(world, world->held <= PERMITS, "there are no more permits than there are");
    pause_for_a_while();
    world->held -= (int)count;
    if (world->bug == BUG_LOST_PERMIT && weft_is_cancelled())
        return;
    weft_semaphore_release(&world->permits, count);
}

static void use_rwlock(struct world *world)
{
    bool is_writer = scenario_draw(3) == 0;
    weft_time deadline = deadline_or_never();
    int error = is_writer ? weft_rwlock_write_lock(&world->rwlock, deadline)
                          : weft_rwlock_read_lock(&world->rwlock, deadline);

    require_cause(world, error, deadline);
    if (error != 0)
        return;
    *(is_writer ? &world->writers : &world->readers) += 1;
    require(world, world->writers == 0 || (world->writers == 1 && world->readers == 0),
            "a writer is alone");
    pause_for_a_while();
    *(is_writer ? &world->writers : &world->readers) -= 1;
    weft_rwlock_unlock(&world->rwlock);
}

static void note_sent(struct world *world, uint64_t item)
{
    world->sent++;
    world->sum_sent += item;
}

static void note_received(struct world *world, uint64_t item)
{
    world->received++;
    world->sum_received += item;
}

static void use_channel(struct world *world)
{
    weft_time deadline = some_deadline();
    uint64_t item = ++world->next_item;
    int error;

    if (scenario_draw(2) == 0) {
        error = weft_channel_send(world->channel, &item, sizeof item, deadline);
        if (error == 0)
            note_sent(world, item);
    } else {
        error = weft_channel_receive(world->channel, &item, sizeof item, deadline);
        if (error == 0)
            note_received(world, item);
    }
    require_cause(world, error, deadline);
}

static void use_select(struct world *world)
{
    weft_timer timer = WEFT_TIMER_INIT;
    uint64_t out = ++world->next_item, in = 0;
    int64_t count = 0;
    struct weft_select_case cases[] = {
        WEFT_SEND_CASE(world->channel, &out),
        WEFT_RECEIVE_CASE(world->channel, &in),
        WEFT_TIMER_CASE(&timer, &count),
    };
    weft_time deadline = some_deadline();
    int chosen;

    (void)weft_timer_arm(&timer, some_deadline(), 0, WEFT_TIMER_SKIP);
    chosen = weft_select(cases, 3, deadline);
    if (chosen == 0)
        note_sent(world, out);
    else if (chosen == 1)
        note_received(world, in);
    require_cause(world, chosen, deadline);
    (void)weft_timer_cancel(&timer);
}

static void use_sleep(struct world *world)
{
    weft_time deadline = some_deadline();
    int error = weft_sleep_until(deadline);

    require_cause(world, error, WEFT_FOREVER);
    require(world, error != 0 || weft_now() >= deadline, "a sleep lasts as long as it shall");
}

static void use_event(struct world *world)
{
    weft_time deadline = some_deadline();
    int error;

    if (scenario_draw(2) == 0) {
        weft_event_set(&world->event);
        return;
    }
    error = weft_event_wait(&world->event, deadline);
    require_cause(world, error, deadline);
    if (error == 0 && scenario_draw(2) == 0)
        weft_event_reset(&world->event);
}

static int block_for_nothing(void *arg)
{
    ++*(int *)arg;
    return 7;
}

static void use_blocking(struct world *world)
{
    weft_time deadline = deadline_or_never();
    int calls = 0;
    int result = weft_blocking(block_for_nothing, &calls, deadline);

    require_cause(world, result, deadline);
    require(world, (result == 7) == (calls == 1), "a call on the pool is made once or not at all");
}

static int act(void *arg);

static int result_of(const struct actor *actor)
{
    return 1000 + actor->number;
}

static bool make_child(struct world *world, struct actor *child, int depth)
{
    if (world->spawned >= FIBERS_MAX || depth >= DEPTH_MAX)
        return false;
    *child = (struct actor){world, depth + 1, ++world->spawned};
    return true;
}

static void spawn_and_join(struct world *world, int depth)
{
    struct actor children[CHILDREN_MAX];
    weft_fiber *fibers[CHILDREN_MAX];
    unsigned count = 0, wanted = 1 + scenario_draw(CHILDREN_MAX);

    while (count < wanted && make_child(world, &children[count], depth)) {
        if (weft_spawn(&fibers[count], act, &children[count]) != 0) {
            world->spawned--;
            break;
        }
        count++;
    }
    for (unsigned i = 0; i < count; i++) {
        /* Mostly for good: what hangs must not be cancelled by whoever waits for it. */
        weft_time deadline = scenario_draw(4) == 0 ? some_deadline() : WEFT_FOREVER;
        int result = 0, error;

        if (scenario_draw(4) == 0)
            weft_cancel(fibers[i]);
        error = weft_join(fibers[i], &result, deadline);
        if (error != 0) {
            require_cause(world, error, deadline);
            weft_cancel(fibers[i]);
            /* Cancelled itself it cannot wait: the children's frames are here, so it insists. */
            while (weft_join(fibers[i], &result, WEFT_FOREVER) != 0)
                (void)weft_yield();
        }
        require(world, result == result_of(&children[i]), "a join has the result of its fiber");
    }
}

static int act_in_scope(void *arg)
{
    (void)act(arg);
    return 0;
}

static void spawn_in_scope(struct world *world, int depth)
{
    struct actor children[CHILDREN_MAX];
    weft_scope scope = WEFT_SCOPE_INIT;
    unsigned count = 0, wanted = 1 + scenario_draw(CHILDREN_MAX);

    if (weft_scope_open(&scope, deadline_or_never()) != 0)
        return;
    while (count < wanted && make_child(world, &children[count], depth)) {
        if (weft_scope_spawn(&scope, act_in_scope, &children[count]) != 0) {
            world->spawned--;
            break;
        }
        count++;
    }
    pause_for_a_while();
    if (scenario_draw(3) == 0)
        (void)weft_scope_cancel(&scope);
    (void)weft_scope_close(&scope, 0);
}

static void take_step(struct world *world, int depth)
{
    static void (*const uses[])(struct world *) = {
        use_mutex,  use_counter, use_errand, use_permits,  use_rwlock, use_channel,
        use_select, use_sleep,   use_event,  use_blocking, cancel_one, share_mutex,
    };
    enum { USES = sizeof uses / sizeof uses[0] };
    unsigned which = scenario_draw(USES + 3);

    if (which < USES)
        uses[which](world);
    else if (which == USES)
        spawn_and_join(world, depth);
    else if (which == USES + 1)
        spawn_in_scope(world, depth);
    else
        pause_for_a_while();
}

static int act(void *arg)
{
    struct actor *actor = arg;
    unsigned steps = scenario_draw(STEPS_MAX);

    for (unsigned i = 0; i < steps && actor->world->failure == NULL; i++)
        take_step(actor->world, actor->depth);
    actor->world->ended++;
    return result_of(actor);
}

static void settle_accounts(struct world *world)
{
    uint64_t item;

    while (weft_channel_try_receive(world->channel, &item, sizeof item) == 0)
        note_received(world, item);
    require(world, world->sent == world->received && world->sum_sent == world->sum_received,
            "what is sent is received once");
    require(world, weft_semaphore_available(&world->permits) == PERMITS, "all permits come back");
    require(world, world->counter == world->counted, "no update is lost");
    require(world, world->spawned == world->ended, "every fiber ends");
}

int sync_scenario(void *arg)
{
    struct world world = {
        .bug = (enum scenario_bug)(intptr_t)arg,
        .mutex = WEFT_MUTEX_INIT,
        .outer = WEFT_MUTEX_INIT,
        .inner = WEFT_MUTEX_INIT,
        .rwlock = WEFT_RWLOCK_INIT,
        .permits = WEFT_SEMAPHORE_INIT(PERMITS),
        .event = WEFT_EVENT_INIT,
    };
    unsigned rounds = 1 + scenario_draw(4);
    int error = weft_channel_create(&world.channel, sizeof(uint64_t), scenario_draw(SLOTS));

    if (error != 0)
        return error;
    for (unsigned i = 0; i < rounds && world.failure == NULL; i++)
        spawn_and_join(&world, 0);
    settle_accounts(&world);
    weft_channel_free(world.channel);
    return world.failure == NULL ? 0 : -EPROTO;
}
