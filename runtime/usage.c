/* SPDX-License-Identifier: MIT */
#include "runtime/usage.h"

#include "arch/probe.h"
#include "runtime/alloc.h"
#include "runtime/config.h"
#include "runtime/model.h"
#include "runtime/outside.h"

#include <errno.h>

enum {
    SITES = 512,
    LOWEST = 128,         /* left unpainted: there may be a canary */
    HEADROOM_PERCENT = 25 /* guessed: what a signal or another branch may need on top */
};

#define PAINT UINT64_C(0xa5c35a3c965a69c3) /* any value that programs are unlikely to write */

/* Without a sanitizer's checks: these are the frames of functions that have returned. */
#define UNCHECKED __attribute__((no_sanitize("address", "thread", "undefined")))

static uint64_t *low_end(struct weft_runtime *runtime, const struct weft_fiber *fiber)
{
    return (uint64_t *)(void *)(wf_stack_bottom(&runtime->depot, &fiber->stack) + LOWEST);
}

/* Reads words that the compiler believes nobody uses, or that another fiber is just using. */
UNCHECKED static size_t measure(struct weft_runtime *runtime, const struct weft_fiber *fiber)
{
    const volatile uint64_t *at = low_end(runtime, fiber);
    const volatile uint64_t *end = (const volatile uint64_t *)(const volatile void *)fiber;

    while (at < end && *at == PAINT)
        at++;
    return (size_t)((const volatile char *)end - (const volatile char *)at);
}

UNCHECKED void wf_usage_begin(struct weft_runtime *runtime, struct weft_fiber *fiber)
{
    volatile uint64_t *end = (volatile uint64_t *)(volatile void *)fiber;

    for (volatile uint64_t *at = low_end(runtime, fiber); at < end; at++)
        *at = PAINT;
}

/* The entry of the place, or an unused one; NULL if there is no room.  Caller holds the lock. */
static struct wf_usage_site *find_site(struct wf_usage *usage, const void *address,
                                       unsigned stack_class)
{
    size_t start = (size_t)(((uintptr_t)address * UINT64_C(0x9e3779b97f4a7c15)) >> 32);

    for (size_t i = 0; i < SITES; i++) {
        struct wf_usage_site *site = &usage->sites[(start + i) % SITES];

        if (site->fibers == 0 || (site->address == address && site->stack_class == stack_class))
            return site;
    }
    return NULL;
}

void wf_usage_end(struct weft_runtime *runtime, const struct weft_fiber *fiber)
{
    struct wf_usage *usage = &runtime->usage;
    size_t used = measure(runtime, fiber);
    struct wf_usage_site *site;

    wf_lock_acquire(&usage->lock);
    site = find_site(usage, fiber->spawn_site, fiber->stack.size_class);
    if (site != NULL) {
        site->address = fiber->spawn_site;
        site->stack_class = fiber->stack.size_class;
        site->fibers++;
        if (used > site->most)
            site->most = used;
    } else {
        usage->left_out++;
    }
    wf_lock_release(&usage->lock);
}

int wf_usage_create(struct weft_runtime *runtime)
{
    if (runtime->config.stack_usage != WF_STACK_USAGE_ON)
        return 0;
    runtime->usage.sites = wf_alloc(SITES * sizeof *runtime->usage.sites);
    return runtime->usage.sites != NULL ? 0 : -ENOMEM;
}

void wf_usage_destroy(struct weft_runtime *runtime)
{
    wf_free(runtime->usage.sites);
}

/* The smallest size that leaves room to spare. */
static size_t suggest(size_t most)
{
    size_t wanted = most + most * HEADROOM_PERCENT / 100 + 2048;
    unsigned stack_class = wf_stack_class(wanted);

    return wf_stack_class_size(stack_class < WF_STACK_CLASSES ? stack_class : WF_STACK_CLASSES - 1);
}

static void print_site(FILE *out, const struct wf_usage_site *site)
{
    char place[512] = "the first of its run";

    if (site->address != NULL)
        wf_probe_describe(site->address, place, sizeof place);
    fprintf(out, "%10zu %10zu %10zu %12lu  %s\n", site->most,
            wf_stack_class_size(site->stack_class) / 1024, suggest(site->most) / 1024,
            (unsigned long)site->fibers, place);
}

static void print_sites(FILE *out, struct wf_usage *usage)
{
    uint64_t left_out = 0;

    fprintf(out, "%10s %10s %10s %12s  %s\n", "used, B", "has, KiB", "needs, KiB", "fibers",
            "spawned at");
    for (size_t i = 0; i < SITES; i++) {
        struct wf_usage_site site;

        wf_lock_acquire(&usage->lock);
        site = usage->sites[i];
        left_out = usage->left_out;
        wf_lock_release(&usage->lock);
        if (site.fibers > 0)
            print_site(out, &site);
    }
    if (left_out > 0)
        fprintf(out, "%lu fibers of further places were left out\n", (unsigned long)left_out);
}

int weft_stack_report(weft_runtime *runtime, FILE *out)
{
    if (wf_outside_is_child(runtime))
        return -ECHILD;
    if (runtime->usage.sites == NULL)
        return -ENOENT;
    wf_outside_enter(runtime);
    print_sites(out, &runtime->usage);
    wf_outside_leave(runtime);
    return 0;
}

ssize_t weft_fiber_stack_used(const weft_fiber *fiber)
{
    struct weft_runtime *runtime = fiber->waiter.runtime;

    return runtime->usage.sites != NULL ? (ssize_t)measure(runtime, fiber) : -ENOENT;
}
