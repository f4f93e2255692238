/* SPDX-License-Identifier: MIT */
/*
 * Mistakes, each made on purpose in a process of its own, and what weft says about it.  The checks
 * of locks are those of programs that are compiled without NDEBUG; here they are asked for.
 *
 *   build/release/examples/mistakes
 */
#define WEFT_LOCK_CHECKS 1
#define WEFT_PTHREAD_CHECKS 1

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>
#include <weft.h>

/* Behind the others, whose functions it stands in for. */
#include <weft/pthread_checks.h>

static int lock(void *mutex)
{
    return weft_mutex_lock(mutex, weft_after(WEFT_SECOND));
}

static int lock_twice(void *arg)
{
    weft_mutex mutex = WEFT_MUTEX_INIT;

    (void)arg;
    return lock(&mutex) + lock(&mutex);
}

static int unlock_what_another_has_locked(void *arg)
{
    weft_mutex mutex = WEFT_MUTEX_INIT;
    weft_fiber *fiber;

    (void)arg;
    if (weft_spawn(&fiber, lock, &mutex) == 0 && weft_join(fiber, NULL, WEFT_FOREVER) == 0)
        weft_mutex_unlock(&mutex);
    return 0;
}

static int use_what_was_destroyed(void *arg)
{
    weft_event event = WEFT_EVENT_INIT;

    (void)arg;
    weft_event_destroy(&event);
    weft_event_set(&event);
    return 0;
}

static int sleep_with_a_pthread_mutex(void *arg)
{
    static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;

    (void)arg;
    if (pthread_mutex_lock(&mutex) != 0)
        return -EIO;
    weft_sleep(WEFT_MILLISECOND); /* it may wake on another thread, which cannot unlock it */
    pthread_mutex_unlock(&mutex);
    return 0;
}

static int lock_both(weft_mutex *first, weft_mutex *second)
{
    int error = lock(first);

    if (error != 0)
        return error;
    error = lock(second);
    if (error == 0)
        weft_mutex_unlock(second);
    weft_mutex_unlock(first);
    return error;
}

/* It would take two fibers at the same time to come to harm; it does not take them to notice. */
static int lock_in_a_circle(void *arg)
{
    weft_mutex one = WEFT_MUTEX_INIT, other = WEFT_MUTEX_INIT;
    int error = lock_both(&one, &other);

    (void)arg;
    return error != 0 ? error : lock_both(&other, &one);
}

static int wait_for_nobody(void *arg)
{
    weft_event event = WEFT_EVENT_INIT;

    (void)arg;
    return weft_event_wait(&event, WEFT_FOREVER);
}

static int fail(void *arg)
{
    (void)arg;
    return -EIO;
}

static int forget_a_fiber(void *arg)
{
    weft_fiber *fiber;

    return weft_spawn(&fiber, fail, arg);
}

static int forget_a_result(void *arg)
{
    weft_future future = WEFT_FUTURE_INIT;
    int error = weft_future_spawn(&future, fail, arg);

    weft_future_close(&future);
    return error;
}

/* Where others have a thread in the process, which might wake a fiber, no deadlock is certain. */
#ifdef __SANITIZE_THREAD__
#define HAS_OTHER_THREADS 1
#else
#define HAS_OTHER_THREADS 0
#endif

enum { ABORTS = -1 };

static const struct mistake {
    int (*make)(void *);
    int status;        /* of the process */
    const char *words; /* of the report */
} mistakes[] = {
    {lock_twice, ABORTS, "the caller has locked the mutex"},
    {unlock_what_another_has_locked, ABORTS, "was locked by another"},
    {use_what_was_destroyed, ABORTS, "was destroyed"},
    {sleep_with_a_pthread_mutex, ABORTS, "suspends while its thread holds a pthread lock"},
    {lock_in_a_circle, 0, "lock order: a circle of 2"},
    {wait_for_nobody, EDEADLK, "waits for an event"},
    {forget_a_fiber, 0, "neither joined nor detached"},
    {forget_a_result, 0, "an error that nobody has read"},
};

/* Does not return. */
static void make(const struct mistake *mistake, int report)
{
    struct weft_config config = WEFT_CONFIG_INIT;
    struct rlimit none = {0, 0};
    int result;

    (void)setrlimit(RLIMIT_CORE, &none);
    (void)dup2(report, STDERR_FILENO);
    config.workers = 2;
    config.leaks = 1;
    result = weft_run(&config, mistake->make, NULL);
    _exit(result < 0 ? -result : 0);
}

static void read_report(int fd, char *text, size_t size)
{
    size_t length = 0;
    ssize_t n;

    while (length + 1 < size && (n = read(fd, text + length, size - 1 - length)) > 0)
        length += (size_t)n;
    text[length] = '\0';
}

/* Shows the line that says it.  Returns 0 if there is none, or the process ended another way. */
static int is_reported(const struct mistake *mistake)
{
    char text[8192];
    const char *line;
    int report[2], status, ended;
    pid_t pid;

    if (pipe(report) < 0 || (pid = fork()) < 0)
        return 0;
    if (pid == 0)
        make(mistake, report[1]);
    close(report[1]);
    read_report(report[0], text, sizeof text);
    close(report[0]);
    if (waitpid(pid, &status, 0) != pid)
        return 0;
    line = strstr(text, mistake->words);
    ended = mistake->status == ABORTS ? WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT
                                      : WIFEXITED(status) && WEXITSTATUS(status) == mistake->status;
    if (line == NULL || !ended) {
        printf("status %x, and not \"%s\" but:\n%s", (unsigned)status, mistake->words, text);
        return 0;
    }
    while (line > text && line[-1] != '\n')
        line--;
    printf("%.*s\n", (int)strcspn(line, "\n"), line);
    return 1;
}

int main(void)
{
    int failures = 0;

    for (size_t i = 0; i < sizeof mistakes / sizeof *mistakes; i++) {
        if (mistakes[i].status == EDEADLK && HAS_OTHER_THREADS)
            continue;
        (void)fflush(stdout);
        failures += !is_reported(&mistakes[i]);
    }
    return failures > 0;
}
