// SPDX-License-Identifier: MIT
// sync/address.c over sync/wait_queue.c, all addresses in one bucket: whoever waits sees the change
// or is woken; a wake reaches its own address and no more than it counts; and none is lost to one
// that is cancelled.
#define WF_ADDRESS_BUCKETS 1

#include "model_fibers.h"

#include "sync/address.c"
#include "sync/wait_queue.c"

template <typename T, unsigned THREADS> struct address_suite : fiber_suite<T, THREADS> {
    bucket shared;
    rl::atomic<uint32_t> words[2];

    void prepare()
    {
        buckets = &shared;
        atomic_store_explicit(&shared.lock.word, WF_LOCK_FREE, memory_order_relaxed);
        shared.queue.first = nullptr;
        for (rl::atomic<uint32_t> &each : words)
            atomic_store_explicit(&each, 0, memory_order_relaxed);
    }

    uint32_t value(unsigned index)
    {
        return atomic_load_explicit(&words[index], memory_order_relaxed);
    }

    // Returns what the wait returned.
    int await_change(unsigned index)
    {
        int error = weft_wait_on(&words[index], 0, 4, WEFT_FOREVER);

        // Also the one that was woken: the change comes before the wake, and for no other.
        if (error == 0 || error == -EAGAIN)
            RL_ASSERT(value(index) == 1);
        return error;
    }

    void change(unsigned index)
    {
        atomic_store_explicit(&words[index], 1, memory_order_relaxed);
        (void)weft_wake_on(&words[index], SIZE_MAX);
    }

    void at_rest()
    {
        RL_ASSERT(wf_wait_queue_is_empty(&shared.queue));
    }
};

// Two wait for one address and one for another; one after the other is changed.
struct address_two : address_suite<address_two, 4> {
    void setup()
    {
        prepare();
    }

    void fiber(unsigned index)
    {
        if (index < 3) {
            int error = await_change(index / 2);

            RL_ASSERT(error == 0 || error == -EAGAIN);
        } else {
            change(0);
            change(1);
        }
    }
};

// One wake for two that wait, of whom one is cancelled: what the wake has counted comes through.
struct address_cancel : address_suite<address_cancel, 4> {
    rl::var<int> result[2];
    rl::var<int> woken;

    void setup()
    {
        prepare();
        result[0]($) = result[1]($) = 1;
        woken($) = 0;
    }

    void fiber(unsigned index)
    {
        if (index < 2) {
            result[index]($) = weft_wait_on(&words[0], 0, 4, WEFT_FOREVER);
            RL_ASSERT(result[index]($) == 0 || result[index]($) == -ECANCELED);
        } else if (index == 2) {
            size_t count = weft_wake_on(&words[0], 1);

            RL_ASSERT(count <= 1);
            woken($) = static_cast<int>(count);
            model_cancel(1);
        } else {
            model_cancel(0);
        }
    }

    void at_rest()
    {
        RL_ASSERT((result[0]($) == 0) + (result[1]($) == 0) == woken($));
        address_suite::at_rest();
    }
};

int main()
{
    bool good = model_run<address_two>("two");

    good = good && model_run<address_cancel>("cancel");
    return good ? 0 : 1;
}
