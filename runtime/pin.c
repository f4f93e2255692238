/* SPDX-License-Identifier: MIT */
#include "runtime/pin.h"

#include "arch/topology.h"
#include "runtime/model.h"

#include <weft/base.h>

/* Beside a load generator on the same two CPUs pinned workers waited for 20 to 50 % of the time in
 * which they wanted to run, and unpinned ones for 5 to 30 %; alone for less than 1 %. */
enum {
    LOOK_MS = 100,    /* guessed: some hundred slices of the scheduler */
    CROWDED_PART = 8, /* of the time in which it wanted to run */
    LEAST_PART = 50,  /* of all time: who hardly runs hardly waits */
    REST_FIRST_S = 1,
    REST_LAST_S = 64,
};

/* For how long the worker is let go: longer if it had been pinned again too early. */
static int64_t next_rest(const struct wf_pin *pin, int64_t now)
{
    int64_t last = REST_LAST_S * WEFT_SECOND;

    if (pin->rest == 0 || now - pin->changed > pin->rest)
        return REST_FIRST_S * WEFT_SECOND;
    return pin->rest < last ? 2 * pin->rest : last;
}

bool wf_pin_judge(struct wf_pin *pin, const struct wf_os_use *use, int64_t now)
{
    int64_t ran = use->ran - pin->use.ran, waited = use->waited - pin->use.waited;
    int64_t elapsed = now - pin->looked;
    bool is_first = pin->looked == 0;
    bool is_crowded = waited * LEAST_PART >= elapsed && waited * CROWDED_PART >= ran + waited;

    pin->use = *use;
    pin->looked = now;
    if (is_first) {
        pin->changed = now;
        return false;
    }
    if (pin->state == WF_PIN_HELD && is_crowded) {
        pin->rest = next_rest(pin, now);
        pin->state = WF_PIN_LOOSE;
        pin->changed = now;
        return true;
    }
    if (pin->state != WF_PIN_LOOSE)
        return false;
    if (is_crowded)
        pin->changed = now;
    if (now - pin->changed < pin->rest)
        return false;
    pin->state = WF_PIN_HELD;
    pin->changed = now;
    return true;
}

/* The CPUs that the worker may have in that state, of those that the program has. */
static void list_allowed(const struct wf_worker *worker, enum wf_pin_state state,
                         const struct wf_os_affinity *program, struct wf_os_affinity *affinity)
{
    const struct wf_topology *topology = worker->runtime->topology;

    wf_os_affinity_clear(affinity);
    if (state == WF_PIN_HELD)
        wf_os_affinity_add(affinity, wf_topology_place(topology, worker->index).cpu);
    else
        wf_topology_add_node(topology, worker->index, affinity);
    wf_os_affinity_limit(affinity, program);
}

/* The kernel refuses a set of no CPU, and then leaves all as it was. */
static void look_at(struct wf_worker *worker, int64_t now)
{
    struct wf_pin *pin = &worker->pin;
    enum wf_pin_state before = pin->state;
    struct wf_os_affinity program, expected, found;
    struct wf_os_use use;

    if (before == WF_PIN_NONE || !wf_os_thread_use_of(worker->thread_number, &use) ||
        !wf_pin_judge(pin, &use, now))
        return;
    /* Nobody pins the monitor: if all threads have been moved, it has been. */
    wf_os_affinity_get(0, &program);
    list_allowed(worker, before, &program, &expected);
    wf_os_affinity_get(worker->thread_number, &found);
    if (!wf_os_affinity_equals(&found, &expected)) {
        pin->state = WF_PIN_NONE; /* somebody else has changed it */
        return;
    }
    list_allowed(worker, pin->state, &program, &found);
    wf_os_affinity_set(worker->thread_number, &found);
    if (pin->state == WF_PIN_LOOSE)
        wf_count(&worker->runtime->monitor.counters.unpins, 1);
}

void wf_pin_look(struct weft_runtime *runtime, int64_t now)
{
    struct wf_monitor *monitor = &runtime->monitor;

    if (!runtime->is_pinned || runtime->config.pin != 0 ||
        now - monitor->pins_looked < LOOK_MS * WEFT_MILLISECOND)
        return;
    monitor->pins_looked = now;
    for (uint32_t i = 0; i < runtime->worker_count; i++)
        look_at(runtime->workers[i], now);
}
