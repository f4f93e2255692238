/* SPDX-License-Identifier: MIT */
/*
 * Generators.
 *
 * A generator has a stack and no place in the scheduler.  Whoever asks for a value changes to that
 * stack and back, in the middle of a turn: the worker's `current` stays the fiber that asks.  When
 * the generator makes that fiber wait, the fiber's context is saved on the generator's stack, and
 * continued there, perhaps on another worker.  So everything that concerns fibers works in a
 * generator as it does in a function, and nothing here knows of workers.
 *
 * The record lies at the high end of the stack.  A thread sanitizer sees one thread of control, as
 * it is; an address sanitizer is told of the stacks.
 *
 * There is no model: one fiber at a time has a generator, and only the cache of stacks is shared,
 * under a lock.
 */
#include "runtime/generator.h"

#include "arch/context.h"
#include "arch/os.h"
#include "arch/sanitizer.h"
#include "runtime/check.h"
#include "runtime/extra.h"
#include "runtime/lock.h"
#include "runtime/process.h"
#include "runtime/stack.h"

#include <assert.h>
#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <weft/generator.h>

enum {
    RECORD_SIZE = 320, /* of what follows the stack; a multiple of its alignment */
    DEFAULT_SIZE = 64 * 1024,
    CACHE_MAX = 64, /* guessed: stacks of the default size that are kept, in the whole process */
};

enum state {
    STATE_NEW,
    STATE_SUSPENDED, /* at a yield */
    STATE_RUNNING,
    STATE_CLOSING, /* runs, and yields no more */
    STATE_ENDED,
    STATE_FREED, /* the stack is kept for another: any use aborts */
};

/* Whoever asks has it to itself, so nothing here is atomic. */
struct weft_generator {
    struct wf_context own;    /* while it does not run */
    struct wf_context caller; /* while it runs */
    enum state state;
    int result;
    void **value; /* where the next value goes, or NULL */
    void **sent;  /* where what is sent goes, or NULL */
    struct wf_san own_san, caller_san;
    int (*fn)(weft_generator *generator, void *arg);
    void *arg;
    struct wf_defer *defers;     /* the function's: the youngest first */
    struct weft_generator *next; /* in the cache */
    char *base;                  /* of the mapping, guard included */
    size_t size;                 /* without the guard */
};

static_assert(sizeof(struct weft_generator) <= RECORD_SIZE, "it fits");

static struct wf_lock cache_lock;
static struct weft_generator *cache; /* under the lock */
static unsigned cached;              /* under the lock */

static struct weft_generator *take_cached(void)
{
    struct weft_generator *generator;

    wf_lock_acquire(&cache_lock);
    generator = cache;
    if (generator != NULL) {
        cache = generator->next;
        cached--;
    }
    wf_lock_release(&cache_lock);
    return generator;
}

static bool give_to_cache(struct weft_generator *generator)
{
    bool has_room;

    if (generator->size != DEFAULT_SIZE)
        return false;
    wf_lock_acquire(&cache_lock);
    has_room = cached < CACHE_MAX;
    if (has_room) {
        generator->next = cache;
        cache = generator;
        cached++;
    }
    wf_lock_release(&cache_lock);
    return has_room;
}

/* Not even if the lock looks free is the list whole: fork() does not copy all memory at once. */
void wf_generator_forget_parent(void)
{
    /* relaxed: the child has one thread. */
    atomic_store_explicit(&cache_lock.word, WF_LOCK_FREE, memory_order_relaxed);
    cache = NULL;
    cached = 0;
}

static size_t mapping_of(size_t size)
{
    return wf_os_page_size() + size;
}

/* NULL when there is no memory, or no guard: a stack without one is not made. */
static struct weft_generator *make_stack(size_t size)
{
    char *base = wf_os_map(mapping_of(size));
    struct weft_generator *generator;

    if (base == NULL)
        return NULL;
    if (wf_os_guard_marker(base, wf_os_page_size()) != 0 &&
        wf_os_guard_mapping(base, wf_os_page_size()) != 0) {
        wf_os_unmap(base, mapping_of(size));
        return NULL;
    }
    wf_san_stack_mapped(base, mapping_of(size));
    generator = (struct weft_generator *)(void *)(base + mapping_of(size) - RECORD_SIZE);
    wf_san_record(generator, sizeof *generator);
    generator->base = base;
    generator->size = size;
    return generator;
}

static WF_NORETURN void generator_main(void *arg, void *passed)
{
    struct weft_generator *generator = arg;
    int result;

    (void)passed;
    (void)wf_san_stack_switched(&generator->own_san, &generator->caller_san, 0);
    result = generator->fn(generator, generator->arg);
    if (WF_UNLIKELY(generator->defers != NULL)) {
        generator->state = STATE_CLOSING; /* they may wait, but have nothing to yield */
        wf_defers_run(&generator->defers);
    }
    generator->result = result;
    generator->state = STATE_ENDED;
    wf_san_stack_switch(&generator->own_san, &generator->caller_san, true);
    (void)wf_context_hand_back(&generator->own, &generator->caller, result < 0 ? result : -ENODATA);
    wf_panic("a generator that has ended was continued");
}

int weft_generator_create(weft_generator **result, int (*fn)(weft_generator *generator, void *arg),
                          void *arg, uint32_t stack_size_kib)
{
    size_t size = DEFAULT_SIZE;
    struct weft_generator *generator = NULL;
    char *bottom;
    int error;

    if (stack_size_kib != 0) {
        unsigned size_class = wf_stack_class((size_t)stack_size_kib * 1024);

        if (stack_size_kib < WF_STACK_SIZE_MIN / 1024 || size_class >= WF_STACK_CLASSES)
            return -EINVAL;
        size = wf_stack_class_size(size_class);
    }
    error = wf_process_watch();
    if (error != 0)
        return error;
    if (size == DEFAULT_SIZE)
        generator = take_cached();
    if (generator == NULL) {
        error = wf_check_shadow_stack();
        if (error != 0)
            return error;
        generator = make_stack(size);
    }
    if (generator == NULL)
        return -ENOMEM;
    bottom = generator->base + wf_os_page_size();
    generator->state = STATE_NEW;
    generator->result = -EBUSY;
    generator->sent = NULL;
    generator->defers = NULL;
    generator->fn = fn;
    generator->arg = arg;
    wf_san_stack(&generator->own_san, bottom, (size_t)((char *)generator - bottom));
    wf_context_init(&generator->own, generator, generator_main, generator, NULL);
    *result = generator;
    return 0;
}

/* The switch is the last thing here so that it can be a jump, and leaves by one: nothing then
 * returns to a place that the processor does not expect. */
WF_INLINE int continue_with(struct weft_generator *generator, enum state state, void **value,
                            int error)
{
    generator->state = state;
    generator->value = value;
    wf_san_stack_switch(&generator->caller_san, &generator->own_san, false);
    return wf_san_stack_switched(&generator->caller_san, &generator->own_san,
                                 wf_context_hand_over(&generator->caller, &generator->own, error));
}

static void expect_not_freed(const struct weft_generator *generator)
{
    if (WF_UNLIKELY(generator->state == STATE_FREED))
        wf_panic("a generator that was freed is used");
}

static WF_COLD int resume_slowly(struct weft_generator *generator, void **value, int error)
{
    if (generator->state == STATE_RUNNING || generator->state == STATE_CLOSING)
        wf_panic("weft_generator_next: the generator runs already");
    expect_not_freed(generator);
    if (generator->state == STATE_ENDED)
        return error != 0 ? error : -ENODATA;
    if (error != 0) {
        generator->state = STATE_ENDED;
        generator->result = error;
        return error;
    }
    return continue_with(generator, STATE_RUNNING, value, 0);
}

int weft_generator_next(weft_generator *generator, void **value)
{
    if (WF_UNLIKELY(generator->state != STATE_SUSPENDED))
        return resume_slowly(generator, value, 0);
    if (generator->sent != NULL)
        *generator->sent = NULL;
    return continue_with(generator, STATE_RUNNING, value, 0);
}

int weft_generator_send(weft_generator *generator, void *sent, void **value)
{
    if (WF_UNLIKELY(generator->state == STATE_NEW))
        return -EINVAL;
    if (WF_UNLIKELY(generator->state != STATE_SUSPENDED))
        return resume_slowly(generator, value, 0);
    if (generator->sent != NULL)
        *generator->sent = sent;
    return continue_with(generator, STATE_RUNNING, value, 0);
}

int weft_generator_throw(weft_generator *generator, int error, void **value)
{
    if (error >= 0)
        wf_panic("weft_generator_throw: %d is no negative errno", error);
    if (WF_UNLIKELY(generator->state != STATE_SUSPENDED))
        return resume_slowly(generator, value, error);
    return continue_with(generator, STATE_RUNNING, value, error);
}

int weft_generator_close(weft_generator *generator)
{
    if (generator->state == STATE_ENDED)
        return 0;
    /* It yields no more, so it ends. */
    if (generator->state == STATE_SUSPENDED)
        (void)continue_with(generator, STATE_CLOSING, NULL, -ECANCELED);
    else
        (void)resume_slowly(generator, NULL, -ECANCELED);
    WF_ASSERT(generator->state == STATE_ENDED);
    return generator->result < 0 && generator->result != -ECANCELED ? generator->result : 0;
}

void weft_generator_free(weft_generator *generator)
{
    if (generator == NULL)
        return;
    (void)weft_generator_close(generator);
    generator->state = STATE_FREED;
    if (!give_to_cache(generator))
        wf_os_unmap(generator->base, mapping_of(generator->size));
}

int weft_generator_result(const weft_generator *generator)
{
    expect_not_freed(generator);
    return generator->result;
}

/* It may run in another fiber, or while another generator, which it asked, yields in its name: who
 * is not on its stack would go on as somebody else.  (The frame's address is that of the stack also
 * where a sanitizer keeps the variables elsewhere.) */
WF_INLINE bool is_its_stack(const struct weft_generator *generator)
{
    return (uintptr_t)generator - (uintptr_t)__builtin_frame_address(0) < generator->size;
}

static WF_COLD WF_NORETURN void refuse_stranger(const char *call)
{
    wf_panic("%s: the generator runs elsewhere, so this is not its function", call);
}

static WF_COLD int refuse_yield(const struct weft_generator *generator)
{
    if (generator->state != STATE_CLOSING)
        wf_panic("weft_generator_yield: the generator does not run, so this is not its function");
    if (!is_its_stack(generator))
        refuse_stranger("weft_generator_yield");
    return -ECANCELED;
}

int weft_generator_yield(weft_generator *generator, void *value, void **sent)
{
    if (WF_UNLIKELY(generator->state != STATE_RUNNING))
        return refuse_yield(generator);
    if (WF_UNLIKELY(!is_its_stack(generator)))
        refuse_stranger("weft_generator_yield");
    generator->state = STATE_SUSPENDED;
    generator->sent = sent;
    if (generator->value != NULL)
        *generator->value = value;
    wf_san_stack_switch(&generator->own_san, &generator->caller_san, false);
    return wf_san_stack_switched(&generator->own_san, &generator->caller_san,
                                 wf_context_hand_back(&generator->own, &generator->caller, 0));
}

int weft_generator_defer(weft_generator *generator, void (*fn)(void *), void *arg)
{
    /* No other's: one that stands still may never run again, nor be closed in this fiber. */
    if (WF_UNLIKELY(generator->state != STATE_RUNNING && generator->state != STATE_CLOSING))
        wf_panic("weft_generator_defer: the generator does not run, so this is not its function");
    if (WF_UNLIKELY(!is_its_stack(generator)))
        refuse_stranger("weft_generator_defer");
    return wf_defers_add(&generator->defers, fn, arg) ? 0 : -ENOMEM;
}

int weft_generator_delegate(weft_generator *generator, weft_generator *inner)
{
    void *value = NULL;
    void *sent = NULL;
    int error = weft_generator_next(inner, &value);

    while (error == 0) {
        error = weft_generator_yield(generator, value, &sent);
        if (generator->state == STATE_CLOSING) {
            (void)weft_generator_close(inner);
            return -ECANCELED;
        }
        error = error == 0 ? weft_generator_send(inner, sent, &value)
                           : weft_generator_throw(inner, error, &value);
    }
    return error == -ENODATA ? 0 : error;
}
