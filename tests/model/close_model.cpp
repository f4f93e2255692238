// SPDX-License-Identifier: MIT
// io/close.c and io/pending.c: whoever closes a descriptor waits for all that is under way on it,
// what goes on with a call after that does so on no other file, and nobody waits for good.
//
// The backend is one that has no kernel: an operation is under way until a thread of the model
// completes it, or until it is stopped.  The lists have two descriptors each, in the place of
// io/pages.h.
#include "model_fibers.h"

#define WF_IO_PAGES_H
#define WF_IO_LIMITS_H
#include "io/backend.h"

#include <cerrno>

enum { OTHER_FD, FD, DESCRIPTORS, DONE = 1 };

struct close_poller {
    wf_poller base;
    wf_fd_ops watches[DESCRIPTORS];
    wf_op *under_way; // under the lock
};

static wf_fd_ops *wf_pages_find(wf_pending *pending, int fd)
{
    return &reinterpret_cast<close_poller *>(reinterpret_cast<char *>(pending) -
                                             offsetof(wf_poller, pending))
                ->watches[fd];
}

static wf_fd_ops *wf_pages_make(wf_pending *pending, int fd)
{
    return wf_pages_find(pending, fd);
}

static bool wf_pages_is_open(int fd)
{
    (void)fd;
    return true;
}

#include "model_limits.h"

#define close(fd) model_close(fd)

static int model_close(int fd)
{
    (void)fd;
    RL_ASSERT(false); // there are no plain threads here
    return 0;
}

static int model_errno;
#define errno model_errno

#include "io/close.c"
#include "io/hold.c"
#include "io/op.c"
#include "io/pending.c"

int weft_semaphore_acquire(weft_semaphore *semaphore, uint64_t count, weft_time deadline)
{
    (void)semaphore;
    (void)count;
    (void)deadline;
    RL_ASSERT(false);
    return 0;
}

void weft_semaphore_release(weft_semaphore *semaphore, uint64_t count)
{
    (void)semaphore;
    (void)count;
    RL_ASSERT(false);
}

int wf_op_poll(int fd, int events, uint32_t epoch, weft_time deadline)
{
    (void)fd;
    (void)events;
    (void)epoch;
    (void)deadline;
    RL_ASSERT(false);
    return 0;
}

// What the scenarios share: the backend looks at it through `shared`.
struct close_state {
    close_poller pollers[MODEL_FIBERS_MAX];
    wf_worker *workers[MODEL_FIBERS_MAX];
    directory all;
    rl::atomic<uint32_t> epochs[DESCRIPTORS];
    rl::var<int> file;           // what the number means: 0 until it is closed, then another file
    rl::atomic<uint32_t> begun;  // operations that have been under way
    rl::atomic<uint32_t> closes; // two at once are the program's mistake: one of them fails
    bool stops_at_once;          // as waits on epoll; else the kernel completes what was stopped
};

static close_state *shared;

// Plain memory: a look at the same time as the close, or not ordered before it, is a data race.
static void touch()
{
    RL_ASSERT(shared->file($) == 0);
}

static void touch_file_of(const wf_op *op)
{
    if (op->fd == FD)
        touch();
}

static close_poller *poller_of(wf_poller *poller)
{
    return reinterpret_cast<close_poller *>(poller);
}

static bool model_attempt(wf_op *op, weft_time deadline)
{
    (void)deadline;
    if (op->code != WF_OP_CLOSE)
        return false;
    op->result = -EBADF;
    if (atomic_fetch_add_explicit(&shared->closes, 1, memory_order_relaxed) > 0)
        return true;
    shared->file($) = 1;
    op->result = 0;
    return true;
}

static void model_start(wf_worker *self, wf_op *op)
{
    close_poller *poller = poller_of(self->poller);
    int error;

    wf_lock_acquire(&poller->base.lock);
    error = wf_pending_add(&poller->base, op);
    if (error == 0) {
        RL_ASSERT(poller->under_way == nullptr);
        poller->under_way = op;
        touch_file_of(op);
    }
    wf_lock_release(&poller->base.lock);
    // Whoever closes knows of it: an operation that begins at the same time has no such promise.
    atomic_fetch_add_explicit(&shared->begun, 1, memory_order_release);
    if (error == 0)
        return;
    op->result = error;
    wf_op_complete(self, op);
}

static bool model_stop(wf_poller *base, wf_worker *self, wf_op *op)
{
    close_poller *poller = poller_of(base);

    (void)self;
    // What only holds the descriptor is no operation of the backend's.
    if (poller->under_way != op)
        return false;
    op->result = -ECANCELED;
    if (!shared->stops_at_once)
        return false;
    poller->under_way = nullptr;
    touch_file_of(op);
    wf_pending_remove(op);
    return true;
}

static const wf_backend model_backend = {"model",       nullptr,     nullptr,    nullptr, nullptr,
                                         nullptr,       nullptr,     nullptr,    nullptr, nullptr,
                                         model_attempt, model_start, model_stop, nullptr};

void wf_backend_start(struct wf_worker *self, struct wf_op *op)
{
    model_start(self, op);
}

void wf_backend_cancel(struct wf_poller *poller, struct wf_worker *self, struct wf_op *op,
                       int reason)
{
    bool is_complete;

    wf_lock_acquire(&poller->lock);
    if (op->reason == 0)
        op->reason = reason;
    is_complete = model_stop(poller, self, op);
    wf_lock_release(&poller->lock);
    if (is_complete)
        wf_op_complete(self, op);
}

int32_t wf_op_events_confirmed(const struct wf_op *op)
{
    return op->result;
}

weft_time weft_now(void)
{
    return 0;
}

int weft_sleep_until(weft_time time)
{
    (void)time;
    RL_ASSERT(false); // no attempt is in vain
    return 0;
}

int wf_readiness_now(int fd, int events)
{
    (void)fd;
    (void)events;
    RL_ASSERT(false); // as above
    return 0;
}

bool wf_backend_is_ring(int fd)
{
    (void)fd;
    return false;
}

void wf_backend_await_others(struct wf_worker *self)
{
    (void)self;
    RL_ASSERT(false); // a stop needs no room here
}

static void await_begun()
{
    while (atomic_load_explicit(&shared->begun, memory_order_acquire) == 0)
        rl::yield(1, $);
}

// The kernel: completes what is under way with the first worker, if anything is.
static bool complete_one()
{
    close_poller *poller = &shared->pollers[0];
    wf_op *op;

    wf_lock_acquire(&poller->base.lock);
    op = poller->under_way;
    if (op != nullptr) {
        poller->under_way = nullptr;
        touch();
        if (op->result == 0)
            op->result = DONE;
        wf_pending_remove(op);
    }
    wf_lock_release(&poller->base.lock);
    if (op != nullptr)
        wf_op_complete(wf_self(), op);
    return op != nullptr;
}

template <typename T, unsigned THREADS> struct close_suite : fiber_suite<T, THREADS> {
    close_state state;
    rl::var<int> result, closed;

    void prepare(bool stops_at_once)
    {
        shared = &state;
        pollers = &state.all;
        epochs = state.epochs;
        state.stops_at_once = stops_at_once;
        atomic_store_explicit(&state.all.lock.word, WF_LOCK_FREE, memory_order_relaxed);
        atomic_store_explicit(&state.all.count, THREADS, memory_order_relaxed);
        atomic_store_explicit(&state.begun, 0, memory_order_relaxed);
        atomic_store_explicit(&state.closes, 0, memory_order_relaxed);
        state.file($) = 0;
        result($) = closed($) = 0;
        for (rl::atomic<uint32_t> &each : state.epochs)
            atomic_store_explicit(&each, 0, memory_order_relaxed);
        for (unsigned i = 0; i < THREADS; i++) {
            close_poller *poller = &state.pollers[i];

            poller->base.backend = &model_backend;
            atomic_store_explicit(&poller->base.lock.word, WF_LOCK_FREE, memory_order_relaxed);
            atomic_store_explicit(&poller->base.pending.others.first, nullptr,
                                  memory_order_relaxed);
            poller->base.pending.others.last = nullptr;
            for (wf_fd_ops &watch : poller->watches) {
                atomic_store_explicit(&watch.first, nullptr, memory_order_relaxed);
                watch.last = nullptr;
            }
            poller->under_way = nullptr;
            state.workers[i] = &this->own.fibers[i].worker;
            state.workers[i]->poller = &poller->base;
        }
        this->own.runtime.workers = state.workers;
        this->own.runtime.config.max_operations = UINT32_MAX;
        atomic_store_explicit(&this->own.runtime.crew, THREADS, memory_order_relaxed);
    }

    // One part of a call that began at that epoch.
    int operate(uint32_t epoch)
    {
        wf_op op = {};

        op.code = WF_OP_READ;
        op.fd = FD;
        op.epoch = epoch;
        return wf_op_run(&op, WEFT_FOREVER);
    }

    void close_it()
    {
        int error = weft_close(FD);

        RL_ASSERT(error == 0 || error == -EBADF);
        if (error == 0)
            closed($) = closed($) + 1;
    }

    void at_rest()
    {
        RL_ASSERT(closed($) == 1);
        for (unsigned i = 0; i < THREADS; i++)
            RL_ASSERT(!wf_pending_is_any(&state.pollers[i].base, FD));
    }

    void expect_an_end()
    {
        RL_ASSERT(result($) == DONE || result($) == -EBADF);
        close_suite::at_rest();
    }
};

// An operation that may complete, and a close: as on epoll.
struct close_waiting : close_suite<close_waiting, 3> {
    void setup()
    {
        prepare(true);
    }

    void fiber(unsigned index)
    {
        if (index == 0) {
            result($) = operate(0);
        } else if (index == 1) {
            (void)complete_one();
        } else {
            await_begun();
            close_it();
        }
    }

    void at_rest()
    {
        expect_an_end();
    }
};

// The same where the kernel has the last word.
struct close_in_kernel : close_suite<close_in_kernel, 3> {
    void setup()
    {
        prepare(false);
    }

    void fiber(unsigned index)
    {
        if (index == 0) {
            result($) = operate(0);
        } else if (index == 1) {
            await_begun();
            RL_ASSERT(complete_one());
        } else {
            await_begun();
            close_it();
        }
    }

    void at_rest()
    {
        expect_an_end();
    }
};

// A call of two parts, of which the second has no end but the close.
struct close_between : close_suite<close_between, 3> {
    void setup()
    {
        prepare(true);
    }

    void fiber(unsigned index)
    {
        if (index == 0) {
            uint32_t epoch = wf_epoch_now(FD);

            result($) = operate(0);
            if (result($) == DONE)
                result($) = operate(epoch);
        } else if (index == 1) {
            await_begun();
            (void)complete_one();
        } else {
            await_begun();
            close_it();
        }
    }

    void at_rest()
    {
        expect_an_end();
    }
};

// A fiber makes a call itself, on a descriptor that it holds; two close it.
struct close_held : close_suite<close_held, 3> {
    rl::var<int> closed_by[3];

    void setup()
    {
        prepare(true);
        for (rl::var<int> &each : closed_by)
            each($) = 0;
    }

    void hold()
    {
        wf_op held = {};

        held.fd = FD;
        held.epoch = EPOCH_BIAS; // it began before anybody closed
        result($) = wf_op_hold(&held);
        if (result($) == 0)
            touch();
        wf_op_release(&held);
    }

    void fiber(unsigned index)
    {
        if (index == 0)
            hold();
        else
            closed_by[index]($) = weft_close(FD);
    }

    void at_rest()
    {
        RL_ASSERT(result($) == 0 || result($) == -EBADF);
        RL_ASSERT((closed_by[1]($) == 0) != (closed_by[2]($) == 0));
        closed($) = 1;
        close_suite::at_rest();
    }
};

// A fiber holds it, and waits for another one, which never is ready.
struct close_beside : close_suite<close_beside, 2> {
    void setup()
    {
        prepare(true);
    }

    void hold()
    {
        wf_op held = {};

        held.fd = FD;
        held.epoch = EPOCH_BIAS;
        result($) = wf_op_hold(&held);
        if (result($) == 0) {
            touch();
            result($) = wf_op_poll_holding(OTHER_FD, POLLIN, EPOCH_BIAS, &held, WEFT_FOREVER);
        }
        wf_op_release(&held);
    }

    void fiber(unsigned index)
    {
        if (index == 0) {
            hold();
        } else {
            await_begun();
            close_it();
        }
    }

    void at_rest()
    {
        RL_ASSERT(result($) == -EBADF);
        close_suite::at_rest();
    }
};

int main()
{
    bool good = model_run<close_waiting>("waiting");

    good = good && model_run<close_in_kernel>("in the kernel");
    good = good && model_run<close_between>("between two parts");
    good = good && model_run<close_held>("held");
    good = good && model_run<close_beside>("held beside a wait");
    return good ? 0 : 1;
}
