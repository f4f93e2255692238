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

bool wf_defers_add(struct wf_defer **list, void (*fn)(void *), void *arg)
{
    struct wf_defer *defer = wf_alloc(sizeof *defer);

    if (defer == NULL)
        return false;
    *defer = (struct wf_defer){*list, fn, arg};
    *list = defer;
    return true;
}

void wf_defers_run(struct wf_defer **list)
{
    struct wf_defer *defer;

    while ((defer = *list) != NULL) {
        struct wf_defer own = *defer;

        *list = own.next;
        wf_free(defer);
        own.fn(own.arg);
    }
}

int weft_defer(void (*fn)(void *), void *arg)
{
    struct wf_worker *self = wf_self();
    struct wf_extra *extra;

    if (self == NULL)
        return -EPERM;
    extra = wf_extra_of(self->current);
    return extra != NULL && wf_defers_add(&extra->defers, fn, arg) ? 0 : -ENOMEM;
}

/* Defers may use values, and the destructors of values may defer. */
static void end_extra(struct wf_extra *extra)
{
    unsigned rounds = 0;

    do
        wf_defers_run(&extra->defers);
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
