// SPDX-License-Identifier: MIT
// sync/mutex.c over sync/wait_queue.h and runtime/wait.c: one holder at a time, which sees what the
// earlier ones did; no lock and no wake is lost, also where waiters are cancelled (Relacy reports
// that as a deadlock); nothing is left in the mutex at rest; and nobody touches a mutex that its
// last holder has freed.
// So that every way of handing over is walked, and waiters sleep.
#define WF_MUTEX_BYPASSES 1
#define WF_MUTEX_SPINS 1

#include "model_fibers.h"

static inline unsigned model_worker_count()
{
    return 2;
}
#define weft_worker_count() model_worker_count()

#include "sync/mutex.c"

void wf_order_forget(const void *object)
{
    (void)object;
}

// No wait for a mutex has a claim.
void wf_wait_claim_lost(struct wf_wait_claim *claim)
{
    (void)claim;
    RL_ASSERT(false);
}

void wf_held_remove(const void *object, const char *what, wf_held_count_fn *count)
{
    (void)count;
    (void)object;
    (void)what;
    RL_ASSERT(false);
}

static weft_mutex *outer(wf_mutex *mutex)
{
    return reinterpret_cast<weft_mutex *>(mutex);
}

static void init(wf_mutex *mutex)
{
    atomic_store_explicit(&mutex->word, 0, memory_order_relaxed);
    atomic_store_explicit(&mutex->queue_lock.word, WF_LOCK_FREE, memory_order_relaxed);
    mutex->queue.first = nullptr;
}

// Three fibers lock twice each; in the second suite the first of them is cancelled meanwhile.
template <typename T, unsigned THREADS> struct mutex_suite : fiber_suite<T, THREADS> {
    wf_mutex mutex;
    rl::var<int> inside; // plain memory: two holders at once are a data race
    rl::var<int> locks[3];

    void setup()
    {
        init(&mutex);
        inside($) = 0;
        for (rl::var<int> &each : locks)
            each($) = 0;
    }

    void lock_twice(unsigned index)
    {
        int error;

        for (int i = 0; i < 2; i++) {
            error = weft_mutex_lock(outer(&mutex), WEFT_FOREVER);
            RL_ASSERT(error == 0 || (THREADS == 4 && index == 0 && error == -ECANCELED));
            if (error != 0)
                continue;
            inside($) = inside($) + 1;
            locks[index]($) = locks[index]($) + 1;
            weft_mutex_unlock(outer(&mutex));
        }
    }

    void fiber(unsigned index)
    {
        if (index < 3)
            lock_twice(index);
        else
            model_cancel(0);
    }

    void at_rest()
    {
        RL_ASSERT(inside($) == locks[0]($) + locks[1]($) + locks[2]($));
        RL_ASSERT(locks[1]($) == 2 && locks[2]($) == 2);
        RL_ASSERT(atomic_load_explicit(&mutex.word, memory_order_relaxed) == 0);
        RL_ASSERT(wf_wait_queue_is_empty(&mutex.queue));
    }
};

struct mutex_three : mutex_suite<mutex_three, 3> {
};
struct mutex_cancel : mutex_suite<mutex_cancel, 4> {
};

// Each locks the mutex once, and whoever is the last frees it.
struct mutex_free : fiber_suite<mutex_free, 3> {
    wf_mutex *mutex;
    rl::var<int> left; // under the mutex

    void setup()
    {
        mutex = static_cast<wf_mutex *>(model_alloc(sizeof *mutex));
        atomic_init(&mutex->word, 0);
        atomic_init(&mutex->queue_lock.word, WF_LOCK_FREE);
        left($) = 3;
    }

    void fiber(unsigned index)
    {
        bool is_last;

        (void)index;
        RL_ASSERT(weft_mutex_lock(outer(mutex), WEFT_FOREVER) == 0);
        left($) = left($) - 1;
        is_last = left($) == 0;
        weft_mutex_unlock(outer(mutex));
        if (is_last)
            model_free(mutex);
    }

    void at_rest()
    {
        RL_ASSERT(left($) == 0);
    }
};

// A lock that no cancel ends, beside one that it does.
struct mutex_always : fiber_suite<mutex_always, 4> {
    wf_mutex mutex;
    rl::var<int> inside;
    rl::var<int> locks;

    void setup()
    {
        init(&mutex);
        inside($) = 0;
        locks($) = 0;
    }

    void fiber(unsigned index)
    {
        if (index == 3) {
            model_cancel(0);
            model_cancel(1);
            return;
        }
        if (index == 0)
            wf_mutex_lock_after(&mutex, WF_MUTEX_ASK);
        else if (weft_mutex_lock(outer(&mutex), WEFT_FOREVER) != 0)
            return;
        inside($) = inside($) + 1;
        RL_ASSERT(inside($) == 1);
        inside($) = inside($) - 1;
        locks($) = locks($) + 1;
        weft_mutex_unlock(outer(&mutex));
    }

    void at_rest()
    {
        RL_ASSERT(locks($) == 2 || locks($) == 3);
        RL_ASSERT(atomic_load_explicit(&mutex.word, memory_order_relaxed) == 0);
    }
};

// Two wait, and one of them is cancelled: the unlock after that still wakes the other.
struct mutex_leaves : fiber_suite<mutex_leaves, 3> {
    wf_mutex mutex;
    rl::var<int> locks;

    void setup()
    {
        init(&mutex);
        locks($) = 0;
        atomic_store_explicit(&mutex.word, LOCKED, memory_order_relaxed); // by the last fiber
    }

    bool do_both_wait()
    {
        wf_wait_entry *first;
        bool both;

        wf_lock_acquire(&mutex.queue_lock);
        first = mutex.queue.first;
        both = first != nullptr && first->next != first;
        wf_lock_release(&mutex.queue_lock);
        return both;
    }

    void fiber(unsigned index)
    {
        int error;

        if (index == 2) {
            while (!do_both_wait())
                rl::yield(1, $);
            model_cancel(0);
            weft_mutex_unlock(outer(&mutex));
            return;
        }
        error = weft_mutex_lock(outer(&mutex), WEFT_FOREVER);
        RL_ASSERT(error == 0 || (index == 0 && error == -ECANCELED));
        if (error == 0) {
            locks($) = locks($) + 1;
            weft_mutex_unlock(outer(&mutex));
        }
    }

    void at_rest()
    {
        RL_ASSERT(locks($) == 1 || locks($) == 2);
        RL_ASSERT(atomic_load_explicit(&mutex.word, memory_order_relaxed) == 0);
    }
};

int main()
{
    bool good = model_run<mutex_always>("always");

    good = good && model_run<mutex_cancel>("cancel");
    good = good && model_run<mutex_free>("free");
    good = good && model_run<mutex_three>("three");
    good = good && model_run<mutex_leaves>("leaves");
    return good ? 0 : 1;
}
