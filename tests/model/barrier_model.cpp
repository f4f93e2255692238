// SPDX-License-Identifier: MIT
// sync/barrier.c over runtime/wait.c: all cross or none does, while one party is cancelled; and who
// has crossed frees the barrier at once.
#include "model_fibers.h"

// The atomics of the model are larger than those of the library.
#define _Static_assert(condition, message) typedef int model_unchecked_layout
#include "sync/wait_queue.c"

#include "sync/barrier.c"

// The first of PARTIES is cancelled.  Among those that cross, the one that frees is the last to
// arrive, or another.
template <typename T, unsigned PARTIES, int FREES>
struct barrier_freed : fiber_suite<T, PARTIES + 1> {
    struct barrier *own;
    rl::var<int> results[PARTIES];

    void setup()
    {
        own = static_cast<struct barrier *>(model_alloc(sizeof *own));
        atomic_init(&own->lock.word, WF_LOCK_FREE);
        own->parties = PARTIES;
    }

    void fiber(unsigned index)
    {
        int result;

        if (index == PARTIES) {
            model_cancel(0);
            return;
        }
        result = weft_barrier_wait(reinterpret_cast<weft_barrier *>(own), WEFT_FOREVER);
        results[index]($) = result;
        if (result == FREES && index == PARTIES - 1)
            model_free(own);
    }

    void at_rest()
    {
        int serial = 0;
        int crossed = 0;

        for (unsigned i = 0; i < PARTIES; i++) {
            int result = results[i]($);

            serial += result == WEFT_BARRIER_SERIAL;
            crossed += result >= 0;
            RL_ASSERT(result >= 0 || result == -EPIPE || (i == 0 && result == -ECANCELED));
        }
        RL_ASSERT(crossed == serial * static_cast<int>(PARTIES));
    }
};

struct barrier_freed_by_last : barrier_freed<barrier_freed_by_last, 2, WEFT_BARRIER_SERIAL> {
};
struct barrier_freed_by_woken : barrier_freed<barrier_freed_by_woken, 3, 0> {
};

int main()
{
    bool good = model_run<barrier_freed_by_last>("freed_by_last");

    good = good && model_run<barrier_freed_by_woken>("freed_by_woken");
    return good ? 0 : 1;
}
