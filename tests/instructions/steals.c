/* SPDX-License-Identifier: MIT */
/*
 * Steals whose order is the same each time.  The victim's thread is blocked, so that one fiber of
 * the other worker can put into the victim's queues what it then takes out by the scheduler's own
 * way of stealing, and nobody else runs.
 */
#include "paths.h"

#include "runtime/balance.h"
#include "runtime/fiber.h"
#include "runtime/load.h"
#include "runtime/model.h"
#include "runtime/wait.h"
#include "runtime/worker.h"

#include <stdatomic.h>
#include <unistd.h>
#include <weft.h>

enum { BATCH = 8, LOOK_US = 500 };

static struct {
    int (*fn)(void *);
    struct wf_worker *thief, *victim;
    int pipe[2];
    atomic_bool is_held;
} stage;

static int hold(void *arg)
{
    char byte;

    (void)arg;
    stage.victim = wf_self();
    atomic_store(&stage.is_held, true);
    /* Not weft_read(): the thread itself has to stay here. */
    return read(stage.pipe[0], &byte, 1) == 1 ? 0 : 1;
}

/* Others may take all that this worker has. */
static void overload(struct wf_worker *worker)
{
    atomic_store(&worker->overload, WF_OVERLOAD_MAX);
}

static int run_with_victim(void *arg)
{
    weft_fiber *holder;
    int rc, held = 1;

    stage.thief = wf_self();
    overload(stage.thief);
    if (pipe(stage.pipe) != 0 || weft_spawn(&holder, hold, NULL) != 0)
        die("no victim");
    while (!atomic_load(&stage.is_held)) {
        wf_worker_notify(stage.thief, stage.thief->runtime->workers[1 - stage.thief->index]);
        usleep(LOOK_US);
    }
    if (stage.victim == stage.thief)
        die("the victim is the thief");
    usleep(LOOK_US); /* it is about to block */
    overload(stage.victim);
    rc = stage.fn(arg);
    if (write(stage.pipe[1], "w", 1) != 1 || weft_join(holder, &held, WEFT_FOREVER) != 0 || held)
        die("the victim was not held");
    close(stage.pipe[0]);
    close(stage.pipe[1]);
    return rc;
}

int with_a_victim(int (*fn)(void *))
{
    struct weft_config config = WEFT_CONFIG_INIT;

    stage.fn = fn;
    config.workers = 2;
    config.monitor = 3;
    return weft_run(&config, run_with_victim, NULL);
}

/* Stands for fibers: they are moved between queues, and not run. */
static struct weft_fiber moved;

/* A fiber that was just created. */
void steal(unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        if (!wf_deque_push(&stage.victim->fresh, &moved) || wf_balance_steal(stage.thief) != &moved)
            die("nothing was stolen");
        plant();
    }
}

/* Half of those that are ready, and so on until there are none. */
void steal_ready(unsigned count)
{
    for (unsigned done = 0; done < count; done += BATCH) {
        unsigned left = BATCH;

        for (unsigned i = 0; i < BATCH; i++)
            if (!wf_ready_push(&stage.victim->ready, &moved))
                die("no room");
        while (left > 0 && wf_balance_steal(stage.thief) == &moved) {
            left--;
            while (wf_ready_pop(&stage.thief->ready) != NULL)
                left--;
        }
        if (left != 0)
            die("not all were stolen");
        for (unsigned i = 0; i < BATCH / 2; i++)
            plant();
    }
}

WEFT_TASK(add_one, unsigned, unsigned)

static unsigned add_one(weft_team team, unsigned number)
{
    (void)team;
    return number + 1;
}

WEFT_TASK(fork_for_thief, unsigned, unsigned)

/* What this fiber forks, the victim seems to have forked: the thief asks for it, finds it, and
 * makes a fiber that claims and runs it before the join. */
static unsigned fork_for_thief(weft_team team, unsigned count)
{
    struct wf_region *region = stage.thief->current->region;
    unsigned sum = 0;

    atomic_store(&stage.victim->region, region);
    for (unsigned i = 0; i < count; i++) {
        struct add_one_task task;
        struct weft_fiber *fiber;

        wf_split_ask(&region->split);
        add_one_fork(&team, &task, 0);
        fiber = wf_task_steal(stage.thief);
        if (fiber == NULL)
            die("no task was found");
        wf_worker_push_ready(stage.thief, fiber);
        weft_yield(); /* to it: a join would take back what is not claimed yet */
        sum += add_one_join(&team, &task);
        plant();
    }
    atomic_store(&stage.victim->region, NULL);
    return sum;
}

void steal_task(unsigned count)
{
    uint64_t before = wf_counter_read(&stage.thief->counters.tasks_stolen);

    if (fork_for_thief_call(count) != count)
        die("wrong sum");
    if (wf_counter_read(&stage.thief->counters.tasks_stolen) - before != count)
        die("the fiber ran its tasks itself");
}
