/* SPDX-License-Identifier: MIT */
#include "silence.h"

#include "check.h"

#include <dirent.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* How often the threads of the runtime have been switched to. */
static unsigned long switches(void)
{
    DIR *tasks = opendir("/proc/self/task");
    unsigned long sum = 0;
    struct dirent *entry;

    CHECK(tasks != NULL);
    while ((entry = readdir(tasks)) != NULL) {
        char path[300], line[128];
        bool is_ours = false;
        FILE *status;

        (void)snprintf(path, sizeof path, "/proc/self/task/%s/status", entry->d_name);
        status = fopen(path, "re");
        while (status != NULL && fgets(line, sizeof line, status) != NULL) {
            const char *colon = strchr(line, ':');

            is_ours |= strncmp(line, "Name:\tweft-", 11) == 0;
            if (is_ours && strstr(line, "ctxt_switches") != NULL && colon != NULL)
                sum += strtoul(colon + 1, NULL, 10);
        }
        if (status != NULL)
            (void)fclose(status);
    }
    (void)closedir(tasks);
    return sum;
}

void *await_silence(void *arg)
{
    struct silence *silence = arg;
    unsigned long before, after = 0;

    do {
        before = after;
        (void)sleep(silence->seconds);
        after = switches();
    } while (after != before || after == 0);
    CHECK_EQ(write(silence->end, "", 1), 1);
    return NULL;
}
