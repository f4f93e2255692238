/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE 1

#include "child.h"

#include "check.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

static const char child_option[] = "--run-child";
static struct child *children;

/* The processor does not run a program of another one by itself. */
#ifdef WEFT_TEST_EMULATOR
static const char *const emulator[] = {WEFT_TEST_EMULATOR, NULL};
#else
static const char *const emulator[] = {NULL};
#endif

enum { ENVIRONMENT_MAX = 512, ARGUMENTS_MAX = 32 };

void child_register(struct child *child)
{
    child->next = children;
    children = child;
}

bool child_requested(int argc, char **argv)
{
    return argc == 4 && strcmp(argv[1], child_option) == 0;
}

int child_main(char **argv)
{
    struct rlimit none = {0, 0};

    CHECK_EQ(setrlimit(RLIMIT_CORE, &none), 0);
    for (struct child *child = children; child; child = child->next)
        if (strcmp(child->name, argv[2]) == 0)
            return child->fn((unsigned)strtoul(argv[3], NULL, 10));
    (void)fprintf(stderr, "there is no child function %s\n", argv[2]);
    return 127;
}

/* Criterion would take its own variables for an order to run as one of its test processes. */
static bool passes_to_child(const char *variable)
{
    return strncmp(variable, "WEFT_", 5) != 0 && strncmp(variable, "BXF", 3) != 0 &&
           strncmp(variable, "CRITERION", 9) != 0;
}

static void fill_environment(char **variables, const char *const *extra)
{
    size_t count = 0;

    for (char **v = environ; *v && count < ENVIRONMENT_MAX - 16; v++)
        if (passes_to_child(*v))
            variables[count++] = *v;
    for (; extra && *extra && count < ENVIRONMENT_MAX - 2; extra++)
        variables[count++] = (char *)*extra;
    /* Emulators have no io_uring, and many a child's output is compared. */
    if (emulator[0])
        variables[count++] = (char *)"WEFT_BACKEND=epoll";
    variables[count] = NULL;
}

static void collect_output(int fd, struct child_end *end)
{
    size_t length = 0;
    ssize_t n;

    do {
        char rest[512];
        size_t room = sizeof end->output - 1 - length;

        n = room > 0 ? read(fd, end->output + length, room) : read(fd, rest, sizeof rest);
        if (n > 0 && room > 0)
            length += (size_t)n;
    } while (n > 0 || (n < 0 && errno == EINTR));
    end->output[length] = '\0';
}

/* Does not return. */
static void execute(const char *const *prefix, const char *name, const char *number,
                    char **variables)
{
    char path[4096];
    const char *arguments[ARGUMENTS_MAX + 1];
    size_t count = 0;
    ssize_t length = readlink("/proc/self/exe", path, sizeof path - 1);

    if (length < 0)
        _exit(126);
    path[length] = '\0';
    for (; prefix && prefix[count] && count < ARGUMENTS_MAX / 2; count++)
        arguments[count] = prefix[count];
    for (size_t i = 0; emulator[i]; i++)
        arguments[count++] = emulator[i];
    arguments[count++] = path;
    arguments[count++] = child_option;
    arguments[count++] = name;
    arguments[count++] = number;
    arguments[count] = NULL;
    (void)execvpe(arguments[0], (char *const *)arguments, variables);
    _exit(126);
}

/* A case whose time is over is killed, and nobody else would end what it waits for. */
static void end_with_parent(pid_t parent)
{
    /* The signal comes at the end of the thread that forked, not of its process: that one waits
     * for this child, and ends no sooner.  A parent that has ended already sends none. */
    if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0 || getppid() != parent)
        _exit(125);
}

pid_t start_child(const char *name, unsigned parameter)
{
    char *variables[ENVIRONMENT_MAX];
    char number[16];
    pid_t pid;

    (void)snprintf(number, sizeof number, "%u", parameter);
    fill_environment(variables, NULL);
    pid = fork();
    CHECK(pid >= 0);
    if (pid == 0)
        execute(NULL, name, number, variables);
    return pid;
}

void run_child(const char *name, unsigned parameter, const char *const *environment,
               struct child_end *end)
{
    run_child_under(NULL, name, parameter, environment, end);
}

void run_child_under(const char *const *prefix, const char *name, unsigned parameter,
                     const char *const *environment, struct child_end *end)
{
    char *variables[ENVIRONMENT_MAX];
    char number[16];
    int output[2];
    int status = 0;
    const pid_t parent = getpid();
    pid_t pid;

    (void)snprintf(number, sizeof number, "%u", parameter);
    fill_environment(variables, environment);
    CHECK_EQ(pipe(output), 0);
    pid = fork();
    CHECK(pid >= 0);
    if (pid == 0) {
        end_with_parent(parent);
        (void)dup2(output[1], STDOUT_FILENO);
        (void)dup2(output[1], STDERR_FILENO);
        (void)close(output[0]);
        (void)close(output[1]);
        execute(prefix, name, number, variables);
    }
    (void)close(output[1]);
    collect_output(output[0], end);
    (void)close(output[0]);
    while (waitpid(pid, &status, 0) < 0)
        CHECK_EQ(errno, EINTR);
    end->exit_status = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
    end->signal = WIFSIGNALED(status) ? WTERMSIG(status) : 0;
}

void expect_abort(const char *name, unsigned parameter, const char *words)
{
    struct child_end end;

    run_child(name, parameter, NULL, &end);
    cr_expect_eq(end.signal, SIGABRT, "%s %u: status %d, signal %d: %s", name, parameter,
                 end.exit_status, end.signal, end.output);
    cr_expect_not_null(strstr(end.output, words), "%s %u says: %s", name, parameter, end.output);
    cr_expect_null(strstr(end.output, "_test.c"), "%s %u fails a check of the test: %s", name,
                   parameter, end.output);
}
