/* SPDX-License-Identifier: MIT */
/* What the monitor takes for stuck, on a runtime whose only worker has no thread. */
#include "runtime/model.h"
#include "runtime/monitor.h"

#include <criterion/criterion.h>
#include <unistd.h>

enum { TIMEOUT_S = 60 };

static struct weft_runtime runtime;
static struct wf_worker worker;
static struct weft_fiber fiber;

static uint64_t count_stalls(void)
{
    return wf_counter_read(&runtime.monitor.counters.stalls);
}

static void enter_phase(enum wf_phase phase)
{
    atomic_store_explicit(&runtime.phase, phase, memory_order_seq_cst);
    wf_os_futex_wake(&runtime.phase, INT32_MAX);
}

/* Workers that wait for the others' start are not stuck.  A spare that was called for one of them
 * ran the first fiber to its end before the start had happened, and the run never ended. */
Test(monitor, leaves_the_start_alone, .timeout = TIMEOUT_S)
{
    static struct wf_worker *workers[] = {&worker};

    runtime.workers = workers;
    runtime.worker_count = 1;
    runtime.crew_max = 1;
    atomic_store_explicit(&runtime.crew, 1, memory_order_relaxed);
    runtime.park.worker_count = 1;
    runtime.config.stall_us = 200;
    worker.runtime = &runtime;
    worker.park = &runtime.park;
    /* Something waits behind it, so that its poller is not asked. */
    atomic_store_explicit(&worker.next, &fiber, memory_order_relaxed);

    cr_assert_eq(wf_monitor_start(&runtime), 0);
    usleep(50000);
    cr_expect_eq(count_stalls(), 0, "it looked before the start");
    enter_phase(WF_PHASE_RUNNING);
    while (count_stalls() == 0)
        usleep(1000);
    enter_phase(WF_PHASE_DONE);
    wf_monitor_wake(&runtime.monitor);
    wf_monitor_join(&runtime);
}
