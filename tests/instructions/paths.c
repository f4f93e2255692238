/* SPDX-License-Identifier: MIT */
/*
 * Goes down each hot path some thousand times between two calls that valgrind can see, for run.py,
 * which counts the instructions between them.  One worker and no monitor: nothing else runs.  Then
 * the ways of stealing, from a second worker that is held (steals.c).
 *
 * usage: instruction_paths [PATH|all]    lengthens this path by instructions that do nothing: the
 *                                        regression that the test must find
 */
#include "paths.h"

#include "arch/context.h"

#include <errno.h>
#include <stdalign.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include <weft.h>

enum { OPERATIONS = 4000, WARM_UP = 400, STACK_SIZE = 64 * 1024, PLANTED_STEPS = 200 };

static const char *planted; /* the path that is made longer, "all" or null */
static bool is_planted;     /* whether the current one is it */

/* What valgrind is told by name to begin and to end counting at.  The bodies differ, or the
 * compiler could make one function of the two. */
void instructions_begin(void);
void instructions_end(void);

__attribute__((noinline, noclone)) void instructions_begin(void)
{
    __asm__ volatile("" ::: "memory");
}

__attribute__((noinline, noclone)) void instructions_end(void)
{
    __asm__ volatile("nop" ::: "memory");
}

void plant(void)
{
    if (!is_planted)
        return;
    for (int i = 0; i < PLANTED_STEPS; i++)
        __asm__ volatile("nop");
}

_Noreturn void die(const char *what)
{
    fprintf(stderr, "instruction_paths: %s\n", what);
    exit(1);
}

/* Each path does `count` operations. */

static alignas(64) char stack[STACK_SIZE];
static struct wf_context here, there;

static void turn(void *arg, void *passed)
{
    (void)arg, (void)passed;
    for (;;)
        (void)wf_context_switch(&there, &here, NULL);
}

static void switch_contexts(unsigned count)
{
    wf_context_init(&there, stack + STACK_SIZE, turn, NULL, NULL);
    for (unsigned i = 0; i < count; i += 2) {
        (void)wf_context_switch(&here, &there, NULL);
        plant();
    }
}

static int yield_often(void *arg)
{
    for (unsigned i = 0; i < *(unsigned *)arg / 2; i++) {
        weft_yield();
        plant();
    }
    return 0;
}

static void yield(unsigned count)
{
    weft_fiber *fiber;

    if (weft_spawn(&fiber, yield_often, &count) != 0)
        die("no fiber");
    yield_often(&count);
    if (weft_join(fiber, NULL, WEFT_FOREVER) != 0)
        die("no join");
}

static int count_one(void *arg)
{
    ++*(unsigned *)arg;
    return 0;
}

static void spawn_join(unsigned count)
{
    unsigned ran = 0;

    for (unsigned i = 0; i < count; i++) {
        weft_fiber *fiber;

        if (weft_spawn(&fiber, count_one, &ran) != 0 || weft_join(fiber, NULL, WEFT_FOREVER) != 0)
            die("no fiber");
        plant();
    }
    if (ran != count)
        die("some fibers did not run");
}

WEFT_TASK(climb, unsigned, unsigned)

/* noinline: else the compiler decides anew how many levels become one function. */
__attribute__((noinline)) static unsigned climb(weft_team team, unsigned steps)
{
    struct climb_task task;

    if (steps == 0)
        return 0;
    climb_fork(&team, &task, 0);
    unsigned above = climb(team, steps - 1);
    plant();
    return above + climb_join(&team, &task) + 1;
}

static void fork_join(unsigned count)
{
    for (unsigned done = 0; done < count; done += 100)
        if (climb_call(100) != 100)
            die("wrong sum");
}

WEFT_CHANNEL_DEFINE(numbers, unsigned)

static int send_all(void *arg)
{
    numbers *channel = arg;

    for (unsigned i = 0;; i++)
        if (numbers_send(channel, i, WEFT_FOREVER) != 0)
            return 0;
}

/* An unbuffered one: each value is handed over, and both fibers wait in turn. */
static void channel(unsigned count)
{
    numbers channel = {WEFT_CHANNEL_INIT(unsigned, NULL, 0)};
    weft_fiber *sender;

    if (weft_spawn(&sender, send_all, &channel) != 0)
        die("no fiber");
    for (unsigned i = 0; i < count; i++) {
        unsigned value = 0;

        if (numbers_receive(&channel, &value, WEFT_FOREVER) != 0 || value != i)
            die("a wrong value");
        plant();
    }
    numbers_close(&channel);
    if (weft_join(sender, NULL, WEFT_FOREVER) != 0)
        die("the sender failed");
}

static void lock(unsigned count)
{
    static weft_mutex mutex = WEFT_MUTEX_INIT;

    for (unsigned i = 0; i < count; i++) {
        if (weft_mutex_lock(&mutex, WEFT_FOREVER) != 0)
            die("no lock");
        weft_mutex_unlock(&mutex);
        plant();
    }
}

static int echo(void *arg)
{
    int fd = *(int *)arg;
    char byte;

    while (weft_read(fd, &byte, 1, WEFT_FOREVER) == 1)
        if (weft_write(fd, &byte, 1, WEFT_FOREVER) != 1)
            break;
    return 0;
}

/* A byte there and back: two reads that wait, two writes. */
static void io_submit(unsigned count)
{
    weft_fiber *fiber;
    int fds[2];

    if (socketpair(AF_UNIX, SOCK_STREAM, 0, fds) != 0 || weft_spawn(&fiber, echo, &fds[1]) != 0)
        die("no echo");
    for (unsigned i = 0; i < count; i++) {
        char byte = 'w';

        if (weft_write(fds[0], &byte, 1, WEFT_FOREVER) != 1 ||
            weft_read(fds[0], &byte, 1, WEFT_FOREVER) != 1)
            die("no byte came back");
        plant();
    }
    weft_close(fds[0]);
    if (weft_join(fiber, NULL, WEFT_FOREVER) != 0)
        die("the echo failed");
    weft_close(fds[1]);
}

struct path {
    const char *name;
    void (*run)(unsigned count);
};

static const struct path paths[] = {
    {"switch", switch_contexts}, {"yield", yield},     {"spawn_join", spawn_join},
    {"fork_join", fork_join},    {"channel", channel}, {"lock", lock},
    {"io_submit", io_submit},
};

static const struct path steals[] = {
    {"steal", steal},
    {"steal_ready", steal_ready},
    {"steal_task", steal_task},
};

/* One line for each path, in the order of valgrind's dumps. */
static int go_down(const struct path *list, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        is_planted = planted && (strcmp(planted, list[i].name) == 0 || strcmp(planted, "all") == 0);
        list[i].run(WARM_UP);
        instructions_begin();
        list[i].run(OPERATIONS);
        instructions_end();
        printf("%s %d\n", list[i].name, OPERATIONS);
    }
    return 0;
}

static int go_down_paths(void *arg)
{
    (void)arg;
    return go_down(paths, sizeof paths / sizeof *paths);
}

static int go_down_steals(void *arg)
{
    (void)arg;
    return go_down(steals, sizeof steals / sizeof *steals);
}

/* The paths are those of the configuration here.  In chaos, say, what is only moved between queues
 * would be run, and it is no fiber. */
static void forget_settings(void)
{
    char **variable = environ;

    while (*variable != NULL) {
        char name[64];
        size_t length = strcspn(*variable, "=");

        if (strncmp(*variable, "WEFT_", 5) != 0 || length >= sizeof name) {
            variable++;
            continue;
        }
        memcpy(name, *variable, length);
        name[length] = '\0';
        if (unsetenv(name) != 0)
            die("an environment that cannot be changed");
        variable = environ; /* the others have moved */
    }
}

int main(int argc, char **argv)
{
    struct weft_config config = WEFT_CONFIG_INIT;

    forget_settings();
    planted = argc > 1 ? argv[1] : NULL;
    config.workers = 1;
    config.monitor = 3;
    config.backend = WEFT_BACKEND_IO_URING;
    int rc = weft_run(&config, go_down_paths, NULL);
    /* Sandboxes refuse io_uring: a test that is skipped. */
    if (rc == -EPERM || rc == -ENOSYS)
        return 77;
    return rc != 0 || with_a_victim(go_down_steals) != 0;
}
