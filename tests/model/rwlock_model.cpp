// SPDX-License-Identifier: MIT
// sync/rwlock.c over sync/wait_queue.c and runtime/wait.c: a writer is alone, everybody sees what
// the writers before did, and a writer what the readers before it did; no lock and no wake is lost,
// also where waiters are cancelled (Relacy reports that as a deadlock); nothing is left in the lock
// at rest; and nobody touches a lock that its last holder has freed.
// So that every way of handing over is walked, and waiters sleep.
#define WF_RWLOCK_BYPASSES 1
#define WF_RWLOCK_SPINS 1

#include "model_fibers.h"

static inline unsigned model_worker_count()
{
    return 2;
}
#define weft_worker_count() model_worker_count()

#include "sync/rwlock.c"
#include "sync/wait_queue.c"

void wf_held_share(const void *object)
{
    (void)object;
    RL_ASSERT(false);
}

void wf_held_remove(const void *object, const char *what, wf_held_count_fn *count)
{
    (void)object;
    (void)what;
    (void)count;
    RL_ASSERT(false);
}

enum { MODEL_READERS = 3 };

static weft_rwlock *outer(rwlock *lock)
{
    return reinterpret_cast<weft_rwlock *>(lock);
}

static void init(rwlock *lock, uint64_t word, uint32_t kind)
{
    lock->kind = kind;
    atomic_store_explicit(&lock->word, word, memory_order_relaxed);
    atomic_store_explicit(&lock->queue_lock.word, WF_LOCK_FREE, memory_order_relaxed);
    lock->queue.first = nullptr;
    lock->readers.first = nullptr;
}

// What the lock guards: plain memory, so that a missing order is a data race.
struct guarded {
    rwlock lock;
    rl::var<int> value;
    rl::var<int> read_by[MODEL_READERS]; // what each reader writes is for the writers after it
    rl::var<int> writes;

    void setup(uint64_t word, uint32_t kind = 0)
    {
        init(&lock, word, kind);
        value($) = 0;
        writes($) = 0;
        for (rl::var<int> &each : read_by)
            each($) = 0;
    }

    void look(unsigned index)
    {
        int seen = value($);

        read_by[index]($) = read_by[index]($) + 1;
        RL_ASSERT(value($) == seen);
    }

    void change()
    {
        for (rl::var<int> &each : read_by)
            each($) = each($) + 0;
        value($) = value($) + 1;
        writes($) = writes($) + 1;
    }

    int read(unsigned index)
    {
        int error = weft_rwlock_read_lock(outer(&lock), WEFT_FOREVER);

        if (error != 0)
            return error;
        look(index);
        weft_rwlock_unlock(outer(&lock));
        return 0;
    }

    int write()
    {
        int error = weft_rwlock_write_lock(outer(&lock), WEFT_FOREVER);

        if (error != 0)
            return error;
        change();
        weft_rwlock_unlock(outer(&lock));
        return 0;
    }

    void at_rest(uint64_t word)
    {
        RL_ASSERT(value($) == writes($));
        RL_ASSERT(atomic_load_explicit(&lock.word, memory_order_relaxed) == word);
        RL_ASSERT(wf_wait_queue_is_empty(&lock.queue));
        RL_ASSERT(wf_wait_queue_is_empty(&lock.readers));
    }
};

// Two that write and two that read, twice each.
template <typename T, uint32_t KIND> struct rwlock_mix : fiber_suite<T, 4> {
    guarded shared;

    void setup()
    {
        shared.setup(0, KIND);
    }

    void fiber(unsigned index)
    {
        for (int i = 0; i < 2; i++)
            RL_ASSERT((index < 2 ? shared.write() : shared.read(index - 2)) == 0);
    }

    void at_rest()
    {
        RL_ASSERT(shared.writes($) == 4);
        shared.at_rest(0);
    }
};

struct rwlock_fair : rwlock_mix<rwlock_fair, 0> {
};
struct rwlock_prefer : rwlock_mix<rwlock_prefer, WEFT_RWLOCK_PREFER_READERS> {
};

// A writer is cancelled, with a reader before and readers behind it, and another that writes later.
template <typename T, uint32_t KIND> struct rwlock_cancel : fiber_suite<T, 4> {
    guarded shared;

    void setup()
    {
        shared.setup(0, KIND);
    }

    void fiber(unsigned index)
    {
        int error;

        if (index == 3) {
            model_cancel(0);
            RL_ASSERT(shared.read(2) == 0);
            RL_ASSERT(shared.write() == 0);
        } else if (index == 0) {
            error = shared.write();
            RL_ASSERT(error == 0 || error == -ECANCELED);
        } else {
            for (int i = 0; i < 2; i++)
                RL_ASSERT(shared.read(index - 1) == 0);
        }
    }

    void at_rest()
    {
        shared.at_rest(0);
    }
};

struct rwlock_cancel_fair : rwlock_cancel<rwlock_cancel_fair, 0> {
};
struct rwlock_cancel_prefer : rwlock_cancel<rwlock_cancel_prefer, WEFT_RWLOCK_PREFER_READERS> {
};

// Readers that wait behind a writer go on when that is cancelled, while the lock is still held.
struct rwlock_behind : fiber_suite<rwlock_behind, 4> {
    guarded shared;

    void setup()
    {
        shared.setup(READER);
    }

    void fiber(unsigned index)
    {
        if (index == 0)
            RL_ASSERT(shared.write() == -ECANCELED);
        else if (index < 3)
            RL_ASSERT(shared.read(index) == 0);
        else
            model_cancel(0);
    }

    void at_rest()
    {
        RL_ASSERT(shared.writes($) == 0);
        shared.at_rest(READER);
    }
};

// A writer that goes on as a reader, beside readers and another writer.
struct rwlock_downgrade : fiber_suite<rwlock_downgrade, 4> {
    guarded shared;

    void setup()
    {
        shared.setup(0);
    }

    void fiber(unsigned index)
    {
        int seen;

        if (index == 1) {
            RL_ASSERT(shared.write() == 0);
        } else if (index > 1) {
            RL_ASSERT(shared.read(index - 1) == 0);
        } else {
            RL_ASSERT(weft_rwlock_write_lock(outer(&shared.lock), WEFT_FOREVER) == 0);
            shared.change();
            seen = shared.value($);
            weft_rwlock_downgrade(outer(&shared.lock));
            shared.look(0);
            RL_ASSERT(shared.value($) == seen);
            weft_rwlock_unlock(outer(&shared.lock));
        }
    }

    void at_rest()
    {
        RL_ASSERT(shared.writes($) == 2);
        shared.at_rest(0);
    }
};

// A reader holds the lock until those have read whom its downgrade from writing lets in.
struct rwlock_let_in : fiber_suite<rwlock_let_in, 3> {
    guarded shared;
    WF_ATOMIC(uint32_t) has_read;

    void setup()
    {
        shared.setup(WRITER);
        atomic_store_explicit(&has_read, 0, memory_order_relaxed);
    }

    void fiber(unsigned index)
    {
        if (index > 0) {
            RL_ASSERT(shared.read(index) == 0);
            atomic_fetch_add_explicit(&has_read, 1, memory_order_relaxed);
            return;
        }
        weft_rwlock_downgrade(outer(&shared.lock));
        while (atomic_load_explicit(&has_read, memory_order_relaxed) < 2)
            rl::yield(1, $);
        weft_rwlock_unlock(outer(&shared.lock));
    }

    void at_rest()
    {
        shared.at_rest(0);
    }
};

// Each locks once, and whoever is the last to have written frees the lock.
struct rwlock_free : fiber_suite<rwlock_free, 3> {
    rwlock *lock;
    rl::var<int> left; // under the lock

    void setup()
    {
        lock = static_cast<rwlock *>(model_alloc(sizeof *lock));
        atomic_init(&lock->word, 0);
        atomic_init(&lock->queue_lock.word, WF_LOCK_FREE);
        lock->kind = 0;
        left($) = 3;
    }

    void fiber(unsigned index)
    {
        bool is_last;

        if (index == 0)
            RL_ASSERT(weft_rwlock_read_lock(outer(lock), WEFT_FOREVER) == 0);
        if (index == 0)
            weft_rwlock_unlock(outer(lock));
        RL_ASSERT(weft_rwlock_write_lock(outer(lock), WEFT_FOREVER) == 0);
        left($) = left($) - 1;
        is_last = left($) == 0;
        weft_rwlock_unlock(outer(lock));
        if (is_last)
            model_free(lock);
    }

    void at_rest()
    {
        RL_ASSERT(left($) == 0);
    }
};

// A writer gives up just when the one before it unlocks; then it frees the lock.
struct rwlock_give_up_and_free : fiber_suite<rwlock_give_up_and_free, 3> {
    rwlock *lock;

    void setup()
    {
        lock = static_cast<rwlock *>(model_alloc(sizeof *lock));
        atomic_init(&lock->word, READER);
        atomic_init(&lock->queue_lock.word, WF_LOCK_FREE);
        lock->kind = 0;
    }

    void fiber(unsigned index)
    {
        if (index == 2) {
            model_cancel(1);
        } else if (index == 0) {
            weft_rwlock_unlock(outer(lock));
        } else {
            if (weft_rwlock_write_lock(outer(lock), WEFT_FOREVER) != 0)
                while (weft_rwlock_try_write_lock(outer(lock)) != 0)
                    rl::yield(1, $);
            weft_rwlock_unlock(outer(lock));
            model_free(lock);
        }
    }

    void at_rest()
    {
    }
};

// A writer that has gone on as a reader stays until another reader has read, which is let in by a
// second writer that gives up: the reader must see what the first one wrote, the second need not.
struct rwlock_give_up_for_others : fiber_suite<rwlock_give_up_for_others, 4> {
    guarded shared;
    WF_ATOMIC(uint32_t) has_read;

    void setup()
    {
        shared.setup(0);
        atomic_store_explicit(&has_read, 0, memory_order_relaxed);
    }

    void stay_as_reader()
    {
        RL_ASSERT(weft_rwlock_write_lock(outer(&shared.lock), WEFT_FOREVER) == 0);
        shared.change();
        weft_rwlock_downgrade(outer(&shared.lock));
        if (weft_rwlock_try_read_lock(outer(&shared.lock)) == 0) // the one that passes
            weft_rwlock_unlock(outer(&shared.lock));
        while (atomic_load_explicit(&has_read, memory_order_relaxed) == 0)
            rl::yield(1, $);
        weft_rwlock_unlock(outer(&shared.lock));
    }

    void fiber(unsigned index)
    {
        if (index == 0) {
            (void)shared.write();
        } else if (index == 1) {
            RL_ASSERT(shared.read(1) == 0);
            atomic_store_explicit(&has_read, 1, memory_order_relaxed);
        } else if (index == 2) {
            model_cancel(0);
        } else {
            stay_as_reader();
        }
    }

    void at_rest()
    {
        shared.at_rest(0);
    }
};

// A writer that a reader's unlock wakes is cancelled on its way, or passed by another writer and by
// a reader; each that waited behind it gets the lock all the same.
struct rwlock_on_its_way : fiber_suite<rwlock_on_its_way, 4> {
    guarded shared;

    void setup()
    {
        shared.setup(READER);
    }

    void fiber(unsigned index)
    {
        int error;

        if (index == 0) {
            error = shared.write();
            RL_ASSERT(error == 0 || error == -ECANCELED);
        } else if (index == 1) {
            RL_ASSERT(shared.write() == 0);
        } else if (index == 2) {
            RL_ASSERT(shared.read(1) == 0);
        } else {
            weft_rwlock_unlock(outer(&shared.lock));
            model_cancel(0);
        }
    }

    void at_rest()
    {
        RL_ASSERT(shared.writes($) >= 1);
        shared.at_rest(0);
    }
};

// A writer unlocks for another on its way, which does not come before a preferred reader.
struct rwlock_read_first : fiber_suite<rwlock_read_first, 3> {
    guarded shared;
    rl::var<int> is_queued;

    void setup()
    {
        shared.setup(WRITER | WOKEN | BYPASS, WEFT_RWLOCK_PREFER_READERS);
        is_queued($) = 0;
    }

    void change_and_unlock()
    {
        RL_ASSERT(is_queued($) == 0 || shared.read_by[0]($) == 1);
        is_queued($) = !wf_wait_queue_is_empty(&shared.lock.readers); // it stays there until then
        weft_rwlock_unlock(outer(&shared.lock));
    }

    void fiber(unsigned index)
    {
        uint64_t word;

        while (index == 1 && !take(&shared.lock, true, true, &word))
            rl::yield(1, $);
        if (index == 2)
            RL_ASSERT(shared.read(0) == 0);
        else
            change_and_unlock();
    }

    void at_rest()
    {
        shared.at_rest(0);
    }
};

// Readers alone subtract the last of them; the writer that they hand the lock to frees it.
struct rwlock_readers_then_free : fiber_suite<rwlock_readers_then_free, 3> {
    rwlock *lock;
    WF_ATOMIC(uint32_t) has_written;

    void setup()
    {
        lock = static_cast<rwlock *>(model_alloc(sizeof *lock));
        atomic_init(&lock->word, 2 * READER);
        atomic_init(&lock->queue_lock.word, WF_LOCK_FREE);
        lock->kind = 0;
        atomic_store_explicit(&has_written, 0, memory_order_relaxed);
    }

    void fiber(unsigned index)
    {
        if (index > 0) {
            weft_rwlock_unlock(outer(lock));
            return;
        }
        RL_ASSERT(weft_rwlock_write_lock(outer(lock), WEFT_FOREVER) == 0);
        atomic_store_explicit(&has_written, 1, memory_order_relaxed);
        weft_rwlock_unlock(outer(lock));
        model_free(lock);
    }

    void at_rest()
    {
        RL_ASSERT(atomic_load_explicit(&has_written, memory_order_relaxed) == 1);
    }
};

int main()
{
    bool good = model_run<rwlock_behind>("behind");

    good = good && model_run<rwlock_cancel_fair>("cancel_fair");
    good = good && model_run<rwlock_cancel_prefer>("cancel_prefer");
    good = good && model_run<rwlock_downgrade>("downgrade");
    good = good && model_run<rwlock_let_in>("let_in");
    good = good && model_run<rwlock_free>("free");
    good = good && model_run<rwlock_give_up_and_free>("give_up_and_free");
    good = good && model_run<rwlock_give_up_for_others>("give_up_for_others");
    good = good && model_run<rwlock_on_its_way>("on_its_way");
    good = good && model_run<rwlock_read_first>("read_first");
    good = good && model_run<rwlock_readers_then_free>("readers_then_free");
    good = good && model_run<rwlock_fair>("fair");
    good = good && model_run<rwlock_prefer>("prefer");
    return good ? 0 : 1;
}
