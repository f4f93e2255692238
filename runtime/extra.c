/* SPDX-License-Identifier: MIT */
#include "runtime/extra.h"

#include "runtime/alloc.h"
#include "runtime/model.h"
#include "runtime/scope.h"

#include <errno.h>
#include <weft/local.h>
#include <weft/scope.h>

struct wf_defer {
    struct wf_defer *next;
    void (*fn)(void *);
    void *arg;
};

struct wf_extra *wf_extra_of(struct weft_fiber *fiber)
{
    if (fiber->extra == NULL)
        fiber->extra = wf_alloc(sizeof *fiber->extra);
    fiber->has_more = true;
    return fiber->extra;
}

void wf_extra_give(struct weft_fiber *fiber, struct wf_extra *extra)
{
    fiber->extra = extra;
    fiber->has_more = true;
}

int weft_defer(void (*fn)(void *), void *arg)
{
    struct wf_worker *self = wf_self();
    struct wf_extra *extra;
    struct wf_defer *defer;

    if (self == NULL)
        return -EPERM;
    extra = wf_extra_of(self->current);
    defer = extra != NULL ? wf_alloc(sizeof *defer) : NULL;
    if (defer == NULL)
        return -ENOMEM;
    *defer = (struct wf_defer){extra->defers, fn, arg};
    extra->defers = defer;
    return 0;
}

/* A defer may defer: what it adds runs next. */
static void run_defers(struct wf_extra *extra)
{
    struct wf_defer *defer;

    while ((defer = extra->defers) != NULL) {
        struct wf_defer own = *defer;

        extra->defers = own.next;
        wf_free(defer);
        own.fn(own.arg);
    }
}

/* Defers may use values, and the destructors of values may defer. */
static void end_extra(struct wf_extra *extra)
{
    unsigned rounds = 0;

    do
        run_defers(extra);
    while (rounds++ < WEFT_LOCAL_ROUNDS && wf_local_destroy_round(&extra->locals));
    wf_local_free(&extra->locals);
}

struct wf_worker *wf_extra_end(struct wf_worker *self, struct weft_fiber *fiber)
{
    wf_scope_check_closed(fiber);
    if (fiber->extra != NULL) {
        end_extra(fiber->extra);
        wf_scope_check_closed(fiber);
        wf_free(fiber->extra);
        fiber->extra = NULL;
        self = wf_self();
    }
    fiber->has_more = false;
    wf_scope_leave(self, fiber);
    return self;
}
