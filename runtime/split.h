/* SPDX-License-Identifier: MIT */
/*
 * The split deque: where a fiber keeps the tasks that it has forked and not yet joined.
 *
 *     first          tail            split           head          end
 *       | stolen ...   | shared ...    | private ...   | empty ...  |
 *
 * Only its fiber touches the private part, by plain loads and stores.  Thieves take the oldest
 * shared task.  A thief that finds none sets `limit` to null, which the owner sees at its next
 * fork: it then shares a part of what it has.  The owner comes to the shared part only when it has
 * used up the private one, and takes half of it back.
 *
 * `tail` and `split` are halves of one word.  So a claim, a share and a taking back are one
 * read-modify-write each, and no fence is needed.  The word can have the same value twice with
 * other tasks behind it; that is why a thief reads the slot after its claim, never before.  The
 * slot stays as it is until the task has been joined.
 *
 * A slot in the shared part holds the task's address plus one, so that a join sees by a single
 * comparison that its task is private.  Slots from `head` on are null: that is how the library
 * finds the head, which the owner keeps in a register.
 *
 * van Dijk and van de Pol, "Lace: non-blocking split deque for work-stealing" (2014), with these
 * deviations: the slots point to tasks in the frames instead of being the tasks; the owner takes
 * back by a compare-and-swap instead of a store and a fence; the word that asks and the end of the
 * deque are one comparison; the deque belongs to a fiber and not to a worker.
 *
 *   Edge   From                        To                          Promises
 *   TK.1   share: shared seq_cst       claim: shared acquire       the task's record and its slot
 *   TK.2   complete: state acq_rel     join: state acquire         what the task did
 *   TK.3   join: state acq_rel         complete: state acq_rel     the waiter's fields
 *   TK.4   share: shared seq_cst       last look: shared seq_cst   with PK.1: a share and a sleep
 *                                                                  do not both go unseen
 */
#ifndef WF_RUNTIME_SPLIT_H
#define WF_RUNTIME_SPLIT_H

#include "arch/atomic.h"
#include "arch/compiler.h"
#include "runtime/check.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Values of wf_task.state that are no waiter.  NULL: shared, and nobody waits for it yet. */
#define WF_TASK_DONE ((void *)1)     /* whoever took it has run it */
#define WF_TASK_IN_PLACE ((void *)2) /* the deque was full: it is in no slot */

struct weft_fiber;

/* struct weft_task, as the library sees it. */
struct wf_task {
    void (*run)(void);         /* the forker writes */
    WF_ATOMIC(void *) state;   /* the forker's while private; then a waiter or a value above */
    struct weft_fiber *runner; /* under the lock of its region, while others can take it */
};

struct wf_split {
    /* Null asks for tasks; else `end`.  First: struct weft_task_deque. */
    WF_ATOMIC(struct wf_task **) limit;
    struct wf_task **first;                      /* immutable; the slot below it is null */
    struct wf_task **end;                        /* immutable */
    WF_CACHE_ALIGNED WF_ATOMIC(uint64_t) shared; /* tail, and split in the upper half */
};

static inline uint32_t wf_split_tail(uint64_t shared)
{
    return (uint32_t)shared;
}

static inline uint32_t wf_split_end(uint64_t shared)
{
    return (uint32_t)(shared >> 32);
}

static inline uint64_t wf_split_pack(uint32_t tail, uint32_t split)
{
    return (uint64_t)split << 32 | tail;
}

static inline struct wf_task *wf_split_mark(struct wf_task *task)
{
    return (struct wf_task *)(void *)((char *)task + 1);
}

static inline struct wf_task *wf_split_unmark(struct wf_task *marked)
{
    return (struct wf_task *)(void *)((char *)marked - 1);
}

/* Caller: whoever makes the deque.  `slots` has `count` null slots. */
static inline void wf_split_init(struct wf_split *split, struct wf_task **slots, size_t count)
{
    split->first = slots + 1;
    split->end = slots + count;
    /* relaxed: no other thread knows the deque yet. */
    atomic_store_explicit(&split->shared, 0, memory_order_relaxed);
    /* relaxed: as above. */
    atomic_store_explicit(&split->limit, NULL, memory_order_relaxed);
}

/* Caller: the owner.  Its next forks call the library, or do not. */
static inline void wf_split_watch(struct wf_split *split, bool watches)
{
    /* relaxed: an ask that this overwrites finds what is shared after it, or asks again. */
    atomic_store_explicit(&split->limit, watches ? NULL : split->end, memory_order_relaxed);
}

/* Caller: a thief that found nothing. */
static inline void wf_split_ask(struct wf_split *split)
{
    /* relaxed: a hint, which spares the store when someone has asked already. */
    if (atomic_load_explicit(&split->limit, memory_order_relaxed) != NULL) {
        /* relaxed: a flag; what it brings about is published by TK.1. */
        atomic_store_explicit(&split->limit, NULL, memory_order_relaxed);
    }
}

/* Caller: anyone. */
static inline bool wf_split_is_asked(struct wf_split *split)
{
    /* relaxed: a hint. */
    return atomic_load_explicit(&split->limit, memory_order_relaxed) == NULL;
}

/* Whether there is a task to claim.  Caller: anyone; ordered after the caller's earlier seq_cst
 * operations. */
static inline bool wf_split_has_shared(struct wf_split *split)
{
    /* TK.4 seq_cst: after the caller's announcement that it sleeps, if it has made one. */
    uint64_t shared = atomic_load_explicit(&split->shared, memory_order_seq_cst);

    return wf_split_tail(shared) != wf_split_end(shared);
}

/* Caller: the owner, when it does not know the head. */
static inline struct wf_task **wf_split_head(struct wf_split *split)
{
    /* relaxed: only the owner moves the upper half. */
    uint64_t shared = atomic_load_explicit(&split->shared, memory_order_relaxed);
    struct wf_task **head = split->first + wf_split_end(shared);

    while (head != split->end && *head != NULL)
        head++;
    return head;
}

/* Shares the oldest `count` private tasks.  Caller: the owner. */
static inline void wf_split_share(struct wf_split *split, uint32_t count)
{
    /* relaxed: only the owner moves the upper half. */
    uint64_t shared = atomic_load_explicit(&split->shared, memory_order_relaxed);
    struct wf_task **slot = split->first + wf_split_end(shared);

    for (uint32_t i = 0; i < count; i++) {
        struct wf_task *task = slot[i];

        task->runner = NULL;
        /* relaxed: TK.1 publishes it. */
        atomic_store_explicit(&task->state, NULL, memory_order_relaxed);
        slot[i] = wf_split_mark(task);
    }
    /* TK.1 seq_cst: the tasks, and TK.4: before the caller's look for sleepers. */
    atomic_fetch_add_explicit(&split->shared, (uint64_t)count << 32, memory_order_seq_cst);
}

/* Private tasks.  Caller: the owner. */
static inline uint32_t wf_split_private(struct wf_split *split, struct wf_task **head)
{
    /* relaxed: only the owner moves the upper half. */
    uint64_t shared = atomic_load_explicit(&split->shared, memory_order_relaxed);

    return (uint32_t)(head - split->first) - wf_split_end(shared);
}

/* Makes the younger half of the shared part private again.  Returns false if there is none left:
 * all has been stolen.  Caller: the owner, whose private part is empty. */
static inline bool wf_split_take_back(struct wf_split *split, struct wf_task **head)
{
    /* relaxed: the compare-and-swap below decides. */
    uint64_t shared = atomic_load_explicit(&split->shared, memory_order_relaxed);
    uint32_t old_end = wf_split_end(shared);
    uint32_t new_end;

    WF_ASSERT(split->first + old_end == head);
    do {
        uint32_t tail = wf_split_tail(shared);

        if (tail == old_end)
            return false;
        new_end = tail + (old_end - tail) / 2;
        /* relaxed: the tasks are our own, and a later claim of an older one still synchronises with
         * the share that this follows on; relaxed on failure: tried again. */
    } while (!atomic_compare_exchange_weak_explicit(&split->shared, &shared,
                                                    wf_split_pack(wf_split_tail(shared), new_end),
                                                    memory_order_relaxed, memory_order_relaxed));
    for (uint32_t i = new_end; i < old_end; i++)
        split->first[i] = wf_split_unmark(split->first[i]);
    return true;
}

/* Forgets the youngest task, which was stolen and has been run.  Caller: the owner. */
static inline void wf_split_forget(struct wf_split *split, struct wf_task **head)
{
    uint32_t index = (uint32_t)(head - split->first) - 1;

    split->first[index] = NULL;
    /* relaxed: nothing is shared, and so no claim can succeed meanwhile. */
    atomic_store_explicit(&split->shared, wf_split_pack(index, index), memory_order_relaxed);
}

/* Takes the oldest shared task, NULL if there is none.  Caller: a thief. */
static inline struct wf_task *wf_split_claim(struct wf_split *split)
{
    /* relaxed: the compare-and-swap below decides. */
    uint64_t shared = atomic_load_explicit(&split->shared, memory_order_relaxed);

    while (wf_split_tail(shared) != wf_split_end(shared)) {
        /* TK.1 acquire: the task's record and its slot; relaxed on failure: tried again. */
        if (atomic_compare_exchange_weak_explicit(&split->shared, &shared, shared + 1,
                                                  memory_order_acquire, memory_order_relaxed))
            return wf_split_unmark(split->first[wf_split_tail(shared)]);
    }
    return NULL;
}

/* The claimed task has been run.  Returns the waiter to wake, or NULL; the task is its owner's then
 * and must not be touched any more.  Caller: the thief. */
static inline void *wf_task_complete(struct wf_task *task)
{
    /* TK.2 and TK.3 acq_rel: what the task did for the joiner, its waiter for us. */
    return atomic_exchange_explicit(&task->state, WF_TASK_DONE, memory_order_acq_rel);
}

/* Caller: the owner, of a task that was stolen. */
static inline bool wf_task_is_done(struct wf_task *task)
{
    /* TK.2 acquire: what the task did. */
    return atomic_load_explicit(&task->state, memory_order_acquire) == WF_TASK_DONE;
}

/* Leaves a waiter with a stolen task.  Returns false if it has been run already.  Caller: the
 * owner. */
static inline bool wf_task_await(struct wf_task *task, void *waiter)
{
    void *expected = NULL;

    /* TK.3 acq_rel: our waiter for the thief; TK.2 acquire on failure: what the task did. */
    return atomic_compare_exchange_strong_explicit(&task->state, &expected, waiter,
                                                   memory_order_acq_rel, memory_order_acquire);
}

/* Takes the waiter away from a stolen task again.  Returns false if it has been run: the thief has
 * the waiter then.  Caller: an interrupter. */
static inline bool wf_task_withdraw(struct wf_task *task, void *waiter)
{
    void *expected = waiter;

    /* relaxed: taking it out publishes nothing; on failure the thief has it. */
    return atomic_compare_exchange_strong_explicit(&task->state, &expected, NULL,
                                                   memory_order_relaxed, memory_order_relaxed);
}

#endif
