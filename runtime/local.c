/* SPDX-License-Identifier: MIT */
/*
 * See local.h for the rules.
 *
 * There is no model of this: values are their fiber's alone, and keys are made and deleted under a
 * lock.  Whoever uses a key has it from whoever made it, and has so seen the key's fields.
 */
#include <weft/local.h>

#include "arch/atomic.h"
#include "arch/os.h"
#include "runtime/alloc.h"
#include "runtime/check.h"
#include "runtime/extra.h"
#include "runtime/lock.h"
#include "runtime/model.h"
#include "runtime/process.h"

#include <errno.h>
#include <string.h>

struct key {
    WF_ATOMIC(uint32_t) generation; /* written under the lock; odd while there is such a key */
    bool is_inherited;              /* under the lock; whoever has the key reads the rest as well */
    void (*destroy)(void *value);
    int (*copy)(void *value, void **copy);
};

static struct wf_lock keys_lock;
static struct key keys[WEFT_LOCAL_KEYS_MAX];

/* Where plain threads have their struct wf_locals: made for the first key, and kept. */
static uint32_t thread_slot;            /* written under the lock */
static WF_ATOMIC(uint32_t) has_threads; /* 1: there is one; the same */

static uint32_t generation_of(const struct key *key)
{
    /* relaxed: who has a key has seen it made; of two that race with a deletion one is wrong. */
    return atomic_load_explicit(&key->generation, memory_order_relaxed);
}

static struct key *find_key(weft_local_key key, const char *function)
{
    if (WF_UNLIKELY(key.index >= WEFT_LOCAL_KEYS_MAX || key.generation % 2 == 0 ||
                    generation_of(&keys[key.index]) != key.generation))
        wf_panic("%s: there is no such key: it was not created, or has been deleted", function);
    return &keys[key.index];
}

/* Plain threads have values as well as fibers. */
static bool is_thread(const struct wf_worker *self)
{
    return self == NULL || self->current == NULL;
}

static struct wf_locals *thread_locals(void)
{
    /* relaxed: only a thread that has used a key has values, and it has seen the key made. */
    if (atomic_load_explicit(&has_threads, memory_order_relaxed) == 0)
        return NULL;
    return wf_os_thread_value(thread_slot);
}

/* The caller's values; NULL if it has none. */
static struct wf_locals *find_locals(struct wf_worker *self)
{
    if (WF_UNLIKELY(is_thread(self)))
        return thread_locals();
    return self->current->extra != NULL ? &self->current->extra->locals : NULL;
}

static struct wf_locals *make_thread_locals(void)
{
    struct wf_locals *locals = thread_locals();

    if (locals != NULL)
        return locals;
    locals = wf_alloc(sizeof *locals);
    if (locals != NULL && wf_os_thread_value_set(thread_slot, locals) != 0) {
        wf_free(locals);
        return NULL;
    }
    return locals;
}

/* The same, made if there are none yet; NULL when there is no memory. */
static struct wf_locals *make_locals(struct wf_worker *self)
{
    struct wf_extra *extra;

    if (is_thread(self))
        return make_thread_locals();
    extra = wf_extra_of(self->current);
    return extra != NULL ? &extra->locals : NULL;
}

static struct wf_local_slot *find_slot(struct wf_locals *locals, weft_local_key key)
{
    if (locals == NULL || key.index >= locals->count ||
        locals->slots[key.index].generation != key.generation)
        return NULL;
    return &locals->slots[key.index];
}

/* NULL when there is no memory. */
static struct wf_local_slot *make_slot(struct wf_locals *locals, uint32_t index)
{
    uint32_t count = locals->count != 0 ? locals->count : 4;
    struct wf_local_slot *slots;

    if (index < locals->count)
        return &locals->slots[index];
    while (count <= index)
        count *= 2;
    slots = wf_alloc(count * sizeof *slots);
    if (slots == NULL)
        return NULL;
    if (locals->slots != NULL)
        memcpy(slots, locals->slots, locals->count * sizeof *slots);
    wf_free(locals->slots);
    locals->slots = slots;
    locals->count = count;
    return &slots[index];
}

static bool is_current(const struct wf_local_slot *slot, uint32_t index)
{
    return slot->generation != 0 && slot->generation == generation_of(&keys[index]);
}

bool wf_local_destroy_round(struct wf_locals *locals)
{
    bool was_any = false;

    /* What a destructor sets can move the slots. */
    for (uint32_t i = 0; i < locals->count; i++) {
        struct wf_local_slot *slot = &locals->slots[i];
        void *value = slot->value;

        /* A value that nobody destroys stays: the destructors after it, and defers, may read it. */
        if (value == NULL || slot->destroy == NULL || !is_current(slot, i))
            continue;
        slot->value = NULL;
        was_any = true;
        slot->destroy(value);
    }
    return was_any;
}

void wf_local_free(struct wf_locals *locals)
{
    wf_free(locals->slots);
    *locals = (struct wf_locals){NULL, 0, false};
}

/* At the end of a plain thread.  The destructors use its values still. */
static void end_thread(void *arg)
{
    struct wf_locals *locals = arg;

    if (wf_os_thread_value_set(thread_slot, locals) == 0) {
        for (unsigned i = 0; i < WEFT_LOCAL_ROUNDS && wf_local_destroy_round(locals); i++)
            ;
        (void)wf_os_thread_value_set(thread_slot, NULL);
    }
    wf_local_free(locals);
    wf_free(locals);
}

/* Without it a thread that ends after the library was unloaded would call what is gone. */
__attribute__((destructor)) static void forget_threads(void)
{
    /* relaxed: nobody uses the library any more. */
    if (atomic_load_explicit(&has_threads, memory_order_relaxed) != 0)
        wf_os_thread_slot_delete(thread_slot);
}

/* Caller has the lock. */
static int make_thread_slot(void)
{
    /* relaxed: under the lock. */
    if (atomic_load_explicit(&has_threads, memory_order_relaxed) != 0)
        return 0;
    if (wf_os_thread_slot_create(&thread_slot, end_thread) != 0)
        return -EAGAIN;
    /* relaxed: see thread_locals(). */
    atomic_store_explicit(&has_threads, 1, memory_order_relaxed);
    return 0;
}

/* Caller has the lock. */
static int make_key(weft_local_key *result, const struct weft_local_attr *attr)
{
    uint32_t index = 0;
    struct key *key;

    while (index < WEFT_LOCAL_KEYS_MAX && generation_of(&keys[index]) % 2 != 0)
        index++;
    if (index == WEFT_LOCAL_KEYS_MAX)
        return -EAGAIN;
    key = &keys[index];
    key->destroy = attr->destroy;
    key->copy = attr->copy;
    key->is_inherited = attr->inherit;
    *result = (weft_local_key){index, generation_of(key) + 1};
    /* relaxed: the program passes the key on, and all this with it. */
    atomic_store_explicit(&key->generation, result->generation, memory_order_relaxed);
    return 0;
}

/* A key that was just being made is made anew: its generation is written last. */
void wf_local_forget_parent(void)
{
    /* relaxed: the child has one thread. */
    atomic_store_explicit(&keys_lock.word, WF_LOCK_FREE, memory_order_relaxed);
}

int weft_local_key_create(weft_local_key *key, const struct weft_local_attr *attr)
{
    static const struct weft_local_attr none = WEFT_LOCAL_ATTR_INIT;
    int error;

    if (attr == NULL)
        attr = &none;
    if (attr->copy != NULL && !attr->inherit)
        return -EINVAL;
    error = wf_process_watch();
    if (error != 0)
        return error;
    wf_lock_acquire(&keys_lock);
    error = make_thread_slot();
    if (error == 0)
        error = make_key(key, attr);
    wf_lock_release(&keys_lock);
    return error;
}

void weft_local_key_delete(weft_local_key key)
{
    struct key *found;

    wf_lock_acquire(&keys_lock);
    found = find_key(key, "weft_local_key_delete");
    /* relaxed: using the key from now on is an error, not a race to be decided. */
    atomic_store_explicit(&found->generation, key.generation + 1, memory_order_relaxed);
    wf_lock_release(&keys_lock);
}

int weft_local_set(weft_local_key handle, void *value)
{
    struct key *key = find_key(handle, "weft_local_set");
    struct wf_worker *self = wf_self();
    struct wf_locals *locals = find_locals(self);
    struct wf_local_slot *slot = find_slot(locals, handle);

    if (slot == NULL && value == NULL)
        return 0;
    if (slot == NULL) {
        locals = make_locals(self);
        slot = locals != NULL ? make_slot(locals, handle.index) : NULL;
    }
    if (slot == NULL)
        return -ENOMEM;
    /* All of it: what was inherited was another's to destroy. */
    *slot = (struct wf_local_slot){value, key->destroy, key->copy, handle.generation,
                                   key->is_inherited};
    locals->has_heirs |= key->is_inherited;
    return 0;
}

void *weft_local_get(weft_local_key handle)
{
    struct wf_local_slot *slot;

    (void)find_key(handle, "weft_local_get");
    slot = find_slot(find_locals(wf_self()), handle);
    return slot != NULL ? slot->value : NULL;
}

bool wf_local_has_heirs(struct wf_worker *self)
{
    struct wf_locals *locals = find_locals(self);

    return locals != NULL && locals->has_heirs;
}

/* Gives a child its value of one key.  0 or -errno. */
static int bequeath(const struct wf_local_slot *own, uint32_t index, struct wf_locals *locals)
{
    struct wf_local_slot given = *own;
    struct wf_local_slot *slot = make_slot(locals, index);
    int error = 0;

    if (slot == NULL)
        return -ENOMEM;
    if (own->copy == NULL)
        given.destroy = NULL;
    else
        error = own->copy(own->value, &given.value);
    if (error < 0)
        return error;
    *slot = given;
    locals->has_heirs = true;
    return 0;
}

/* A copy function can set values, which moves the slots, and come back on another worker. */
int wf_local_inherit(struct wf_extra **result)
{
    struct wf_locals *own = find_locals(wf_self());
    struct wf_extra *extra = NULL;
    int error = 0;

    for (uint32_t i = 0; i < own->count && error == 0; i++) {
        struct wf_local_slot slot = own->slots[i];

        if (slot.value == NULL || !slot.is_inherited || !is_current(&slot, i))
            continue;
        if (extra == NULL)
            extra = wf_alloc(sizeof *extra);
        error = extra != NULL ? bequeath(&slot, i, &extra->locals) : -ENOMEM;
    }
    if (error == 0)
        *result = extra;
    else
        wf_local_disinherit(extra);
    return error;
}

void wf_local_disinherit(struct wf_extra *extra)
{
    if (extra == NULL)
        return;
    (void)wf_local_destroy_round(&extra->locals);
    wf_local_free(&extra->locals);
    wf_free(extra);
}
