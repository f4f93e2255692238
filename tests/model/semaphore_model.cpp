// SPDX-License-Identifier: MIT
// sync/semaphore.c over sync/wait_queue.c: each permit is given once, also where the first in the
// queue is cancelled while those behind it could go; and nobody touches a semaphore that was freed.
#include "model_fibers.h"

#include "sync/semaphore.c"
#include "sync/wait_queue.c"

// Fiber 0 wants two and can be cancelled, fiber 1 wants one; two are given.
struct semaphore_cancel : fiber_suite<semaphore_cancel, 4> {
    semaphore *shared;
    rl::var<int> result[2];

    weft_semaphore *outer()
    {
        return reinterpret_cast<weft_semaphore *>(shared);
    }

    void setup()
    {
        shared = static_cast<semaphore *>(model_alloc(sizeof *shared));
        atomic_init(&shared->lock.word, WF_LOCK_FREE);
        result[0]($) = result[1]($) = 1;
    }

    void fiber(unsigned index)
    {
        if (index == 0) {
            result[0]($) = weft_semaphore_acquire(outer(), 2, WEFT_FOREVER);
            if (result[0]($) == 0)
                weft_semaphore_release(outer(), 2);
        } else if (index == 1) {
            result[1]($) = weft_semaphore_acquire(outer(), 1, WEFT_FOREVER);
            RL_ASSERT(result[1]($) == 0);
        } else if (index == 2) {
            weft_semaphore_release(outer(), 1);
            weft_semaphore_release(outer(), 1);
        } else {
            model_cancel(0);
        }
    }

    void at_rest()
    {
        RL_ASSERT(result[0]($) == 0 || result[0]($) == -ECANCELED);
        RL_ASSERT(shared->permits == 1);
        RL_ASSERT(wf_wait_queue_is_empty(&shared->queue));
    }
};

// The first in the queue wants more than there will be; the one behind it does not.
struct semaphore_behind : fiber_suite<semaphore_behind, 4> {
    semaphore shared;

    weft_semaphore *outer()
    {
        return reinterpret_cast<weft_semaphore *>(&shared);
    }

    void setup()
    {
        atomic_store_explicit(&shared.lock.word, WF_LOCK_FREE, memory_order_relaxed);
        shared.permits = 0;
        shared.queue.first = nullptr;
    }

    void fiber(unsigned index)
    {
        if (index == 0)
            RL_ASSERT(weft_semaphore_acquire(outer(), 2, WEFT_FOREVER) == -ECANCELED);
        else if (index == 1)
            RL_ASSERT(weft_semaphore_acquire(outer(), 1, WEFT_FOREVER) == 0);
        else if (index == 2)
            weft_semaphore_release(outer(), 1);
        else
            model_cancel(0);
    }

    void at_rest()
    {
        RL_ASSERT(shared.permits == 0);
        RL_ASSERT(wf_wait_queue_is_empty(&shared.queue));
    }
};

// Whoever has the permit frees the semaphore.
struct semaphore_free : fiber_suite<semaphore_free, 2> {
    semaphore *shared;

    weft_semaphore *outer()
    {
        return reinterpret_cast<weft_semaphore *>(shared);
    }

    void setup()
    {
        shared = static_cast<semaphore *>(model_alloc(sizeof *shared));
        atomic_init(&shared->lock.word, WF_LOCK_FREE);
    }

    void fiber(unsigned index)
    {
        if (index == 0) {
            weft_semaphore_release(outer(), 1);
        } else {
            RL_ASSERT(weft_semaphore_acquire(outer(), 1, WEFT_FOREVER) == 0);
            model_free(shared);
        }
    }

    void at_rest()
    {
    }
};

int main()
{
    bool good = model_run<semaphore_cancel>("cancel");

    good = good && model_run<semaphore_behind>("behind");
    good = good && model_run<semaphore_free>("free");
    return good ? 0 : 1;
}
