/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE 1

#include "forbid.h"

#include "check.h"

#include <grp.h>
#include <stddef.h>
#include <sys/resource.h>
#include <unistd.h>

const char *const environment_without_threads[] = {"ASAN_OPTIONS=detect_leaks=0", NULL};

void forbid_threads(void)
{
    struct rlimit none = {.rlim_cur = 1, .rlim_max = 1}; /* room for the calling thread */

    CHECK_EQ(setrlimit(RLIMIT_NPROC, &none), 0);
    if (getuid() == 0) { /* root is exempt from the limit */
        CHECK_EQ(setgroups(0, NULL), 0);
        CHECK_EQ(setresgid(65534, 65534, 65534), 0);
        CHECK_EQ(setresuid(65534, 65534, 65534), 0);
    }
}
