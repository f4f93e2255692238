/* SPDX-License-Identifier: MIT */
#include "others.h"

#include "fixture.h"
#include "net.h"

#include <unistd.h>

enum { LOOKS_BEFORE_THE_WRITE = 100 };

static int sleep_once(void *arg)
{
    struct others *others = arg;

    CHECK_EQ(weft_sleep(WEFT_MILLISECOND), 0);
    atomic_store(&others->has_slept, 1);
    return 0;
}

static int read_once(void *arg)
{
    struct others *others = arg;
    char byte;

    CHECK_EQ(weft_read(others->pipe[0], &byte, 1, WEFT_FOREVER), 1);
    atomic_store(&others->has_read, 1);
    return 0;
}

void others_begin(struct others *others)
{
    *others = (struct others){.looks = 0};
    make_pipe(others->pipe);
    others->sleeper = must_spawn(sleep_once, others);
    others->reader = must_spawn(read_once, others);
}

bool others_have_run(struct others *others)
{
    if (others->looks++ == LOOKS_BEFORE_THE_WRITE)
        CHECK_EQ(write(others->pipe[1], "x", 1), 1);
    return atomic_load(&others->has_slept) && atomic_load(&others->has_read);
}

void others_end(struct others *others)
{
    CHECK_EQ(must_join(others->sleeper), 0);
    CHECK_EQ(must_join(others->reader), 0);
    CHECK_EQ(weft_close(others->pipe[0]), 0);
    CHECK_EQ(weft_close(others->pipe[1]), 0);
}
