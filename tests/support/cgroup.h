/* SPDX-License-Identifier: MIT */
/* Control groups of a test's own, where the machine allows them. */
#ifndef WEFT_TEST_CGROUP_H
#define WEFT_TEST_CGROUP_H

#include <stdbool.h>

struct cgroup {
    char path[384];
    bool is_v2;
};

/*
 * Creates a group below that of this process, for one controller ("cpu", "cpuset", "memory").
 * Returns NULL, or why it could not: the caller skips its test with that.  The name carries the
 * process's number, so a process has one group of each controller at most.
 */
const char *cgroup_create(struct cgroup *group, const char *controller);

/* Caller: after the last process in it has ended. */
void cgroup_remove(const struct cgroup *group);

/* Writes one of its files.  Returns false where there is none such, or the kernel refuses. */
bool cgroup_write(const struct cgroup *group, const char *file, const char *text);

/* The number after `key` in one of its files; -1 where there is none. */
long long cgroup_read(const struct cgroup *group, const char *file, const char *key);

#endif
