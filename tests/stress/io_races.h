/* SPDX-License-Identifier: MIT */
/* What io_race_stress_test.c races: each operation, what completes it, and what must be so then.
 * Those on files and their names are in io_file_races.c. */
#ifndef WEFT_TEST_IO_RACES_H
#define WEFT_TEST_IO_RACES_H

#include "../support/check.h"

#include <errno.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <weft.h>

enum {
    LENGTH = 4,
    GUARD = 16,
    RACE_IO_OPERATIONS = 21,
    RACE_FILE_OPERATIONS = 19,
    RACE_OPERATIONS = RACE_IO_OPERATIONS + RACE_FILE_OPERATIONS,
};

struct scene {
    const struct operation *operation;
    int fds[2], other[2];
    size_t filled, drained; /* of fds[1] before the operation, and in its course */
    weft_dir *dir;
    char folder[32]; /* of its own, open as fds[0]; empty: it has none */
    pid_t pid;
    uint32_t stamp;
    weft_time deadline;
    long long result;
    char before[GUARD], buffer[LENGTH], after[GUARD];
    char got[LENGTH]; /* what was in the buffer when the call returned */
};

struct operation {
    const char *name;
    void (*begin)(struct scene *scene);   /* once: opens what `end` of all of them closes */
    void (*arrange)(struct scene *scene); /* before each race; NULL: there is nothing to do */
    long long (*call)(struct scene *scene);
    void (*complete)(struct scene *scene); /* NULL: it needs nobody */
    void (*settle)(struct scene *scene);   /* says what must be so, whatever the result */
    bool makes_processes;
};

extern const struct operation race_io_operations[RACE_IO_OPERATIONS];
extern const struct operation race_file_operations[RACE_FILE_OPERATIONS];

static inline const struct operation *race_operation(int number)
{
    return number < RACE_IO_OPERATIONS ? &race_io_operations[number]
                                       : &race_file_operations[number - RACE_IO_OPERATIONS];
}

/* With all that operations may have left there. */
void race_remove_folder(const struct scene *scene);

static const char race_text[LENGTH + 1] = "data";

static inline bool race_was_stopped(long long result)
{
    return result == -ECANCELED || result == -ETIMEDOUT;
}

/* How many bytes, or what descriptor, of an operation that otherwise was stopped. */
static inline long long race_moved(const struct scene *scene)
{
    CHECK(scene->result > 0 || race_was_stopped(scene->result));
    return scene->result > 0 ? scene->result : 0;
}

/* The same for those that return 0. */
static inline bool race_is_done(const struct scene *scene)
{
    CHECK(scene->result == 0 || race_was_stopped(scene->result));
    return scene->result == 0;
}

/* Those that one of them waits for: blocked in each thread. */
sigset_t race_signals(void);

#endif
