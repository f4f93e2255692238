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
    CIRCLE_MAX = 8, /* mutexes of a circle that are shown */
};

/* A mutex.  Indices are one more than the place, so that 0 is none. */
struct node {
    const void *object; /* NULL: the slot is free */
    uint32_t first;     /* of its edges */
    uint32_t visited;   /* the search that has been here */
    uint32_t via;       /* the edge by which it came */
};

/* `to` was waited for by one that held `from`. */
struct edge {
    uint32_t from, to;
    uint32_t next; /* of the same `from` */
    const void *held_site, *site;
};

/* All under the lock. */
static struct wf_lock lock;
static struct node nodes[SLOTS + 1];
static struct edge edges[EDGES_MAX + 1];
static uint32_t node_count, edge_count, search;
static const char forgotten; /* its address stands for a mutex that is gone */

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

static bool has_edge(uint32_t from, uint32_t to)
{
    for (uint32_t edge = nodes[from].first; edge != 0; edge = edges[edge].next)
        if (edges[edge].to == to)
            return true;
    return false;
}

/* Looks for a way from one node to another, and leaves it in `via`. */
static bool find_way(uint32_t from, uint32_t to)
{
    static uint32_t pending[SLOTS]; /* each node comes here once at most */
    uint32_t count = 0;

    nodes[from].visited = ++search;
    pending[count++] = from;
    while (count > 0) {
        uint32_t node = pending[--count];

        if (node == to)
            return true;
        for (uint32_t edge = nodes[node].first; edge != 0; edge = edges[edge].next) {
            struct node *next = &nodes[edges[edge].to];

            if (next->visited == search)
                continue;
            next->visited = search;
            next->via = edge;
            pending[count++] = edges[edge].to;
        }
    }
    return false;
}

/* What is printed when the lock has been released. */
struct circle {
    unsigned count; /* 0: there is none */
    struct {
        const void *held, *wanted, *held_site, *site;
    } steps[CIRCLE_MAX];
};

static void add_step(struct circle *circle, const struct edge *edge)
{
    if (circle->count < CIRCLE_MAX) {
        circle->steps[circle->count].held = nodes[edge->from].object;
        circle->steps[circle->count].wanted = nodes[edge->to].object;
        circle->steps[circle->count].held_site = edge->held_site;
        circle->steps[circle->count].site = edge->site;
    }
    circle->count++;
}

static void note_pair(const struct wf_order_held *held, const void *object, const void *site,
                      struct circle *circle)
{
    uint32_t from, to;
    struct edge *edge;

    if (held->object == object) /* locked twice: said elsewhere */
        return;
    if (node_count + 2 > NODES_MAX || edge_count == EDGES_MAX) {
        memset(nodes, 0, sizeof nodes);
        node_count = edge_count = search = 0;
    }
    from = node_of(held->object);
    to = node_of(object);
    if (has_edge(from, to))
        return;
    edge = &edges[++edge_count];
    *edge = (struct edge){from, to, nodes[from].first, held->site, site};
    if (circle->count == 0 && find_way(to, from)) {
        add_step(circle, edge);
        for (uint32_t node = from; node != to; node = edges[nodes[node].via].from)
            add_step(circle, &edges[nodes[node].via]);
    }
    nodes[from].first = edge_count;
}

static void print_circle(const struct circle *circle)
{
    char text[512];

    wf_complain("lock order: %u mutexes are locked in a circle; fibers that do this at the same "
                "time wait for each other, for ever or until a deadline",
                circle->count);
    for (unsigned i = 0; i < circle->count && i < CIRCLE_MAX; i++) {
        wf_probe_describe(circle->steps[i].held_site, text, sizeof text);
        wf_complain("  mutex %p, locked at: %s", circle->steps[i].held, text);
        wf_probe_describe(circle->steps[i].site, text, sizeof text);
        wf_complain("    was held when mutex %p was wanted at: %s", circle->steps[i].wanted, text);
    }
}

void wf_order_note(const struct wf_order_held *held, unsigned count, const void *object,
                   const void *site)
{
    struct circle circle = {.count = 0};

    /* relaxed: a switch that publishes nothing. */
    if (count == 0 || atomic_load_explicit(&is_off, memory_order_relaxed) != 0)
        return;
    wf_lock_acquire(&lock);
    /* The one that is held longest first: its circle is the shorter one, if there are several. */
    for (unsigned i = count; i > 0; i--)
        note_pair(&held[i - 1], object, site, &circle);
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
