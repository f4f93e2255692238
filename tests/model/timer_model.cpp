// SPDX-License-Identifier: MIT
// sync/timer.c over sync/wait_queue.c: a time that is made earlier wakes who waits, whatever is
// changed beside it (Relacy reports a wake that is lost as a deadlock); of an expiration, a cancel
// and a move to a later time one succeeds; and nobody touches a timer that was freed.
//
// The clock stands at 1: a time of 1 has come, WEFT_FOREVER never does.  So there is no wheel.
#include "model_fibers.h"

#include "sync/timer.c"
#include "sync/wait_queue.c"

enum { COME = 1 };

static weft_timer *outer(wf_alarm *inner)
{
    return reinterpret_cast<weft_timer *>(inner);
}

static wf_alarm *make_timer(int64_t when)
{
    wf_alarm *made = static_cast<wf_alarm *>(model_alloc(sizeof *made));

    atomic_init(&made->when, when);
    atomic_init(&made->lock.word, WF_LOCK_FREE);
    return made;
}

// Begins with a timer that is armed for ever, and ends with nobody waiting for it.
template <typename T, unsigned THREADS> struct timer_suite : fiber_suite<T, THREADS> {
    wf_alarm *shared;

    void setup()
    {
        shared = make_timer(WEFT_FOREVER);
    }

    void at_rest()
    {
        RL_ASSERT(wf_wait_queue_is_empty(&shared->queue));
    }
};

// The last change of each mover makes it earlier, so the waiter is told in the end.
struct timer_moved : timer_suite<timer_moved, 3> {
    void fiber(unsigned index)
    {
        if (index == 0) {
            RL_ASSERT(weft_timer_wait(outer(shared), WEFT_FOREVER) == 1);
        } else {
            (void)weft_timer_move(outer(shared), WEFT_FOREVER);
            (void)weft_timer_move(outer(shared), COME);
        }
    }

    void at_rest()
    {
        RL_ASSERT(wf_alarm_when(shared) == NOT_ARMED);
        timer_suite::at_rest();
    }
};

// The same by arming it anew.
struct timer_armed : timer_suite<timer_armed, 2> {
    void fiber(unsigned index)
    {
        if (index == 0)
            RL_ASSERT(weft_timer_wait(outer(shared), WEFT_FOREVER) == 1);
        else
            RL_ASSERT(weft_timer_arm(outer(shared), COME, 0, WEFT_TIMER_BURST) == 0);
    }
};

// One expiration, one who looks, one who moves it away, one who cancels.
struct timer_race : timer_suite<timer_race, 3> {
    rl::var<int> reported, moved, cancelled;

    void setup()
    {
        shared = make_timer(COME);
        reported($) = moved($) = cancelled($) = 0;
    }

    void fiber(unsigned index)
    {
        if (index == 0)
            reported($) = weft_timer_wait(outer(shared), 0) == 1;
        else if (index == 1)
            moved($) = weft_timer_move(outer(shared), WEFT_FOREVER) == 0;
        else
            cancelled($) = weft_timer_cancel(outer(shared));
    }

    void at_rest()
    {
        RL_ASSERT(reported($) + cancelled($) == 1);
        RL_ASSERT(!moved($) || cancelled($));
        RL_ASSERT(wf_alarm_when(shared) == NOT_ARMED);
    }
};

// A cancel of the timer ends the wait, whether it comes before or after the beginning.
struct timer_ended : timer_suite<timer_ended, 2> {
    void fiber(unsigned index)
    {
        if (index == 0)
            RL_ASSERT(weft_timer_wait(outer(shared), WEFT_FOREVER) == -ENODATA);
        else
            RL_ASSERT(weft_timer_cancel(outer(shared)));
    }
};

// The same beside a cancel of the fiber.
struct timer_cancel : timer_suite<timer_cancel, 3> {
    void fiber(unsigned index)
    {
        if (index == 0) {
            int64_t result = weft_timer_wait(outer(shared), WEFT_FOREVER);

            RL_ASSERT(result == -ENODATA || result == -ECANCELED);
        } else if (index == 1) {
            RL_ASSERT(weft_timer_cancel(outer(shared)));
        } else {
            model_cancel(0);
        }
    }

    void at_rest()
    {
        RL_ASSERT(wf_wait_queue_is_empty(&shared->queue));
    }
};

// Whoever was told of the expiration frees the timer.
struct timer_free : timer_suite<timer_free, 2> {
    void fiber(unsigned index)
    {
        if (index == 0) {
            RL_ASSERT(weft_timer_wait(outer(shared), WEFT_FOREVER) == 1);
            model_free(shared);
        } else {
            RL_ASSERT(weft_timer_move(outer(shared), COME) == 0);
        }
    }
};

int main()
{
    bool good = model_run<timer_moved>("moved");

    good = good && model_run<timer_armed>("armed");
    good = good && model_run<timer_race>("race");
    good = good && model_run<timer_ended>("ended");
    good = good && model_run<timer_cancel>("cancel");
    good = good && model_run<timer_free>("free");
    return good ? 0 : 1;
}
