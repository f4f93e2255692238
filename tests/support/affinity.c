/* SPDX-License-Identifier: MIT */
#include "affinity.h"
#include "check.h"

#include <dirent.h>
#include <stdlib.h>

int only_cpu(void)
{
    cpu_set_t set;

    CHECK_EQ(sched_getaffinity(0, sizeof set, &set), 0);
    for (int cpu = 0; cpu < CPU_SETSIZE; cpu++)
        if (CPU_ISSET((unsigned)cpu, &set))
            return CPU_COUNT(&set) == 1 ? cpu : -1;
    return -1;
}

static void move_each_thread(const cpu_set_t *set)
{
    DIR *tasks = opendir("/proc/self/task");
    const struct dirent *entry;

    CHECK(tasks != NULL);
    while ((entry = readdir(tasks)) != NULL)
        if (entry->d_name[0] != '.')
            CHECK_EQ(sched_setaffinity((pid_t)atoi(entry->d_name), sizeof *set, set), 0);
    CHECK_EQ(closedir(tasks), 0);
}

void move_all_threads(const cpu_set_t *set)
{
    for (int i = 0; i < 2; i++)
        move_each_thread(set);
}
