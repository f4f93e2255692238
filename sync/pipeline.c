/* SPDX-License-Identifier: MIT */
/*
 * Stages of a pipeline.
 *
 * In an ordered stage an item is received and numbered under one mutex, and each fiber waits until
 * its number is the next to go out.  A fiber that fails keeps its turn, and those behind it wait
 * until the scope, which its failure cancels, ends their waits.
 *
 * The turns are under the lock and their waits are those of sync/wait_queue.h; the models of these
 * two cover it.
 */
#define WEFT_LOCK_CHECKS 0 /* those are for programs */
#include "runtime/alloc.h"
#include "runtime/check.h"
#include "runtime/lock.h"
#include "runtime/spawn.h"
#include "sync/channel.h"
#include "sync/wait_queue.h"

#include <errno.h>
#include <stddef.h>
#include <weft/mutex.h>
#include <weft/pipeline.h>

struct stage {
    struct weft_pipeline_stage set; /* immutable */
    weft_scope *scope;              /* immutable */
    weft_mutex input;               /* ordered: whose holder receives the next item */
    uint64_t received;              /* under `input` */
    struct wf_lock lock;
    uint32_t users;               /* under the lock: its fibers, and who still starts them */
    uint32_t numbered;            /* under the lock: fibers that have their memory */
    uint64_t turn;                /* under the lock: the number of the next item to go out */
    struct wf_wait_queue waiting; /* under the lock; of struct turn_wait */
    size_t item_space;            /* immutable: bytes for an item; for a result likewise */
    size_t result_space;
    unsigned char *memory; /* immutable; a fiber's part is its own */
};

/* In the frame of whoever waits. */
struct turn_wait {
    struct wf_wait_entry entry;
    uint64_t number;
};

static const struct wf_wait_kind stage_kind = {"its turn in a pipeline",
                                               offsetof(struct stage, lock), 0};

static size_t space_for(size_t size)
{
    size_t alignment = _Alignof(max_align_t);

    return (size + alignment - 1) / alignment * alignment;
}

/* Gives up one use; the last one ends the stage. */
static void leave(struct stage *stage)
{
    bool is_last;

    wf_lock_acquire(&stage->lock);
    is_last = --stage->users == 0;
    wf_lock_release(&stage->lock);
    if (!is_last)
        return;
    if (stage->set.out != NULL)
        weft_channel_close(stage->set.out);
    wf_free(stage);
}

static int receive(struct stage *stage, void *item, uint64_t *number)
{
    weft_channel *in = stage->set.in;
    int error;

    if (!stage->set.is_ordered)
        return weft_channel_receive(in, item, in->item_size, WEFT_FOREVER);
    error = weft_mutex_lock(&stage->input, WEFT_FOREVER);
    if (error != 0)
        return error;
    error = weft_channel_receive(in, item, in->item_size, WEFT_FOREVER);
    if (error == 0)
        *number = stage->received++;
    weft_mutex_unlock(&stage->input);
    return error;
}

static int await_turn(struct stage *stage, uint64_t number)
{
    struct turn_wait wait = {{NULL, NULL, NULL, NULL}, number};

    wf_lock_acquire(&stage->lock);
    if (stage->turn != number)
        return wf_wait_queue_sleep(wf_self(), &stage->waiting, &stage->lock, &wait.entry,
                                   WEFT_FOREVER, &stage_kind);
    wf_lock_release(&stage->lock);
    return 0;
}

static void pass_turn(struct stage *stage)
{
    struct wf_wait_entry *entry;
    struct wf_wait_entry *next = NULL;

    wf_lock_acquire(&stage->lock);
    stage->turn++;
    entry = stage->waiting.first;
    if (entry != NULL) {
        do {
            if (WF_CONTAINER_OF(entry, struct turn_wait, entry)->number == stage->turn)
                next = entry;
            entry = entry->next;
        } while (next == NULL && entry != stage->waiting.first);
    }
    if (next != NULL)
        (void)wf_wait_queue_remove(&stage->waiting, next);
    wf_lock_release(&stage->lock);
    if (next != NULL)
        wf_wake_later(wf_self(), next->waiter, 0);
}

static bool is_closed(weft_channel *channel)
{
    struct wf_channel *out = wf_channel_of(channel, channel->item_size, "weft_pipeline_spawn");
    bool is_closed;

    wf_lock_acquire(&out->lock);
    is_closed = out->is_closed != 0;
    wf_lock_release(&out->lock);
    return is_closed;
}

/* Sends what came of an item, if anything did; -EPIPE if nobody wants it.  A stage that drops all
 * there is to come would not learn that by sending. */
static int deliver(struct stage *stage, const void *result, bool is_dropped, uint64_t number)
{
    weft_channel *out = stage->set.out;
    int error = stage->set.is_ordered ? await_turn(stage, number) : 0;

    if (error != 0)
        return error;
    if (out != NULL && is_dropped)
        error = is_closed(out) ? -EPIPE : 0;
    else if (out != NULL)
        error = weft_channel_send(out, result, out->item_size, WEFT_FOREVER);
    if (stage->set.is_ordered && (error == 0 || error == -EPIPE))
        pass_turn(stage);
    return error;
}

/* 0; a failure; or 0 with `*is_over`, when there are no more items or nobody wants the results. */
static int work_on_one(struct stage *stage, void *item, void *result, bool *is_over)
{
    uint64_t number = 0;
    int error = receive(stage, item, &number);

    if (error == -ENODATA) {
        *is_over = true;
        return 0;
    }
    if (error != 0)
        return error;
    error = stage->set.fn(stage->set.arg, item, stage->set.out != NULL ? result : NULL);
    if (error < 0)
        return error;
    error = deliver(stage, result, error == WEFT_PIPELINE_DROP, number);
    if (error == -EPIPE) {
        *is_over = true;
        return 0;
    }
    return error;
}

static int work(void *arg)
{
    struct stage *stage = (struct stage *)arg;
    unsigned char *item;
    bool is_over = false;
    int error = 0;

    wf_lock_acquire(&stage->lock);
    item = stage->memory + stage->numbered++ * (stage->item_space + stage->result_space);
    wf_lock_release(&stage->lock);
    while (error == 0 && !is_over)
        error = work_on_one(stage, item, item + stage->item_space, &is_over);
    /* Whoever sends to a closed channel fails in turn, and may end before us. */
    if (error != 0)
        wf_scope_fail(stage->scope, error);
    weft_channel_close(stage->set.in); /* if there are more items: nobody will take them */
    leave(stage);
    return error;
}

static struct stage *make(weft_scope *scope, const struct weft_pipeline_stage *set, uint32_t fibers)
{
    size_t header = space_for(sizeof(struct stage));
    size_t item_space = space_for(set->in->item_size);
    size_t result_space = set->out != NULL ? space_for(set->out->item_size) : 0;
    struct stage *stage;

    if (fibers > (SIZE_MAX / 2 - header) / (item_space + result_space))
        return NULL;
    /* Where there is no room for all the fibers, or no items for them, their parts stay unused. */
    stage = (struct stage *)wf_alloc_unset(header + fibers * (item_space + result_space));
    if (stage == NULL)
        return NULL;
    *stage = (struct stage){.set = *set,
                            .scope = scope,
                            .users = 1,
                            .item_space = item_space,
                            .result_space = result_space,
                            .memory = (unsigned char *)stage + header};
    return stage;
}

int weft_pipeline_spawn(weft_scope *scope, const struct weft_pipeline_stage *set)
{
    uint32_t fibers = set->fibers > 0 ? set->fibers : 1;
    uint32_t started = 0;
    struct stage *stage;
    int error = 0;

    if (set->fn == NULL || set->in == NULL || set->in == set->out)
        return -EINVAL;
    if (set->in->item_size == 0 || (set->out != NULL && set->out->item_size == 0))
        wf_panic("weft_pipeline_spawn: a channel is not initialised, or destroyed");
    stage = make(scope, set, fibers);
    if (stage == NULL)
        return -ENOMEM;
    while (started < fibers && error == 0) {
        wf_lock_acquire(&stage->lock);
        stage->users++;
        wf_lock_release(&stage->lock);
        error = wf_scope_spawn_at(scope, work, stage, __builtin_return_address(0));
        if (error == 0) {
            started++;
        } else { /* that use was nobody's, and ours is left */
            wf_lock_acquire(&stage->lock);
            stage->users--;
            wf_lock_release(&stage->lock);
        }
    }
    if (started == 0) {
        wf_free(stage);
        return error;
    }
    leave(stage);
    return 0;
}
