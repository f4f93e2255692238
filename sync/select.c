/* SPDX-License-Identifier: MIT */
/*
 * Select over channels, timers, futures and descriptors.
 *
 * A select that waits stands in the queues of all its channels at once, and its claim says which of
 * them has won (wait_queue.h).  It looks at all channels, and comes to stand in their queues, with
 * all their locks held.  So when two selects face each other, each with a case that the other one
 * needs, one of them comes first as a whole: the other finds it waiting and has only its claim to
 * take, never two claims at once.  Locks are taken in the order of their addresses, so nobody waits
 * in a circle.
 *
 * Most selects find a case ready, so first each channel is looked at alone.
 *
 * A timer is in this a channel whose receivers sleep until its time.  They are also woken when it
 * is made earlier, to look at everything again.  A future is one whose only value all receive.
 * Descriptors have no lock and no queue: see polls.h.
 */
#include "sync/alarm.h"
#include "sync/channel.h"
#include "sync/describe.h"
#include "sync/future.h"
#include "sync/polls.h"

#include "arch/os.h"

#include <assert.h>
#include <stdbool.h>
#include <weft/select.h>

/* A case as weft_select() sees it. */
struct select_case {
    union {
        struct wf_channel *channel;
        struct wf_alarm *alarm;   /* of WEFT_SELECT_TIMER */
        struct wf_future *future; /* of WEFT_SELECT_FUTURE */
        struct wf_poll *poll;     /* of WEFT_SELECT_POLL */
    };
    void *item;
    size_t item_size;
    uint32_t kind;
    int32_t result;
    union {
        struct wf_channel_entry entry;
        struct wf_awaiter awaiter; /* of WEFT_SELECT_FUTURE */
        uint32_t turn;             /* while the cases are looked at: see draw() */
    };
    struct select_case *next; /* in the order of the channels' addresses */
};

static_assert(sizeof(struct select_case) <= sizeof(struct weft_select_case), "it fits");
static_assert(offsetof(struct select_case, entry) == offsetof(struct weft_select_case, reserved),
              "the program does not look at what follows");
static_assert(offsetof(struct wf_channel_entry, wait) == offsetof(struct wf_awaiter, wait),
              "both are queued by the same");

struct selection {
    struct select_case *cases;
    unsigned count;
    uint32_t seed, luck;       /* see draw() */
    struct select_case *first; /* of those with a lock, in the order of addresses */
    bool has_polls;
    struct wf_wait_claim claim;
    struct wf_polls polls;
};

/* Those without are never ready, or descriptors. */
static bool has_lock(const struct select_case *each)
{
    return each->channel != NULL && each->kind != WEFT_SELECT_POLL;
}

static struct wf_lock *lock_of(struct select_case *each)
{
    switch (each->kind) {
    case WEFT_SELECT_TIMER:
        return &each->alarm->lock;
    case WEFT_SELECT_FUTURE:
        return &each->future->lock;
    default:
        return &each->channel->lock;
    }
}

static struct wf_wait_queue *queue_of(struct select_case *each)
{
    switch (each->kind) {
    case WEFT_SELECT_TIMER:
        return &each->alarm->queue;
    case WEFT_SELECT_FUTURE:
        return &each->future->awaiters;
    case WEFT_SELECT_SEND:
        return &each->channel->senders;
    default:
        return &each->channel->receivers;
    }
}

static WF_NOINLINE int try_alarm(struct select_case *each)
{
    int64_t count = wf_alarm_take(each->alarm, wf_os_now());

    if (count < 0)
        return (int)count;
    memcpy(each->item, &count, sizeof count);
    return 0;
}

/* -EAGAIN if the case is not ready.  Caller holds its lock. */
static int try_case(struct select_case *each, struct wf_wait_entry **woken)
{
    *woken = NULL;
    switch (each->kind) {
    case WEFT_SELECT_TIMER:
        return try_alarm(each);
    case WEFT_SELECT_FUTURE:
        return wf_future_take(each->future, (int32_t *)each->item);
    case WEFT_SELECT_SEND:
        return wf_channel_offer(each->channel, each->item, woken);
    default:
        return wf_channel_accept(each->channel, each->item, woken);
    }
}

/* What became of a poll: 0 with the events in the item, or a negative errno. */
static int poll_result(struct select_case *each, int result)
{
    if (result < 0)
        return result;
    memcpy(each->item, &result, sizeof result);
    return 0;
}

/* From now on none of the cases has been looked at. */
static void shuffle(struct wf_worker *self, struct selection *selection)
{
    selection->seed = wf_self_random(self) << 8; /* the upper bits decide */
    for (unsigned i = 0; i < selection->count; i++)
        selection->cases[i].turn = i;
}

/* The case to look at when `seen` of them have been: any of the others, each as likely as the next.
 * A random place to begin at would not do: a case behind others that are not ready would be
 * chosen in their place, too.  (Fisher and Yates's shuffle, as far as it is needed.)  What one
 * draw leaves of a random number, its fraction, is as random for the next, but shorter. */
WF_INLINE struct select_case *draw(struct selection *selection, unsigned seen)
{
    enum { DRAWS = 4 }; /* of each number: 32 cases take no more than 20 of its 24 bits */
    struct select_case *cases = selection->cases;
    uint64_t place;
    uint32_t turn;

    if (seen % DRAWS == 0) {
        selection->luck = selection->seed;
        selection->seed = selection->seed * 747796405U + 2891336453U; /* the step of PCG32 */
    }
    place = (uint64_t)selection->luck * (selection->count - seen);
    selection->luck = (uint32_t)place;
    place = seen + (place >> 32);
    turn = cases[place].turn;
    cases[place].turn = cases[seen].turn;
    cases[seen].turn = turn;
    return &cases[turn];
}

static void check_cases(struct selection *selection)
{
    selection->has_polls = false;
    for (unsigned i = 0; i < selection->count; i++) {
        struct select_case *each = &selection->cases[i];

        if (each->channel == NULL)
            continue;
        if (each->kind == WEFT_SELECT_POLL)
            selection->has_polls = true;
        if ((each->kind == WEFT_SELECT_TIMER && each->item_size == sizeof(int64_t)) ||
            ((each->kind == WEFT_SELECT_FUTURE || each->kind == WEFT_SELECT_POLL) &&
             each->item_size == sizeof(int)))
            continue;
        if (WF_UNLIKELY(each->kind != WEFT_SELECT_SEND && each->kind != WEFT_SELECT_RECEIVE))
            wf_panic("weft_select: case %u is no send or receive, no timer with an int64_t, and no "
                     "future or descriptor with an int",
                     i);
        (void)wf_channel_of((weft_channel *)(void *)each->channel, each->item_size, "weft_select");
    }
}

/* Looks at one channel after the other.  NULL if no case is ready. */
static struct select_case *try_each(struct wf_worker *self, struct selection *selection)
{
    shuffle(self, selection);
    for (unsigned i = 0; i < selection->count; i++) {
        struct select_case *each = draw(selection, i);
        struct wf_wait_entry *woken;

        if (each->channel == NULL)
            continue;
        if (each->kind == WEFT_SELECT_POLL) {
            each->result = poll_result(each, wf_poll_try(each->poll));
        } else {
            wf_lock_acquire(lock_of(each));
            each->result = try_case(each, &woken);
            wf_lock_release(lock_of(each));
            if (woken != NULL)
                wf_wake(self, woken->waiter, 0);
        }
        if (each->result != -EAGAIN)
            return each;
    }
    return NULL;
}

/* In the order of addresses; those of the same channel in the order in which they were drawn, since
 * the first in its queue will be the first to be woken. */
static void sort_cases(struct selection *selection)
{
    selection->first = NULL;
    for (unsigned i = 0; i < selection->count; i++) {
        struct select_case *each = &selection->cases[selection->cases[i].turn];
        struct select_case **place = &selection->first;

        if (!has_lock(each))
            continue;
        while (*place != NULL && (uintptr_t)(*place)->channel < (uintptr_t)each->channel)
            place = &(*place)->next;
        each->next = *place;
        *place = each;
    }
}

/* The next case that has another channel. */
static struct select_case *next_channel(struct select_case *each)
{
    struct wf_channel *channel = each->channel;

    while (each != NULL && each->channel == channel)
        each = each->next;
    return each;
}

static void lock_all(struct selection *selection)
{
    for (struct select_case *each = selection->first; each != NULL; each = next_channel(each))
        wf_lock_acquire(lock_of(each));
}

static void unlock_all(struct selection *selection)
{
    for (struct select_case *each = selection->first; each != NULL; each = next_channel(each))
        wf_lock_release(lock_of(each));
}

/* Caller holds all locks. */
static void queue_all(struct selection *selection, struct wf_waiter *waiter)
{
    /* relaxed: the locks publish it. */
    atomic_store_explicit(&selection->claim.winner, NULL, memory_order_relaxed);
    for (struct select_case *each = selection->first; each != NULL; each = each->next) {
        if (each->kind == WEFT_SELECT_FUTURE)
            each->awaiter.result = (int32_t *)each->item;
        else
            each->entry.item = each->item;
        each->entry.wait.waiter = waiter;
        each->entry.wait.claim = &selection->claim;
        wf_wait_queue_push(queue_of(each), &each->entry.wait);
    }
}

/* The wait is over.  Each lock is taken even for an entry that is in no queue any more: whoever
 * took it out may still be looking at our claim. */
static void leave_all(struct selection *selection, const struct wf_wait_entry *winner)
{
    for (struct select_case *each = selection->first; each != NULL; each = each->next) {
        if (&each->entry.wait == winner)
            continue;
        wf_lock_acquire(lock_of(each));
        (void)wf_wait_queue_remove(queue_of(each), &each->entry.wait);
        wf_lock_release(lock_of(each));
    }
}

static bool interrupt_select(struct wf_worker *self, struct wf_waiter *waiter, int reason)
{
    (void)self;
    (void)reason;
    return wf_wait_claim_take((struct wf_wait_claim *)waiter->place, WF_WAIT_INTERRUPTED);
}

bool wf_select_describe(const struct wf_waiter *waiter, struct wf_wait_target *target)
{
    const struct selection *selection = WF_CONTAINER_OF(waiter->place, struct selection, claim);

    if (waiter->interrupt != interrupt_select)
        return false;
    target->kind = "a select over the cases";
    target->object = selection->cases;
    return true;
}

static WF_NOINLINE int sleep_thread(struct selection *selection, weft_time deadline)
{
    struct wf_waiter waiter;

    wf_wait_begin_thread(&waiter, interrupt_select, &selection->claim);
    queue_all(selection, &waiter);
    unlock_all(selection);
    return wf_wait_end_thread(&waiter, deadline);
}

/* The cases from `from` on; NULL: there is none any more. */
static struct select_case *next_poll(struct selection *selection, struct select_case *from)
{
    for (; from < selection->cases + selection->count; from++)
        if (from->kind == WEFT_SELECT_POLL && from->poll != NULL)
            return from;
    return NULL;
}

/* They cannot be looked at with the locks held, so what is ready reports at once. */
static WF_NOINLINE void start_polls(struct wf_worker *self, struct selection *selection,
                                    struct wf_waiter *waiter)
{
    struct select_case *each = selection->cases;

    wf_polls_begin(&selection->polls, &selection->claim, waiter);
    for (; (each = next_poll(selection, each)) != NULL; each++)
        wf_polls_start(self, &selection->polls, each->poll, &each->entry.wait);
}

/* The wait is over. */
static WF_NOINLINE void end_polls(struct selection *selection)
{
    struct select_case *each = selection->cases;
    struct wf_worker *self = wf_self();

    for (; (each = next_poll(selection, each)) != NULL; each++)
        wf_polls_stop(self, &selection->polls, each->poll);
    wf_polls_await(self, &selection->polls);
    for (each = selection->cases; (each = next_poll(selection, each)) != NULL; each++)
        each->result = wf_polls_take(each->poll);
}

static int sleep_fiber(struct wf_worker *self, struct selection *selection, weft_time deadline)
{
    struct wf_waiter *waiter = wf_wait_begin(self, interrupt_select, &selection->claim);
    int result;

    queue_all(selection, waiter);
    unlock_all(selection);
    if (selection->has_polls)
        start_polls(self, selection, waiter);
    self = wf_wait_end(self, deadline);
    result = waiter->result;
    if (selection->has_polls)
        end_polls(selection);
    return result;
}

/* When the first of the timers expires.  Caller holds all locks. */
static int64_t first_alarm(const struct selection *selection)
{
    int64_t first = WEFT_FOREVER;

    for (struct select_case *each = selection->first; each != NULL; each = each->next)
        if (each->kind == WEFT_SELECT_TIMER && wf_alarm_when(each->alarm) < first)
            first = wf_alarm_when(each->alarm);
    return first;
}

/* Caller holds all locks, and no case is ready.  Returns as weft_select() does, or -EAGAIN if the
 * cases have to be looked at once more. */
static int wait_for_case(struct wf_worker *self, struct selection *selection, weft_time deadline)
{
    int64_t alarm = first_alarm(selection);
    struct wf_wait_entry *winner;
    struct select_case *won;
    int result;

    for (struct select_case *each = selection->first; each != NULL; each = each->next)
        each->entry.wait.next = NULL;
    if (alarm < deadline)
        deadline = alarm;
    if (self == NULL)
        result = sleep_thread(selection, deadline);
    else
        result = sleep_fiber(self, selection, deadline);
    /* relaxed: the wake, or the end of our own wait, has published it. */
    winner = atomic_load_explicit(&selection->claim.winner, memory_order_relaxed);
    leave_all(selection, winner);
    if (winner == WF_WAIT_INTERRUPTED)
        return result == -ETIMEDOUT && alarm != WEFT_FOREVER && wf_os_now() >= alarm ? -EAGAIN
                                                                                     : result;
    won = (struct select_case *)(void *)((char *)winner - offsetof(struct select_case, entry));
    if (won->kind == WEFT_SELECT_TIMER && result == 0)
        return -EAGAIN; /* it is to expire earlier */
    if (won->kind == WEFT_SELECT_POLL && won->result == -EAGAIN)
        return -EAGAIN; /* its poll has to be begun again */
    won->result = won->kind == WEFT_SELECT_POLL ? poll_result(won, won->result) : result;
    return (int)(won - selection->cases);
}

/* Looks at all channels together, and waits if it has to.  Returns as wait_for_case() does. */
static int select_slowly(struct wf_worker *self, struct selection *selection, weft_time deadline)
{
    struct wf_wait_entry *woken;

    sort_cases(selection);
    lock_all(selection);
    /* try_each() has drawn all of them, and no case can be ready for having been drawn late. */
    for (unsigned i = 0; i < selection->count; i++) {
        struct select_case *each = &selection->cases[selection->cases[i].turn];

        if (!has_lock(each) || (each->result = try_case(each, &woken)) == -EAGAIN)
            continue;
        unlock_all(selection);
        if (woken != NULL)
            wf_wake(self, woken->waiter, 0);
        return (int)(each - selection->cases);
    }
    if (deadline != WEFT_FOREVER && wf_os_now() >= deadline) {
        unlock_all(selection);
        return -ETIMEDOUT;
    }
    return wait_for_case(self, selection, deadline);
}

int weft_select(struct weft_select_case *cases, unsigned count, weft_time deadline)
{
    struct wf_worker *self = wf_self();
    struct selection selection;
    struct select_case *ready;
    int refusal, result;

    selection.cases = (struct select_case *)(void *)cases;
    selection.count = count;
    check_cases(&selection);
    refusal = wf_self_refusal(self);
    if (WF_UNLIKELY(refusal != 0))
        return refusal;
    if (WF_UNLIKELY(selection.has_polls && self == NULL))
        return -EPERM;
    do {
        ready = try_each(wf_self(), &selection);
        if (ready != NULL)
            return (int)(ready - selection.cases);
        /* One who does not wait at all may have missed what came and went; it asked at some
         * moment. */
        if (deadline <= 0)
            return -ETIMEDOUT;
        result = select_slowly(wf_self(), &selection, deadline);
    } while (result == -EAGAIN);
    return result;
}
