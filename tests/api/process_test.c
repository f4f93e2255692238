/* SPDX-License-Identifier: MIT */
/* process.h: children and signals. */
#define _GNU_SOURCE 1

#include "../support/fixture.h"
#include "../support/net.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

static pid_t must_start_shell(const char *script, const posix_spawn_file_actions_t *actions)
{
    char text[256];
    char *const argv[] = {"sh", "-c", text, NULL};
    pid_t pid = -1;

    (void)snprintf(text, sizeof text, "%s", script);
    CHECK_EQ(weft_process_spawn(&pid, "sh", actions, NULL, argv, environ, WEFT_FOREVER), 0);
    CHECK(pid > 0);
    return pid;
}

static int start_and_wait(void *arg)
{
    pid_t pid;
    int status = -1;

    (void)arg;
    pid = must_start_shell("exit 7", NULL);
    CHECK_EQ(weft_process_wait(pid, &status, WEFT_FOREVER), 0);
    CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 7);
    CHECK_EQ(weft_process_wait(pid, &status, WEFT_FOREVER), -ECHILD);
    pid = must_start_shell("kill -TERM $$", NULL);
    CHECK_EQ(weft_process_wait(pid, &status, WEFT_FOREVER), 0);
    CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGTERM);
    pid = must_start_shell("exit 0", NULL);
    CHECK_EQ(weft_process_wait(pid, NULL, WEFT_FOREVER), 0);
    CHECK_EQ(weft_process_wait(getpid(), &status, WEFT_FOREVER), -ECHILD);
    /* A worker's number is a thread's, and no process's. */
    CHECK_EQ(weft_process_wait((pid_t)syscall(SYS_gettid), &status, WEFT_FOREVER), -ECHILD);
    CHECK_EQ(weft_process_wait(0x7ffffff, &status, WEFT_FOREVER), -ECHILD);
    CHECK_EQ(weft_process_wait(-1, &status, WEFT_FOREVER), -ECHILD);
    CHECK_EQ(waitpid(-1, &status, WNOHANG), -1); /* no zombie is left */
    return 0;
}

WORKER_TEST(process, ends_are_reported, TEST_TIMEOUT_S)
{
    cr_expect_eq(run_workers(*workers, start_and_wait, NULL), 0);
}

static int wait_in_fiber(void *arg)
{
    return weft_process_wait(*(pid_t *)arg, NULL, WEFT_FOREVER);
}

static int give_up_and_wait_again(void *arg)
{
    pid_t pid = must_start_shell("exec sleep 1000", NULL);
    weft_fiber *fiber;
    int status = 0;

    (void)arg;
    CHECK_EQ(weft_process_wait(pid, &status, 0), -ETIMEDOUT);
    CHECK_EQ(weft_process_wait(pid, &status, weft_after(WEFT_MILLISECOND)), -ETIMEDOUT);
    fiber = must_spawn(wait_in_fiber, &pid);
    CHECK_EQ(weft_sleep(WEFT_MILLISECOND), 0);
    weft_cancel(fiber);
    CHECK_EQ(must_join(fiber), -ECANCELED);
    CHECK_EQ(kill(pid, SIGKILL), 0);
    CHECK_EQ(weft_process_wait(pid, &status, WEFT_FOREVER), 0);
    CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
    return 0;
}

/* A wait that ends early loses nothing: the child is there, and its end is. */
WORKER_TEST(process, a_wait_can_be_given_up, TEST_TIMEOUT_S)
{
    cr_expect_eq(run_workers(*workers, give_up_and_wait_again, NULL), 0);
}

static int wait_for_status(void *arg)
{
    int status = 0;

    CHECK_EQ(weft_process_wait(*(pid_t *)arg, &status, WEFT_FOREVER), 0);
    return status;
}

static int kill_while_waited_for(void *arg)
{
    pid_t pid = must_start_shell("exec sleep 1000", NULL);
    weft_fiber *fiber = must_spawn(wait_for_status, &pid);
    int status;

    (void)arg;
    CHECK_EQ(kill(pid, SIGSTOP), 0); /* which is no end */
    CHECK_EQ(weft_join(fiber, &status, weft_after(2 * WEFT_MILLISECOND)), -ETIMEDOUT);
    CHECK_EQ(kill(pid, SIGTERM), 0);
    CHECK_EQ(kill(pid, SIGCONT), 0);
    status = must_join(fiber);
    CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGTERM);
    CHECK_EQ(waitpid(-1, &status, WNOHANG), -1); /* no zombie is left */
    return 0;
}

WORKER_TEST(process, a_child_is_killed_while_it_is_waited_for, TEST_TIMEOUT_S)
{
    cr_expect_eq(run_workers(*workers, kill_while_waited_for, NULL), 0);
}

/* Is the first to hear of the child's end, and says so on `fd`: 'n' if it may not trace. */
static void trace(pid_t pid, int fd)
{
    siginfo_t info;
    char answer = 'n';

    (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (ptrace(PTRACE_SEIZE, pid, NULL, NULL) == 0) {
        (void)kill(pid, SIGKILL);
        answer = waitid(P_PID, (id_t)pid, &info, WEXITED | WNOWAIT | __WALL) == 0 ? 'y' : 'n';
    }
    (void)!write(fd, &answer, 1);
    for (;;)
        (void)pause();
}

static int wait_for_a_traced_child(void *arg)
{
    pid_t pid = must_start_shell("exec sleep 1000", NULL), tracer;
    weft_fiber *fiber;
    int fds[2], status;
    bool *may_trace = arg;
    char answer;

    make_pipe(fds);
    tracer = fork();
    CHECK(tracer >= 0);
    if (tracer == 0)
        trace(pid, fds[1]);
    CHECK_EQ(weft_read(fds[0], &answer, 1, WEFT_FOREVER), 1);
    *may_trace = answer == 'y';
    if (*may_trace) {
        CHECK_EQ(weft_process_wait(pid, &status, 0), -ETIMEDOUT);
        CHECK_EQ(weft_process_wait(pid, &status, weft_after(20 * WEFT_MILLISECOND)), -ETIMEDOUT);
    } else {
        CHECK_EQ(kill(pid, SIGKILL), 0);
    }
    fiber = must_spawn(wait_for_status, &pid);
    CHECK_EQ(weft_sleep(5 * WEFT_MILLISECOND), 0);
    CHECK_EQ(kill(tracer, SIGKILL), 0);
    CHECK_EQ(waitpid(tracer, NULL, 0), tracer);
    status = must_join(fiber);
    CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
    CHECK_EQ(close(fds[0]), 0);
    return close(fds[1]);
}

/* Its descriptor says that it has ended, and it cannot be taken before its tracer has gone. */
WORKER_TEST(process, a_child_that_is_traced_has_not_ended_yet, TEST_TIMEOUT_S)
{
    bool may_trace = false;

    cr_expect_eq(run_workers(*workers, wait_for_a_traced_child, &may_trace), 0);
    if (!may_trace)
        cr_skip_test("this system lets nobody trace");
}

static int redirect(void *arg)
{
    posix_spawn_file_actions_t actions;
    char got[16] = "";
    int in[2], out[2];
    pid_t pid;

    (void)arg;
    CHECK_EQ(pipe2(in, O_CLOEXEC), 0);
    CHECK_EQ(pipe2(out, O_CLOEXEC), 0);
    CHECK_EQ(posix_spawn_file_actions_init(&actions), 0);
    CHECK_EQ(posix_spawn_file_actions_adddup2(&actions, in[0], 0), 0);
    CHECK_EQ(posix_spawn_file_actions_adddup2(&actions, out[1], 1), 0);
    pid = must_start_shell("tr a-z A-Z", &actions);
    CHECK_EQ(posix_spawn_file_actions_destroy(&actions), 0);
    CHECK_EQ(weft_close(in[0]), 0);
    CHECK_EQ(weft_close(out[1]), 0);
    CHECK_EQ(weft_write_all(in[1], "hello", 5, WEFT_FOREVER), 5);
    CHECK_EQ(weft_close(in[1]), 0);
    CHECK_EQ(weft_read_exact(out[0], got, 5, WEFT_FOREVER), 5);
    CHECK(strcmp(got, "HELLO") == 0);
    CHECK_EQ(weft_read(out[0], got, 1, WEFT_FOREVER), 0);
    CHECK_EQ(weft_close(out[0]), 0);
    return weft_process_wait(pid, NULL, WEFT_FOREVER);
}

/* A filter on two pipes: it sees the end of its input, so no copy of the pipe's end was left open.
 */
WORKER_TEST(process, descriptors_are_redirected, TEST_TIMEOUT_S)
{
    cr_expect_eq(run_workers(*workers, redirect, NULL), 0);
}

static int fail_to_start(void *arg)
{
    char *const argv[] = {"weft-no-such-program", NULL};
    pid_t pid = -1;

    (void)arg;
    CHECK_EQ(weft_process_spawn(&pid, argv[0], NULL, NULL, argv, environ, WEFT_FOREVER), -ENOENT);
    CHECK_EQ(weft_process_spawn(&pid, "/", NULL, NULL, argv, environ, WEFT_FOREVER), -EACCES);
    CHECK_EQ(weft_process_spawn(&pid, "true", NULL, NULL, argv, environ, 0), -ETIMEDOUT);
    weft_cancel(weft_self());
    CHECK_EQ(weft_process_spawn(&pid, "true", NULL, NULL, argv, environ, WEFT_FOREVER), -ECANCELED);
    CHECK_EQ(pid, -1);
    CHECK_EQ(waitpid(-1, NULL, WNOHANG), -1);
    return 0;
}

WORKER_TEST(process, a_start_that_fails_leaves_nothing, TEST_TIMEOUT_S)
{
    cr_expect_eq(run_workers(*workers, fail_to_start, NULL), 0);
    cr_expect_eq(weft_process_wait(1, NULL, WEFT_FOREVER), -EPERM, "on a plain thread");
}

static int start_with_signals_blocked(void *arg)
{
    pid_t pid = must_start_shell("kill -USR1 $$; exit 3", NULL);
    cpu_set_t before, *wanted = arg;
    char script[96];
    int status;

    CHECK_EQ(weft_process_wait(pid, &status, WEFT_FOREVER), 0);
    CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGUSR1);
    CHECK_EQ(sched_getaffinity(0, sizeof before, &before), 0);
    /* nproc would rather believe these variables than the mask. */
    (void)snprintf(script, sizeof script,
                   "unset OMP_NUM_THREADS OMP_THREAD_LIMIT; test $(nproc) = %d", CPU_COUNT(wanted));
    pid = must_start_shell(script, NULL);
    CHECK_EQ(weft_process_wait(pid, &status, WEFT_FOREVER), 0);
    CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    return 0;
}

/* Workers are pinned, and a server has its signals blocked.  A program that inherited either would
 * run on one CPU, or could not be stopped. */
WORKER_TEST(process, a_child_is_free_of_what_workers_are, TEST_TIMEOUT_S)
{
    cpu_set_t allowed;
    sigset_t set;

    sigemptyset(&set);
    sigaddset(&set, SIGUSR1);
    cr_assert_eq(pthread_sigmask(SIG_BLOCK, &set, NULL), 0);
    cr_assert_eq(sched_getaffinity(0, sizeof allowed, &allowed), 0);
    cr_expect_eq(run_workers(*workers, start_with_signals_blocked, &allowed), 0);
}

/* No shell, which may have a mask of its own. */
static void check_mask(const posix_spawnattr_t *attr, const char *pattern)
{
    char text[64];
    char *const argv[] = {"grep", "-q", text, "/proc/self/status", NULL};
    int status = -1;
    pid_t pid;

    (void)snprintf(text, sizeof text, "^SigBlk:[[:space:]]*%s$", pattern);
    CHECK_EQ(weft_process_spawn(&pid, "grep", NULL, attr, argv, environ, WEFT_FOREVER), 0);
    CHECK_EQ(weft_process_wait(pid, &status, WEFT_FOREVER), 0);
    CHECK_EQ(status, 0);
}

static int start_with_attributes(void *arg)
{
    char *const argv[] = {"sleep", "1000", NULL};
    posix_spawnattr_t attr;
    sigset_t mask;
    short flags;
    pid_t pid;

    (void)arg;
    CHECK_EQ(posix_spawnattr_init(&attr), 0);
    check_mask(NULL, "0*");
    check_mask(&attr, "0*");
    CHECK_EQ(posix_spawnattr_setflags(&attr, POSIX_SPAWN_SETPGROUP), 0);
    check_mask(&attr, "0*");
    CHECK_EQ(weft_process_spawn(&pid, "sleep", NULL, &attr, argv, environ, WEFT_FOREVER), 0);
    CHECK_EQ(getpgid(pid), pid); /* what it asks for is done all the same */
    CHECK_EQ(posix_spawnattr_getflags(&attr, &flags), 0);
    CHECK_EQ(flags, POSIX_SPAWN_SETPGROUP); /* and it is not changed */
    CHECK_EQ(kill(pid, SIGKILL), 0);
    CHECK_EQ(weft_process_wait(pid, NULL, WEFT_FOREVER), 0);
    sigemptyset(&mask);
    sigaddset(&mask, SIGUSR2);
    CHECK_EQ(posix_spawnattr_setsigmask(&attr, &mask), 0);
    CHECK_EQ(posix_spawnattr_setflags(&attr, POSIX_SPAWN_SETSIGMASK), 0);
    check_mask(&attr, "0*800");
    return posix_spawnattr_destroy(&attr);
}

/* The threads of the pool have SIGPIPE blocked, and what the program had: a child that inherited
 * that for its other attributes would not notice that its reader has gone. */
WORKER_TEST(process, attributes_leave_no_signal_blocked, TEST_TIMEOUT_S)
{
    sigset_t set;

    sigemptyset(&set);
    sigaddset(&set, SIGUSR1);
    cr_assert_eq(pthread_sigmask(SIG_BLOCK, &set, NULL), 0);
    cr_expect_eq(run_workers(*workers, start_with_attributes, NULL), 0);
}

static sigset_t signals;

static int wait_for_signal(void *arg)
{
    struct weft_signal got;
    int error = weft_signal_wait(&signals, &got, *(weft_time *)arg);

    return error != 0 ? error : got.number;
}

static int take_signals(void *arg)
{
    weft_time never = WEFT_FOREVER, soon;
    struct weft_signal got = {.number = 0};
    union sigval value = {.sival_int = 42};
    sigset_t others;
    weft_fiber *fiber;

    (void)arg;
    soon = weft_after(WEFT_MILLISECOND);
    CHECK_EQ(wait_for_signal(&soon), -ETIMEDOUT);
    fiber = must_spawn(wait_for_signal, &never);
    CHECK_EQ(weft_sleep(WEFT_MILLISECOND), 0);
    CHECK_EQ(kill(getpid(), SIGUSR1), 0);
    CHECK_EQ(must_join(fiber), SIGUSR1);
    fiber = must_spawn(wait_for_signal, &never);
    CHECK_EQ(weft_sleep(WEFT_MILLISECOND), 0);
    weft_cancel(fiber);
    CHECK_EQ(must_join(fiber), -ECANCELED);
    /* It stays pending while nobody waits, and comes to one whose deadline has passed. */
    CHECK_EQ(sigqueue(getpid(), SIGUSR2, value), 0);
    CHECK_EQ(weft_signal_wait(&signals, &got, 0), 0);
    CHECK(got.number == SIGUSR2 && got.code == SI_QUEUE && got.value == 42);
    CHECK(got.pid == getpid() && got.uid == getuid());
    sigemptyset(&others);
    sigaddset(&others, SIGHUP);
    CHECK_EQ(weft_signal_wait(&others, &got, WEFT_FOREVER), -EINVAL);
    return 0;
}

static void block_signals(void)
{
    sigemptyset(&signals);
    sigaddset(&signals, SIGUSR1);
    sigaddset(&signals, SIGUSR2);
    sigaddset(&signals, SIGCHLD);
    sigaddset(&signals, SIGKILL); /* as a full set has it */
    cr_assert_eq(pthread_sigmask(SIG_BLOCK, &signals, NULL), 0);
}

WORKER_TEST(process, signals_come_as_values, TEST_TIMEOUT_S)
{
    struct weft_signal got;

    block_signals();
    cr_expect_eq(run_workers(*workers, take_signals, NULL), 0);
    cr_expect_eq(weft_signal_wait(&signals, &got, WEFT_FOREVER), -EPERM, "on a plain thread");
}

static int race_signals(void *arg)
{
    enum { ROUNDS = 200 };
    weft_time never = WEFT_FOREVER;
    int taken = 0, left = 0;

    (void)arg;
    for (int i = 0; i < ROUNDS; i++) {
        struct weft_signal got;
        weft_fiber *fiber = must_spawn(wait_for_signal, &never);
        int result;

        for (int j = 0; j < i % 5; j++)
            CHECK_EQ(weft_yield(), 0);
        CHECK_EQ(kill(getpid(), SIGUSR1), 0);
        weft_cancel(fiber);
        result = must_join(fiber);
        CHECK(result == SIGUSR1 || result == -ECANCELED);
        taken += result == SIGUSR1;
        if (result < 0)
            left += weft_signal_wait(&signals, &got, WEFT_FOREVER) == 0;
    }
    CHECK_EQ(taken + left, ROUNDS);
    return 0;
}

/* A signal that comes while its wait is cancelled is taken by it, or pending after it. */
WORKER_TEST(process, a_cancel_loses_no_signal, TEST_TIMEOUT_S)
{
    block_signals();
    cr_expect_eq(run_workers(*workers, race_signals, NULL), 0);
}

static int take_any_signal(void *arg)
{
    weft_time soon, never = WEFT_FOREVER;
    int fds[2];

    (void)arg;
    make_pipe(fds);
    CHECK_EQ(weft_close(fds[0]), 0);
    CHECK_EQ(weft_write(fds[1], "x", 1, WEFT_FOREVER), -EPIPE);
    CHECK_EQ(weft_close(fds[1]), 0);
    soon = weft_after(5 * WEFT_MILLISECOND);
    CHECK_EQ(wait_for_signal(&soon), -ETIMEDOUT);
    CHECK_EQ(kill(getpid(), SIGUSR1), 0);
    CHECK_EQ(wait_for_signal(&never), SIGUSR1);
    return 0;
}

/* A full set is all that the program can wait for, and nothing that the library has caused. */
WORKER_TEST(process, a_full_set_has_nothing_of_the_librarys, TEST_TIMEOUT_S)
{
    sigfillset(&signals);
    cr_assert_eq(pthread_sigmask(SIG_BLOCK, &signals, NULL), 0);
    cr_expect_eq(run_workers(*workers, take_any_signal, NULL), 0);
}
