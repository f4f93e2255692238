/* SPDX-License-Identifier: MIT */
/*
 * Generators that ask, end and delegate to each other, from fibers in turn, against a model that
 * says what each call returns, which values come, and when each of them begins and cleans up.
 *
 * A generator does the steps of a short program.  It uses only those with greater numbers, so none
 * is asked for while it runs.  Both sides write down what happens; that must be the same.
 *
 * An input is a list of operations of two bytes; that which makes a generator is followed by its
 * program, a byte for each step.
 */
#include "driver.h"

#include <errno.h>
#include <string.h>
#include <weft.h>

enum { SLOTS = 4, STEPS = 6, OPS_MAX = 60, LOG_MAX = 4096, UNTOUCHED = 99999, NO_VALUE = 99998 };

enum op { NEXT, SEND, THROW, CLOSE, FREE, CREATE, DRAIN /* next to the end */, OPS };

enum step {
    YIELD_OR_END,  /* an error ends it */
    YIELD_ANYWAY,  /* errors are ignored */
    YIELD_OR_FAIL, /* an error ends it with another one */
    DELEGATE_OR_END,
    DELEGATE_ANYWAY,
    USE, /* an operation on another one */
    DEFER,
    SWITCH, /* of fibers */
    RETURN,
    STEP_KINDS
};

static const int errors[] = {-EIO, -ECANCELED, -ENOSPC, -ENODATA};

static uint8_t programs[SLOTS][STEPS];

/* What has happened, as the generators and the model tell it. */
struct story {
    unsigned length;
    struct event {
        enum event_kind { OP, BEGIN, RESUMED, DELEGATED, CLEANUP, DEFERRED } what;
        int who, result, value;
    } events[LOG_MAX];
};

/* The generators and the model each have one of these. */
struct side {
    struct story story;
    unsigned serials; /* of all generators so far */
    unsigned serial[SLOTS];
    unsigned delegations[SLOTS]; /* under way to it */
};

static struct side real, model;
static weft_generator *generators[SLOTS];
static bool is_in_fiber; /* and not in the driver's, where what is deferred never comes */

static struct machine {
    enum { ABSENT, NEW, SUSPENDED, ENDED } state;
    unsigned pc;
    int result;
} machines[SLOTS];

static struct {
    unsigned count;
    int ids[LOG_MAX];
} deferred; /* in the model */

static void tell(struct side *side, enum event_kind what, int who, int result, int value)
{
    struct story *story = &side->story;

    if (story->length < LOG_MAX)
        story->events[story->length] = (struct event){what, who, result, value};
    story->length++;
}

static enum step kind_of(uint8_t step)
{
    return step % STEP_KINDS;
}

static unsigned param_of(uint8_t step)
{
    return step / STEP_KINDS;
}

/* The one that a step is about; SLOTS or more if there is none. */
static unsigned other_of(unsigned i, uint8_t step)
{
    return i + 1 + param_of(step) % (SLOTS - 1);
}

static enum op op_of(uint8_t step)
{
    return param_of(step) / (SLOTS - 1) % DRAIN;
}

static int error_of(unsigned param)
{
    return errors[param % 4];
}

static int value_of(const struct side *side, unsigned i, unsigned pc)
{
    return (int)(side->serial[i] * STEPS + pc);
}

/* Whether the program ends after a step with this outcome, and with what. */
static bool ends_program(uint8_t step, int *outcome)
{
    switch (kind_of(step)) {
    case YIELD_OR_END:
    case DELEGATE_OR_END:
        return *outcome < 0;
    case YIELD_OR_FAIL:
        if (*outcome == 0)
            return false;
        *outcome = -ENOSPC;
        return true;
    case RETURN:
        *outcome = param_of(step) % 2 == 0 ? (int)param_of(step) : error_of(param_of(step) / 2);
        return true;
    default:
        return false;
    }
}

/* The generators. */

static int real_op(enum op op, unsigned i, unsigned param);

static void note_deferred(void *arg)
{
    tell(&real, DEFERRED, (int)(uintptr_t)arg, 0, 0);
}

static int real_yield(weft_generator *self, unsigned i, unsigned pc, uint8_t step)
{
    void *value = (void *)(uintptr_t)value_of(&real, i, pc);
    void *sent = (void *)(uintptr_t)UNTOUCHED;
    int error = weft_generator_yield(self, value, param_of(step) % 4 == 3 ? NULL : &sent);

    tell(&real, RESUMED, (int)i, error, (int)(uintptr_t)sent);
    return error;
}

static int real_delegate(weft_generator *self, unsigned i, uint8_t step)
{
    unsigned other = other_of(i, step);
    int error;

    if (other >= SLOTS || generators[other] == NULL)
        return 0;
    real.delegations[other]++;
    error = weft_generator_delegate(self, generators[other]);
    real.delegations[other]--;
    tell(&real, DELEGATED, (int)i, error, 0);
    return error;
}

static int real_step(weft_generator *self, unsigned i, unsigned pc)
{
    uint8_t step = programs[i][pc];
    uintptr_t id = (uintptr_t)value_of(&real, i, pc);

    switch (kind_of(step)) {
    case YIELD_OR_END:
    case YIELD_ANYWAY:
    case YIELD_OR_FAIL:
        return real_yield(self, i, pc, step);
    case DELEGATE_OR_END:
    case DELEGATE_ANYWAY:
        return real_delegate(self, i, step);
    case USE:
        (void)real_op(op_of(step), other_of(i, step), param_of(step));
        return 0;
    case DEFER:
        if (is_in_fiber)
            FUZZ_CHECK(weft_defer(note_deferred, (void *)id) == 0);
        return 0;
    case SWITCH:
        FUZZ_CHECK(weft_yield() == 0);
        return 0;
    default:
        return 0;
    }
}

static int run_program(weft_generator *self, void *arg)
{
    unsigned i = (unsigned)(uintptr_t)arg;
    int outcome, result = 0;

    FUZZ_CHECK(self == generators[i]);
    tell(&real, BEGIN, (int)real.serial[i], 0, 0);
    for (unsigned pc = 0; pc < STEPS; pc++) {
        outcome = real_step(self, i, pc);
        if (ends_program(programs[i][pc], &outcome)) {
            result = outcome;
            break;
        }
    }
    tell(&real, CLEANUP, (int)real.serial[i], result, 0);
    return result;
}

static int make(unsigned i, unsigned param)
{
    static const uint32_t sizes[] = {0, 64, 128, 32};
    weft_generator *none = NULL;

    FUZZ_CHECK(weft_generator_create(&none, run_program, NULL, 8) == -EINVAL && none == NULL);
    real.serial[i] = ++real.serials;
    return weft_generator_create(&generators[i], run_program, (void *)(uintptr_t)i,
                                 sizes[param % 4]);
}

/* The slot is empty before it is freed: nobody is to use what is being freed. */
static int give_back(unsigned i)
{
    weft_generator_free(generators[i]);
    generators[i] = NULL;
    return 0;
}

static int real_next(enum op op, unsigned i, unsigned param, void **value)
{
    if (op == SEND)
        return weft_generator_send(generators[i], (void *)(uintptr_t)param, value);
    if (op == THROW)
        return weft_generator_throw(generators[i], error_of(param), value);
    return weft_generator_next(generators[i], value);
}

static int real_op(enum op op, unsigned i, unsigned param)
{
    void *value = (void *)(uintptr_t)UNTOUCHED;
    int result;

    if (i >= SLOTS || (generators[i] == NULL) != (op == CREATE) ||
        (op == FREE && real.delegations[i] > 0))
        return -ENOENT;
    if (op == CREATE)
        result = make(i, param);
    else if (op == FREE)
        result = give_back(i);
    else if (op == CLOSE)
        result = weft_generator_close(generators[i]);
    else
        result = real_next(op, i, param, param % 8 == 7 ? NULL : &value);
    tell(&real, OP, (int)i, result, (int)(uintptr_t)value);
    return result;
}

/* The model. */

static int model_op(enum op op, unsigned i, unsigned param);
static int model_next(enum op op, unsigned i, int sent, int *value);

enum { STAYS = 1 }; /* the outcome of a step that yields */

/* How a generator goes on. */
struct resumption {
    bool is_first; /* the step begins; else it goes on after a yield with what follows */
    bool is_closing;
    int error;
    int sent;
};

static int model_close(unsigned i);

static int model_yield(unsigned i, uint8_t step, const struct resumption *how, int *value)
{
    int error = how->is_first ? -ECANCELED : how->error;
    bool is_told = param_of(step) % 4 != 3;

    if (how->is_first && !how->is_closing) {
        *value = value_of(&model, i, machines[i].pc);
        return STAYS;
    }
    tell(&model, RESUMED, (int)i, error, error == 0 && is_told ? how->sent : UNTOUCHED);
    return error;
}

static int model_delegate(unsigned i, uint8_t step, const struct resumption *how, int *value)
{
    unsigned other = other_of(i, step);
    int error;

    if (other >= SLOTS || (how->is_first && machines[other].state == ABSENT))
        return 0;
    if (how->is_first)
        model.delegations[other]++;
    if (how->is_first)
        error = model_next(NEXT, other, 0, value);
    else if (how->is_closing)
        error = 0;
    else
        error = model_next(how->error != 0 ? THROW : SEND, other,
                           how->error != 0 ? how->error : how->sent, value);
    if (error == 0 && !how->is_closing)
        return STAYS;
    if (error == 0) {
        (void)model_close(other);
        error = -ECANCELED;
    }
    model.delegations[other]--;
    error = error == -ENODATA ? 0 : error;
    tell(&model, DELEGATED, (int)i, error, 0);
    return error;
}

static int model_step(unsigned i, const struct resumption *how, int *value)
{
    uint8_t step = programs[i][machines[i].pc];

    switch (kind_of(step)) {
    case YIELD_OR_END:
    case YIELD_ANYWAY:
    case YIELD_OR_FAIL:
        return model_yield(i, step, how, value);
    case DELEGATE_OR_END:
    case DELEGATE_ANYWAY:
        return model_delegate(i, step, how, value);
    case USE:
        (void)model_op(op_of(step), other_of(i, step), param_of(step));
        return 0;
    case DEFER:
        if (is_in_fiber && deferred.count < LOG_MAX)
            deferred.ids[deferred.count++] = value_of(&model, i, machines[i].pc);
        return 0;
    default:
        return 0;
    }
}

/* Until it yields or ends.  Returns as weft_generator_next(). */
static int model_continue(unsigned i, struct resumption how, int *value)
{
    struct machine *machine = &machines[i];
    int result = 0;

    if (machine->state == NEW)
        tell(&model, BEGIN, (int)model.serial[i], 0, 0);
    how.is_first = machine->state == NEW;
    for (; machine->pc < STEPS; machine->pc++, how.is_first = true) {
        int outcome = model_step(i, &how, value);

        if (outcome == STAYS) {
            machine->state = SUSPENDED;
            return 0;
        }
        if (ends_program(programs[i][machine->pc], &outcome)) {
            result = outcome;
            break;
        }
    }
    tell(&model, CLEANUP, (int)model.serial[i], result, 0);
    machine->state = ENDED;
    machine->result = result;
    return result < 0 ? result : -ENODATA;
}

/* `sent` is the error of a throw. */
static int model_next(enum op op, unsigned i, int sent, int *value)
{
    struct machine *machine = &machines[i];
    struct resumption how = {.error = op == THROW ? sent : 0, .sent = op == SEND ? sent : 0};

    if (machine->state == ENDED)
        return op == THROW ? sent : -ENODATA;
    if (machine->state == NEW && op == SEND)
        return -EINVAL;
    if (machine->state == NEW && op == THROW) {
        machine->state = ENDED;
        machine->result = sent;
        return sent;
    }
    return model_continue(i, how, value);
}

static int model_close(unsigned i)
{
    struct machine *machine = &machines[i];
    struct resumption how = {.is_closing = true, .error = -ECANCELED};
    int ignored;

    if (machine->state == ENDED)
        return 0;
    if (machine->state == SUSPENDED)
        (void)model_continue(i, how, &ignored);
    else
        *machine = (struct machine){.state = ENDED, .result = -ECANCELED};
    return machine->result < 0 && machine->result != -ECANCELED ? machine->result : 0;
}

static int model_op(enum op op, unsigned i, unsigned param)
{
    int value = UNTOUCHED, result = 0;

    if (i >= SLOTS || (machines[i].state == ABSENT) != (op == CREATE) ||
        (op == FREE && model.delegations[i] > 0))
        return -ENOENT;
    if (op == CREATE) {
        model.serial[i] = ++model.serials;
        machines[i] = (struct machine){.state = NEW, .result = -EBUSY};
    } else if (op == CLOSE || op == FREE) {
        result = model_close(i);
    } else {
        result = model_next(op, i, op == THROW ? error_of(param) : (int)param, &value);
    }
    if (op == FREE) {
        machines[i].state = ABSENT;
        result = 0;
    }
    if (result != 0 || param % 8 == 7)
        value = UNTOUCHED;
    tell(&model, OP, (int)i, result, value);
    return result;
}

/* The driver. */

struct order {
    enum op op;
    unsigned slot, param;
};

static int obey(void *arg)
{
    const struct order *order = arg;

    while (real_op(order->op == DRAIN ? NEXT : order->op, order->slot, order->param) == 0 &&
           order->op == DRAIN)
        ;
    return 0;
}

static void compare(void)
{
    for (unsigned i = 0; i < SLOTS; i++) {
        FUZZ_CHECK((generators[i] == NULL) == (machines[i].state == ABSENT));
        if (generators[i] != NULL)
            FUZZ_CHECK(weft_generator_result(generators[i]) == machines[i].result);
    }
    for (unsigned i = 0; i < real.story.length && i < model.story.length && i < LOG_MAX; i++) {
        const struct event *is = &real.story.events[i], *must = &model.story.events[i];

        FUZZ_CHECK(is->what == must->what && is->who == must->who);
        FUZZ_CHECK(is->result == must->result && is->value == must->value);
    }
    FUZZ_CHECK(real.story.length == model.story.length);
    real.story.length = model.story.length = 0;
}

static void act(struct order order)
{
    weft_fiber *fiber;

    if (is_in_fiber) {
        FUZZ_CHECK(weft_spawn(&fiber, obey, &order) == 0);
        FUZZ_CHECK(weft_join(fiber, NULL, WEFT_FOREVER) == 0);
    } else {
        (void)obey(&order);
    }
    while (model_op(order.op == DRAIN ? NEXT : order.op, order.slot, order.param) == 0 &&
           order.op == DRAIN)
        ;
    while (deferred.count > 0)
        tell(&model, DEFERRED, deferred.ids[--deferred.count], 0, 0);
    compare();
}

void fuzz_one(const uint8_t *data, size_t size)
{
    size_t at = 0;

    memset(programs, 0, sizeof programs);
    memset(machines, 0, sizeof machines);
    real.serials = model.serials = 0;
    for (unsigned ops = 0; at + 1 < size && ops < OPS_MAX; ops++) {
        struct order order = {data[at] % OPS, data[at] / OPS % SLOTS, data[at + 1]};

        is_in_fiber = data[at] / OPS / SLOTS % 2 == 0;
        at += 2;
        if (order.op == CREATE && generators[order.slot] == NULL && at + STEPS <= size) {
            memcpy(programs[order.slot], &data[at], STEPS);
            at += STEPS;
        }
        act(order);
    }
    is_in_fiber = false;
    for (unsigned i = 0; i < SLOTS; i++) /* those that delegate to others first */
        act((struct order){FREE, i, 0});
}
