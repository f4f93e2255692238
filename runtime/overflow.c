/* SPDX-License-Identifier: MIT */
#include "runtime/overflow.h"

#include "arch/context.h"
#include "arch/fault.h"
#include "arch/probe.h"
#include "runtime/check.h"
#include "runtime/config.h"
#include "runtime/model.h"

#include <stdlib.h>
#include <string.h>

enum { DEPTH_MAX = 32 }; /* places that a report shows; a function that calls itself is one */

/* The signals are the process's: several runs share them. */
static struct {
    struct wf_lock lock;                   /* guards the list, against other writers */
    WF_ATOMIC(struct weft_runtime *) live; /* the runtimes that report */
    WF_ATOMIC(uint32_t) judging;           /* handlers that walk the list */
    WF_ATOMIC(uint32_t) reporting;         /* 1: the process is about to die */
} process;

/* A line of a report.  The C library's streams may be locked by the code that faulted. */
struct line {
    char text[640];
    size_t length;
};

static void add(struct line *line, const char *text)
{
    while (*text != '\0' && line->length < sizeof line->text - 1)
        line->text[line->length++] = *text++;
}

static void add_number(struct line *line, uint64_t number)
{
    char digits[24];
    size_t at = sizeof digits - 1;

    digits[at] = '\0';
    do {
        digits[--at] = (char)('0' + number % 10);
        number /= 10;
    } while (number != 0);
    add(line, digits + at);
}

static void add_fiber(struct line *line, const struct weft_fiber *fiber)
{
    add(line, "fiber ");
    add_number(line, fiber->id);
    add(line, " \"");
    add(line, fiber->name);
    add(line, "\"");
}

static void print(struct line *line)
{
    line->text[line->length++] = '\n';
    wf_fault_write(line->text, line->length);
    line->length = 0;
}

/* The symbols come last: looking them up takes the dynamic loader's lock, and should that hang,
 * what matters has been said. */
static void print_place(struct line *line, const void *address)
{
    char text[512];

    wf_probe_describe(address, text, sizeof text);
    add(line, text);
    print(line);
}

static void print_places(const struct wf_fault_place *places, size_t count)
{
    size_t depth = 0;

    for (size_t i = 0; i < count; i++) {
        struct line line = {.length = 0};

        add(&line, "weft:   #");
        add_number(&line, depth);
        if (places[i].times > 1) {
            add(&line, " to #");
            add_number(&line, depth + places[i].times - 1);
        }
        add(&line, " ");
        print_place(&line, places[i].address);
        depth += places[i].times;
    }
}

/* By the frame pointers, and nothing outside of [bottom, top) is read: what lies there may be
 * damaged. */
static void print_walk(void *pc, void *frame, const char *bottom, const void *top)
{
    struct wf_fault_place places[DEPTH_MAX] = {{pc, 1}};
    void *addresses[DEPTH_MAX - 1];
    size_t count = wf_probe_walk(frame, bottom, top, addresses, DEPTH_MAX - 1);

    for (size_t i = 0; i < count; i++)
        places[i + 1] = (struct wf_fault_place){addresses[i], 1};
    print_places(places, count + 1);
}

static void print_calls(const struct wf_fault *fault, const char *bottom, const void *top)
{
    struct wf_fault_place places[DEPTH_MAX];
    size_t count = wf_fault_unwind(fault, places, DEPTH_MAX);

    if (count > 0)
        print_places(places, count);
    else /* there are no unwinding tables */
        print_walk(fault->pc, fault->frame, bottom, top);
}

static void print_spawn_site(const struct weft_fiber *fiber)
{
    struct line line = {.length = 0};

    add(&line, "weft:   spawned at: ");
    if (fiber->spawn_site != NULL) {
        print_place(&line, fiber->spawn_site);
    } else {
        add(&line, "the first of its run");
        print(&line);
    }
}

static const struct weft_fiber *fiber_of(const struct wf_stack *stack)
{
    return (const struct weft_fiber *)(const void *)stack;
}

static size_t size_in_kib(const struct wf_stack *stack)
{
    return wf_stack_class_size(stack->size_class) / 1024;
}

/* `how`: what is known beyond that. */
static void print_overflow(const struct weft_fiber *fiber, const char *how)
{
    struct line line = {.length = 0};

    add(&line, "weft: ");
    add_fiber(&line, fiber);
    add(&line, " overflowed its stack of ");
    add_number(&line, size_in_kib(&fiber->stack));
    add(&line, " KiB");
    add(&line, how);
    print(&line);
    print_spawn_site(fiber);
}

static void print_remedy(void)
{
    struct line line = {.length = 0};

    add(&line, "weft:   stack_size_kib of its attributes or of the configuration gives it more");
    print(&line);
}

/* The running fiber has come to the end of its own stack. */
static void report_overflow(const struct wf_fault *fault, struct wf_stack_depot *depot,
                            const struct weft_fiber *fiber)
{
    print_overflow(fiber, fault->has_address ? "" : ": there was no room for a signal's frame");
    print_calls(fault, wf_stack_bottom(depot, &fiber->stack), fiber);
    print_remedy();
}

/* Somebody else's guard: a pointer gone astray. */
static void report_stray(const struct wf_fault *fault, const struct wf_worker *self,
                         const struct wf_stack *stack)
{
    const struct weft_fiber *fiber = self != NULL ? self->current : NULL;
    struct line line = {.length = 0};

    add(&line, "weft: ");
    if (fiber != NULL)
        add_fiber(&line, fiber);
    else
        add(&line, "a thread that runs no fiber");
    add(&line, " touched the guard of the stack of ");
    if (fiber_of(stack)->id != 0)
        add_fiber(&line, fiber_of(stack));
    else
        add(&line, "no fiber");
    add(&line, ", of ");
    add_number(&line, size_in_kib(stack));
    add(&line, " KiB");
    print(&line);
    print_calls(fault, NULL, NULL);
}

/* The kernel needs room for a signal's frame, and sends SIGSEGV where there is none. */
static bool has_no_room(const struct wf_fault *fault, const char *bottom)
{
    const char *at = fault->stack_pointer;

    return !fault->has_address && at >= bottom && (size_t)(at - bottom) < wf_fault_frame_size();
}

static bool is_own(const struct wf_fault *fault, struct wf_stack_depot *depot,
                   const struct weft_fiber *fiber)
{
    const char *at = fault->address, *bottom = wf_stack_bottom(depot, &fiber->stack);

    return (at >= fiber->stack.base && at < bottom) || has_no_room(fault, bottom);
}

static const struct wf_stack *find_guard(const void *address)
{
    /* OV.1 seq_cst: the runtimes, and after we were counted. */
    struct weft_runtime *runtime = atomic_load_explicit(&process.live, memory_order_seq_cst);
    const struct wf_stack *stack = NULL;

    while (runtime != NULL && stack == NULL) {
        stack = wf_stack_find_guard(&runtime->depot, address);
        /* OV.1 seq_cst: as above. */
        runtime = atomic_load_explicit(&runtime->overflow.next, memory_order_seq_cst);
    }
    return stack;
}

/* One report: whoever comes second dies of the first one's signal. */
static void begin_report(void)
{
    /* relaxed: what is said afterwards is for standard error alone. */
    while (atomic_exchange_explicit(&process.reporting, 1, memory_order_relaxed) != 0)
        wf_os_yield();
}

static bool judge_counted(const struct wf_fault *fault)
{
    const struct wf_worker *self = wf_self();
    const struct wf_stack *stack;

    if (self != NULL && self->current != NULL &&
        is_own(fault, &self->runtime->depot, self->current)) {
        begin_report();
        report_overflow(fault, &self->runtime->depot, self->current);
        return true;
    }
    stack = fault->has_address ? find_guard(fault->address) : NULL;
    if (stack == NULL)
        return false;
    begin_report();
    report_stray(fault, self, stack);
    return true;
}

static bool judge(const struct wf_fault *fault)
{
    bool is_ours;

    /* OV.2 seq_cst: before our look at the list. */
    (void)atomic_fetch_add_explicit(&process.judging, 1, memory_order_seq_cst);
    is_ours = judge_counted(fault);
    /* OV.2 seq_cst: we have done with the runtimes. */
    (void)atomic_fetch_sub_explicit(&process.judging, 1, memory_order_seq_cst);
    return is_ours;
}

bool wf_overflow_is_reported(const struct weft_config *config)
{
    return config->overflow_report == WF_OVERFLOW_REPORT_ON;
}

static struct weft_runtime *first_live(void)
{
    /* relaxed: under the lock. */
    return atomic_load_explicit(&process.live, memory_order_relaxed);
}

void wf_overflow_start(struct weft_runtime *runtime)
{
    if (!wf_overflow_is_reported(&runtime->config))
        return;
    wf_lock_acquire(&process.lock);
    /* A sandbox may refuse: then an overflow is a plain fault. */
    if (first_live() != NULL || wf_fault_claim(judge) == 0) {
        /* relaxed: OV.1 publishes it. */
        atomic_store_explicit(&runtime->overflow.next, first_live(), memory_order_relaxed);
        /* OV.1 seq_cst: the depot. */
        atomic_store_explicit(&process.live, runtime, memory_order_seq_cst);
        runtime->overflow.is_listed = true;
    }
    wf_lock_release(&process.lock);
}

static void unlink_runtime(struct weft_runtime *runtime)
{
    WF_ATOMIC(struct weft_runtime *) *link = &process.live;
    struct weft_runtime *at;

    /* relaxed: under the lock. */
    while ((at = atomic_load_explicit(link, memory_order_relaxed)) != runtime)
        link = &at->overflow.next;
    at = atomic_load_explicit(&runtime->overflow.next, memory_order_relaxed);
    /* OV.1 seq_cst: before our look at those who walk the list. */
    atomic_store_explicit(link, at, memory_order_seq_cst);
}

void wf_overflow_end(struct weft_runtime *runtime)
{
    if (!runtime->overflow.is_listed)
        return;
    wf_lock_acquire(&process.lock);
    unlink_runtime(runtime);
    if (first_live() == NULL)
        wf_fault_release();
    wf_lock_release(&process.lock);
    /* OV.2 seq_cst: after we took the runtime out. */
    while (atomic_load_explicit(&process.judging, memory_order_seq_cst) != 0)
        wf_os_yield();
}

void wf_overflow_forget_parent(void)
{
    if (first_live() != NULL)
        wf_fault_release();
    memset(&process, 0, sizeof process);
}

/* The calls are those of the switch, not of the overflow, which was earlier. */
void wf_overflow_check(struct weft_runtime *runtime, const struct weft_fiber *fiber)
{
    void *pc, *frame;

    if (wf_stack_is_intact(&runtime->depot, &fiber->stack))
        return;
    begin_report();
    print_overflow(fiber, " and wrote over its canary, and perhaps over the memory below its "
                          "stack, some time before the switch whose calls follow");
    pc = wf_context_where(&fiber->context, &frame);
    print_walk(pc, frame, wf_stack_bottom(&runtime->depot, &fiber->stack), fiber);
    print_remedy();
    abort();
}
