/* SPDX-License-Identifier: MIT */
/* A program outside weft's tree: compiled as C and as C++ against the installed package. */
#include <stdio.h>
#include <string.h>
#include <weft.h>

static int child(void *arg)
{
    *(int *)arg += 1;
    return 7;
}

static int app(void *arg)
{
    weft_fiber *fiber;
    int result = 0;
    int error = weft_spawn(&fiber, child, arg);

    if (error == 0)
        error = weft_join(fiber, &result, WEFT_FOREVER);
    return error < 0 ? error : result;
}

int main(void)
{
    struct weft_config config = WEFT_CONFIG_INIT;
    int ran = 0;
    int result;

    config.workers = 2;
    result = weft_run(&config, app, &ran);
    if (result != 7 || ran != 1 || strcmp(weft_version(), WEFT_VERSION_STRING) != 0) {
        fprintf(stderr, "result %d, ran %d, version %s\n", result, ran, weft_version());
        return 1;
    }
    return 0;
}
