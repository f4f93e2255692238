/* SPDX-License-Identifier: MIT */
/* What io_race_stress_test.c races: each operation, what completes it, and what must be so then. */
#ifndef WEFT_TEST_IO_RACES_H
#define WEFT_TEST_IO_RACES_H

#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <weft.h>

enum { LENGTH = 4, GUARD = 16, RACE_OPERATIONS = 23 };

struct scene {
    const struct operation *operation;
    int fds[2], other[2];
    size_t filled, drained; /* of fds[1] before the operation, and in its course */
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

extern const struct operation race_operations[RACE_OPERATIONS];

/* Those that one of them waits for: blocked in each thread. */
sigset_t race_signals(void);

#endif
