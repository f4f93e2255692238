/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE 1

#include "child.h"

#include "check.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

static const char child_option[] = "--run-child";
static struct child *children;

enum { ENVIRONMENT_MAX = 512 };

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
    for (; extra && *extra && count < ENVIRONMENT_MAX - 1; extra++)
        variables[count++] = (char *)*extra;
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

void run_child(const char *name, unsigned parameter, const char *const *environment,
               struct child_end *end)
{
    char *variables[ENVIRONMENT_MAX];
    char number[16];
    int output[2];
    int status = 0;
    pid_t pid;

    (void)snprintf(number, sizeof number, "%u", parameter);
    fill_environment(variables, environment);
    CHECK_EQ(pipe(output), 0);
    pid = fork();
    CHECK(pid >= 0);
    if (pid == 0) {
        char *arguments[] = {(char *)"child", (char *)child_option, (char *)name, number, NULL};

        (void)dup2(output[1], STDOUT_FILENO);
        (void)dup2(output[1], STDERR_FILENO);
        (void)close(output[0]);
        (void)close(output[1]);
        (void)execve("/proc/self/exe", arguments, variables);
        _exit(126);
    }
    (void)close(output[1]);
    collect_output(output[0], end);
    (void)close(output[0]);
    while (waitpid(pid, &status, 0) < 0)
        CHECK_EQ(errno, EINTR);
    end->exit_status = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
    end->signal = WIFSIGNALED(status) ? WTERMSIG(status) : 0;
}
