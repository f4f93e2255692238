/* SPDX-License-Identifier: MIT */
/* See sim.h: the dice, events in virtual time, and the trace. */
#include "arch/sim.h"

#include "arch/sim_internal.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define HASH_BASIS UINT64_C(0xcbf29ce484222325)
#define HASH_PRIME UINT64_C(0x100000001b3)

struct event {
    int64_t at;
    uint64_t order; /* of two at the same time the one asked for first comes first */
    void (*fn)(void *);
    void *arg;
};

/* One of those kept for a report. */
struct record {
    int64_t at;
    uint64_t number;
    const char *what;
    uint64_t a, b;
};

struct wf_sim_clock wf_sim_clock;
struct wf_sim_settings wf_sim_settings;
struct wf_sim_report wf_sim_totals;

static struct {
    struct event *heap; /* the earliest first, each before its children 2i+1 and 2i+2 */
    size_t count, capacity;
    uint64_t asked;
} events;

static uint64_t dice[WF_SIM_STREAMS];
static uint64_t fault_dice[WF_SIM_FAULTS_MAX]; /* a stream for each kind */
static uint32_t fault_ppm;
static uint64_t run_number;
static struct record kept[WF_SIM_EVENTS_KEPT];

/* SplitMix64 (Steele, Lea, Flood 2014): a counter and a mixing function. */
static uint64_t next_number(uint64_t *state)
{
    uint64_t z = (*state += UINT64_C(0x9e3779b97f4a7c15));

    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

static uint32_t below(uint64_t *state, uint32_t limit)
{
    return (uint32_t)(((next_number(state) >> 32) * limit) >> 32);
}

uint32_t wf_sim_draw(enum wf_sim_stream stream, uint32_t limit)
{
    return below(&dice[stream], limit);
}

static uint64_t *dice_of(uint64_t kind)
{
    return &fault_dice[__builtin_ctzll(kind) % WF_SIM_FAULTS_MAX];
}

uint32_t wf_sim_fault_draw(uint64_t kind, uint32_t limit)
{
    return below(dice_of(kind), limit);
}

void wf_sim_reset(const struct wf_sim_settings *settings)
{
    uint64_t state = settings->seed;

    wf_sim_settings = *settings;
    wf_sim_totals = (struct wf_sim_report){.hash = HASH_BASIS};
    wf_sim_clock = (struct wf_sim_clock){.now = WF_SIM_START_NS, .limit = INT64_MAX};
    if (settings->limit < INT64_MAX - WF_SIM_START_NS)
        wf_sim_clock.limit = WF_SIM_START_NS + settings->limit;
    for (int i = 0; i < WF_SIM_STREAMS; i++)
        dice[i] = next_number(&state);
    for (int i = 0; i < WF_SIM_FAULTS_MAX; i++)
        fault_dice[i] = next_number(&state);
    fault_ppm = settings->fault_ppm;
    if (fault_ppm == 0) /* 61 to 31,250 of a million */
        fault_ppm = UINT32_C(1000000) >> (5 + wf_sim_draw(WF_SIM_FAULTS, 10));
    events.count = 0;
    events.asked = 0;
    run_number++;
    memset(kept, 0, sizeof kept);
}

uint64_t wf_sim_run_number(void)
{
    return run_number;
}

int64_t wf_sim_time(void)
{
    return wf_sim_clock.now;
}

const char *wf_sim_disk_path(void)
{
    return wf_sim_settings.disk;
}

bool wf_sim_may_fail(uint64_t kind)
{
    return (wf_sim_settings.faults & kind) != 0 &&
           wf_sim_clock.now - WF_SIM_START_NS < wf_sim_settings.faults_until;
}

void wf_sim_count_fault(uint64_t kind)
{
    uint32_t number = (uint32_t)__builtin_ctzll(kind);

    wf_sim_totals.faults[number % WF_SIM_FAULTS_MAX]++;
    wf_sim_trace("fault", number, 0);
}

bool wf_sim_fault(uint64_t kind)
{
    /* Drawn in any case, so that the later ones are the same whether this one may happen or not. */
    if (wf_sim_fault_draw(kind, 1000000) >= fault_ppm || !wf_sim_may_fail(kind))
        return false;
    wf_sim_count_fault(kind);
    return true;
}

static void mix(uint64_t value)
{
    /* FNV-1a over words instead of bytes, and a shift that brings high bits down. */
    uint64_t hash = (wf_sim_totals.hash ^ value) * HASH_PRIME;

    wf_sim_totals.hash = hash ^ (hash >> 29);
}

void wf_sim_trace(const char *what, uint64_t a, uint64_t b)
{
    struct record *record = &kept[wf_sim_totals.events % WF_SIM_EVENTS_KEPT];
    uint64_t word = 0;

    memcpy(&word, what, strnlen(what, sizeof word));
    *record = (struct record){wf_sim_clock.now, wf_sim_totals.events, what, a, b};
    mix(word);
    mix(a);
    mix(b);
    mix((uint64_t)wf_sim_clock.now);
    wf_sim_totals.events++;
    if (wf_sim_settings.trace != NULL)
        fprintf(wf_sim_settings.trace, "%" PRIu64 " %" PRId64 " %s %" PRIu64 " %" PRIu64 "\n",
                record->number, record->at, what, a, b);
}

void wf_sim_print_last(void)
{
    uint64_t count = wf_sim_totals.events;
    uint64_t first = count > WF_SIM_EVENTS_KEPT ? count - WF_SIM_EVENTS_KEPT : 0;
    char line[160];
    int length;

    if (!wf_sim_is_here())
        return;
    length = snprintf(line, sizeof line,
                      "weft: simulation of seed %" PRIu64 "; its last events (number, time, what, "
                      "of what):\n",
                      wf_sim_settings.seed);
    if (length > 0 && write(STDERR_FILENO, line, (size_t)length) < 0)
        return;
    for (uint64_t i = first; i < count; i++) {
        const struct record *record = &kept[i % WF_SIM_EVENTS_KEPT];

        length = snprintf(line, sizeof line,
                          "weft:   %" PRIu64 " %" PRId64 " %s %" PRIu64 " %" PRIu64 "\n",
                          record->number, record->at, record->what, record->a, record->b);

        if (length > 0 && write(STDERR_FILENO, line, (size_t)length) < 0)
            return;
    }
}

static bool is_before(const struct event *a, const struct event *b)
{
    return a->at < b->at || (a->at == b->at && a->order < b->order);
}

static void swap(size_t i, size_t j)
{
    struct event event = events.heap[i];

    events.heap[i] = events.heap[j];
    events.heap[j] = event;
}

static bool make_room(void)
{
    size_t capacity = events.capacity == 0 ? 256 : 2 * events.capacity;
    struct event *heap = calloc(capacity, sizeof *heap);

    if (heap == NULL)
        return false;
    if (events.count > 0)
        memcpy(heap, events.heap, events.count * sizeof *heap);
    free(events.heap);
    events.heap = heap;
    events.capacity = capacity;
    return true;
}

bool wf_sim_at(int64_t at, void (*fn)(void *), void *arg)
{
    size_t i = events.count;

    if (events.count == events.capacity && !make_room())
        return false;
    events.heap[events.count++] = (struct event){at, events.asked++, fn, arg};
    for (; i > 0 && is_before(&events.heap[i], &events.heap[(i - 1) / 2]); i = (i - 1) / 2)
        swap(i, (i - 1) / 2);
    return true;
}

static struct event take_first(void)
{
    struct event first = events.heap[0];
    size_t i = 0;

    events.heap[0] = events.heap[--events.count];
    for (;;) {
        size_t least = i;

        for (size_t child = 2 * i + 1; child <= 2 * i + 2 && child < events.count; child++)
            if (is_before(&events.heap[child], &events.heap[least]))
                least = child;
        if (least == i)
            return first;
        swap(i, least);
        i = least;
    }
}

int64_t wf_sim_next_event(void)
{
    return events.count > 0 ? events.heap[0].at : INT64_MAX;
}

void wf_sim_drain(void)
{
    wf_sim_clock.is_firing = true;
    while (events.count > 0) {
        struct event event = take_first();

        event.fn(event.arg);
    }
    wf_sim_clock.is_firing = false;
}

void wf_sim_fire_events(void)
{
    wf_sim_clock.is_firing = true;
    while (wf_sim_next_event() <= wf_sim_clock.now) {
        struct event event = take_first();

        event.fn(event.arg);
    }
    wf_sim_clock.is_firing = false;
}
