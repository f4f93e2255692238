/* SPDX-License-Identifier: MIT */
/*
 * A stage of a pipeline between two channels, in order or not: what each item becomes, who waits
 * for room, for a turn or for an item, and how the stage ends.
 *
 * An item says what its function does with it: it may give a result, or none, or wait until an
 * actor says which, or that it fails.  So one thing happens at a time.
 */
#include "fuzz.h"

#include <errno.h>
#include <stdalign.h>
#include <string.h>

enum kind { SEND, RECEIVE, RELEASE, FAIL, CLOSE, CANCEL, KINDS };

enum {
    ITEMS_MAX = 128,
    WORKERS_MAX = 3,
    CAPACITY_MAX = 2,
    RESULT = 1000,           /* more than its item */
    TURNS = 6 * WORKERS_MAX, /* within which each fiber of the stage waits again */
    SHUT = 0, /* of a gate: who comes waits; else DROP, or 1 for a result, or an error */
    DROP = WEFT_PIPELINE_DROP + 1,
};

static struct {
    weft_channel in, out;
    int in_buffer[CAPACITY_MAX], out_buffer[CAPACITY_MAX];
    struct weft_pipeline_stage stage;
    weft_scope scope;
    weft_fiber *host;
    bool is_begun, must_end;
    unsigned begun, waiting; /* calls of its function; those at a gate */
    int gates[ITEMS_MAX];
} object;

struct item {
    unsigned number; /* in the order in which the stage has received them */
    int value;
    bool is_dropped;
};

struct list {
    unsigned length;
    struct item items[FUZZ_ACTORS + CAPACITY_MAX];
};

static struct {
    bool is_ordered, has_out, is_in_closed, is_out_closed, is_cancelled;
    int failure;
    unsigned items; /* sent, or meant to be */
    unsigned in_capacity, out_capacity;
    struct list in, out; /* buffers */
    struct fuzz_queue senders, receivers;
    int sent[FUZZ_ACTORS];
    unsigned alive, idle; /* fibers of the stage; those that wait for an item */
    unsigned received, turn;
    struct list gated, early, sending; /* at a gate; before their turn; for want of room */
} model;

static void push(struct list *list, struct item item)
{
    FUZZ_CHECK(list->length < sizeof list->items / sizeof list->items[0]);
    list->items[list->length++] = item;
}

static struct item remove_at(struct list *list, unsigned index)
{
    struct item item = list->items[index];

    FUZZ_CHECK(index < list->length);
    list->length--;
    memmove(&list->items[index], &list->items[index + 1],
            (list->length - index) * sizeof list->items[0]);
    return item;
}

static bool is_gated(int item)
{
    return item % 4 >= 2;
}

/* The function of the stage. */
static int work(void *arg, void *item, void *result)
{
    int value = *(const int *)item, outcome = value % 4 == 1 ? DROP : 1;

    (void)arg;
    FUZZ_CHECK((uintptr_t)item % alignof(max_align_t) == 0);
    FUZZ_CHECK((uintptr_t)result % alignof(max_align_t) == 0);
    FUZZ_CHECK((result != NULL) == model.has_out);
    object.begun++;
    if (is_gated(value)) {
        object.waiting++;
        while ((outcome = object.gates[value / 4]) == SHUT)
            if (weft_yield() != 0)
                break;
        object.waiting--;
    }
    if (outcome < 0 || outcome == SHUT)
        return outcome < 0 ? outcome : -ECANCELED;
    if (outcome == DROP)
        return WEFT_PIPELINE_DROP;
    if (result != NULL)
        *(int *)result = value + RESULT;
    return 0;
}

/* Has the scope of the stage, which an actor may cancel. */
static int host(void *arg)
{
    (void)arg;
    FUZZ_CHECK(weft_scope_open(&object.scope, WEFT_FOREVER) == 0);
    FUZZ_CHECK(weft_pipeline_spawn(&object.scope, &object.stage) == 0);
    object.is_begun = true;
    while (!object.must_end)
        (void)weft_yield();
    return weft_scope_close(&object.scope, 0);
}

static void let_others_run(void)
{
    for (unsigned i = 0; i < TURNS; i++)
        (void)weft_yield();
}

static void init_channel(weft_channel *channel, int *buffer, unsigned capacity)
{
    FUZZ_CHECK(weft_channel_init(channel, sizeof(int), capacity > 0 ? buffer : NULL, capacity) ==
               0);
}

static void begin(unsigned byte)
{
    weft_scope fresh = WEFT_SCOPE_INIT;
    struct weft_pipeline_stage stage = WEFT_PIPELINE_STAGE_INIT(work, NULL, &object.in,
                                                                &object.out);

    memset(&model, 0, sizeof model);
    memset(&object, 0, sizeof object);
    model.alive = model.idle = 1 + byte % WORKERS_MAX;
    model.is_ordered = byte / 3 % 2 != 0;
    model.in_capacity = byte / 6 % (CAPACITY_MAX + 1);
    model.has_out = byte / 18 % 4 != 3;
    model.out_capacity = model.has_out ? byte / 18 % 4 : 0;
    init_channel(&object.in, object.in_buffer, model.in_capacity);
    init_channel(&object.out, object.out_buffer, model.out_capacity);
    stage.fibers = model.alive;
    stage.is_ordered = model.is_ordered;
    if (!model.has_out)
        stage.out = NULL;
    object.stage = stage;
    object.scope = fresh;
    FUZZ_CHECK(weft_spawn(&object.host, host, NULL) == 0);
    while (!object.is_begun)
        (void)weft_yield();
    let_others_run();
}

static bool is_allowed(const struct fuzz_op *op)
{
    if (op->kind == RELEASE || op->kind == FAIL)
        return model.gated.length > 0;
    return model.has_out || op->kind == SEND || op->kind == CANCEL || op->arg % 2 == 0;
}

static int perform(const struct fuzz_op *op)
{
    int value = model.sent[op->actor], error;

    switch ((enum kind)op->kind) {
    case SEND:
        return weft_channel_send(&object.in, &value, sizeof value, op->deadline);
    case RECEIVE:
        error = weft_channel_receive(&object.out, &value, sizeof value, op->deadline);
        return error != 0 ? error : value;
    case CLOSE:
        weft_channel_close(op->arg % 2 == 0 ? &object.in : &object.out);
        return 0;
    case CANCEL:
        return weft_scope_cancel(&object.scope);
    default: /* the gate is open: the model knew which */
        return 0;
    }
}

static void close_in(void)
{
    model.is_in_closed = true;
    while (model.senders.length > 0)
        fuzz_return(fuzz_pop(&model.senders), -EPIPE);
}

static void be_done(void)
{
    model.idle++;
    model.turn++;
}

/* Nobody wants the results. */
static void be_over(void)
{
    model.alive--;
    model.turn++;
    close_in();
}

static void deliver(struct item item)
{
    if (!model.has_out) {
        be_done();
    } else if (model.is_out_closed) {
        be_over();
    } else if (item.is_dropped) {
        be_done();
    } else if (model.receivers.length > 0) {
        fuzz_return(fuzz_pop(&model.receivers), item.value);
        be_done();
    } else if (model.out.length < model.out_capacity) {
        push(&model.out, item);
        be_done();
    } else {
        push(&model.sending, item);
    }
}

static void finish(struct item item)
{
    if (model.is_ordered && item.number != model.turn)
        push(&model.early, item);
    else
        deliver(item);
}

/* The next item, and room for whoever waits to send one.  Returns false if there is none. */
static bool take(int *value)
{
    struct item sent = {0};
    unsigned sender;

    if (model.senders.length > 0) {
        sender = fuzz_pop(&model.senders);
        sent.value = model.sent[sender];
        push(&model.in, sent);
        fuzz_return(sender, 0);
    }
    if (model.in.length == 0)
        return false;
    *value = remove_at(&model.in, 0).value;
    return true;
}

static void close_out(void)
{
    model.is_out_closed = true;
    while (model.receivers.length > 0)
        fuzz_return(fuzz_pop(&model.receivers), -ENODATA);
    while (model.sending.length > 0) {
        (void)remove_at(&model.sending, 0);
        be_over();
    }
}

static void take_all(void)
{
    int value;

    while (model.idle > 0 && take(&value)) {
        struct item item = {model.received++, value + RESULT, value % 4 == 1};

        model.idle--;
        if (is_gated(value))
            push(&model.gated, item);
        else
            finish(item);
    }
}

/* Whose turn has come delivers.  Returns false if it is nobody's. */
static bool go_on(void)
{
    for (unsigned i = 0; i < model.early.length; i++)
        if (model.early.items[i].number == model.turn) {
            deliver(remove_at(&model.early, i));
            return true;
        }
    return false;
}

/* Until nothing moves.  Who has passed the turn on takes its next item before whose turn it is then
 * goes on, and perhaps finds that nobody wants more. */
static void flow(void)
{
    do
        take_all();
    while (go_on());
    if (model.is_in_closed) {
        model.alive -= model.idle;
        model.idle = 0;
    }
    if (model.alive == 0 && model.has_out)
        close_out();
}

/* All fibers of the stage end, wherever they are. */
static void abandon(int error)
{
    if (model.alive > 0 && model.failure == 0)
        model.failure = error;
    model.is_cancelled = true;
    if (model.alive > 0)
        close_in();
    model.alive = model.idle = 0;
    model.gated.length = model.early.length = model.sending.length = 0;
}

static void send_item(const struct fuzz_op *op)
{
    struct item item = {.value = (int)(4 * model.items++ + op->arg % 4)};

    model.sent[op->actor] = item.value;
    if (op->mode == FUZZ_CANCELLED) {
        fuzz_return(op->actor, -ECANCELED);
    } else if (model.is_in_closed) {
        fuzz_return(op->actor, -EPIPE);
    } else if (model.idle > 0 || model.in.length < model.in_capacity) {
        push(&model.in, item);
        fuzz_return(op->actor, 0);
    } else if (fuzz_waits(op)) {
        fuzz_push(&model.senders, op->actor);
    }
}

static void receive_item(const struct fuzz_op *op)
{
    if (op->mode == FUZZ_CANCELLED) {
        fuzz_return(op->actor, -ECANCELED);
    } else if (model.out.length + model.sending.length > 0) {
        bool is_sending = model.sending.length > 0;

        if (is_sending)
            push(&model.out, remove_at(&model.sending, 0));
        fuzz_return(op->actor, remove_at(&model.out, 0).value);
        if (is_sending)
            be_done();
    } else if (model.is_out_closed) {
        fuzz_return(op->actor, -ENODATA);
    } else if (fuzz_waits(op)) {
        fuzz_push(&model.receivers, op->actor);
    }
}

/* Opens one of the gates at which an item waits. */
static void release(const struct fuzz_op *op)
{
    struct item item = remove_at(&model.gated, op->arg % model.gated.length);
    int *gate = &object.gates[(item.value - RESULT) / 4];

    item.is_dropped = op->arg % 2 != 0;
    *gate = op->kind == FAIL ? -EIO : item.is_dropped ? DROP : 1;
    if (op->kind == FAIL)
        abandon(-EIO);
    else
        finish(item);
}

static void update(const struct fuzz_op *op)
{
    if (op->kind != SEND && op->kind != RECEIVE)
        fuzz_return(op->actor, 0);
    switch ((enum kind)op->kind) {
    case SEND:
        send_item(op);
        break;
    case RECEIVE:
        receive_item(op);
        break;
    case CLOSE:
        if (op->arg % 2 == 0)
            close_in();
        else
            close_out();
        break;
    case CANCEL:
        abandon(-ECANCELED);
        break;
    default:
        release(op);
    }
    flow();
}

static void withdraw(unsigned actor, int error)
{
    if (fuzz_remove(&model.senders, actor) || fuzz_remove(&model.receivers, actor))
        fuzz_return(actor, error);
}

static void check(void)
{
    let_others_run();
    FUZZ_CHECK(weft_channel_length(&object.in) == model.in.length);
    FUZZ_CHECK(weft_channel_length(&object.out) == model.out.length);
    FUZZ_CHECK(object.begun == model.received);
    FUZZ_CHECK(object.waiting == model.gated.length);
}

static void end(void)
{
    int result;

    for (unsigned i = 0; i < ITEMS_MAX; i++)
        object.gates[i] = 1;
    weft_channel_close(&object.in);
    weft_channel_close(&object.out);
    object.must_end = true;
    FUZZ_CHECK(weft_join(object.host, &result, WEFT_FOREVER) == 0);
    if (model.failure != 0 || !model.is_cancelled)
        FUZZ_CHECK(result == model.failure);
    weft_channel_destroy(&object.in);
    weft_channel_destroy(&object.out);
}

const struct fuzz_target fuzz_target = {
    .kinds = KINDS,
    .begin = begin,
    .is_allowed = is_allowed,
    .perform = perform,
    .model = update,
    .withdraw = withdraw,
    .check = check,
    .end = end,
};
