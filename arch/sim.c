/* SPDX-License-Identifier: MIT */
/* See sim.h: threads, their choice, and the clock. */
#include "arch/sim.h"

#include "arch/context.h"
#include "arch/sanitizer.h"
#include "arch/sim_internal.h"
#include "arch/tls.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define STACK_SIZE ((size_t)1 << 20)

/* Guessed, all of them: often enough to matter, seldom enough to get on. */
enum {
    STEP_MAX_NS = 64,        /* that a point lasts */
    STALL_MAX_NS = 20000000, /* that the system keeps a thread from running */
    NEGLECT_POINTS = 512,    /* for how many choices one thread is avoided */
};

enum state { UNUSED, RUNNABLE, WAITING, STALLED, ENDED };

/* A simulated thread.  The first is the host itself, which only begins and ends the others. */
struct thread {
    struct wf_context context;
    struct wf_san san;
    void *tls; /* wf_tls_get(), while another one runs */
    int error; /* errno, the same */
    enum state state;
    uint32_t place;             /* in `runnable` */
    WF_ATOMIC(uint32_t) * word; /* WAITING: for a wake here */
    int64_t deadline;           /* WAITING, STALLED: until then; INT64_MAX: for good */
    WF_ATOMIC(uint32_t) ended;  /* 1: can be joined */
    int64_t since;              /* when it went on last */
    int64_t ran;                /* before that */
    uint64_t sleeps;
    void (*fn)(void *);
    void *arg;
    char *stack; /* kept for the next thread in this place */
};

WF_ATOMIC(bool) wf_sim_is_on;

static struct thread threads[WF_SIM_THREADS_MAX]; /* [0]: the host */
static struct {
    struct thread *current, *last; /* last: who ran before the last switch */
    uint32_t runnable_count;
    uint32_t thread_count; /* how many of `threads` have been in use */
    uint32_t alive;
    uint32_t switch_one_in;
    uint32_t neglected; /* a thread that is mostly not chosen; 0: none */
    uint32_t neglect_left;
    int64_t next_due; /* nothing is due before: a deadline, or an event */
    int result;
} run;
static struct thread *runnable[WF_SIM_THREADS_MAX];

static uint32_t number_of(const struct thread *thread)
{
    return (uint32_t)(thread - threads);
}

static uint32_t draw(uint32_t limit)
{
    return wf_sim_draw(WF_SIM_SCHEDULE, limit);
}

static void make_runnable(struct thread *thread)
{
    thread->state = RUNNABLE;
    thread->word = NULL;
    thread->deadline = INT64_MAX;
    thread->place = run.runnable_count;
    runnable[run.runnable_count++] = thread;
}

static void take_from_runnable(struct thread *thread, enum state state)
{
    struct thread *other = runnable[--run.runnable_count];

    runnable[thread->place] = other;
    other->place = thread->place;
    thread->state = state;
}

/* Right after a switch, in the thread that goes on. */
static void land(void)
{
    struct thread *self = run.current;

    wf_san_switched(&self->san, &run.last->san);
    wf_tls_set(self->tls);
    errno = self->error;
    self->since = wf_sim_clock.now;
}

static void switch_simulated(struct thread *next)
{
    struct thread *self = run.current;

    self->tls = wf_tls_get();
    self->error = errno;
    self->ran += wf_sim_clock.now - self->since;
    run.last = self;
    run.current = next;
    wf_sim_totals.switches++;
    wf_san_thread(&self->san);
    wf_san_switch(&self->san, &next->san, self->state == ENDED);
    (void)wf_context_switch(&self->context, &next->context, NULL);
    land();
}

/* The run has failed: the host goes on, and nobody else ever does. */
static void give_up(int result)
{
    run.result = result;
    switch_simulated(&threads[0]);
}

/* Ends the waits whose deadlines have passed, and looks when the next one will. */
static void end_late_waits(void)
{
    int64_t next = INT64_MAX;

    for (uint32_t i = 1; i <= run.thread_count; i++) {
        struct thread *thread = &threads[i];

        if (thread->state != WAITING && thread->state != STALLED)
            continue;
        if (thread->deadline <= wf_sim_clock.now)
            make_runnable(thread);
        else if (thread->deadline < next)
            next = thread->deadline;
    }
    run.next_due = next < wf_sim_next_event() ? next : wf_sim_next_event();
}

static void do_what_is_due(void)
{
    if (wf_sim_clock.now < run.next_due && wf_sim_clock.now < wf_sim_next_event())
        return;
    wf_sim_fire_events();
    end_late_waits();
}

/* Nobody can run: the clock jumps to what comes next.  Returns false if nothing does. */
static bool jump(void)
{
    end_late_waits();
    if (run.runnable_count > 0)
        return true;
    if (run.next_due == INT64_MAX)
        return false;
    if (wf_sim_clock.now < run.next_due)
        wf_sim_clock.now = run.next_due;
    wf_sim_trace("jump", 0, 0);
    do_what_is_due();
    return true;
}

/* Each thread is passed over for a while, now and then: what takes a rest at the wrong moment is
 * found sooner than by fair dice (the idea is that of Burckhardt et al., "A Randomized Scheduler
 * with Probabilistic Guarantees of Finding Bugs", 2010). */
static struct thread *draw_thread(void)
{
    struct thread *thread = runnable[draw(run.runnable_count)];

    if (run.neglect_left == 0) {
        run.neglected = draw(2) == 0 ? 0 : 1 + draw(run.thread_count);
        run.neglect_left = 1 + draw(NEGLECT_POINTS);
    }
    run.neglect_left--;
    for (int i = 0; i < 3 && number_of(thread) == run.neglected; i++)
        thread = runnable[draw(run.runnable_count)];
    return thread;
}

/* Chooses who goes on.  Returns when the caller does. */
static void choose(void)
{
    struct thread *next;

    for (;;) {
        do_what_is_due();
        if (wf_sim_clock.now >= wf_sim_clock.limit)
            give_up(-ETIME);
        if (run.runnable_count > 0)
            break;
        if (!jump())
            give_up(-EDEADLK);
    }
    next = draw_thread();
    if (next == run.current)
        return;
    wf_sim_trace("run", number_of(next), 0);
    switch_simulated(next);
}

static void sleep_until(enum state state, int64_t deadline)
{
    struct thread *self = run.current;

    take_from_runnable(self, state);
    self->deadline = deadline;
    if (deadline < run.next_due)
        run.next_due = deadline;
    choose();
}

void wf_sim_point(void)
{
    if (run.current == &threads[0] || wf_sim_clock.is_firing)
        return;
    wf_sim_totals.points++;
    wf_sim_clock.now += 1 + draw(STEP_MAX_NS);
    if (draw(run.switch_one_in) == 0)
        wf_sim_yield();
    else if (wf_sim_clock.now >= run.next_due)
        do_what_is_due();
}

void wf_sim_yield(void)
{
    if (wf_sim_settings.stall_fault != 0 && wf_sim_fault(wf_sim_settings.stall_fault))
        sleep_until(STALLED, wf_sim_clock.now + 1 +
                                 wf_sim_fault_draw(wf_sim_settings.stall_fault, STALL_MAX_NS));
    else
        choose();
}

int64_t wf_sim_now(void)
{
    wf_sim_point();
    return wf_sim_clock.now;
}

void wf_sim_futex_wait(WF_ATOMIC(uint32_t) * word, uint32_t expected, int64_t deadline)
{
    struct thread *self = run.current;

    wf_sim_point();
    /* relaxed: there is one real thread; here and below. */
    if (atomic_load_explicit(word, memory_order_relaxed) != expected ||
        deadline <= wf_sim_clock.now)
        return;
    if (wf_sim_settings.wakeup_fault != 0 && wf_sim_fault(wf_sim_settings.wakeup_fault))
        return;
    self->word = word;
    self->sleeps++;
    wf_sim_trace("sleep", number_of(self), 0);
    sleep_until(WAITING, deadline);
}

void wf_sim_wake(WF_ATOMIC(uint32_t) * word, int count)
{
    uint32_t first = run.thread_count > 0 ? draw(run.thread_count) : 0;

    for (uint32_t i = 0; i < run.thread_count && count > 0; i++) {
        struct thread *thread = &threads[1 + (first + i) % run.thread_count];

        if (thread->state != WAITING || thread->word != word)
            continue;
        wf_sim_trace("wake", number_of(thread), 0);
        make_runnable(thread);
        count--;
    }
}

void wf_sim_futex_wake(WF_ATOMIC(uint32_t) * word, int count)
{
    wf_sim_wake(word, count);
    wf_sim_point();
}

static void begin_thread(void *arg, void *passed)
{
    struct thread *self = arg;

    (void)passed;
    land();
    self->fn(self->arg);
    take_from_runnable(self, ENDED);
    run.alive--;
    wf_sim_trace("end", number_of(self), 0);
    /* relaxed: as above. */
    atomic_store_explicit(&self->ended, 1, memory_order_relaxed);
    wf_sim_wake(&self->ended, INT32_MAX);
    if (number_of(self) == 1)
        give_up(0);
    choose();
}

static struct thread *find_unused(void)
{
    for (uint32_t i = 1; i < WF_SIM_THREADS_MAX; i++)
        if (threads[i].state == UNUSED)
            return &threads[i];
    return NULL;
}

int wf_sim_thread_start(struct wf_os_thread *handle, void (*fn)(void *), void *arg)
{
    struct thread *thread = find_unused();
    size_t page = wf_os_page_size();
    char *stack = thread != NULL ? thread->stack : NULL;

    if (thread == NULL)
        return -EAGAIN;
    if (stack == NULL) {
        stack = wf_os_map(STACK_SIZE);
        if (stack == NULL)
            return -EAGAIN;
        (void)wf_os_guard_mapping(stack, page);
        wf_san_stack_mapped(stack, STACK_SIZE);
    }
    *thread = (struct thread){.fn = fn, .arg = arg, .stack = stack};
    wf_san_fiber(&thread->san, stack + page, STACK_SIZE - page);
    wf_context_init(&thread->context, stack + STACK_SIZE, begin_thread, thread, NULL);
    if (number_of(thread) > run.thread_count)
        run.thread_count = number_of(thread);
    run.alive++;
    make_runnable(thread);
    handle->id = number_of(thread);
    wf_sim_trace("start", number_of(thread), 0);
    wf_sim_point();
    return 0;
}

void wf_sim_thread_join(struct wf_os_thread *handle)
{
    struct thread *thread = &threads[handle->id];

    /* relaxed: as above. */
    while (atomic_load_explicit(&thread->ended, memory_order_relaxed) == 0)
        wf_sim_futex_wait(&thread->ended, 0, INT64_MAX);
    wf_san_fiber_end(&thread->san);
    thread->state = UNUSED;
}

void wf_sim_thread_self(struct wf_os_thread *handle)
{
    handle->id = number_of(run.current);
}

uint64_t wf_sim_thread_sleeps(void)
{
    return run.current->sleeps;
}

uint32_t wf_sim_thread_count(void)
{
    return run.alive;
}

int64_t wf_sim_thread_ran(const struct wf_os_thread *handle)
{
    const struct thread *thread = &threads[handle->id];

    return thread->ran + (thread == run.current ? wf_sim_clock.now - thread->since : 0);
}

void wf_sim_thread_use(struct wf_os_use *use)
{
    struct wf_os_thread self;

    wf_sim_thread_self(&self);
    use->ran = wf_sim_thread_ran(&self);
    use->waited = 0;
}

/* What failed runs have left behind is lost: its threads stand in the middle of something. */
static void forget_threads(void)
{
    for (uint32_t i = 1; i <= run.thread_count; i++) {
        char *stack = threads[i].state == UNUSED ? threads[i].stack : NULL;

        threads[i] = (struct thread){.stack = stack};
    }
}

int wf_sim_execute(const struct wf_sim_settings *settings, void (*fn)(void *), void *arg,
                   struct wf_sim_report *report)
{
    struct wf_os_thread first;
    int error;

    if (!wf_sim_claim())
        return -EBUSY;
    memset(&run, 0, sizeof run);
    wf_sim_reset(settings);
    run.current = &threads[0];
    run.next_due = INT64_MAX;
    run.switch_one_in = UINT32_C(2) << (2 * draw(4)); /* 2, 8, 32, 128 */
    error = wf_sim_thread_start(&first, fn, arg);
    if (error == 0) {
        switch_simulated(&threads[1]);
        error = run.result;
        if (error == 0)
            wf_sim_thread_join(&first);
    }
    *report = wf_sim_totals;
    report->elapsed = wf_sim_clock.now - WF_SIM_START_NS;
    if (error != 0)
        report->hash ^= (uint64_t)error;
    forget_threads();
    if (settings->at_end != NULL)
        settings->at_end(error, arg, report);
    wf_sim_release();
    return error;
}
