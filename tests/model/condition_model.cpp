// SPDX-License-Identifier: MIT
// sync/condition.c over sync/mutex.c: a signal wakes one that waits, also while another one is
// being cancelled; whoever comes back holds the mutex; and nothing is left in either queue at rest.
#define WF_MUTEX_BYPASSES 1
#define WF_MUTEX_SPINS 1

#include "model_fibers.h"

static inline unsigned model_worker_count()
{
    return 2;
}
#define weft_worker_count() model_worker_count()

#include "sync/mutex.c"

#include "sync/condition.c"

void wf_order_forget(const void *object)
{
    (void)object;
}

// As in sync/wait_queue.c, which has functions of the same names as sync/mutex.c.
void wf_wait_queue_retire(const struct wf_wait_queue *queue, struct wf_lock *lock, const char *call)
{
    (void)call;
    wf_lock_acquire(lock);
    RL_ASSERT(wf_wait_queue_is_empty(queue));
    wf_lock_retire(lock);
}

// The waits with a claim are those for the condition.
void wf_wait_claim_lost(struct wf_wait_claim *claim)
{
    RL_ASSERT(atomic_load_explicit(&claim->winner, memory_order_relaxed) == WF_WAIT_INTERRUPTED);
}

void wf_held_remove(const void *object, const char *what, wf_held_count_fn *count)
{
    (void)object;
    (void)what;
    (void)count;
    RL_ASSERT(false);
}

void wf_held_before(const void *object, const void *site, enum wf_order_mode mode)
{
    (void)object;
    (void)site;
    (void)mode;
    RL_ASSERT(false);
}

bool wf_mutex_is_checked(struct wf_mutex *mutex)
{
    (void)mutex;
    return false;
}

void wf_mutex_note_holder(struct wf_mutex *mutex, const void *site)
{
    (void)site;
    (void)mutex;
    RL_ASSERT(false);
}

// Fibers 0 and 1 each want an item, and fiber 0 can be cancelled.
template <typename T, unsigned THREADS> struct condition_suite : fiber_suite<T, THREADS> {
    wf_mutex mutex;
    condition changed;
    rl::var<int> items; // under the mutex: plain memory
    rl::var<int> taken;
    rl::var<int> cancelled;

    weft_mutex *outer_mutex()
    {
        return reinterpret_cast<weft_mutex *>(&mutex);
    }

    weft_condition *outer_changed()
    {
        return reinterpret_cast<weft_condition *>(&changed);
    }

    void setup()
    {
        atomic_store_explicit(&mutex.word, 0, memory_order_relaxed);
        atomic_store_explicit(&mutex.queue_lock.word, WF_LOCK_FREE, memory_order_relaxed);
        mutex.queue.first = nullptr;
        atomic_store_explicit(&changed.lock.word, WF_LOCK_FREE, memory_order_relaxed);
        changed.queue.first = nullptr;
        items($) = 0;
        taken($) = 0;
        cancelled($) = 0;
    }

    void lock()
    {
        wf_mutex_lock_after(&mutex, WF_MUTEX_ASK);
    }

    void take_item()
    {
        int error = 0;

        lock();
        while (items($) == 0 && error == 0)
            error = weft_condition_wait(outer_changed(), outer_mutex(), WEFT_FOREVER);
        RL_ASSERT(error == 0 || error == -ECANCELED);
        if (error == 0) {
            items($) = items($) - 1;
            taken($) = taken($) + 1;
        } else {
            cancelled($) = cancelled($) + 1;
        }
        weft_mutex_unlock(outer_mutex());
    }

    void check_rest(int made)
    {
        RL_ASSERT(taken($) + cancelled($) == 2);
        RL_ASSERT(items($) + taken($) == made);
        RL_ASSERT(atomic_load_explicit(&mutex.word, memory_order_relaxed) == 0);
        RL_ASSERT(wf_wait_queue_is_empty(&mutex.queue));
        RL_ASSERT(wf_wait_queue_is_empty(&changed.queue));
    }
};

// Two items, each with its signal: one while the mutex is held, one after it.
struct condition_signal : condition_suite<condition_signal, 4> {
    void fiber(unsigned index)
    {
        if (index < 2) {
            take_item();
        } else if (index == 2) {
            lock();
            items($) = items($) + 1;
            weft_condition_signal(outer_changed());
            weft_mutex_unlock(outer_mutex());
            lock();
            items($) = items($) + 1;
            weft_mutex_unlock(outer_mutex());
            weft_condition_signal(outer_changed());
        } else {
            model_cancel(0);
        }
    }

    void at_rest()
    {
        check_rest(2);
    }
};

struct condition_broadcast : condition_suite<condition_broadcast, 4> {
    void fiber(unsigned index)
    {
        if (index < 2) {
            take_item();
        } else if (index == 2) {
            lock();
            items($) = items($) + 2;
            weft_condition_broadcast(outer_changed());
            weft_mutex_unlock(outer_mutex());
        } else {
            model_cancel(0);
        }
    }

    void at_rest()
    {
        check_rest(2);
    }
};

// The signal comes without the mutex and ends the only wait: whoever has waited frees both.
struct condition_free : fiber_suite<condition_free, 2> {
    struct both {
        wf_mutex mutex;
        condition changed;
    };
    struct both *both;
    rl::var<int> is_waiting; // under the mutex

    void setup()
    {
        both = static_cast<struct both *>(model_alloc(sizeof *both));
        atomic_init(&both->mutex.word, 0);
        atomic_init(&both->mutex.queue_lock.word, WF_LOCK_FREE);
        atomic_init(&both->changed.lock.word, WF_LOCK_FREE);
        both->mutex.queue.first = nullptr;
        both->changed.queue.first = nullptr;
        is_waiting($) = 0;
    }

    weft_mutex *outer_mutex()
    {
        return reinterpret_cast<weft_mutex *>(&both->mutex);
    }

    weft_condition *outer_changed()
    {
        return reinterpret_cast<weft_condition *>(&both->changed);
    }

    void wait_and_free()
    {
        wf_mutex_lock_after(&both->mutex, WF_MUTEX_ASK);
        is_waiting($) = 1;
        RL_ASSERT(weft_condition_wait(outer_changed(), outer_mutex(), WEFT_FOREVER) == 0);
        weft_mutex_unlock(outer_mutex());
        model_free(both);
    }

    void fiber(unsigned index)
    {
        bool is_there = false;

        if (index == 0) {
            wait_and_free();
            return;
        }
        while (!is_there) {
            wf_mutex_lock_after(&both->mutex, WF_MUTEX_ASK);
            is_there = is_waiting($) != 0;
            weft_mutex_unlock(outer_mutex());
            rl::yield(1, $);
        }
        weft_condition_signal(outer_changed());
    }

    void at_rest()
    {
    }
};

int main()
{
    bool good = model_run<condition_signal>("signal");

    good = good && model_run<condition_broadcast>("broadcast");
    good = good && model_run<condition_free>("free");
    return good ? 0 : 1;
}
