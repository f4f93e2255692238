// SPDX-License-Identifier: MIT
// sync/once.c over sync/wait_queue.c: nobody gets 0 who does not see what the function did, also
// without the lock; never do two run it at once; and a turn is not lost to one that is cancelled.
#include "model_fibers.h"

#include "sync/once.c"
#include "sync/wait_queue.c"

uint64_t wf_held_self(void)
{
    return rl::ctx().current_thread() + 1;
}

// Fibers 0 to 2 need it; the function fails so often before it succeeds.
template <typename T, unsigned THREADS> struct once_suite : fiber_suite<T, THREADS> {
    once shared;
    rl::var<int> made; // plain memory: two runs at once, or one not seen, are a data race
    rl::var<int> to_fail;
    rl::var<int> result[3];

    weft_once *outer()
    {
        return reinterpret_cast<weft_once *>(&shared);
    }

    static int make(void *arg)
    {
        once_suite *suite = static_cast<once_suite *>(arg);

        suite->made($) = suite->made($) + 1;
        if (suite->to_fail($) == 0)
            return 0;
        suite->to_fail($) = suite->to_fail($) - 1;
        suite->made($) = suite->made($) - 1;
        return -EIO;
    }

    void prepare(int failures)
    {
        atomic_store_explicit(&shared.state, IDLE, memory_order_relaxed);
        atomic_store_explicit(&shared.lock.word, WF_LOCK_FREE, memory_order_relaxed);
        shared.queue.first = nullptr;
        shared.runner = 0;
        made($) = 0;
        to_fail($) = failures;
        for (rl::var<int> &each : result)
            each($) = 1;
    }

    void need(unsigned index)
    {
        int error = weft_once_run(outer(), make, this, WEFT_FOREVER);

        RL_ASSERT(error == 0 || error == -EIO || (THREADS == 4 && index == 0));
        if (error == 0)
            RL_ASSERT(made($) == 1);
        result[index]($) = error;
    }

    int count(int error)
    {
        int found = 0;

        for (rl::var<int> &each : result)
            found += each($) == error;
        return found;
    }
};

struct once_plain : once_suite<once_plain, 3> {
    void setup()
    {
        prepare(0);
    }

    void fiber(unsigned index)
    {
        need(index);
    }

    void at_rest()
    {
        RL_ASSERT(made($) == 1 && count(0) == 3);
        RL_ASSERT(wf_wait_queue_is_empty(&shared.queue));
    }
};

struct once_failing : once_suite<once_failing, 3> {
    void setup()
    {
        prepare(1);
    }

    void fiber(unsigned index)
    {
        need(index);
    }

    void at_rest()
    {
        RL_ASSERT(made($) == 1 && count(0) == 2 && count(-EIO) == 1);
        RL_ASSERT(wf_wait_queue_is_empty(&shared.queue));
    }
};

struct once_cancel : once_suite<once_cancel, 4> {
    void setup()
    {
        prepare(1);
    }

    void fiber(unsigned index)
    {
        if (index < 3)
            need(index);
        else
            model_cancel(0);
    }

    void at_rest()
    {
        RL_ASSERT(made($) == 1 && count(-EIO) == 1);
        RL_ASSERT(count(0) + count(-ECANCELED) == 2 && result[1]($) != 1 && result[2]($) != 1);
        RL_ASSERT(wf_wait_queue_is_empty(&shared.queue));
    }
};

int main()
{
    bool good = model_run<once_plain>("plain");

    good = good && model_run<once_failing>("failing");
    good = good && model_run<once_cancel>("cancel");
    return good ? 0 : 1;
}
