/* SPDX-License-Identifier: MIT */
/* Starts a runtime, runs two fibers in it, and takes their results. */
#include <stdio.h>
#include <weft.h>

static int greet(void *arg)
{
    printf("hello from %s, on worker %d of %u\n", (const char *)arg, weft_worker_index(),
           weft_worker_count());
    return 0;
}

static int app(void *arg)
{
    weft_fiber *one;
    weft_fiber *two;
    int error;

    (void)arg;
    if ((error = weft_spawn(&one, greet, "one fiber")) < 0)
        return error;
    error = weft_spawn(&two, greet, "another fiber");
    if (error == 0)
        error = weft_join(two, NULL, WEFT_FOREVER);
    /* Each handle is given up once: by a join that succeeds, or by weft_detach(). */
    if (weft_join(one, NULL, WEFT_FOREVER) < 0)
        weft_detach(one);
    return error;
}

int main(void)
{
    return weft_run(NULL, app, NULL) < 0;
}
