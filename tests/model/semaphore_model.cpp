// SPDX-License-Identifier: MIT
// sync/semaphore.c over sync/wait_queue.c: each permit is given once, also where the first in the
// queue is cancelled while those behind it could go; whoever has one sees what was done before it
// was given; and nobody touches a semaphore that was freed.
#include "model_fibers.h"

#include "sync/semaphore.c"
#include "sync/wait_queue.c"

template <typename T, unsigned THREADS> struct semaphore_suite : fiber_suite<T, THREADS> {
    semaphore *shared;

    void prepare(uint64_t permits = 0)
    {
        shared = static_cast<semaphore *>(model_alloc(sizeof *shared));
        atomic_init(&shared->permits, permits);
        atomic_init(&shared->lock.word, WF_LOCK_FREE);
    }

    weft_semaphore *outer()
    {
        return reinterpret_cast<weft_semaphore *>(shared);
    }

    // Nobody waits any more, and so many are left.
    void expect_at_rest(uint64_t permits)
    {
        RL_ASSERT(shared->permits.load(rl::mo_relaxed, $) == permits);
        RL_ASSERT(wf_wait_queue_is_empty(&shared->queue));
    }
};

// Fiber 0 wants two and can be cancelled, fiber 1 wants one; two are given.
struct semaphore_cancel : semaphore_suite<semaphore_cancel, 4> {
    rl::var<int> result[2];

    void setup()
    {
        prepare();
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
        expect_at_rest(1);
    }
};

// The first in the queue wants more than there will be; the one behind it does not.
struct semaphore_behind : semaphore_suite<semaphore_behind, 4> {
    void setup()
    {
        prepare();
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
        expect_at_rest(0);
    }
};

// Whoever has the permit frees the semaphore.
struct semaphore_free : semaphore_suite<semaphore_free, 2> {
    void setup()
    {
        prepare();
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

// Two give three permits to one that wants two and one that wants all, and who give them back.  Who
// has two sees what the giver of two did, who has three what both did.
struct semaphore_sees : semaphore_suite<semaphore_sees, 4> {
    rl::var<int> done[2];

    void setup()
    {
        prepare();
        done[0]($) = done[1]($) = 0;
    }

    void fiber(unsigned index)
    {
        if (index < 2) {
            done[index]($) = 1;
            weft_semaphore_release(outer(), 1 + index);
        } else if (index == 2) {
            RL_ASSERT(weft_semaphore_acquire(outer(), 2, WEFT_FOREVER) == 0);
            RL_ASSERT(done[1]($) == 1);
            weft_semaphore_release(outer(), 2);
        } else {
            RL_ASSERT(weft_semaphore_acquire(outer(), 3, WEFT_FOREVER) == 0);
            RL_ASSERT(done[0]($) == 1 && done[1]($) == 1);
            weft_semaphore_release(outer(), 3);
        }
    }

    void at_rest()
    {
        expect_at_rest(3);
    }
};

// Two that give at once, and one that only tries: none is lost or counted twice.
struct semaphore_tries : semaphore_suite<semaphore_tries, 4> {
    rl::var<int> done;
    rl::var<int> taken;

    void setup()
    {
        prepare();
        taken($) = 0;
        done($) = 0;
    }

    void fiber(unsigned index)
    {
        if (index == 0) {
            done($) = 1;
            weft_semaphore_release(outer(), 2);
        } else if (index == 1) {
            weft_semaphore_release(outer(), 1);
        } else if (index == 2) {
            taken($) = weft_semaphore_try_acquire(outer(), 2) == 0;
            if (taken($) != 0)
                RL_ASSERT(done($) == 1);
        } else {
            RL_ASSERT(weft_semaphore_acquire(outer(), 1, WEFT_FOREVER) == 0);
        }
    }

    void at_rest()
    {
        expect_at_rest(taken($) != 0 ? 0 : 2);
    }
};

// One waits for one of two permits; whoever takes the other without a lock sees what their giver
// did.
struct semaphore_leftover : semaphore_suite<semaphore_leftover, 3> {
    rl::var<int> done;
    rl::var<int> taken;

    void setup()
    {
        prepare();
        done($) = taken($) = 0;
    }

    void fiber(unsigned index)
    {
        if (index == 0) {
            RL_ASSERT(weft_semaphore_acquire(outer(), 1, WEFT_FOREVER) == 0);
        } else if (index == 1) {
            done($) = 1;
            weft_semaphore_release(outer(), 2);
        } else {
            for (int i = 0; i < 8 && taken($) == 0; i++)
                taken($) = weft_semaphore_try_acquire(outer(), 1) == 0;
            if (taken($) != 0)
                RL_ASSERT(done($) == 1);
        }
    }

    void at_rest()
    {
        expect_at_rest(taken($) != 0 ? 0 : 1);
    }
};

// There is one permit: one that wants two, and does not wait, takes it from nobody.
struct semaphore_refused : semaphore_suite<semaphore_refused, 2> {
    void setup()
    {
        prepare(1);
    }

    void fiber(unsigned index)
    {
        if (index == 0) {
            RL_ASSERT(weft_semaphore_acquire(outer(), 2, 0) == -ETIMEDOUT);
        } else {
            RL_ASSERT(weft_semaphore_try_acquire(outer(), 1) == 0);
            weft_semaphore_release(outer(), 1);
            RL_ASSERT(weft_semaphore_acquire(outer(), 1, 0) == 0);
            weft_semaphore_release(outer(), 1);
        }
    }

    void at_rest()
    {
        expect_at_rest(1);
    }
};

int main()
{
    bool good = model_run<semaphore_cancel>("cancel");

    good = good && model_run<semaphore_behind>("behind");
    good = good && model_run<semaphore_free>("free");
    good = good && model_run<semaphore_sees>("sees");
    good = good && model_run<semaphore_tries>("tries");
    good = good && model_run<semaphore_leftover>("leftover");
    good = good && model_run<semaphore_refused>("refused");
    return good ? 0 : 1;
}
