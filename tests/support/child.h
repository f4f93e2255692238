/* SPDX-License-Identifier: MIT */
/*
 * Functions that run in a fresh process of their own, for what a test must not do to itself: die,
 * drop privileges, forbid system calls, or start with another environment.  It leaves no core file.
 *
 * The process is this executable once more, not a bare fork: ThreadSanitizer does not let the
 * child of a process with several threads start threads of its own.
 */
#ifndef WEFT_TEST_CHILD_H
#define WEFT_TEST_CHILD_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

struct child {
    const char *name;
    int (*fn)(unsigned parameter); /* its result is the exit status */
    struct child *next;
};

struct child_end {
    int exit_status;    /* -1 if a signal ended it */
    int signal;         /* 0 if it exited */
    char output[16384]; /* what it wrote to standard error and standard output */
};

/* Defines a function that run_child(#name, ...) runs. */
#define CHILD(name)                                                \
    static int name(unsigned parameter);                           \
    __attribute__((constructor)) static void register_##name(void) \
    {                                                              \
        static struct child child = {#name, name, NULL};           \
        child_register(&child);                                    \
    }                                                              \
    static int name(unsigned parameter)

void child_register(struct child *child);

/*
 * Runs the function and waits for its end.  `environment` holds "NAME=value" strings up to a null
 * pointer, and may be null; no other WEFT_* variable reaches the child.  It does not outlive the
 * caller.
 */
void run_child(const char *name, unsigned parameter, const char *const *environment,
               struct child_end *end);

/*
 * The same under a command that runs the one behind it: `prefix` is its name and arguments, up to
 * a null pointer.  Exit status 126: there is no such command.
 */
void run_child_under(const char *const *prefix, const char *name, unsigned parameter,
                     const char *const *environment, struct child_end *end);

/*
 * Runs the function and does not wait for its end, which is for the caller to await and must come
 * by itself when the caller has been killed.  What it writes goes where the caller's output goes.
 */
pid_t start_child(const char *name, unsigned parameter);

/* Runs it and expects that it dies by abort(), with these words in what it wrote, and not for a
 * check of the test. */
void expect_abort(const char *name, unsigned parameter, const char *words);

/* Caller: main(). */
bool child_requested(int argc, char **argv);
int child_main(char **argv);

#endif
