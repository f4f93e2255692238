/* SPDX-License-Identifier: MIT */
/* runtime/inject.c: the queue that all workers share. */
#include "runtime/inject.h"

#include "arch/compiler.h"
#include "check.h"

#include <criterion/criterion.h>
#include <pthread.h>
#include <stdlib.h>

enum { TIMEOUT_S = 120, THREADS = 4, NODES = 40000 };

struct item {
    struct wf_node node;
    unsigned number;
    _Atomic(int) taken;
};

static struct item *item_of(struct wf_node *node)
{
    return node != NULL ? WF_CONTAINER_OF(node, struct item, node) : NULL;
}

static bool is_number(const struct wf_node *node, const void *arg)
{
    return WF_CONTAINER_OF(node, const struct item, node)->number == *(const unsigned *)arg;
}

static void push_all(struct wf_inject *inject, struct item *items, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        items[i].number = i;
        wf_inject_push(inject, &items[i].node, &items[i].node, 1);
    }
}

static unsigned take_number(struct wf_inject *inject)
{
    struct item *item = item_of(wf_inject_take(inject, 1));

    cr_assert_not_null(item);
    cr_assert_null(item->node.next);
    return item->number;
}

/* Work from outside runs in the order in which it came, chains included. */
Test(inject, is_first_in_first_out_for_nodes_and_for_chains, .timeout = TIMEOUT_S)
{
    struct wf_inject inject = {0};
    struct item items[6] = {{{0}, 0, 0}};

    push_all(&inject, items, 2);
    for (unsigned i = 2; i < 5; i++) {
        items[i].number = i;
        items[i].node.next = i < 4 ? &items[i + 1].node : &items[0].node; /* garbage at the end */
    }
    wf_inject_push(&inject, &items[2].node, &items[4].node, 3);
    items[5].number = 5;
    wf_inject_push(&inject, &items[5].node, &items[5].node, 1);
    cr_expect_eq(wf_inject_size(&inject), 6);
    for (unsigned i = 0; i < 6; i++)
        cr_assert_eq(take_number(&inject), i);
    cr_expect_null(wf_inject_take(&inject, 1));
    cr_expect_eq(wf_inject_size(&inject), 0);
}

/* A worker takes its share at once: the oldest ones in their order, and nothing of what it leaves
 * to the others hangs on to them. */
Test(inject, a_share_is_the_oldest_and_ends, .timeout = TIMEOUT_S)
{
    for (unsigned share = 1; share <= 7; share++) {
        struct wf_inject inject = {0};
        struct item items[6] = {{{0}, 0, 0}};
        unsigned next = 0;

        push_all(&inject, items, 6);
        cr_assert_null(wf_inject_take(&inject, 0));
        while (next < 6) {
            struct wf_node *node = wf_inject_take(&inject, share);
            unsigned end = next + share < 6 ? next + share : 6;

            for (; next < end; next++, node = node->next)
                cr_assert_eq(item_of(node), &items[next], "shares of %u", share);
            cr_assert_null(node, "shares of %u", share);
            cr_assert_eq(wf_inject_size(&inject), 6 - next);
        }
        cr_assert_null(wf_inject_take(&inject, share));
        push_all(&inject, items, 1); /* behind nothing that has gone */
        cr_assert_eq(take_number(&inject), 0);
    }
}

/* A worker in chaos is picky and takes from any place.  If the last node left and the tail still
 * pointed to it, the next push would hang its node behind one that is gone, and it would never run.
 */
Test(inject, a_picked_node_leaves_the_queue_whole, .timeout = TIMEOUT_S)
{
    for (unsigned picked = 0; picked < 3; picked++) {
        struct wf_inject inject = {0};
        struct item items[4] = {{{0}, 0, 0}};

        push_all(&inject, items, 3);
        cr_assert_eq(item_of(wf_inject_pop(&inject, is_number, &picked)), &items[picked]);
        items[picked].node.next = &items[picked].node; /* whoever took it owns its link */
        items[3].number = 3;
        wf_inject_push(&inject, &items[3].node, &items[3].node, 1);
        for (unsigned i = 0; i < 4; i++)
            if (i != picked)
                cr_assert_eq(take_number(&inject), i, "%u picked", picked);
        cr_assert_null(wf_inject_take(&inject, 1));
    }
}

/* Nothing acceptable leaves everything where it is. */
Test(inject, refused_nodes_stay, .timeout = TIMEOUT_S)
{
    struct wf_inject inject = {0};
    struct item items[3] = {{{0}, 0, 0}};
    unsigned absent = 99, only = 0;

    push_all(&inject, items, 3);
    cr_expect_null(wf_inject_pop(&inject, is_number, &absent));
    cr_expect_eq(wf_inject_size(&inject), 3);
    for (unsigned i = 0; i < 2; i++)
        cr_assert_eq(take_number(&inject), i);
    /* The only node left is head and tail at once. */
    only = 2;
    cr_assert_eq(item_of(wf_inject_pop(&inject, is_number, &only)), &items[2]);
    push_all(&inject, items, 1);
    cr_assert_eq(take_number(&inject), 0);
}

struct contest {
    struct wf_inject inject;
    _Atomic(unsigned) taken;
    _Atomic(unsigned) next_pusher;
    struct item items[THREADS][NODES];
};

/* As workers take, and now and then as one in chaos. */
static struct wf_node *take_some(struct wf_inject *inject, unsigned turn)
{
    struct wf_node *node;

    if (turn % 8 != 0)
        return wf_inject_take(inject, 1 + turn % 5);
    node = wf_inject_pop(inject, NULL, NULL);
    if (node != NULL)
        node->next = NULL;
    return node;
}

static void *push_and_take(void *arg)
{
    struct contest *contest = arg;
    struct item *mine = contest->items[atomic_fetch_add(&contest->next_pusher, 1)];

    for (unsigned i = 0; i < NODES || atomic_load(&contest->taken) < THREADS * NODES; i++) {
        struct wf_node *node;

        if (i < NODES)
            wf_inject_push(&contest->inject, &mine[i].node, &mine[i].node, 1);
        node = take_some(&contest->inject, i);
        while (node != NULL) {
            struct item *item = item_of(node);

            node = node->next;
            CHECK_EQ(atomic_fetch_add(&item->taken, 1), 0);
            atomic_fetch_add(&contest->taken, 1);
        }
    }
    return NULL;
}

/* Every node is taken once, whoever pushes and takes meanwhile. */
Test(inject, threads_take_every_node_exactly_once, .timeout = TIMEOUT_S)
{
    struct contest *contest = calloc(1, sizeof *contest);
    pthread_t threads[THREADS];

    cr_assert_not_null(contest);
    for (int i = 0; i < THREADS; i++)
        cr_assert_eq(pthread_create(&threads[i], NULL, push_and_take, contest), 0);
    for (int i = 0; i < THREADS; i++)
        cr_assert_eq(pthread_join(threads[i], NULL), 0);
    cr_expect_eq(atomic_load(&contest->taken), THREADS * NODES);
    cr_expect_eq(wf_inject_size(&contest->inject), 0);
    free(contest);
}
