/* SPDX-License-Identifier: MIT */
/* See spin.h. */
#include "runtime/spin.h"

#include "arch/cpu.h"
#include "runtime/balance.h"
#include "runtime/model.h"

enum { PAUSES = 8 }; /* between two looks, each of which reads the clock */

static bool waits_for_kernel(struct wf_worker *self)
{
    uint64_t completed = wf_counter_read(&self->counters.ops_completed);

    return completed != wf_counter_read(&self->counters.ops_submitted);
}

bool wf_spin_for_work(struct wf_worker *self)
{
    struct weft_runtime *runtime = self->runtime;
    int64_t begin, end, now;
    bool found;

    /* A giver leaves to its host what it would find. */
    if (self->spin.limit == 0 || waits_for_kernel(self) || wf_balance_gives(self))
        return false;
    begin = wf_os_now();
    if (wf_wheel_next(&self->wheel) <= begin + self->spin.limit)
        return false;
    end = begin + wf_spin_begin(&self->spin);
    if (end == begin)
        return false;
    /* It counts as awake meanwhile: nobody wakes it, and its sleep is announced afterwards, as ever
     * before a last look. */
    do {
        for (int i = 0; i < PAUSES; i++)
            wf_cpu_pause();
        found = wf_inject_size(&runtime->inject) > 0 || wf_runtime_is_done(runtime);
        now = wf_os_now();
    } while (!found && now < end);
    wf_spin_end(&self->spin, found, now - begin);
    wf_count(&self->counters.spins, 1);
    wf_count(&self->counters.spins_won, found);
    return found;
}

void wf_spin_note_wake(struct wf_worker *self, int64_t since)
{
    /* relaxed: for a mean.  A time that is not of this sleep is left out. */
    int64_t woken = atomic_load_explicit(&self->woken, memory_order_relaxed);

    if (woken > since && woken < self->now)
        wf_spin_woke(&self->spin, self->now - woken);
}
