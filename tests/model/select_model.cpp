// SPDX-License-Identifier: MIT
// sync/select.c over channel.c and runtime/wait.c: of two selects that face each other each does
// one case, and the two fit; a cancel and a close come in between; nobody waits in a circle (Relacy
// reports that as a deadlock), and nobody looks at a select that has returned.
#include "model_fibers.h"

// The atomics of the model are larger than those of the library.
#undef static_assert
#define static_assert(condition, message) typedef int model_unchecked_layout
#define wf_alloc_unset(size) model_alloc(size)
#define wf_free(memory) model_free(memory)
#include "sync/wait_queue.c"

#include "sync/channel.c"
#define internal timer_internal
#include "sync/timer.c"
#undef internal
#include "sync/polls.c"
#define sleep_thread select_sleep_thread
#include "sync/select.c"

// A future is a lock and a queue here, as a channel is; none is in a select of the model.
int wf_future_take(struct wf_future *future, int32_t *result)
{
    (void)future;
    (void)result;
    return -EAGAIN;
}

// The backend: a poll that was started is reported by a thread of the model.
struct model_backend {
    rl::mutex mutex;
    rl::condition_variable changed;
    rl::var<wf_readiness *> asked;
    rl::var<int> is_stopped;
    rl::var<int> is_over; // nothing more will be asked
};

static model_backend *backend;

int wf_readiness_now(int fd, int events)
{
    (void)fd;
    (void)events;
    return 0;
}

void wf_readiness_start(struct wf_worker *self, struct wf_readiness *asked, int fd, int events)
{
    (void)self;
    (void)fd;
    (void)events;
    backend->mutex.lock($);
    backend->asked($) = asked;
    backend->changed.notify_all($);
    backend->mutex.unlock($);
}

void wf_readiness_stop(struct wf_worker *self, struct wf_readiness *asked)
{
    (void)self;
    (void)asked;
    backend->mutex.lock($);
    backend->is_stopped($) = 1;
    backend->changed.notify_all($);
    backend->mutex.unlock($);
}

struct model_channel {
    wf_channel channel;

    void init()
    {
        atomic_store_explicit(&channel.lock.word, WF_LOCK_FREE, memory_order_relaxed);
        channel.item_size = sizeof(int);
        channel.capacity = 0;
        channel.buffer = nullptr;
        channel.head = channel.count = channel.is_closed = 0;
        channel.senders.first = channel.receivers.first = nullptr;
    }

    weft_channel *get()
    {
        return reinterpret_cast<weft_channel *>(&channel);
    }
};

struct outcome {
    int index;
    int result;
    int got;
};

// Sends 10 * id + 1 on `to`, or receives from `from`.
static outcome exchange(model_channel *to, model_channel *from, int id)
{
    int sent = 10 * id + 1;
    outcome own = {0, 0, 0};
    weft_select_case cases[2] = {WEFT_SEND_CASE(to->get(), &sent),
                                 WEFT_RECEIVE_CASE(from->get(), &own.got)};

    own.index = weft_select(cases, 2, INT64_MAX);
    if (own.index >= 0)
        own.result = cases[own.index].result;
    return own;
}

// Two selects face each other; nothing else is there that could free them.
struct select_faces : fiber_suite<select_faces, 2> {
    model_channel channels[2];
    outcome outcomes[2];

    void setup()
    {
        channels[0].init();
        channels[1].init();
    }

    void fiber(unsigned index)
    {
        outcomes[index] = exchange(&channels[index], &channels[1 - index], static_cast<int>(index));
    }

    void at_rest()
    {
        int sender = outcomes[0].index == 0 ? 0 : 1;

        RL_ASSERT(outcomes[sender].index == 0 && outcomes[1 - sender].index == 1);
        RL_ASSERT(outcomes[0].result == 0 && outcomes[1].result == 0);
        RL_ASSERT(outcomes[1 - sender].got == 10 * sender + 1);
        RL_ASSERT(outcomes[sender].got == 0);
        for (model_channel &each : channels) {
            RL_ASSERT(wf_wait_queue_is_empty(&each.channel.senders));
            RL_ASSERT(wf_wait_queue_is_empty(&each.channel.receivers));
        }
    }
};

// The same while one of them is cancelled and a channel is closed.
struct select_ends : fiber_suite<select_ends, 4> {
    model_channel channels[2];
    outcome outcomes[2];

    void setup()
    {
        channels[0].init();
        channels[1].init();
    }

    void fiber(unsigned index)
    {
        if (index < 2)
            outcomes[index] = exchange(&channels[index], &channels[1 - index],
                                       static_cast<int>(index));
        else if (index == 2)
            model_cancel(0);
        else
            weft_channel_close(channels[0].get());
    }

    // The value that `index` has sent, or 0.
    int sent_by(int index)
    {
        return outcomes[index].index == 0 && outcomes[index].result == 0 ? 10 * index + 1 : 0;
    }

    void at_rest()
    {
        RL_ASSERT(outcomes[0].index == -ECANCELED || outcomes[0].index >= 0);
        RL_ASSERT(outcomes[1].index >= 0);
        RL_ASSERT(outcomes[0].got == sent_by(1));
        RL_ASSERT(outcomes[1].got == sent_by(0));
        for (model_channel &each : channels) {
            RL_ASSERT(wf_wait_queue_is_empty(&each.channel.senders));
            RL_ASSERT(wf_wait_queue_is_empty(&each.channel.receivers));
        }
    }
};

// A select over two channels, each with a sender of its own: both are received in the end.
struct select_senders : fiber_suite<select_senders, 3> {
    model_channel channels[2];
    rl::var<int> sum;

    void setup()
    {
        channels[0].init();
        channels[1].init();
        sum($) = 0;
    }

    void fiber(unsigned index)
    {
        int value = 1 << index;
        int error;

        if (index < 2) {
            error = weft_channel_send(channels[index].get(), &value, sizeof value, INT64_MAX);
            RL_ASSERT(error == 0);
            return;
        }
        for (int i = 0; i < 2; i++) {
            weft_select_case cases[2] = {WEFT_RECEIVE_CASE(channels[0].get(), &value),
                                         WEFT_RECEIVE_CASE(channels[1].get(), &value)};
            int winner = weft_select(cases, 2, INT64_MAX);

            RL_ASSERT(winner >= 0 && cases[winner].result == 0 && value == 1 << winner);
            sum($) = sum($) + value;
        }
    }

    void at_rest()
    {
        RL_ASSERT(sum($) == 3);
    }
};

// A timer beside a channel: it is made earlier while a value is sent.  The clock stands at 1, so a
// time of 1 has come and WEFT_FOREVER never does.
struct select_timer : fiber_suite<select_timer, 3> {
    model_channel channel;
    wf_alarm alarm;

    weft_timer *timer()
    {
        return reinterpret_cast<weft_timer *>(&alarm);
    }

    void setup()
    {
        channel.init();
        atomic_store_explicit(&alarm.when, WEFT_FOREVER, memory_order_relaxed);
        atomic_store_explicit(&alarm.lock.word, WF_LOCK_FREE, memory_order_relaxed);
        alarm.period = 0;
        alarm.queue.first = nullptr;
    }

    void fiber(unsigned index)
    {
        int value = 0, sent = 5;
        int64_t count = 0;

        if (index == 0) {
            bool is_received = false, is_reported = false;

            while (!is_received || !is_reported) {
                weft_select_case cases[2] = {
                    WEFT_RECEIVE_CASE(is_received ? nullptr : channel.get(), &value),
                    WEFT_TIMER_CASE(is_reported ? nullptr : timer(), &count)};
                int won = weft_select(cases, 2, INT64_MAX);

                RL_ASSERT(won >= 0 && cases[won].result == 0);
                (won == 0 ? is_received : is_reported) = true;
            }
            RL_ASSERT(value == 5 && count == 1);
        } else if (index == 1) {
            RL_ASSERT(weft_channel_send(channel.get(), &sent, sizeof sent, INT64_MAX) == 0);
        } else {
            RL_ASSERT(weft_timer_move(timer(), 1) == 0);
        }
    }

    void at_rest()
    {
        RL_ASSERT(wf_wait_queue_is_empty(&alarm.queue));
        RL_ASSERT(wf_wait_queue_is_empty(&channel.channel.receivers));
    }
};

// A descriptor beside a channel: it becomes ready while a value is sent, or never does.
struct select_poll : fiber_suite<select_poll, 3> {
    model_channel channel;
    model_backend own_backend;
    wf_poll poll;

    void setup()
    {
        backend = &own_backend;
        backend->asked($) = nullptr;
        backend->is_stopped($) = 0;
        backend->is_over($) = 0;
        channel.init();
        poll.fd = 3;
        poll.events = 1;
        atomic_store_explicit(&poll.polls, nullptr, memory_order_relaxed);
    }

    void wait()
    {
        int value = 0, events = 0;
        weft_select_case cases[2] = {WEFT_RECEIVE_CASE(channel.get(), &value),
                                     WEFT_POLL_CASE(reinterpret_cast<weft_poll *>(&poll), &events)};
        int won = weft_select(cases, 2, INT64_MAX);

        RL_ASSERT((won == 0 || won == 1) && cases[won].result == 0);
        RL_ASSERT(value == (won == 0 ? 5 : 0) && events == (won == 1 ? 1 : 0));
        RL_ASSERT(atomic_load_explicit(&poll.polls, memory_order_relaxed) == nullptr);
        if (won == 1)
            RL_ASSERT(weft_channel_receive(channel.get(), &value, sizeof value, INT64_MAX) == 0);
        backend->mutex.lock($);
        backend->is_over($) = 1;
        backend->changed.notify_all($);
        backend->mutex.unlock($);
    }

    void report()
    {
        bool is_ready = rl::rand(2) == 0;
        wf_readiness *asked;

        backend->mutex.lock($);
        while (backend->asked($) == nullptr && backend->is_over($) == 0)
            backend->changed.wait(backend->mutex, $);
        asked = backend->asked($);
        while (asked != nullptr && !is_ready && backend->is_stopped($) == 0)
            backend->changed.wait(backend->mutex, $);
        backend->mutex.unlock($);
        if (asked != nullptr)
            asked->report(wf_self(), asked, is_ready ? 1 : -ECANCELED);
    }

    void fiber(unsigned index)
    {
        int sent = 5;

        if (index == 0)
            wait();
        else if (index == 1)
            RL_ASSERT(weft_channel_send(channel.get(), &sent, sizeof sent, INT64_MAX) == 0);
        else
            report();
    }

    void at_rest()
    {
        RL_ASSERT(wf_wait_queue_is_empty(&channel.channel.receivers));
    }
};

int main()
{
    bool good = model_run<select_faces>("faces");

    good = good && model_run<select_ends>("ends");
    good = good && model_run<select_senders>("senders");
    good = good && model_run<select_timer>("timer");
    good = good && model_run<select_poll>("poll");
    return good ? 0 : 1;
}
