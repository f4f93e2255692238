/* SPDX-License-Identifier: MIT */
/*
 * Trees of scopes: members that open scopes, spawn into them, cancel, fail, wait and close, against
 * a model that knows for each fiber whether it is cancelled, and why.
 *
 * As with the objects (fuzz.h) a driver tells fibers what to do, one thing after the other.  Here
 * the fibers are what is made: each is a member of a scope of another, the first belongs to none.
 */
#include "driver.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>
#include <weft.h>

enum { FIBERS_MAX = 8, SCOPES_MAX = 12, STEPS_MAX = 100, TURNS_MAX = 100000, QUIET_TURNS = 4 };

enum order { NONE, OPEN, SHIELD, EXPIRE, SPAWN, CANCEL, CLOSE, SLEEP, RETURN, ORDERS };

static struct node {
    weft_scope scope;
    int owner;  /* a fiber */
    int around; /* a scope, or -1 */
    bool is_open, is_shield;
    int reason; /* 0: it is not cancelled */
    int failure;
    bool is_echo; /* the failure only answers the cancel */
    int members;
} nodes[SCOPES_MAX];

static struct fiber {
    enum order order;
    int arg;
    int result; /* of the last order */
    bool is_alive;
    /* The model's. */
    bool is_expected_alive;
    enum order waits_in; /* SLEEP or CLOSE, or NONE */
    int expected;
    int home; /* the scope that it is a member of, or -1 */
    int top;  /* its innermost open scope, or -1 */
    int close_result;
} fibers[FIBERS_MAX];

static int node_count;

static int live(void *arg);

static int obey(struct fiber *fiber)
{
    struct node *node = fiber->arg >= 0 ? &nodes[fiber->arg] : NULL;

    switch (fiber->order) {
    case OPEN:
        return weft_scope_open(&node->scope, WEFT_FOREVER);
    case SHIELD:
        return weft_scope_open_shielded(&node->scope, WEFT_FOREVER);
    case EXPIRE:
        return weft_scope_set_deadline(&node->scope, 1);
    case SPAWN: /* the fiber that `result` names */
        return weft_scope_spawn(&node->scope, live, &fibers[fiber->result]);
    case CANCEL:
        return weft_scope_cancel(&node->scope);
    case CLOSE:
        return weft_scope_close(&node->scope, fiber->result);
    default:
        return weft_sleep_until(WEFT_FOREVER);
    }
}

static int live(void *arg)
{
    struct fiber *fiber = arg;

    fiber->is_alive = true;
    while (fiber->order != RETURN) {
        if (fiber->order != NONE) {
            fiber->result = obey(fiber);
            fiber->order = NONE;
        }
        (void)weft_yield();
    }
    fiber->is_alive = false;
    return fiber->result;
}

/* What a fiber is inside of. */
static int place_of(const struct fiber *fiber)
{
    return fiber->top >= 0 ? fiber->top : fiber->home;
}

static int reason_of(const struct fiber *fiber)
{
    return place_of(fiber) >= 0 ? nodes[place_of(fiber)].reason : 0;
}

static void cancel(int index, int reason)
{
    if (nodes[index].reason != 0)
        return;
    nodes[index].reason = reason;
    for (int i = 0; i < node_count; i++)
        if (nodes[i].is_open && nodes[i].around == index && !nodes[i].is_shield)
            cancel(i, reason);
}

static void note_failure(int index, int error)
{
    struct node *node = &nodes[index];
    bool is_echo = node->reason != 0 && (error == -ECANCELED || error == node->reason);

    if (node->failure == 0 || (node->is_echo && !is_echo)) {
        node->failure = is_echo ? node->reason : error;
        node->is_echo = is_echo;
    }
    cancel(index, -ECANCELED);
}

static void open_node(struct fiber *fiber, bool is_shield)
{
    struct node *node = &nodes[node_count];
    weft_scope fresh = WEFT_SCOPE_INIT;

    *node = (struct node){.scope = fresh,
                          .owner = (int)(fiber - fibers),
                          .around = place_of(fiber),
                          .is_open = true,
                          .is_shield = is_shield,
                          .reason = is_shield ? 0 : reason_of(fiber)};
    fiber->arg = node_count++;
    fiber->top = fiber->arg;
    fiber->expected = 0;
}

static void end_close(struct fiber *fiber)
{
    struct node *node = &nodes[fiber->top];

    node->is_open = false;
    fiber->expected = node->failure != 0 ? node->failure : fiber->close_result;
    fiber->waits_in = NONE;
    /* The scope around belongs to the same fiber, or is its home. */
    fiber->top = node->around >= 0 && node->around != fiber->home ? node->around : -1;
}

/* What must follow: sleepers that are cancelled go on, scopes without members close. */
static void follow(void)
{
    for (int i = 0; i < FIBERS_MAX; i++) {
        struct fiber *fiber = &fibers[i];

        if (fiber->waits_in == SLEEP && reason_of(fiber) != 0) {
            fiber->expected = reason_of(fiber);
            fiber->waits_in = NONE;
        } else if (fiber->waits_in == CLOSE && nodes[fiber->top].members == 0) {
            end_close(fiber);
        }
    }
}

static bool is_settled(void)
{
    for (int i = 0; i < FIBERS_MAX; i++) {
        const struct fiber *fiber = &fibers[i];
        bool is_busy = fiber->order != NONE && fiber->order != RETURN;

        if (fiber->is_alive != fiber->is_expected_alive ||
            (fiber->is_alive && is_busy != (fiber->waits_in != NONE)))
            return false;
    }
    return true;
}

static void settle(void)
{
    unsigned turns = 0;

    for (unsigned quiet = 0; quiet < QUIET_TURNS; turns++) {
        quiet = is_settled() ? quiet + 1 : 0;
        FUZZ_CHECK(turns < TURNS_MAX);
        (void)weft_yield();
    }
    for (int i = 0; i < FIBERS_MAX; i++)
        if (fibers[i].is_alive && fibers[i].waits_in == NONE)
            FUZZ_CHECK(fibers[i].result == fibers[i].expected);
    for (int i = 0; i < node_count; i++)
        FUZZ_CHECK(!nodes[i].is_open ||
                   weft_scope_is_cancelled(&nodes[i].scope) == (nodes[i].reason != 0));
}

static void tell(struct fiber *fiber, enum order order)
{
    fiber->order = order;
    follow();
    settle();
}

/* Into the innermost scope that the fiber is inside of. */
static void spawn(struct fiber *fiber)
{
    int place = place_of(fiber), child = 0;

    while (child < FIBERS_MAX && fibers[child].is_expected_alive)
        child++;
    if (child == FIBERS_MAX || place < 0)
        return;
    fiber->arg = place;
    fiber->result = child;
    fiber->expected = nodes[place].reason;
    if (nodes[place].reason == 0) {
        fibers[child] = (struct fiber){.is_expected_alive = true, .home = place, .top = -1};
        nodes[place].members++;
    }
    tell(fiber, SPAWN);
}

static void leave(struct fiber *fiber, int result)
{
    fiber->result = result;
    fiber->is_expected_alive = false;
    if (fiber->home >= 0) {
        if (result < 0)
            note_failure(fiber->home, result);
        nodes[fiber->home].members--;
    }
    tell(fiber, RETURN);
}

static void close_top(struct fiber *fiber, int result)
{
    int reason = reason_of(fiber);

    fiber->arg = fiber->top;
    fiber->result = fiber->close_result = result;
    fiber->waits_in = CLOSE;
    if (result < 0)
        note_failure(fiber->top, result);
    if (reason != 0)
        cancel(fiber->top, reason);
    tell(fiber, CLOSE);
}

/* The deadline has passed at once, but only a timer finds out. */
static void expire(struct fiber *fiber)
{
    struct node *node = &nodes[fiber->top];

    fiber->arg = fiber->top;
    fiber->order = EXPIRE;
    fiber->expected = 0;
    for (unsigned turns = 0; fiber->order != NONE || !weft_scope_is_cancelled(&node->scope);
         turns++) {
        FUZZ_CHECK(turns < TURNS_MAX);
        (void)weft_yield();
    }
    cancel(fiber->top, -ETIMEDOUT);
    follow();
    settle();
}

static void cancel_some(struct fiber *fiber, unsigned which)
{
    for (int i = 0; i < node_count; i++) {
        int index = (int)(which + (unsigned)i) % node_count;

        if (!nodes[index].is_open)
            continue;
        fiber->arg = index;
        fiber->expected = 0;
        cancel(index, -ECANCELED);
        tell(fiber, CANCEL);
        return;
    }
}

static void step(const uint8_t *bytes)
{
    static const int results[] = {0, 3, -EIO, -ECANCELED};
    struct fiber *fiber = &fibers[bytes[0] % FIBERS_MAX];
    enum order order = (enum order)(1 + bytes[1] % (ORDERS - 1));
    int result = results[bytes[0] / FIBERS_MAX % 4];

    if (!fiber->is_expected_alive || fiber->waits_in != NONE)
        return;
    if ((order == OPEN || order == SHIELD) && node_count < SCOPES_MAX) {
        open_node(fiber, order == SHIELD);
        tell(fiber, order);
    } else if (order == SPAWN) {
        spawn(fiber);
    } else if (order == CANCEL) {
        cancel_some(fiber, bytes[0] / FIBERS_MAX);
    } else if (order == EXPIRE && fiber->top >= 0) {
        expire(fiber);
    } else if (order == CLOSE && fiber->top >= 0) {
        close_top(fiber, result);
    } else if (order == SLEEP && fiber != &fibers[0]) {
        fiber->waits_in = SLEEP;
        tell(fiber, SLEEP);
    } else if (order == RETURN && fiber->top < 0 && fiber != &fibers[0]) {
        leave(fiber, result);
    }
}

/* By the driver, which is inside of none: all others may wait for each other. */
static void cancel_all(void)
{
    for (int i = 0; i < node_count; i++)
        if (nodes[i].is_open && nodes[i].reason == 0) {
            FUZZ_CHECK(weft_scope_cancel(&nodes[i].scope) == 0);
            cancel(i, -ECANCELED);
            follow();
            settle();
        }
}

/* From the inside to the outside. */
static void end_all(void)
{
    for (unsigned turns = 0; fibers[0].is_expected_alive; turns++) {
        FUZZ_CHECK(turns < TURNS_MAX);
        cancel_all();
        for (int i = FIBERS_MAX - 1; i >= 0; i--) {
            struct fiber *fiber = &fibers[i];

            if (!fiber->is_expected_alive || fiber->waits_in != NONE)
                continue;
            if (fiber->top >= 0)
                close_top(fiber, 0);
            else
                leave(fiber, 0);
        }
    }
}

void fuzz_one(const uint8_t *data, size_t size)
{
    weft_fiber *root;

    memset(fibers, 0, sizeof fibers);
    node_count = 0;
    fibers[0] = (struct fiber){.is_expected_alive = true, .home = -1, .top = -1};
    FUZZ_CHECK(weft_spawn(&root, live, &fibers[0]) == 0);
    settle();
    for (size_t at = 0; at + 1 < size && at < 2 * STEPS_MAX; at += 2)
        step(&data[at]);
    end_all();
    FUZZ_CHECK(weft_join(root, NULL, WEFT_FOREVER) == 0);
}
