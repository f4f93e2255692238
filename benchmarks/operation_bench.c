/* SPDX-License-Identifier: MIT */
#include "weft_bench.h"

#include "operations/operations.h"
#include "operations/trace.h"

#include <stdlib.h>
#include <string.h>

/*
 * io/op/...
 *
 * Question  What does each operation cost beside the plain calls that do the same?
 * Method    one worker does batches of up to 256 operations on what is ready: by the plain calls,
 *           by one fiber one after the other, and by 16 fibers that share the batch; in turn, on
 *           either backend.  A ratio is the median of those of each turn.  The system calls of all
 *           threads are counted in a child process that is traced (ptrace(2)), of 8 batches each.
 * Includes  for 16 fibers their spawn and their join; way to the pool and back, where there is one.
 * Excludes  waiting for data: what is measured is the way of an operation through the library.
 * Distrust  ratios of calls that go to the pool: how long a thread takes to wake is the machine's.
 */
enum {
    TURNS_MIN = 11,
    TURNS_MAX = 400,
    TURNS_NS = 120 * 1000 * 1000,
    TURNS_NS_QUICK = 40 * 1000 * 1000,
    TRACED_BATCHES = 8,
};

enum phase { PLAIN, ALONE, SHARED, PHASES };

_Static_assert((int)PHASES == TRACE_PHASES, "each is counted");

struct run {
    const struct operation *operation;
    uint64_t limit_ns; /* 0: traced */
    unsigned turns;
    double alone[TURNS_MAX],
        shared[TURNS_MAX]; /* of each turn: time over that of the plain calls */
    const char *failure;
    struct place place;
};

#define OPERATION_ROW(name) [OPERATION_##name] = &operation_##name
static const struct operation *const operations[] = {OPERATIONS(OPERATION_ROW)};

struct share {
    struct run *run;
    unsigned first, last;
};

static bool operate(struct place *p, operate_fn *fn, unsigned first, unsigned last)
{
    bool is_ok = true;

    for (unsigned i = first; i < last; i++)
        is_ok &= fn(p, i);
    return is_ok;
}

static int operate_share(void *arg)
{
    struct share *share = arg;

    return operate(&share->run->place, share->run->operation->weft, share->first, share->last) ? 0
                                                                                               : -1;
}

static bool operate_together(struct run *run)
{
    struct share shares[OPERATION_FIBERS];
    unsigned count = run->operation->count;
    unsigned fibers = count < OPERATION_FIBERS ? count : OPERATION_FIBERS;
    weft_scope scope = WEFT_SCOPE_INIT;
    int error = 0;

    for (unsigned i = 0; i < fibers && error == 0; i++) {
        shares[i] = (struct share){run, count * i / fibers, count * (i + 1) / fibers};
        error = weft_scope_spawn(&scope, operate_share, &shares[i]);
    }
    return weft_scope_close(&scope, error) == 0;
}

/* Returns how long it took. */
static uint64_t do_batch(struct run *run, enum phase phase)
{
    static const char *const failures[] = {"a plain call failed", "an operation failed",
                                           "an operation of one of many fibers failed"};
    const struct operation *operation = run->operation;
    const struct scene *scene = operation->scene;
    unsigned count = operation->count;
    uint64_t began;
    bool is_ok;

    if (run->failure != NULL)
        return 1;
    if (scene->prepare != NULL && !scene->prepare(&run->place, count))
        run->failure = "a batch could not be prepared";
    if (run->limit_ns == 0)
        trace_mark((int)phase);
    began = bench_now_ns();
    if (phase == SHARED && !scene->is_for_one)
        is_ok = operate_together(run);
    else
        is_ok = operate(&run->place, phase == PLAIN ? operation->plain : operation->weft, 0, count);
    began = bench_now_ns() - began;
    if (run->limit_ns == 0)
        trace_mark(-1);
    if (!is_ok)
        run->failure = failures[phase];
    if (is_ok && scene->clean != NULL && !scene->clean(&run->place, count))
        run->failure = "what a batch did is not what it should have done";
    return began;
}

static void take_turn(struct run *run)
{
    double plain = (double)do_batch(run, PLAIN);

    run->alone[run->turns] = (double)do_batch(run, ALONE) / plain;
    run->shared[run->turns] = (double)do_batch(run, SHARED) / plain;
    run->turns++;
}

static void take_turns(struct run *run)
{
    uint64_t until = bench_now_ns() + run->limit_ns;

    take_turn(run); /* warms up */
    run->turns = 0;
    while (run->failure == NULL && run->turns < TURNS_MAX &&
           (run->turns < TURNS_MIN || bench_now_ns() < until))
        take_turn(run);
}

/* Once before, so that buffers and threads are there; its marks are not seen. */
static void be_traced(struct run *run)
{
    run->limit_ns = 1;
    take_turn(run);
    run->limit_ns = 0;
    for (int i = 0; i < TRACED_BATCHES && run->failure == NULL; i++)
        take_turn(run);
}

static void set_nowhere(struct place *p)
{
    memset(p, 0, sizeof *p);
    p->in = p->out = p->more_in = p->more_out = p->file = p->copy = p->folder = -1;
    memset(p->fds, -1, sizeof p->fds);
    memset(p->others, -1, sizeof p->others);
}

static int measure(void *arg)
{
    struct run *run = arg;
    const struct scene *scene = run->operation->scene;

    run->turns = 0;
    run->failure = NULL;
    set_nowhere(&run->place);
    if (scene->set_up != NULL && !scene->set_up(&run->place))
        run->failure = "nothing to work on could be made";
    else if (run->limit_ns == 0)
        be_traced(run);
    else
        take_turns(run);
    if (!place_tear_down(&run->place) && run->failure == NULL)
        run->failure = "something is left behind";
    return run->failure != NULL;
}

struct hosted {
    struct run *run;
    uint32_t backend;
};

static int run_on_backend(void *arg)
{
    struct hosted *hosted = arg;
    struct weft_config config = WEFT_CONFIG_INIT;

    config.workers = 1;
    config.backend = hosted->backend;
    config.stall_report_ms = UINT32_MAX;
    if (hosted->run->limit_ns == 0)
        config.monitor = 3; /* what is traced is slow, and would be relieved */
    return weft_run(&config, measure, hosted->run);
}

static void report(struct bench *b, const char *const names[4], struct run *run,
                   const uint64_t calls[TRACE_PHASES])
{
    double operations_traced = (double)run->operation->count * TRACED_BATCHES;

    bench_report(b, names[0], 0, bench_percentile(run->alone, run->turns, 0.5));
    bench_report(b, names[1], 0, (double)calls[ALONE] / operations_traced);
    bench_report(b, names[2], 0, bench_percentile(run->shared, run->turns, 0.5));
    bench_report(b, names[3], 0, (double)calls[SHARED] / operations_traced);
}

/* Traced first: a process that a runtime has run in has had threads. */
static void measure_on(struct bench *b, struct run *run, uint32_t backend,
                       const char *const names[4], uint64_t calls[TRACE_PHASES])
{
    struct hosted hosted = {run, backend};
    int error;

    run->limit_ns = 0;
    error = trace_calls(run_on_backend, &hosted, calls);
    if (error != 0) {
        bench_fail(b, "in a traced child: %s", error < 0 ? strerror(-error) : "it failed");
        return;
    }
    run->limit_ns = b->is_quick ? TURNS_NS_QUICK : TURNS_NS;
    error = run_on_backend(&hosted);
    if (error < 0)
        bench_fail(b, "the runtime did not start: %s", strerror(-error));
    else if (error > 0)
        bench_fail(b, "%s", run->failure);
    else
        report(b, names, run, calls);
}

void bench_io_operation(struct bench *b)
{
    static const char *const uring[] = {"uring_ratio", "uring_calls", "uring_shared_ratio",
                                        "uring_shared_calls"};
    static const char *const epoll[] = {"epoll_ratio", "epoll_calls", "epoll_shared_ratio",
                                        "epoll_shared_calls"};
    static struct run run;
    uint64_t calls[TRACE_PHASES];
    sigset_t signals;

    if (getenv("WEFT_BACKEND") != NULL) {
        bench_fail(b, "this measures both backends: unset WEFT_BACKEND");
        return;
    }
    sigemptyset(&signals);
    sigaddset(&signals, SIGRTMIN); /* for signal_wait, in all threads */
    sigprocmask(SIG_BLOCK, &signals, NULL);
    run.operation = operations[b->spec->parameter];
    measure_on(b, &run, WEFT_BACKEND_IO_URING, uring, calls);
    measure_on(b, &run, WEFT_BACKEND_EPOLL, epoll, calls);
    if (b->failure[0] == '\0')
        bench_report(b, "plain_calls", 0,
                     (double)calls[PLAIN] / (run.operation->count * TRACED_BATCHES));
}
