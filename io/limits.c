/* SPDX-License-Identifier: MIT */
/*
 * See limits.h.  Turns are values in a channel, so that whoever waits for one can watch its
 * descriptor meanwhile, by a select: a listener that is closed, or shut down, lets those go that
 * have no turn yet, as it does all others.
 */
#include "io/limits.h"

#include "arch/os.h"
#include "arch/sim.h"
#include "io/op.h"
#include "io/pending.h"
#include "runtime/alloc.h"
#include "runtime/check.h"
#include "runtime/lock.h"

#include <errno.h>
#include <poll.h>
#include <weft/buffer.h>
#include <weft/channel.h>
#include <weft/io.h>
#include <weft/runtime.h>
#include <weft/select.h>

/* Turns of one kind. */
struct stock {
    weft_channel *turns;       /* immutable; a char for each that may still be; NULL: no limit */
    uint32_t count;            /* immutable: how many there are in all */
    WF_ATOMIC(uint64_t) waits; /* calls that found no turn; anyone */
};

struct wf_limits {
    uint32_t number; /* immutable */
    struct stock stocks[WF_LIMIT_KINDS];
    struct wf_limits *next, **link; /* of all in the process, under the lock of `directory` */
};

/* Those of the process, for whoever is elsewhere.  The own ones are found without. */
static struct {
    struct wf_lock lock; /* none goes while it is held */
    struct wf_limits *first;
} directory;

_Static_assert(WF_LIMIT_CONNECTIONS_MAX < (int)WF_EPOCHS, "each has a place in `holders`");

static WF_ATOMIC(uint32_t) last_number;
WF_ATOMIC(uint32_t) wf_limits_count;

/* The number of the limits that each descriptor has a turn of; 0: none.  On pages of its own; those
 * that nobody touches cost nothing. */
static _Alignas(1 << 12) WF_ATOMIC(uint32_t) holders[WF_EPOCHS];

static void count_limits(uint32_t change)
{
    /* relaxed: see wf_limits_are_set(). */
    (void)atomic_fetch_add_explicit(&wf_limits_count, change, memory_order_relaxed);
}

static void enlist(struct wf_limits *limits)
{
    wf_lock_acquire(&directory.lock);
    limits->next = directory.first;
    limits->link = &directory.first;
    if (limits->next != NULL)
        limits->next->link = &limits->next;
    directory.first = limits;
    wf_lock_release(&directory.lock);
}

static void delist(struct wf_limits *limits)
{
    wf_lock_acquire(&directory.lock);
    *limits->link = limits->next;
    if (limits->next != NULL)
        limits->next->link = limits->link;
    wf_lock_release(&directory.lock);
}

static void give_turn(struct stock *stock)
{
    char turn = 0;
    int error = weft_channel_try_send(stock->turns, &turn, sizeof turn);

    WF_ASSERT(error == 0); /* there is room for all that there are */
}

/* 0 or -ENOMEM. */
static int fill_stock(struct stock *stock, uint32_t count)
{
    if (weft_channel_create(&stock->turns, sizeof(char), count) != 0)
        return -ENOMEM;
    stock->count = count;
    while (count-- > 0)
        give_turn(stock);
    return 0;
}

static void free_limits(struct wf_limits *limits)
{
    for (int kind = 0; kind < WF_LIMIT_KINDS; kind++)
        weft_channel_free(limits->stocks[kind].turns);
    wf_free(limits);
}

int wf_limits_create(struct wf_limits **result, const struct weft_config *config)
{
    const uint32_t counts[] = {
        [WF_LIMIT_CONNECTIONS] = config->max_connections,
        [WF_LIMIT_BUFFERS] = config->max_buffer_memory_kib / (WEFT_LENT_SIZE / 1024),
    };
    struct wf_limits *limits;
    int error = 0;

    *result = NULL;
    if (counts[WF_LIMIT_CONNECTIONS] == 0 && counts[WF_LIMIT_BUFFERS] == 0)
        return 0;
    limits = wf_alloc(sizeof *limits);
    if (limits == NULL)
        return -ENOMEM;
    for (int kind = 0; kind < WF_LIMIT_KINDS && error == 0; kind++)
        if (counts[kind] != 0)
            error = fill_stock(&limits->stocks[kind], counts[kind]);
    if (error != 0) {
        free_limits(limits);
        return error;
    }
    /* relaxed: it only has to be another one each time. */
    limits->number = 1 + atomic_fetch_add_explicit(&last_number, 1, memory_order_relaxed);
    /* A simulation is all by itself, and can be left with the lock held. */
    if (!wf_sim_is_here())
        enlist(limits);
    count_limits(1);
    *result = limits;
    return 0;
}

void wf_limits_destroy(struct wf_limits *limits)
{
    if (limits == NULL)
        return;
    count_limits(UINT32_MAX);
    if (!wf_sim_is_here())
        delist(limits);
    free_limits(limits);
}

void wf_limits_collect(struct wf_limits *limits, struct weft_stats *stats)
{
    uint64_t *const numbers[][2] = {
        [WF_LIMIT_CONNECTIONS] = {&stats->connections, &stats->connection_waits},
        [WF_LIMIT_BUFFERS] = {&stats->lent_buffers, &stats->buffer_waits},
    };

    for (int kind = 0; limits != NULL && kind < WF_LIMIT_KINDS; kind++) {
        struct stock *stock = &limits->stocks[kind];

        if (stock->turns == NULL)
            continue;
        *numbers[kind][0] = stock->count - weft_channel_length(stock->turns);
        /* relaxed: it only tells. */
        *numbers[kind][1] = atomic_load_explicit(&stock->waits, memory_order_relaxed);
    }
}

void wf_limits_forget_parent(void)
{
    /* relaxed: the child has one thread; here and below. */
    atomic_store_explicit(&directory.lock.word, WF_LOCK_FREE, memory_order_relaxed);
    directory.first = NULL;
    /* relaxed: as above. */
    atomic_store_explicit(&wf_limits_count, 0, memory_order_relaxed);
    wf_os_discard(holders, sizeof holders);
}

/* Those of the caller's runtime, if they limit that. */
static struct wf_limits *own_limits(enum wf_limit kind)
{
    struct wf_worker *self = wf_self();
    struct wf_limits *limits = self != NULL ? wf_worker_limits(self) : NULL;

    return limits != NULL && limits->stocks[kind].turns != NULL ? limits : NULL;
}

void wf_limits_give(enum wf_limit kind, uint32_t number)
{
    struct wf_limits *limits = own_limits(kind);

    if (number == 0)
        return;
    if (limits != NULL && limits->number == number) {
        give_turn(&limits->stocks[kind]);
        return;
    }
    if (wf_sim_is_here())
        return;
    wf_lock_acquire(&directory.lock);
    for (limits = directory.first; limits != NULL && limits->number != number;)
        limits = limits->next;
    if (limits != NULL)
        give_turn(&limits->stocks[kind]);
    wf_lock_release(&directory.lock);
}

/* 0 with a turn; 1 without, since the descriptor has an error or a hang-up, or its peer has said
 * all, which io_uring takes for one; or a negative errno. */
static int take_turn(struct stock *stock, int fd, uint32_t epoch, weft_time deadline)
{
    weft_poll ended = WEFT_POLL_INIT(fd, 0); /* errors and hang-ups come unasked */
    char turn = 0;
    int held = 0;
    struct weft_select_case cases[] = {WEFT_RECEIVE_CASE(stock->turns, &turn),
                                       WEFT_POLL_CASE(&ended, &held)};
    int index;

    if (weft_channel_try_receive(stock->turns, &turn, sizeof turn) == 0)
        return 0;
    /* relaxed: it only tells. */
    (void)atomic_fetch_add_explicit(&stock->waits, 1, memory_order_relaxed);
    /* What the number is now is nothing to watch.  With a turn the operation looks itself. */
    if (wf_epoch_now(fd) != epoch)
        return -EBADF;
    index = weft_select(cases, 2, deadline);
    if (index == 1 && wf_epoch_now(fd) != epoch)
        return -EBADF;
    return index == 1 && cases[1].result < 0 ? cases[1].result : index;
}

int wf_limits_take(enum wf_limit kind, int fd, uint32_t epoch, weft_time deadline, uint32_t *number)
{
    struct wf_limits *limits = own_limits(kind);
    char turn = 0;
    int result;

    *number = 0;
    if (limits == NULL)
        return 0;
    *number = limits->number;
    result = take_turn(&limits->stocks[kind], fd, epoch, deadline);
    if (result != 1)
        return result;
    /* No listener any more: what accept(2) says. */
    if (kind == WF_LIMIT_CONNECTIONS)
        return -EINVAL;
    /* There may be data yet.  Each watch would end at once now, so there is none. */
    return weft_channel_receive(limits->stocks[kind].turns, &turn, sizeof turn, deadline);
}

static uint32_t exchange_holder(int fd, uint32_t number)
{
    if (fd < 0 || fd >= WF_EPOCHS)
        return number;
    /* relaxed: who closes a connection has its descriptor from whoever accepted it, and knows. */
    return atomic_exchange_explicit(&holders[fd], number, memory_order_relaxed);
}

uint32_t wf_limits_take_from(int fd)
{
    return exchange_holder(fd, 0);
}

int wf_limits_accept(const struct wf_op *accept, weft_time deadline)
{
    uint32_t epoch = accept->epoch != 0 ? accept->epoch : wf_epoch_now(accept->fd), number;
    struct wf_op op = *accept;
    int result;

    if (own_limits(WF_LIMIT_CONNECTIONS) == NULL) {
        result = wf_op_run_ready(&op, POLLIN, deadline);
        wf_limits_give(WF_LIMIT_CONNECTIONS, exchange_holder(result, 0));
        return result;
    }
    /* No turn is kept while no client is there: another listener may have one. */
    do {
        result = wf_limits_take(WF_LIMIT_CONNECTIONS, accept->fd, epoch, deadline, &number);
        if (result != 0)
            return result;
        op = *accept;
        op.epoch = epoch;
        result = wf_op_try(&op, deadline);
        /* The connection takes our turn.  We give back the one that we find in its place: of an
         * earlier connection that close(2) has closed, or our own where there is no place. */
        if (result >= 0)
            number = exchange_holder(result, number);
        wf_limits_give(WF_LIMIT_CONNECTIONS, number);
        if (result >= 0)
            return result;
        if (result == -EAGAIN || result == -ETIMEDOUT)
            result = wf_op_poll(accept->fd, POLLIN, epoch, deadline);
    } while (result > 0);
    return result;
}

int weft_connection_forget(int fd)
{
    uint32_t number = wf_limits_take_from(fd);

    wf_limits_give(WF_LIMIT_CONNECTIONS, number);
    return number != 0 ? 0 : -ENOENT;
}
