// SPDX-License-Identifier: MIT
// In place of io/limits.h, and of what its limits stand in: no runtime limits its connections.
#ifndef MODEL_LIMITS_H
#define MODEL_LIMITS_H

#include <cstddef>
#include <cstdint>

static bool wf_limits_are_set()
{
    return false;
}

static uint32_t wf_limits_take_from(int fd)
{
    (void)fd;
    return 0;
}

enum wf_limit { WF_LIMIT_CONNECTIONS };

static void wf_limits_give(wf_limit kind, uint32_t number)
{
    (void)kind;
    (void)number;
}

static void wf_limits_forget_parent()
{
}

void wf_os_discard(void *start, size_t length)
{
    (void)start;
    (void)length;
}

#endif
