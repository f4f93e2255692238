/* SPDX-License-Identifier: MIT */
/* weft-bench: every benchmark of weft itself. */
#include "weft_bench.h"

#include "harness/by_workers.h"
#include "harness/echo_rows.h"
#include "harness/io_rows.h"
#include "harness/uts.h"
#include "internal/context_bench.h"
#include "internal/wheel_bench.h"
#include "operations/operations.h"

#include <errno.h>
#include <stdio.h>
#include <weft.h>

struct hosted {
    unsigned workers;
    int (*fn)(void *);
    void *arg;
};

/* The environment overrides the configuration, and a row must not name workers that it did not
 * have. */
static int run_if_as_asked(void *arg)
{
    struct hosted *hosted = arg;

    if (weft_worker_count() != hosted->workers) {
        fprintf(stderr, "there are %u workers instead of %u: is WEFT_WORKERS set?\n",
                weft_worker_count(), hosted->workers);
        return -EINVAL;
    }
    return hosted->fn(hosted->arg);
}

static int run_with(struct weft_config config, unsigned workers, int (*fn)(void *), void *arg)
{
    struct hosted hosted = {workers, fn, arg};

    config.workers = workers;
    config.stall_report_ms = UINT32_MAX; /* some of them compute for seconds on purpose */
    return weft_run(&config, run_if_as_asked, &hosted);
}

static int run_in_weft(unsigned workers, int (*fn)(void *), void *arg)
{
    return run_with((struct weft_config)WEFT_CONFIG_INIT, workers, fn, arg);
}

/* For recursion of a depth that the default stacks are not made for. */
static int run_deep_in_weft(unsigned workers, int (*fn)(void *), void *arg)
{
    struct weft_config config = WEFT_CONFIG_INIT;

    config.stack_size_kib = UTS_T3_STACK_MIB * 1024;
    return run_with(config, workers, fn, arg);
}

/* It starts its runtimes itself, one on each backend. */
#define BENCH_OPERATION(name)                                                          \
    {                                                                                  \
        "io/op/" #name, BENCH_REPORT, 1, 1, OPERATION_##name, bench_io_operation, NULL \
    }

static const struct bench_case cases[] = {
    {"switch/raw", BENCH_NS_PER_OP, 1, 2, 0, bench_switch_raw, NULL},
    {"switch/raw/inexact=1", BENCH_NS_PER_OP, 1, 2, 0, bench_switch_raw_inexact, NULL},
    {"switch/raw/fenv=1", BENCH_NS_PER_OP, 1, 2, 0, bench_switch_raw_fenv, NULL},
    {"switch/yield", BENCH_NS_PER_OP, 1, 2, 0, bench_switch_yield, run_in_weft},
    {"spawn/join_empty/workers=1", BENCH_NS_PER_OP, 1, 1, 0, bench_spawn_join_empty, run_in_weft},
    {"spawn/join_empty/workers=2", BENCH_NS_PER_OP, 2, 1, 0, bench_spawn_join_empty, run_in_weft},
    BENCH_BY_WORKERS("spawn/skynet", bench_spawn_skynet, run_in_weft),
    {"scope/spawn_join_100", BENCH_NS_PER_OP, 1, 100, 0, bench_scope_spawn_join, run_in_weft},
    BENCH_EACH_BY_WORKERS("forkjoin/fib/n=32", BENCH_NS_PER_OP, BENCH_FIB_32, 32,
                          bench_forkjoin_fib, run_in_weft),
    BENCH_EACH_BY_WORKERS("forkjoin/fib/n=40", BENCH_NS_PER_OP, BENCH_FIB_40, 40,
                          bench_forkjoin_fib, run_in_weft),
    BENCH_TREES(run_in_weft, run_deep_in_weft),
    BENCH_LARGE_TREE(run_in_weft),
    BENCH_BY_WORKERS("forkjoin/queens/n=13", bench_forkjoin_queens, run_in_weft),
    BENCH_DIVIDED(run_in_weft),
    BENCH_LOOPS(run_in_weft),
    {"memory/parked/n=10000", BENCH_BYTES_PER_FIBER, 1, 1, 10000, bench_memory_parked, run_in_weft},
    {"memory/parked/n=100000", BENCH_BYTES_PER_FIBER, 1, 1, 100000, bench_memory_parked,
     run_in_weft},
    {"memory/parked/n=1000000", BENCH_REPORT, 1, 1, 1000000, bench_memory_million, run_in_weft},
    {"timer/sleep_storm/n=10000", BENCH_SECONDS, 1, 1, 10000, bench_timer_sleep_storm, run_in_weft},
    {"timer/arm_cancel", BENCH_NS_PER_OP, 1, 1, 1000000, bench_timer_arm_cancel, run_in_weft},
    {"timer/object/arm_cancel", BENCH_NS_PER_OP, 1, 1, 0, bench_timer_object_arm_cancel,
     run_in_weft},
    {"timer/extend", BENCH_NS_PER_OP, 1, 1, 0, bench_timer_extend, run_in_weft},
    {"timer/timeout", BENCH_NS_PER_OP, 1, 1, 0, bench_timer_timeout, run_in_weft},
    {"timer/wheel/arm_cancel", BENCH_NS_PER_OP, 1, 1, 1000000, bench_wheel_arm_cancel, NULL},
    {"timer/wheel/replace", BENCH_NS_PER_OP, 1, 1, 1000000, bench_wheel_replace, NULL},
    {"hog/echo/hogs=0", BENCH_REPORT, 2, 1, BENCH_HOGS(BENCH_HOG_COMPUTE, 0), bench_hog_echo,
     run_in_weft},
    {"hog/echo/hogs=1", BENCH_REPORT, 2, 1, BENCH_HOGS(BENCH_HOG_COMPUTE, 1), bench_hog_echo,
     run_in_weft},
    {"hog/echo/hogs=2", BENCH_REPORT, 2, 1, BENCH_HOGS(BENCH_HOG_COMPUTE, 2), bench_hog_echo,
     run_in_weft},
    {"hog/echo/kind=usleep/hogs=1", BENCH_REPORT, 2, 1, BENCH_HOGS(BENCH_HOG_USLEEP, 1),
     bench_hog_echo, run_in_weft},
    {"hog/echo/kind=usleep/hogs=2", BENCH_REPORT, 2, 1, BENCH_HOGS(BENCH_HOG_USLEEP, 2),
     bench_hog_echo, run_in_weft},
    {"hog/echo/kind=read/hogs=1", BENCH_REPORT, 2, 1, BENCH_HOGS(BENCH_HOG_READ, 1), bench_hog_echo,
     run_in_weft},
    {"hog/echo/kind=read/hogs=2", BENCH_REPORT, 2, 1, BENCH_HOGS(BENCH_HOG_READ, 2), bench_hog_echo,
     run_in_weft},
    {"balance/echo", BENCH_REPORT, 2, 1, 0, bench_balance_echo, run_in_weft},
    {"balance/echo/rate=6400", BENCH_REPORT, 2, 1, 6400, bench_balance_echo_light, run_in_weft},
    BENCH_ECHO_MANY(run_in_weft),
    {"channel/pingpong", BENCH_NS_PER_OP, 1, 1, 0, bench_channel_pingpong, run_in_weft},
    {"channel/throughput/senders=1/receivers=1/workers=1", BENCH_NS_PER_OP, 1, 1,
     BENCH_PARTIES(1, 1), bench_channel_throughput, run_in_weft},
    {"channel/throughput/senders=4/receivers=1/workers=1", BENCH_NS_PER_OP, 1, 1,
     BENCH_PARTIES(4, 1), bench_channel_throughput, run_in_weft},
    {"channel/throughput/senders=1/receivers=1/workers=2", BENCH_NS_PER_OP, 2, 1,
     BENCH_PARTIES(1, 1), bench_channel_throughput, run_in_weft},
    {"channel/throughput/senders=4/receivers=1/workers=2", BENCH_NS_PER_OP, 2, 1,
     BENCH_PARTIES(4, 1), bench_channel_throughput, run_in_weft},
    BENCH_EACH_BY_WORKERS("channel/throughput/senders=4/receivers=4", BENCH_NS_PER_OP, 1,
                          BENCH_PARTIES(4, 4), bench_channel_throughput, run_in_weft),
    {"ring/pass/fibers=503/workers=1", BENCH_NS_PER_OP, 1, 1, 0, bench_ring_pass, run_in_weft},
    {"chameneos/meet/creatures=10/workers=1", BENCH_NS_PER_OP, 1, 1, 0, bench_chameneos_meet,
     run_in_weft},
    {"ring/pass/fibers=503/workers=2", BENCH_NS_PER_OP, 2, 1, 0, bench_ring_pass, run_in_weft},
    {"chameneos/meet/creatures=10/workers=2", BENCH_NS_PER_OP, 2, 1, 0, bench_chameneos_meet,
     run_in_weft},
    {"generator/next", BENCH_NS_PER_OP, 1, 1, 0, bench_generator_next, run_in_weft},
    {"generator/send", BENCH_NS_PER_OP, 1, 1, 0, bench_generator_send, run_in_weft},
    {"select/4", BENCH_NS_PER_OP, 1, 1, 0, bench_select_4, run_in_weft},
    {"select/descriptor", BENCH_NS_PER_OP, 1, 1, 0, bench_select_descriptor, run_in_weft},
    {"idle/parked=10000", BENCH_REPORT, 2, 1, 10000, bench_idle_parked, run_in_weft},
    {"mutex/uncontended", BENCH_NS_PER_OP, 1, 1, 0, bench_mutex_uncontended, run_in_weft},
    {"mutex/contended", BENCH_REPORT, 2, 1, 0, bench_mutex_contended, run_in_weft},
    {"mutex/contended/workers=4", BENCH_REPORT, 4, 1, 0, bench_mutex_contended, run_in_weft},
    {"mutex/contended/workers=8", BENCH_REPORT, 8, 1, 0, bench_mutex_contended, run_in_weft},
    {"rwlock/read_mostly/fibers=1", BENCH_NS_PER_OP, 1, 1, 0, bench_rwlock_alone, run_in_weft},
    {"rwlock/read_mostly/fibers=1000", BENCH_REPORT, 2, 1, 0, bench_rwlock_read_mostly,
     run_in_weft},
    {"semaphore/uncontended", BENCH_NS_PER_OP, 1, 1, 0, bench_semaphore_uncontended, run_in_weft},
    {"condvar/pingpong", BENCH_NS_PER_OP, 1, 1, 0, bench_condvar_pingpong, run_in_weft},
    {"condvar/broadcast/waiters=100", BENCH_NS_PER_OP, 2, 100, 100, bench_condvar_broadcast,
     run_in_weft},
    {"barrier/cross/parties=2", BENCH_NS_PER_OP, 1, 2, 2, bench_barrier_cross, run_in_weft},
    {"barrier/cross/parties=10", BENCH_NS_PER_OP, 2, 10, 10, bench_barrier_cross, run_in_weft},
    {"barrier/cross/parties=1000", BENCH_NS_PER_OP, 2, 1000, 1000, bench_barrier_cross,
     run_in_weft},
    {"keyed_mutex/uncontended", BENCH_NS_PER_OP, 1, 1, 0, bench_keyed_mutex_uncontended,
     run_in_weft},
    {"singleflight/alone", BENCH_NS_PER_OP, 1, 1, 0, bench_singleflight_alone, run_in_weft},
    {"rate_limiter/uncontended", BENCH_NS_PER_OP, 1, 1, 0, bench_rate_limiter_uncontended,
     run_in_weft},
    {"broadcast/send_receive/receivers=4", BENCH_NS_PER_OP, 1, 1, 0, bench_broadcast_send_receive,
     run_in_weft},
    BENCH_OPERATIONS(run_in_weft),
    BENCH_MOVES(run_in_weft),
    BENCH_FILES(run_in_weft),
    BENCH_ROUNDS(run_in_weft),
    OPERATIONS(BENCH_OPERATION),
};

int main(int argc, char **argv)
{
    return bench_main(argc, argv, "weft", cases, sizeof cases / sizeof *cases);
}
