/* SPDX-License-Identifier: MIT */
/*
 * The CPU quota of this process's control groups.
 *
 * A quota holds for a group and all below it, so the smallest one between the process's group and
 * the root counts.  In a container the path in /proc/self/cgroup often names groups that are not
 * visible: every prefix of it is tried, the root included.  (Linux: admin-guide/cgroup-v2.rst
 * "cpu.max", scheduler/sched-bwc.rst "cpu.cfs_quota_us".)
 */
#include "arch/os.h"
#include "arch/sim.h"

#include <stdio.h>
#include <string.h>

#define PATH_SIZE 1024

/* "max 100000" or "200000 100000". */
static uint64_t read_v2(const char *path)
{
    uint64_t quota = 0, period = 0;
    FILE *file = fopen(path, "re");

    if (file == NULL)
        return 0;
    if (fscanf(file, "%lu %lu", &quota, &period) != 2)
        period = 0;
    fclose(file);
    return period != 0 ? quota * 1000 / period : 0;
}

static int64_t read_number(const char *folder, const char *name)
{
    char path[PATH_SIZE + 32];
    int64_t value = 0;
    FILE *file;

    snprintf(path, sizeof path, "%s/%s", folder, name);
    file = fopen(path, "re");
    if (file == NULL)
        return 0;
    if (fscanf(file, "%ld", &value) != 1)
        value = 0;
    fclose(file);
    return value;
}

static uint64_t read_folder(const char *folder, bool v2)
{
    char path[PATH_SIZE + 32];
    int64_t quota, period;

    if (v2) {
        snprintf(path, sizeof path, "%s/cpu.max", folder);
        return read_v2(path);
    }
    quota = read_number(folder, "cpu.cfs_quota_us"); /* -1: none */
    period = read_number(folder, "cpu.cfs_period_us");
    return quota > 0 && quota < INT64_MAX / 1000 && period > 0 ? (uint64_t)(quota * 1000 / period)
                                                               : 0;
}

static uint64_t smaller(uint64_t a, uint64_t b)
{
    if (a == 0 || b == 0)
        return a + b;
    return a < b ? a : b;
}

/* The smallest quota on the path `group` below `mount`, walking from the leaf to the mount. */
static uint64_t walk(const char *root, const char *mount, const char *group, bool v2)
{
    char path[PATH_SIZE];
    size_t base = strlen(root) + strlen(mount);
    uint64_t quota = 0;
    int length = snprintf(path, sizeof path, "%s%s%s", root, mount, group);

    if (length < 0 || (size_t)length >= sizeof path)
        return 0;
    for (;;) {
        char *slash;

        quota = smaller(quota, read_folder(path, v2));
        slash = strrchr(path, '/');
        if (strlen(path) <= base || slash == NULL)
            return quota;
        *slash = '\0';
    }
}

static bool lists_cpu(const char *controllers)
{
    const char *at = controllers;

    while (at != NULL) {
        if (*at == ',')
            at++;
        if (strncmp(at, "cpu", 3) == 0 && (at[3] == ',' || at[3] == '\0'))
            return true;
        at = strchr(at, ',');
    }
    return false;
}

uint64_t wf_os_cpu_quota(const char *root)
{
    char line[PATH_SIZE];
    uint64_t quota = 0;
    FILE *file;

    if (wf_sim_is_here())
        return 0;
    snprintf(line, sizeof line, "%s/proc/self/cgroup", root);
    file = fopen(line, "re");
    if (file == NULL)
        return 0;
    /* Lines read "ID:CONTROLLERS:PATH"; version 2 has ID 0 and no controllers. */
    while (fgets(line, sizeof line, file) != NULL) {
        char *controllers = strchr(line, ':');
        char *group = controllers != NULL ? strchr(controllers + 1, ':') : NULL;

        if (group == NULL)
            continue;
        *controllers++ = '\0';
        *group++ = '\0';
        group[strcspn(group, "\n")] = '\0';
        if (*controllers == '\0') {
            quota = smaller(quota, walk(root, "/sys/fs/cgroup", group, true));
            quota = smaller(quota, walk(root, "/sys/fs/cgroup/unified", group, true));
        } else if (lists_cpu(controllers)) {
            quota = smaller(quota, walk(root, "/sys/fs/cgroup/cpu", group, false));
            quota = smaller(quota, walk(root, "/sys/fs/cgroup/cpu,cpuacct", group, false));
        }
    }
    fclose(file);
    return quota;
}
