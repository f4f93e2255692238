// SPDX-License-Identifier: MIT
// runtime/join.h over runtime/wait.c and runtime/timer.c: whoever joins a fiber sees its result, is
// woken once, or has given up and left nothing behind; and the record is freed once, by the joiner
// or by the end, when nobody touches it any more.
//
// The header is compiled as it is.  A child ends on one thread of the model while others join it,
// detach it, cancel the join or let its deadline pass.  What the library does around the header is
// short: end_child() is the end of fiber_main() and wf_fiber_finish(), join() is weft_join(),
// join_on_thread() is wf_fiber_join_outside(), detach() is weft_detach().
#include "arch/tls.h"
#include "runtime/model.h"

#include "model.h"
#include "model_wheel.h"

#include "model_fibers.h"

#include "runtime/join.h"

enum { ALIVE = 1, FREED = 2, RESULT = 7, WOKEN = 9 };

enum place {   // where the child is
    ELSEWHERE, // on another worker from the start
    HELD,      // in the queues of the joiner's worker, or taken out of them by the joiner
    GIVEN,     // that worker has given it to another one
    ENDED,     // that worker has run it to its end
};

enum other { ABSENT, QUEUED, FOUND, RUN };

struct join_state {
    weft_fiber *child;
    weft_fiber other;      // it is ready on the joiner's worker
    rl::var<int> result;   // from the child to whoever joins it
    rl::var<int> record;   // what else is in its record: read by all, written by who frees it
    rl::var<int> place;    // under the mutex
    rl::var<int> progress; // of the other fiber, for the joiner alone
    rl::atomic<int> freed; // how often the child was
    rl::atomic<wf_waiter *> elsewhere;
};

static join_state *joins;

bool wf_fiber_interrupt_join(struct wf_worker *self, struct wf_waiter *waiter, int reason)
{
    (void)self;
    (void)reason;
    return wf_join_take_out(static_cast<weft_fiber *>(waiter->place), waiter);
}

static void free_child()
{
    RL_ASSERT(joins->record($) == ALIVE);
    joins->record($) = FREED;
    atomic_store_explicit(&joins->child->joiner, WF_JOINER_GONE, memory_order_relaxed);
    atomic_fetch_add_explicit(&joins->freed, 1, memory_order_relaxed);
    model_free(joins->child);
}

static void end_child(wf_worker *self)
{
    weft_fiber *joiner;

    joins->result($) = RESULT;
    RL_ASSERT(joins->record($) == ALIVE);
    joiner = wf_join_take(self, joins->child);
    // The switch to the joiner, if it was taken: the landing comes before the joiner goes on.
    if (wf_join_end(self, joins->child))
        free_child();
    if (joiner != nullptr)
        wf_worker_push_ready(self, joiner);
}

static int change_place(int place)
{
    int before;

    fibers->mutex.lock($);
    before = joins->place($);
    joins->place($) = place;
    fibers->changed.notify_all($);
    fibers->mutex.unlock($);
    return before;
}

// The worker runs the child that its fiber joins: to its end, or until others take it over.
static void run_child(wf_worker *self)
{
    if (rl::rand(2) == 0) {
        change_place(ENDED);
        end_child(self);
    } else {
        change_place(GIVEN);
    }
}

static int look_at_place()
{
    fibers->mutex.lock($);
    int place = joins->place($);
    fibers->mutex.unlock($);
    return place;
}

struct weft_fiber *wf_worker_find_next(struct wf_worker *self)
{
    (void)self;
    if (joins->progress($) == QUEUED) {
        joins->progress($) = FOUND;
        return &joins->other;
    }
    return look_at_place() == HELD ? joins->child : nullptr;
}

struct wf_worker *wf_worker_leave(struct wf_worker *self, enum wf_request request,
                                  struct weft_fiber *next)
{
    if (request == WF_REQUEST_WAIT)
        model_leave(self);
    if (next == &joins->other)
        joins->progress($) = RUN;
    else if (next != nullptr)
        run_child(self);
    if (request == WF_REQUEST_WAIT)
        model_return(self);
    return self;
}

static int join(wf_worker *self, int64_t deadline)
{
    if (!wf_join_is_done(joins->child)) {
        int error = wf_join_await(self, joins->child, deadline);

        if (error != 0)
            return error;
    }
    RL_ASSERT(joins->result($) == RESULT);
    free_child();
    return 0;
}

// With its waiter in a frame that is gone when it returns.
static int join_on_thread(int64_t deadline)
{
    int error = 0;

    wf_join_from_outside(joins->child);
    if (!wf_join_is_done(joins->child)) {
        wf_waiter *waiter = static_cast<wf_waiter *>(model_alloc(sizeof *waiter));

        atomic_init(&waiter->state, WF_WAIT_READY);
        wf_wait_begin_thread(waiter, wf_fiber_interrupt_join, joins->child);
        if (wf_join_put(joins->child, waiter, false))
            error = wf_wait_end_thread(waiter, deadline);
        model_free(waiter);
    }
    if (error != 0)
        return error;
    RL_ASSERT(joins->result($) == RESULT);
    free_child();
    return 0;
}

static void detach()
{
    RL_ASSERT(joins->record($) == ALIVE); // as weft_detach() looks whose fiber it is
    if (!wf_join_detach(joins->child))
        free_child();
}

// A joiner that has given up joins once more, in a wait that is not to be hit by what ended the
// first one, or detaches.
static void settle(wf_worker *self)
{
    if (rl::rand(2) == 0) {
        detach();
        return;
    }
    // As a shield does, behind which the cancel does not count.
    atomic_store_explicit(&self->current->cancelled, 0, memory_order_seq_cst);
    RL_ASSERT(join(self, WEFT_FOREVER) == 0);
}

template <typename T, unsigned THREADS> struct join_suite : fiber_suite<T, THREADS> {
    join_state owned;

    void begin(int place)
    {
        joins = &owned;
        joins->child = static_cast<weft_fiber *>(model_alloc(sizeof *joins->child));
        atomic_init(&joins->child->joiner, nullptr);
        atomic_init(&joins->child->joined_outside, 0);
        joins->result($) = 0;
        joins->record($) = ALIVE;
        joins->place($) = place;
        joins->progress($) = ABSENT;
        atomic_store_explicit(&joins->freed, 0, memory_order_relaxed);
        atomic_store_explicit(&joins->elsewhere, nullptr, memory_order_relaxed);
        for (model_fiber &each : fibers->fibers) {
            model_wheel_reset(&each.worker.wheel);
            atomic_store_explicit(&each.worker.counters.timers_armed, 0, memory_order_relaxed);
            atomic_store_explicit(&each.worker.counters.timers_fired, 0, memory_order_relaxed);
            each.fiber.waiter.timer.link = nullptr;
            each.fiber.waiter.timer.kind = WF_TIMER_OF_WAITER;
        }
    }

    void setup()
    {
        begin(ELSEWHERE);
    }

    wf_worker *worker(unsigned index)
    {
        return &fibers->fibers[index].worker;
    }

    void at_rest()
    {
        RL_ASSERT(atomic_load_explicit(&joins->freed, memory_order_relaxed) == 1);
        RL_ASSERT(joins->progress($) != FOUND);
    }
};

// A join and the end, each of which may come first.
struct join_end : join_suite<join_end, 2> {
    void fiber(unsigned index)
    {
        if (index == 0)
            RL_ASSERT(join(worker(0), WEFT_FOREVER) == 0);
        else
            end_child(worker(1));
    }
};

// The same where the joiner leaves for another fiber, which it holds when the end comes first.
struct join_found : join_suite<join_found, 2> {
    void setup()
    {
        begin(ELSEWHERE);
        joins->progress($) = QUEUED;
    }

    void fiber(unsigned index)
    {
        if (index == 0)
            RL_ASSERT(join(worker(0), WEFT_FOREVER) == 0);
        else
            end_child(worker(1));
    }
};

// A cancel of the joiner.
struct join_cancel : join_suite<join_cancel, 3> {
    void fiber(unsigned index)
    {
        if (index == 0) {
            int error = join(worker(0), WEFT_FOREVER);

            RL_ASSERT(error == 0 || error == -ECANCELED);
            if (error != 0)
                settle(worker(0));
        } else if (index == 1) {
            end_child(worker(1));
        } else {
            model_cancel(0);
        }
    }
};

// A deadline of the join.  The joiner then waits for something else, which neither that deadline
// nor the end of the child must hit.
struct join_deadline : join_suite<join_deadline, 3> {
    static bool is_not_meant(struct wf_worker *, struct wf_waiter *, int)
    {
        RL_ASSERT(false);
        return false;
    }

    void wait_elsewhere(wf_worker *self)
    {
        wf_waiter *waiter = wf_wait_begin(self, is_not_meant, nullptr);

        atomic_store_explicit(&joins->elsewhere, waiter, memory_order_release);
        (void)!wf_worker_wait(self);
        RL_ASSERT(waiter->result == WOKEN);
    }

    void wake_elsewhere(wf_worker *self)
    {
        wf_waiter *waiter;

        while ((waiter = atomic_load_explicit(&joins->elsewhere, memory_order_acquire)) == nullptr)
            rl::yield(1, $);
        wf_wake(self, waiter, WOKEN);
    }

    void fiber(unsigned index)
    {
        if (index == 0) {
            int error = join(worker(0), 1);

            RL_ASSERT(error == 0 || error == -ETIMEDOUT);
            if (error != 0)
                settle(worker(0));
            wait_elsewhere(worker(0));
        } else if (index == 1) {
            end_child(worker(1));
            wake_elsewhere(worker(1));
        } else {
            for (int i = 0; i < 3; i++) {
                worker(2)->now = static_cast<int64_t>(10 + i) << WF_WHEEL_TICK_SHIFT;
                wf_wait_expire(worker(2), worker(0));
            }
        }
    }
};

// The joiner's worker holds the child, and nobody sees the waiter before it hands the child on.
struct join_held : join_suite<join_held, 3> {
    void setup()
    {
        begin(HELD);
    }

    void join_and_run()
    {
        int error = join(worker(0), WEFT_FOREVER);

        RL_ASSERT(error == 0 || error == -ECANCELED);
        if (error == 0)
            return;
        if (look_at_place() == HELD) // it was refused before it looked whom to leave for
            run_child(worker(0));
        settle(worker(0));
    }

    void fiber(unsigned index)
    {
        if (index == 0) {
            join_and_run();
        } else if (index == 1) {
            fibers->mutex.lock($);
            while (joins->place($) == HELD)
                fibers->changed.wait(fibers->mutex, $);
            int place = joins->place($);
            fibers->mutex.unlock($);
            if (place == GIVEN)
                end_child(worker(1));
        } else {
            model_cancel(0);
        }
    }
};

// A detach and the end.
struct join_detach : join_suite<join_detach, 2> {
    void fiber(unsigned index)
    {
        if (index == 0)
            detach();
        else
            end_child(worker(1));
    }
};

// A plain thread gives up and joins again, with another waiter.
struct join_outside : join_suite<join_outside, 2> {
    void fiber(unsigned index)
    {
        if (index == 0) {
            int error = join_on_thread(1);

            RL_ASSERT(error == 0 || error == -ETIMEDOUT);
            if (error != 0)
                RL_ASSERT(join_on_thread(WEFT_FOREVER) == 0);
        } else {
            end_child(worker(1));
        }
    }
};

int main()
{
    bool good = model_run<join_end>("end");

    good = good && model_run<join_found>("found");
    good = good && model_run<join_cancel>("cancel");
    good = good && model_run<join_deadline>("deadline");
    good = good && model_run<join_held>("held");
    good = good && model_run<join_detach>("detach");
    good = good && model_run<join_outside>("outside");
    return good ? 0 : 1;
}
