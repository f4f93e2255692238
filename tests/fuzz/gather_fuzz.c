/* SPDX-License-Identifier: MIT */
/*
 * Many futures at once: promises, fibers that end when they are cancelled, and one that does not,
 * under calls that want all of them, the first, or the first that succeeds, and in a group.
 */
#include "fuzz.h"

#include <errno.h>
#include <string.h>

enum kind { AWAIT, SET, CANCEL, ALL, FIRST, SUCCESS, ADD, NEXT, LEAVE, RENEW, KINDS };

enum { FUTURES = 4, NOBODY = FUZZ_ACTORS, TURNS_MAX = 100 };

enum nature { PROMISE, OBEDIENT, STUBBORN }; /* the latter two have fibers */

static const enum nature natures[FUTURES] = {PROMISE, PROMISE, OBEDIENT, STUBBORN};

static weft_future futures[FUTURES];
static weft_future_group group;

/* What the fiber behind a future is to do. */
static struct fiber {
    enum { LINGER, GIVE, END } order;
    int result;
} fibers[FUTURES];

/* One call that has several futures. */
struct call {
    unsigned mask;    /* bits: its futures; 0: there is no call */
    unsigned pending; /* bits: those that it has not counted */
    unsigned kind;
    int winner; /* -1: none */
    int result; /* the winner's, or why there is none */
    int failure;
};

static struct {
    bool is_done[FUTURES];
    int results[FUTURES];
    struct fuzz_queue awaiters[FUTURES];
    struct call calls[FUZZ_ACTORS];
    unsigned members;   /* bits: of the group */
    unsigned completed; /* how many of them are in `order` */
    unsigned order[FUTURES];
    unsigned next; /* the actor that waits for the next one of the group, or NOBODY */
} model;

static int live(void *arg)
{
    unsigned number = (unsigned)((struct fiber *)arg - fibers);
    struct fiber *fiber = &fibers[number];

    while (fiber->order != END) {
        if (fiber->order == GIVE) {
            FUZZ_CHECK(weft_future_set(&futures[number], fiber->result, NULL) == 0);
            fiber->order = LINGER;
        }
        if (weft_yield() != 0 && natures[number] == OBEDIENT)
            return -ECANCELED;
    }
    return fiber->result;
}

static int renew(unsigned number)
{
    weft_future fresh = WEFT_FUTURE_INIT;

    futures[number] = fresh;
    fibers[number] = (struct fiber){LINGER, 0};
    return natures[number] == PROMISE ? 0
                                      : weft_future_spawn(&futures[number], live, &fibers[number]);
}

static void begin(unsigned byte)
{
    weft_future_group fresh = WEFT_FUTURE_GROUP_INIT;

    (void)byte;
    memset(&model, 0, sizeof model);
    model.next = NOBODY;
    group = fresh;
    for (unsigned i = 0; i < FUTURES; i++)
        FUZZ_CHECK(renew(i) == 0);
}

static unsigned number_of(const struct fuzz_op *op)
{
    return op->arg % FUTURES;
}

static bool is_many(const struct fuzz_op *op)
{
    return op->kind >= ALL && op->kind <= SUCCESS;
}

/* Those of a call for many futures. */
static unsigned mask_of(const struct fuzz_op *op)
{
    return op->arg % (1U << FUTURES);
}

static int result_of(const struct fuzz_op *op)
{
    return op->arg / FUTURES % 2 == 0 ? (int)op->arg : -EIO;
}

static bool is_in_call(unsigned mask)
{
    for (unsigned i = 0; i < FUZZ_ACTORS; i++)
        if (model.calls[i].mask & mask)
            return true;
    return false;
}

/* A future is in one group or one call at a time, and one at a time uses a group.  Who is cancelled
 * spawns nothing. */
static bool is_allowed(const struct fuzz_op *op)
{
    unsigned number = number_of(op);

    if (is_many(op))
        return !is_in_call(mask_of(op)) && !(model.members & mask_of(op));
    switch ((enum kind)op->kind) {
    case ADD:
        return model.next == NOBODY && !is_in_call(1U << number) && !(model.members & 1U << number);
    case NEXT:
    case LEAVE:
        return model.next == NOBODY;
    case RENEW:
        return model.is_done[number] && !is_in_call(1U << number) &&
               !(model.members & 1U << number) && op->mode != FUZZ_CANCELLED;
    default:
        return true;
    }
}

/* As one number: which one it was, and what it has said. */
static int answer(ssize_t index, int result)
{
    return index < 0 ? (int)index : (int)(index + 1) * 1000 + (result & 0xff);
}

static int perform_many(const struct fuzz_op *op)
{
    weft_future *chosen[FUTURES];
    unsigned numbers[FUTURES];
    size_t count = 0;
    int result = 0;
    ssize_t index;

    for (unsigned i = 0; i < FUTURES; i++)
        if (mask_of(op) & 1U << i) {
            numbers[count] = i;
            chosen[count++] = &futures[i];
        }
    if (op->kind == ALL)
        return weft_gather(chosen, count, op->deadline);
    index = op->kind == FIRST ? weft_race(chosen, count, &result, op->deadline)
                              : weft_any(chosen, count, &result, op->deadline);
    return answer(index < 0 ? index : (ssize_t)numbers[index], result);
}

static int perform_next(const struct fuzz_op *op)
{
    weft_future *future;
    int result, error = weft_future_group_next(&group, &future, op->deadline);

    if (error != 0)
        return error;
    FUZZ_CHECK(weft_future_await(future, &result, 0) == 0);
    return answer(future - futures, result);
}

static int perform_set(const struct fuzz_op *op)
{
    unsigned number = number_of(op);

    if (natures[number] == PROMISE)
        return weft_future_set(&futures[number], result_of(op), NULL);
    if (weft_future_is_done(&futures[number]))
        return -EALREADY;
    fibers[number].result = result_of(op);
    fibers[number].order = op->arg / FUTURES % 4 < 2 ? END : GIVE;
    return 0;
}

/* An error that nobody has read would be told. */
static int close_and_renew(unsigned number)
{
    int ignored;

    fibers[number].order = END;
    FUZZ_CHECK(weft_future_await(&futures[number], &ignored, 0) == 0);
    weft_future_close(&futures[number]);
    return renew(number);
}

static int perform(const struct fuzz_op *op)
{
    unsigned number = number_of(op);
    int result = 0, error;

    if (is_many(op))
        return perform_many(op);
    switch ((enum kind)op->kind) {
    case AWAIT:
        error = weft_future_await(&futures[number], &result, op->deadline);
        return error != 0 ? error : result;
    case SET:
        return perform_set(op);
    case CANCEL:
        weft_future_cancel(&futures[number]);
        return 0;
    case ADD:
        weft_future_group_add(&group, &futures[number]);
        return 0;
    case NEXT:
        return perform_next(op);
    case LEAVE:
        weft_future_group_close(&group);
        return 0;
    default:
        return close_and_renew(number);
    }
}

static void complete(unsigned number, int result);

/* Only a fiber that does not mind goes on. */
static void cancel(unsigned number)
{
    if (!model.is_done[number] && natures[number] != STUBBORN)
        complete(number, -ECANCELED);
}

static void cancel_rest(const struct call *call)
{
    for (unsigned i = 0; i < FUTURES; i++)
        if (call->pending & 1U << i)
            cancel(i);
}

/* The call returns once it has counted all that it has. */
static void end_call(unsigned actor)
{
    struct call *call = &model.calls[actor];

    call->mask = 0;
    if (call->kind == ALL)
        fuzz_return(actor, call->result);
    else if (call->winner >= 0)
        fuzz_return(actor, answer(call->winner, call->result));
    else
        fuzz_return(actor, call->result != 0 ? call->result : call->failure);
}

static void count_in(unsigned actor, unsigned number)
{
    struct call *call = &model.calls[actor];
    int result = model.results[number];
    bool decides = call->kind == FIRST || (call->kind == ALL) == (result < 0);
    bool is_last;

    call->pending &= ~(1U << number);
    is_last = call->pending == 0;
    if (result < 0 && call->failure == 0)
        call->failure = result;
    if (decides && call->winner < 0 && call->result == 0) {
        call->winner = (int)number;
        call->result = result;
        cancel_rest(call); /* the last of these ends the call */
    }
    if (is_last)
        end_call(actor);
}

static void give_next(unsigned actor)
{
    unsigned number = model.order[0];

    model.completed--;
    memmove(&model.order[0], &model.order[1], model.completed * sizeof model.order[0]);
    model.members &= ~(1U << number);
    fuzz_return(actor, answer(number, model.results[number]));
}

static void complete_in_group(unsigned number)
{
    unsigned actor = model.next;

    model.order[model.completed++] = number;
    if (actor != NOBODY) {
        model.next = NOBODY;
        give_next(actor);
    }
}

static void complete(unsigned number, int result)
{
    model.is_done[number] = true;
    model.results[number] = result;
    while (model.awaiters[number].length > 0)
        fuzz_return(fuzz_pop(&model.awaiters[number]), result);
    if (model.members & 1U << number)
        complete_in_group(number);
    for (unsigned i = 0; i < FUZZ_ACTORS; i++)
        if (model.calls[i].pending & 1U << number) {
            count_in(i, number);
            break;
        }
}

/* The wait of a call ends with an error; it still waits for those whose fibers do not mind. */
static void give_up(unsigned actor, int error)
{
    struct call *call = &model.calls[actor];

    if (call->pending == 0 || call->winner >= 0 || call->result != 0)
        return;
    call->result = error;
    cancel_rest(call);
}

static void begin_call(const struct fuzz_op *op)
{
    struct call *call = &model.calls[op->actor];

    *call = (struct call){
        .mask = mask_of(op), .pending = mask_of(op), .kind = op->kind, .winner = -1};
    if (call->mask == 0) {
        fuzz_return(op->actor, op->kind == ALL ? 0 : -EINVAL);
        return;
    }
    for (unsigned i = 0; i < FUTURES; i++)
        if (call->pending & 1U << i && model.is_done[i])
            count_in(op->actor, i);
    if (op->mode == FUZZ_PAST)
        give_up(op->actor, -ETIMEDOUT);
    if (op->mode == FUZZ_CANCELLED)
        give_up(op->actor, -ECANCELED);
}

static void next_of_group(const struct fuzz_op *op)
{
    if (model.members == 0)
        fuzz_return(op->actor, -ENOENT);
    else if (model.completed > 0)
        give_next(op->actor);
    else if (fuzz_waits(op))
        model.next = op->actor;
}

static void await(const struct fuzz_op *op)
{
    unsigned number = number_of(op);

    if (model.is_done[number])
        fuzz_return(op->actor, model.results[number]);
    else if (fuzz_waits(op))
        fuzz_push(&model.awaiters[number], op->actor);
}

static void add(unsigned number)
{
    model.members |= 1U << number;
    if (model.is_done[number])
        complete_in_group(number);
}

static void update(const struct fuzz_op *op)
{
    unsigned number = number_of(op);

    if (is_many(op)) {
        begin_call(op);
        return;
    }
    if (op->kind == AWAIT || op->kind == NEXT) {
        op->kind == AWAIT ? await(op) : next_of_group(op);
        return;
    }
    fuzz_return(op->actor, op->kind == SET && model.is_done[number] ? -EALREADY : 0);
    if (op->kind == SET && !model.is_done[number])
        complete(number, result_of(op));
    else if (op->kind == CANCEL)
        cancel(number);
    else if (op->kind == ADD)
        add(number);
    else if (op->kind == LEAVE)
        model.members = model.completed = 0;
    else if (op->kind == RENEW)
        model.is_done[number] = false;
}

static void withdraw(unsigned actor, int error)
{
    for (unsigned i = 0; i < FUTURES; i++)
        if (fuzz_remove(&model.awaiters[i], actor)) {
            fuzz_return(actor, error);
            return;
        }
    if (model.next == actor) {
        model.next = NOBODY;
        fuzz_return(actor, error);
    } else {
        give_up(actor, error);
    }
}

/* The fibers get there in a few turns. */
static void check(void)
{
    for (unsigned i = 0; i < FUTURES; i++) {
        for (unsigned turns = 0; model.is_done[i] && !weft_future_is_done(&futures[i]); turns++) {
            FUZZ_CHECK(turns < TURNS_MAX);
            (void)weft_yield();
        }
        FUZZ_CHECK(weft_future_is_done(&futures[i]) == model.is_done[i]);
    }
}

/* A call that has been given up waits for the fiber that does not mind. */
static bool relieve(struct fuzz_op *op)
{
    for (unsigned i = 0; i < FUZZ_ACTORS; i++)
        if (model.calls[i].pending != 0) {
            *op = (struct fuzz_op){.actor = (i + 1) % FUZZ_ACTORS, .kind = SET, .arg = FUTURES - 1};
            return true;
        }
    return false;
}

static void end(void)
{
    weft_future_group_close(&group);
    for (unsigned i = 0; i < FUTURES; i++) {
        int ignored;

        if (natures[i] == PROMISE)
            (void)weft_future_set(&futures[i], 0, NULL);
        fibers[i].order = END;
        FUZZ_CHECK(weft_future_await(&futures[i], &ignored, WEFT_FOREVER) == 0);
        weft_future_close(&futures[i]);
    }
}

const struct fuzz_target fuzz_target = {
    .kinds = KINDS,
    .begin = begin,
    .is_allowed = is_allowed,
    .perform = perform,
    .model = update,
    .withdraw = withdraw,
    .check = check,
    .relieve = relieve,
    .end = end,
};
