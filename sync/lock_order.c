/* SPDX-License-Identifier: MIT */
/* See lock_order.h.  A graph under one lock: this is for finding mistakes, not for speed. */
#include "sync/lock_order.h"

#include "arch/atomic.h"
#include "arch/probe.h"
#include "runtime/check.h"
#include "runtime/lock.h"

#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <weft/lock_checks.h>

enum {
    SLOTS = 4096,
    NODES_MAX = SLOTS / 4 * 3, /* beyond that looking for one takes long */
    EDGES_MAX = 8192,
    CIRCLE_MAX = 8, /* locks of a circle that are shown */
    WAYS = 2,
};

/* A lock.  Indices are one more than the place, so that 0 is none. */
struct node {
    const void *object; /* NULL: the slot is free */
    uint32_t first;     /* of its edges */
    /* How a search came here: by a wait for writers alone, and by one for any holder. */
    struct way {
        uint32_t visited; /* the search */
        uint32_t via;     /* the edge */
        uint32_t before;  /* the place where it begins */
    } ways[WAYS];
};

/* `to` was waited for by one that held `from`. */
struct edge {
    uint32_t from, to;
    uint32_t next; /* of the same `from` */
    enum wf_order_mode held, wanted;
    const void *held_site, *site;
};

/* All under the lock. */
static struct wf_lock lock;
static struct node nodes[SLOTS + 1];
static struct edge edges[EDGES_MAX + 1];
static uint32_t node_count, edge_count, search;
static const char forgotten; /* its address stands for a lock that is gone */

static WF_ATOMIC(uint32_t) is_off; /* 1: weft_lock_report_order(false) */

static uint32_t slot_of(const void *object)
{
    uintptr_t hash = (uintptr_t)object >> 4;
    uint32_t slot;

    hash ^= hash >> 9 ^ hash >> 21;
    slot = (uint32_t)(hash % SLOTS);
    while (nodes[slot + 1].object != NULL && nodes[slot + 1].object != object)
        slot = (slot + 1) % SLOTS;
    return slot + 1;
}

static uint32_t node_of(const void *object)
{
    uint32_t index = slot_of(object);

    if (nodes[index].object == NULL) {
        nodes[index] = (struct node){.object = object};
        node_count++;
    }
    return index;
}

static bool is_noted(const struct edge *candidate)
{
    for (uint32_t i = nodes[candidate->from].first; i != 0; i = edges[i].next)
        if (edges[i].to == candidate->to && edges[i].held == candidate->held &&
            edges[i].wanted == candidate->wanted)
            return true;
    return false;
}

/* Whether one who wants a lock so can come to wait for one who holds it so. */
static bool waits_for(enum wf_order_mode wanted, enum wf_order_mode held)
{
    return held == WF_ORDER_ALONE || wanted != WF_ORDER_READ_FIRST;
}

/* A place of a search: a node, and the way it was come to. */
static uint32_t place_of(uint32_t node, enum wf_order_mode wanted)
{
    return node * WAYS + (wanted != WF_ORDER_READ_FIRST);
}

static struct way *way_at(uint32_t place)
{
    return &nodes[place / WAYS].ways[place % WAYS];
}

/* Looks for a chain of waits from where `edge` ends to where it begins.  Returns the last place of
 * it, from which `before` leads back, or 0. */
static uint32_t find_way_back(const struct edge *edge)
{
    static uint32_t pending[SLOTS * WAYS]; /* each place comes here once at most */
    uint32_t count = 0;

    pending[count] = place_of(edge->to, edge->wanted);
    *way_at(pending[count++]) = (struct way){.visited = ++search};
    while (count > 0) {
        uint32_t place = pending[--count];
        enum wf_order_mode wanted = place % WAYS == 0 ? WF_ORDER_READ_FIRST : WF_ORDER_ALONE;

        if (place / WAYS == edge->from && waits_for(wanted, edge->held))
            return place;
        for (uint32_t i = nodes[place / WAYS].first; i != 0; i = edges[i].next) {
            uint32_t next = place_of(edges[i].to, edges[i].wanted);

            if (!waits_for(wanted, edges[i].held) || way_at(next)->visited == search)
                continue;
            *way_at(next) = (struct way){search, i, place};
            pending[count++] = next;
        }
    }
    return 0;
}

/* What is printed when the lock has been released. */
struct circle {
    unsigned count; /* 0: there is none */
    struct wf_order_lock held[CIRCLE_MAX], wanted[CIRCLE_MAX];
};

static void add_step(struct circle *circle, const struct edge *edge)
{
    if (circle->count < CIRCLE_MAX) {
        circle->held[circle->count] = (struct wf_order_lock){nodes[edge->from].object,
                                                             edge->held_site, edge->held};
        circle->wanted[circle->count] = (struct wf_order_lock){nodes[edge->to].object, edge->site,
                                                               edge->wanted};
    }
    circle->count++;
}

static void note_pair(const struct wf_order_lock *held, const struct wf_order_lock *wanted,
                      struct circle *circle)
{
    struct edge *edge;
    uint32_t place;

    /* Locked twice is said elsewhere; and a wait for a condition gives its mutex up. */
    if (held->object == wanted->object && held->mode == WF_ORDER_ALONE)
        return;
    if (node_count + 2 > NODES_MAX || edge_count == EDGES_MAX) {
        memset(nodes, 0, sizeof nodes);
        node_count = edge_count = search = 0;
    }
    edge = &edges[edge_count + 1];
    *edge = (struct edge){.from = node_of(held->object),
                          .to = node_of(wanted->object),
                          .held = held->mode,
                          .wanted = wanted->mode,
                          .held_site = held->site,
                          .site = wanted->site};
    /* One circle is enough for one call.  Where this pair makes another, it is noted and reported
     * by the next that has it. */
    if (circle->count > 0 || is_noted(edge))
        return;
    place = find_way_back(edge);
    if (place != 0)
        add_step(circle, edge);
    for (; place != 0 && way_at(place)->via != 0; place = way_at(place)->before)
        add_step(circle, &edges[way_at(place)->via]);
    edge->next = nodes[edge->from].first;
    nodes[edge->from].first = ++edge_count;
}

static const char *purpose(enum wf_order_mode mode)
{
    return mode == WF_ORDER_ALONE ? "" : " for reading";
}

/* The circle's steps begin with the last one, each of which waits for the hold of the one before.
 */
static bool is_behind_a_writer(const struct circle *circle, unsigned step)
{
    unsigned before = step == 0 ? circle->count - 1 : step - 1;

    return before < CIRCLE_MAX && circle->wanted[step].mode != WF_ORDER_ALONE &&
           circle->held[before].mode != WF_ORDER_ALONE;
}

static void print_circle(const struct circle *circle)
{
    char text[512];

    wf_complain("lock order: a circle of %u; fibers that lock so at the same time wait for each "
                "other, for ever or until a deadline",
                circle->count);
    for (unsigned i = 0; i < circle->count && i < CIRCLE_MAX; i++) {
        const struct wf_order_lock *held = &circle->held[i], *wanted = &circle->wanted[i];

        wf_probe_describe(held->site, text, sizeof text);
        wf_complain("  lock %p, locked%s at: %s", held->object, purpose(held->mode), text);
        wf_probe_describe(wanted->site, text, sizeof text);
        wf_complain("    was held when lock %p was wanted%s at: %s", wanted->object,
                    purpose(wanted->mode), text);
        if (is_behind_a_writer(circle, i))
            wf_complain("    which waits where a writer came in between");
    }
}

void wf_order_note(const struct wf_order_lock *held, unsigned count,
                   const struct wf_order_lock *wanted)
{
    struct circle circle = {.count = 0};

    /* relaxed: a switch that publishes nothing. */
    if (count == 0 || atomic_load_explicit(&is_off, memory_order_relaxed) != 0)
        return;
    wf_lock_acquire(&lock);
    /* The one that is held longest first: its circle is the shorter one, if there are several. */
    for (unsigned i = count; i > 0; i--)
        note_pair(&held[i - 1], wanted, &circle);
    wf_lock_release(&lock);
    if (circle.count > 0)
        print_circle(&circle);
}

void wf_order_forget(const void *object)
{
    uint32_t index;

    wf_lock_acquire(&lock);
    index = slot_of(object);
    /* It keeps its slot, where others may have been passed by; what leads to it ends there. */
    if (nodes[index].object != NULL) {
        nodes[index].object = &forgotten;
        nodes[index].first = 0;
    }
    wf_lock_release(&lock);
}

bool weft_lock_report_order(bool reports)
{
    /* relaxed: as above. */
    return atomic_exchange_explicit(&is_off, reports ? 0 : 1, memory_order_relaxed) == 0;
}
