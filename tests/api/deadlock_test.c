/* SPDX-License-Identifier: MIT */
/*
 * Programs that wait for themselves, and programs that only look like it.  Each runs in a process
 * of its own, since the test's has threads that could wake somebody.
 */
#define _GNU_SOURCE 1

#include "../support/child.h"
#include "../support/fixture.h"
#include "../support/net.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

extern char **environ;

static weft_event never = WEFT_EVENT_INIT;
static weft_mutex mutexes[2] = {WEFT_MUTEX_INIT, WEFT_MUTEX_INIT};
static weft_barrier both = WEFT_BARRIER_INIT(2);

static int wait_for_ever(void *arg)
{
    (void)arg;
    return weft_event_wait(&never, WEFT_FOREVER);
}

static int lock_both(void *arg)
{
    int first = (int)(intptr_t)arg;
    int error = weft_mutex_lock(&mutexes[first], WEFT_FOREVER);

    CHECK_EQ(error, 0);
    CHECK(weft_barrier_wait(&both, WEFT_FOREVER) >= 0); /* now each has one of them */
    error = weft_mutex_lock(&mutexes[1 - first], WEFT_FOREVER);
    if (error == 0)
        weft_mutex_unlock(&mutexes[1 - first]);
    weft_mutex_unlock(&mutexes[first]);
    return error;
}

static int lock_in_a_circle(void *arg)
{
    weft_scope scope = WEFT_SCOPE_INIT;

    (void)arg;
    CHECK_EQ(weft_set_name("philosopher"), 0);
    CHECK_EQ(weft_scope_spawn(&scope, lock_both, (void *)0), 0);
    CHECK_EQ(weft_scope_spawn(&scope, lock_both, (void *)1), 0);
    CHECK_EQ(weft_scope_close(&scope, 0), -ECANCELED);
    CHECK_EQ(weft_mutex_try_lock(&mutexes[0]), 0); /* all was cleaned up */
    return 7;
}

static int receive_what_nobody_sends(void *arg)
{
    weft_channel channel = WEFT_CHANNEL_INIT(int, NULL, 0);
    int value;

    (void)arg;
    return weft_channel_receive(&channel, &value, sizeof value, WEFT_FOREVER);
}

static int wait_among_many(void *arg)
{
    for (int i = 0; i < 100; i++)
        weft_detach(must_spawn(wait_for_ever, arg));
    return wait_for_ever(arg);
}

/* The kernel opens and syncs in threads of its own, which stay for a while. */
static int wait_after_files(void *arg)
{
    int fd = weft_openat(AT_FDCWD, "/proc/self/exe", O_RDONLY | O_CLOEXEC, 0, WEFT_FOREVER);

    CHECK(fd >= 0);
    CHECK_EQ(weft_fsync(fd, WEFT_FOREVER), 0);
    CHECK_EQ(weft_close(fd), 0);
    return wait_for_ever(arg);
}

static int (*const deadlocks[])(void *) = {
    wait_for_ever, lock_in_a_circle, receive_what_nobody_sends, wait_among_many, wait_after_files};

enum { DEADLOCKS = sizeof deadlocks / sizeof *deadlocks, AFTER_FILES = 4 };

CHILD(fall_into_deadlock)
{
    struct weft_config config = {.workers = parameter / DEADLOCKS};
    struct weft_stats stats;

    CHECK_EQ(weft_run(&config, deadlocks[parameter % DEADLOCKS], NULL), -EDEADLK);
    CHECK_EQ(weft_stats_read(&stats), 0);
    assert_stats_balance(&stats);
    return 0;
}

static void skip_if_not_alone(void)
{
    if (TEST_IS_TSAN)
        cr_skip_test("the sanitizer has a thread of its own, which might wake somebody");
}

static void run_deadlock_with(unsigned workers, unsigned number, const char *const *environment,
                              struct child_end *end)
{
    run_child("fall_into_deadlock", workers * DEADLOCKS + number, environment, end);
    cr_expect_eq(end->exit_status, 0, "%u: status %d, signal %d: %s", number, end->exit_status,
                 end->signal, end->output);
    cr_expect_not_null(strstr(end->output, "weft: deadlock: "), "%u: %s", number, end->output);
}

static void run_deadlock(unsigned workers, unsigned number, struct child_end *end)
{
    run_deadlock_with(workers, number, NULL, end);
}

/* It would hang for ever, without a word. */
WORKER_TEST(deadlock, is_reported_and_ends_the_run, TEST_TIMEOUT_S)
{
    struct child_end end;

    skip_if_not_alone();
    for (unsigned i = 0; i < DEADLOCKS; i++)
        run_deadlock(*workers, i, &end);
}

/* On io_uring the kernel's threads were counted as the program's, so that whoever had opened a file
 * hung.  With epoll it is the pool's that are left. */
Test(deadlock, is_found_after_operations_on_files, .timeout = TEST_TIMEOUT_S)
{
    const char *const backends[] = {"WEFT_BACKEND=auto", "WEFT_BACKEND=epoll"};

    skip_if_not_alone();
    for (unsigned i = 0; i < sizeof backends / sizeof *backends; i++) {
        const char *const calm[] = {backends[i], NULL};
        const char *const chaos[] = {backends[i], "WEFT_CHAOS=3", NULL};
        struct child_end end;

        run_deadlock_with(2, AFTER_FILES, calm, &end);
        run_deadlock_with(2, AFTER_FILES, chaos, &end);
    }
}

static unsigned count(const char *text, const char *word)
{
    unsigned found = 0;

    while ((text = strstr(text, word)) != NULL) {
        found++;
        text++;
    }
    return found;
}

/* Who waits, where, and for what; but not a thousand times. */
Test(deadlock, the_report_names_who_waits_where, .timeout = TEST_TIMEOUT_S)
{
    struct child_end end;

    skip_if_not_alone();
    run_deadlock(2, 1, &end);
    cr_expect_not_null(strstr(end.output, "3 fibers wait"), "%s", end.output);
    cr_expect_not_null(strstr(end.output, "\"philosopher\" waits for the members of the scope at "),
                       "%s", end.output);
    cr_expect_eq(count(end.output, "\" waits for "), 3, "%s", end.output);
    cr_expect_eq(count(end.output, "spawned at: "), 2, "%s", end.output);
    cr_expect_geq(count(end.output, "#1 "), 3, "%s", end.output);
    run_deadlock(2, 3, &end);
    cr_expect_not_null(strstr(end.output, "101 fibers wait"), "%s", end.output);
    cr_expect_not_null(strstr(end.output, "16 of them"), "%s", end.output);
    cr_expect_leq(count(end.output, "\" waits for "), 16, "%s", end.output);
}

enum { LONG_MS = 1500 /* what the monitor takes to be sure, and the pause after its first look */ };

static int sleep_in_thread(void *arg)
{
    (void)arg;
    (void)usleep(LONG_MS * 1000);
    return 0;
}

CHILD(wait_late)
{
    weft_runtime *runtime = must_start(parameter, wait_for_ever, NULL);
    int result = 0;

    (void)usleep(1000 * 1000); /* the monitor has long gone to sleep */
    CHECK_EQ(weft_wait(runtime, &result, weft_after(500 * WEFT_MILLISECOND)), -ETIMEDOUT);
    CHECK_EQ(weft_wait(runtime, &result, WEFT_FOREVER), 0);
    CHECK_EQ(result, -EDEADLK);
    return 0;
}

/* While the main thread does something else it may be about to wake somebody.  Once it waits for
 * good it is not. */
WORKER_TEST(deadlock, is_found_when_the_last_thread_waits, TEST_TIMEOUT_S)
{
    struct child_end end;

    skip_if_not_alone();
    run_child("wait_late", *workers, NULL, &end);
    cr_expect_eq(end.exit_status, 0, "status %d, signal %d: %s", end.exit_status, end.signal,
                 end.output);
    cr_expect_eq(count(end.output, "weft: deadlock: "), 1, "%s", end.output);
}

static void *outlast_a_look(void *arg)
{
    (void)sleep_in_thread(arg);
    return NULL;
}

CHILD(wait_beside_a_thread)
{
    struct weft_config config = {.workers = parameter};
    pthread_t thread;

    CHECK_EQ(pthread_create(&thread, NULL, outlast_a_look, NULL), 0);
    CHECK_EQ(pthread_detach(thread), 0);
    CHECK_EQ(weft_run(&config, wait_for_ever, NULL), -EDEADLK);
    return 0;
}

/* As long as it is there it may be about to wake somebody.  Its end wakes nobody, the monitor
 * included, which has gone to sleep long before. */
WORKER_TEST(deadlock, is_found_when_the_last_thread_has_ended, TEST_TIMEOUT_S)
{
    struct child_end end;

    skip_if_not_alone();
    run_child("wait_beside_a_thread", *workers, NULL, &end);
    cr_expect_eq(end.exit_status, 0, "status %d, signal %d: %s", end.exit_status, end.signal,
                 end.output);
    cr_expect_eq(count(end.output, "weft: deadlock: "), 1, "%s", end.output);
}

static int sleep_and_wake(void *arg)
{
    weft_fiber *fiber = must_spawn(wait_for_ever, arg);

    CHECK_EQ(weft_sleep(LONG_MS * WEFT_MILLISECOND), 0);
    weft_event_set(&never);
    return must_join(fiber);
}

static int read_from_a_child(void *arg)
{
    char *const argv[] = {(char *)"sh", (char *)"-c", (char *)"sleep 0.8; echo x", NULL};
    posix_spawn_file_actions_t actions;
    int fds[2];
    char byte;
    pid_t pid;

    (void)arg;
    make_pipe(fds);
    CHECK_EQ(posix_spawn_file_actions_init(&actions), 0);
    CHECK_EQ(posix_spawn_file_actions_adddup2(&actions, fds[1], 1), 0);
    CHECK_EQ(weft_process_spawn(&pid, "sh", &actions, NULL, argv, environ, WEFT_FOREVER), 0);
    CHECK_EQ(posix_spawn_file_actions_destroy(&actions), 0);
    CHECK_EQ(weft_read(fds[0], &byte, 1, WEFT_FOREVER), 1);
    return weft_process_wait(pid, NULL, WEFT_FOREVER);
}

static int wait_for_the_pool(void *arg)
{
    return weft_blocking(sleep_in_thread, arg, WEFT_FOREVER);
}

static void *set_later(void *arg)
{
    (void)sleep_in_thread(arg);
    weft_event_set(&never);
    return NULL;
}

static int wait_for_a_thread(void *arg)
{
    pthread_t thread;
    int result;

    CHECK_EQ(pthread_create(&thread, NULL, set_later, arg), 0);
    result = wait_for_ever(arg);
    CHECK_EQ(pthread_join(thread, NULL), 0);
    return result;
}

static int (*const waits[])(void *) = {sleep_and_wake, read_from_a_child, wait_for_the_pool,
                                       wait_for_a_thread};

CHILD(wait_long)
{
    struct weft_config config = {.workers = 2};

    return weft_run(&config, waits[parameter], NULL);
}

/* What a timer, a peer, the pool or a thread is going to end is no deadlock, however long. */
Test(deadlock, long_waits_are_none, .timeout = TEST_TIMEOUT_S)
{
    for (unsigned i = 0; i < sizeof waits / sizeof *waits; i++) {
        struct child_end end;

        run_child("wait_long", i, NULL, &end);
        cr_expect_eq(end.exit_status, 0, "%u: %d: %s", i, end.exit_status, end.output);
        cr_expect_null(strstr(end.output, "deadlock"), "%u: %s", i, end.output);
    }
}

CHILD(wait_in_silence)
{
    struct weft_config config = {.workers = 2, .deadlock = 2};

    (void)alarm(parameter);
    return weft_run(&config, wait_for_ever, NULL);
}

/* Whoever wants it to hang, for a debugger, can have that. */
Test(deadlock, can_be_left_alone, .timeout = TEST_TIMEOUT_S)
{
    struct child_end end;

    run_child("wait_in_silence", 1, NULL, &end);
    cr_expect_eq(end.signal, SIGALRM, "status %d: %s", end.exit_status, end.output);
    cr_expect_null(strstr(end.output, "deadlock"), "%s", end.output);
}
