/* SPDX-License-Identifier: MIT */
/* struct weft_config and the environment: ranges, defaults, overrides, and what is said about
 * values that are refused. */
#define _GNU_SOURCE 1

#include "../support/child.h"
#include "../support/fixture.h"
#include "../support/net.h"

#include <errno.h>
#include <poll.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>

static int must_not_run(void *arg)
{
    (void)arg;
    check_fail(__FILE__, __LINE__, "a function ran in spite of a bad configuration");
}

static int return_zero(void *arg)
{
    (void)arg;
    return 0;
}

struct range_case {
    struct weft_config config;
    const char *variable;
};

static const struct range_case refused[] = {
    {{.workers = 1025}, "workers"},
    {{.workers = UINT32_MAX}, "workers"},
    {{.stack_size_kib = 15}, "stack_size_kib"},
    {{.stack_size_kib = 8193}, "stack_size_kib"},
    {{.stack_size_kib = UINT32_MAX}, "stack_size_kib"},
    {{.pin = 3}, "pin"},
    {{.ring_entries = 4}, "ring_entries"},
    {{.ring_entries = 9}, "ring_entries"},
    {{.ring_entries = 65536}, "ring_entries"},
    {{.wake_backlog_us = 1000001}, "wake_backlog_us"},
    {{.guard = 4}, "guard"},
    {{.max_connections = 1048576}, "max_connections"},
    {{.max_connections = UINT32_MAX}, "max_connections"},
    {{.max_buffer_memory_kib = 15}, "max_buffer_memory_kib"},
    {{.max_buffer_memory_kib = 67108865}, "max_buffer_memory_kib"},
};

CHILD(run_refused_config)
{
    return weft_run(&refused[parameter].config, must_not_run, NULL) == -EINVAL ? 0 : 1;
}

/* A value out of range must be refused by name: taken as it is, it would crash much later, and
 * clamped in silence it would not be what the user asked for. */
Test(config, values_out_of_range_are_refused, .timeout = TEST_TIMEOUT_S)
{
    for (unsigned i = 0; i < sizeof refused / sizeof *refused; i++) {
        struct child_end end;
        run_child("run_refused_config", i, NULL, &end);
        cr_expect_eq(end.exit_status, 0, "case %u (%s): %s", i, refused[i].variable, end.output);
        cr_expect_not_null(strcasestr(end.output, refused[i].variable),
                           "case %u: \"%s\" does not name %s", i, end.output, refused[i].variable);
    }
}

/* A program built against a newer header sets fields that this library does not know. */
Test(config, reserved_fields_must_be_zero, .timeout = TEST_TIMEOUT_S)
{
    struct weft_config config = WEFT_CONFIG_INIT;

    for (size_t i = 0; i < sizeof config.reserved / sizeof *config.reserved; i++) {
        config.reserved[i] = 1;
        cr_expect_eq(weft_run(&config, must_not_run, NULL), -EINVAL, "reserved[%zu]", i);
        config.reserved[i] = 0;
    }
}

/* The ends of each range belong to it. */
Test(config, values_at_the_ends_of_ranges_work, .timeout = TEST_TIMEOUT_S)
{
    static const struct weft_config accepted[] = {
        {.workers = 1},
        {.workers = 64},
        {.workers = 1, .stack_size_kib = 16},
        {.workers = 1, .stack_size_kib = 17},
        {.workers = 1, .stack_size_kib = 8192},
        {.workers = 1, .pin = 1},
        {.workers = 1, .pin = 2},
        {.workers = 1, .ring_entries = 8},
        {.workers = 1, .ring_entries = 32768},
        {.workers = 1, .wake_backlog_us = 1},
        {.workers = 1, .wake_backlog_us = 1000000},
        {.workers = 1, .guard = 1},
        {.workers = 1, .guard = 2},
        {.workers = 1, .guard = 3},
        {.workers = 1, .chaos = 1},
        {.workers = 1, .chaos = UINT32_MAX},
        {.workers = 1, .max_fibers = 1},
        {.workers = 1, .max_fibers = UINT32_MAX},
        {.workers = 1, .max_stack_memory_mib = 1},
        {.workers = 1, .max_stack_memory_mib = UINT32_MAX},
        {.workers = 1, .max_operations = 1},
        {.workers = 1, .max_operations = UINT32_MAX},
        {.workers = 1, .max_connections = 1},
        {.workers = 1, .max_connections = 1048575},
        {.workers = 1, .max_buffer_memory_kib = 16},
        {.workers = 1, .max_buffer_memory_kib = 67108864},
    };

    for (size_t i = 0; i < sizeof accepted / sizeof *accepted; i++)
        cr_expect_eq(run_config(&accepted[i], return_zero, NULL), 0, "case %zu", i);
}

static int return_worker_count(void *arg)
{
    (void)arg;
    return (int)weft_worker_count();
}

CHILD(count_workers)
{
    struct weft_config config = WEFT_CONFIG_INIT;

    config.workers = parameter;
    return weft_run(parameter ? &config : NULL, return_worker_count, NULL);
}

CHILD(count_workers_on_one_cpu)
{
    cpu_set_t set;
    int cpu = sched_getcpu();

    (void)parameter;
    CHECK(cpu >= 0);
    CPU_ZERO(&set);
    CPU_SET((size_t)cpu, &set);
    CHECK_EQ(sched_setaffinity(0, sizeof set, &set), 0);
    return weft_run(NULL, return_worker_count, NULL);
}

/* More workers than CPUs that the process may use make every worker wait for another. */
Test(config, default_workers_are_the_cpus_allowed, .timeout = TEST_TIMEOUT_S)
{
    struct child_end end;
    cpu_set_t set;

    cr_assert_eq(sched_getaffinity(0, sizeof set, &set), 0);
    run_child("count_workers", 0, NULL, &end);
    cr_expect_geq(end.exit_status, 1, "%s", end.output);
    cr_expect_leq(end.exit_status, CPU_COUNT(&set));
    run_child("count_workers_on_one_cpu", 0, NULL, &end);
    cr_expect_eq(end.exit_status, 1, "%s", end.output);
}

/* An operator can change what the program chose, without rebuilding it. */
Test(config, the_environment_overrides_the_program, .timeout = TEST_TIMEOUT_S)
{
    static const char *const environment[] = {"WEFT_WORKERS=3", NULL};
    struct child_end end;

    run_child("count_workers", 5, NULL, &end);
    cr_expect_eq(end.exit_status, 5, "without the variable: %s", end.output);
    run_child("count_workers", 5, environment, &end);
    cr_expect_eq(end.exit_status, 3, "over a value: %s", end.output);
    run_child("count_workers", 0, environment, &end);
    cr_expect_eq(end.exit_status, 3, "over the default: %s", end.output);
}

CHILD(expect_einval)
{
    (void)parameter;
    return weft_run(NULL, must_not_run, NULL) == -EINVAL ? 0 : 1;
}

/* A typing error in a service file must stop the start with the variable's name, not be taken for
 * zero, for a prefix that happens to parse, or for the default. */
Test(config, garbage_in_the_environment_is_refused, .timeout = TEST_TIMEOUT_S)
{
    static const char *const garbage[][2] = {
        {"WEFT_WORKERS=two", NULL},
        {"WEFT_WORKERS=4x", NULL},
        {"WEFT_WORKERS=-1", NULL},
        {"WEFT_WORKERS=1025", NULL},
        {"WEFT_WORKERS=4294967297", NULL},
        {"WEFT_WORKERS=99999999999999999999999", NULL},
        {"WEFT_STACK_SIZE_KIB=256k", NULL},
        {"WEFT_STACK_SIZE_KIB=8193", NULL},
        {"WEFT_MAX_FIBERS=many", NULL},
        {"WEFT_PIN=yes", NULL},
        {"WEFT_RING_ENTRIES=1000", NULL},
        {"WEFT_WAKE_BACKLOG_US=2ms", NULL},
        {"WEFT_GUARD=4", NULL},
        {"WEFT_CHAOS=on", NULL},
    };

    for (size_t i = 0; i < sizeof garbage / sizeof *garbage; i++) {
        struct child_end end;
        char name[64];

        run_child("expect_einval", 0, garbage[i], &end);
        cr_expect_eq(end.exit_status, 0, "%s was taken: %s", garbage[i][0], end.output);
        (void)snprintf(name, sizeof name, "%.*s", (int)strcspn(garbage[i][0], "="), garbage[i][0]);
        cr_expect_not_null(strstr(end.output, name), "\"%s\" does not name %s", end.output, name);
    }
}

/* The other variables reach the runtime too: each is seen through what it changes. */
static int spawn_two(void *arg)
{
    weft_fiber *fiber = NULL;
    int first = weft_spawn(&fiber, return_zero, NULL);
    int second = weft_spawn(NULL, return_zero, NULL);

    (void)arg;
    CHECK_EQ(first, 0);
    CHECK_EQ(must_join(fiber), 0);
    return second == -EAGAIN ? 1 : 0;
}

CHILD(is_limited_to_two_fibers)
{
    (void)parameter;
    return weft_run(NULL, spawn_two, NULL);
}

static int count_unguarded(void *arg)
{
    struct weft_stats stats;

    (void)arg;
    CHECK_EQ(weft_stats_read(&stats), 0);
    CHECK(stats.stacks_mapped > 0);
    return stats.stacks_unguarded == stats.stacks_mapped;
}

CHILD(has_canaries_only)
{
    (void)parameter;
    return weft_run(NULL, count_unguarded, NULL);
}

static int is_pinned(void *arg)
{
    cpu_set_t set;

    (void)arg;
    CHECK_EQ(sched_getaffinity(0, sizeof set, &set), 0);
    return CPU_COUNT(&set) == 1;
}

static int is_alone(void *arg)
{
    weft_fiber *fiber;
    int result = weft_spawn(&fiber, return_zero, arg);

    if (result == 0)
        CHECK_EQ(must_join(fiber), 0);
    return result == -ENOMEM;
}

CHILD(has_pinned_workers)
{
    struct weft_config config = {.monitor = 2};

    (void)parameter;
    return weft_run(&config, is_pinned, NULL);
}

CHILD(has_memory_for_one_stack)
{
    struct weft_config config = {.stack_size_kib = 1024};

    (void)parameter;
    return weft_run(&config, is_alone, NULL);
}

static int wait_for_nobody(void *arg)
{
    const int *pipe = arg;

    return weft_poll_fd(pipe[0], POLLIN, WEFT_FOREVER);
}

/* Whether an operation that could be done at once has to wait for another one. */
static int is_in_turn(void *arg)
{
    struct weft_stats stats = {0};
    weft_fiber *other;
    int result, pipe[2];

    (void)arg;
    make_pipe(pipe);
    CHECK_EQ(weft_spawn(&other, wait_for_nobody, pipe), 0);
    while (stats.ops_submitted == 0 && weft_yield() == 0)
        CHECK_EQ(weft_stats_read(&stats), 0);
    result = weft_poll_fd(pipe[1], POLLOUT, weft_after(5 * WEFT_MILLISECOND));
    weft_cancel(other);
    CHECK_EQ(must_join(other), -ECANCELED);
    CHECK_EQ(weft_close(pipe[0]), 0);
    CHECK_EQ(weft_close(pipe[1]), 0);
    return result == -ETIMEDOUT;
}

CHILD(has_operations_in_turn)
{
    (void)parameter;
    return weft_run(NULL, is_in_turn, NULL);
}

/* Whether a client has to wait for the one before it to go. */
static int is_full(void *arg)
{
    int listener = weft_listen_tcp("127.0.0.1", 0), clients[2], fds[2];
    struct sockaddr_in address = local_address(listener);

    (void)arg;
    for (int i = 0; i < 2; i++) {
        clients[i] = make_tcp_socket();
        CHECK_EQ(connect(clients[i], (struct sockaddr *)&address, sizeof address), 0);
    }
    fds[0] = weft_accept(listener, WEFT_FOREVER);
    fds[1] = weft_accept(listener, weft_after(5 * WEFT_MILLISECOND));
    for (int i = 0; i < 2; i++)
        CHECK_EQ(weft_close(clients[i]), 0);
    CHECK_EQ(weft_close(listener), 0);
    CHECK_EQ(weft_close(fds[0]), 0);
    if (fds[1] >= 0)
        CHECK_EQ(weft_close(fds[1]), 0);
    return fds[1] == -ETIMEDOUT;
}

CHILD(has_room_for_one_connection)
{
    (void)parameter;
    return weft_run(NULL, is_full, NULL);
}

/* Whether data has to wait for a buffer. */
static int has_one_buffer(void *arg)
{
    void *buffers[2] = {NULL, NULL};
    int fds[2];
    ssize_t n;

    (void)arg;
    make_socket_pair(fds);
    CHECK_EQ(send(fds[1], "ab", 2, 0), 2);
    CHECK_EQ(weft_recv_lent(fds[0], &buffers[0], MSG_PEEK, WEFT_FOREVER), 2);
    n = weft_recv_lent(fds[0], &buffers[1], 0, weft_after(5 * WEFT_MILLISECOND));
    for (int i = 0; i < 2; i++) {
        weft_lent_return(buffers[i]);
        CHECK_EQ(weft_close(fds[i]), 0);
    }
    return n == -ETIMEDOUT;
}

CHILD(has_memory_for_one_buffer)
{
    (void)parameter;
    return weft_run(NULL, has_one_buffer, NULL);
}

static void expect_effect(const char *child, const char *variable, int effect)
{
    const char *const environment[] = {variable, NULL};
    struct child_end end;

    run_child(child, 0, environment, &end);
    cr_expect_eq(end.exit_status, effect, "%s: status %d, %s", variable, end.exit_status,
                 end.output);
}

/* A variable that is documented but not connected is worse than none. */
Test(config, every_visible_variable_has_its_effect, .timeout = TEST_TIMEOUT_S)
{
    cpu_set_t set;

    expect_effect("is_limited_to_two_fibers", "WEFT_MAX_FIBERS=2", 1);
    expect_effect("is_limited_to_two_fibers", "WEFT_MAX_FIBERS=3", 0);
    expect_effect("has_memory_for_one_stack", "WEFT_MAX_STACK_MEMORY_MIB=1", 1);
    expect_effect("has_memory_for_one_stack", "WEFT_MAX_STACK_MEMORY_MIB=64", 0);
    expect_effect("has_operations_in_turn", "WEFT_MAX_OPERATIONS=1", 1);
    expect_effect("has_operations_in_turn", "WEFT_MAX_OPERATIONS=2", 0);
    expect_effect("has_room_for_one_connection", "WEFT_MAX_CONNECTIONS=1", 1);
    expect_effect("has_room_for_one_connection", "WEFT_MAX_CONNECTIONS=2", 0);
    expect_effect("has_memory_for_one_buffer", "WEFT_MAX_BUFFER_MEMORY_KIB=31", 1);
    expect_effect("has_memory_for_one_buffer", "WEFT_MAX_BUFFER_MEMORY_KIB=32", 0);
    expect_effect("has_canaries_only", "WEFT_GUARD=3", 1);
    expect_effect("has_canaries_only", "WEFT_GUARD=2", 0);
    expect_effect("has_pinned_workers", "WEFT_PIN=1", 1);
    cr_assert_eq(sched_getaffinity(0, sizeof set, &set), 0);
    expect_effect("has_pinned_workers", "WEFT_PIN=2", CPU_COUNT(&set) == 1);
}

static _Atomic(uint32_t) cpus_seen;

static int note_cpu(void *arg)
{
    cpu_set_t set;

    (void)arg;
    CHECK_EQ(sched_getaffinity(0, sizeof set, &set), 0);
    CHECK_EQ(CPU_COUNT(&set), 1);
    for (unsigned cpu = 0; cpu < 32; cpu++)
        if (CPU_ISSET(cpu, &set))
            cpus_seen |= UINT32_C(1) << cpu;
    return 0;
}

static int note_two_workers(void *arg)
{
    (void)arg;
    /* In chaos mode every resume is on another worker, so that two turns see both. */
    CHECK_EQ(note_cpu(NULL), 0);
    CHECK_EQ(weft_yield(), 0);
    return note_cpu(NULL);
}

/* Two workers pinned to one CPU while another stays idle halve the program's speed. */
Test(config, workers_are_pinned_to_different_cpus, .timeout = TEST_TIMEOUT_S)
{
    /* Without spares, which are not pinned. */
    struct weft_config config = {.workers = 2, .pin = 1, .chaos = 1, .monitor = 2};
    cpu_set_t set;

    cr_assert_eq(sched_getaffinity(0, sizeof set, &set), 0);
    if (CPU_COUNT(&set) < 2)
        cr_skip_test("this needs two CPUs");
    cr_expect_eq(run_config(&config, note_two_workers, NULL), 0);
    cr_expect_eq(__builtin_popcount(cpus_seen), 2);
}
