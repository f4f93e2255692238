/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE 1

#include "cgroup.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* "ID:CONTROLLERS:PATH", and "0::PATH" for version 2.  Returns false if `controller` is in neither.
 */
static bool find_own(const char *controller, char *own, size_t size, bool *is_v2)
{
    FILE *file = fopen("/proc/self/cgroup", "re");
    bool is_found = false;
    char line[512];

    while (file != NULL && fgets(line, sizeof line, file) != NULL) {
        char *names = strchr(line, ':');
        char *path = names != NULL ? strchr(names + 1, ':') : NULL;

        if (path == NULL)
            continue;
        *path++ = '\0';
        path[strcspn(path, "\n")] = '\0';
        names++;
        if (strcmp(names, controller) != 0 && (is_found || *names != '\0'))
            continue;
        *is_v2 = *names == '\0';
        (void)snprintf(own, size, "/sys/fs/cgroup/%s%s", names, strcmp(path, "/") != 0 ? path : "");
        is_found = true;
        if (!*is_v2)
            break; /* where both versions are mounted, the controller is version 1's */
    }
    if (file != NULL)
        (void)fclose(file);
    return is_found;
}

static bool has(const struct cgroup *group, const char *file)
{
    char path[512];

    (void)snprintf(path, sizeof path, "%s/%s", group->path, file);
    return access(path, W_OK) == 0;
}

const char *cgroup_create(struct cgroup *group, const char *controller)
{
    bool is_cpu = strcmp(controller, "cpu") == 0, is_memory = strcmp(controller, "memory") == 0;
    const char *file;
    char own[256];

    if (!find_own(controller, own, sizeof own, &group->is_v2))
        return "this process is in no control group with that controller";
    (void)snprintf(group->path, sizeof group->path, "%s/weft-test-%d", own, (int)getpid());
    if (mkdir(group->path, 0700) != 0)
        return "this machine does not let the test create a control group";
    if (is_memory)
        file = group->is_v2 ? "memory.max" : "memory.limit_in_bytes";
    else
        file = !is_cpu ? "cpuset.cpus" : group->is_v2 ? "cpu.max" : "cpu.cfs_quota_us";
    if (!has(group, file)) {
        cgroup_remove(group);
        return "the control group that the test created lacks the controller";
    }
    return NULL;
}

void cgroup_remove(const struct cgroup *group)
{
    (void)rmdir(group->path);
}

bool cgroup_write(const struct cgroup *group, const char *file, const char *text)
{
    char path[512];
    bool is_written;
    FILE *out;

    (void)snprintf(path, sizeof path, "%s/%s", group->path, file);
    out = fopen(path, "we");
    if (out == NULL)
        return false;
    is_written = fputs(text, out) >= 0;
    return fclose(out) == 0 && is_written;
}

long long cgroup_read(const struct cgroup *group, const char *file, const char *key)
{
    char path[512], word[64];
    long long value = -1, number;
    FILE *in;

    (void)snprintf(path, sizeof path, "%s/%s", group->path, file);
    in = fopen(path, "re");
    if (in == NULL)
        return -1;
    while (fscanf(in, "%63s %lld", word, &number) == 2)
        if (strcmp(word, key) == 0)
            value = number;
    (void)fclose(in);
    return value;
}
