/* SPDX-License-Identifier: MIT */
/* A peer's program without a server: prints what the load generator beside it has told. */
#include "harness/echo_client.h"

int main(void)
{
    const struct echo_load load = {.connections = 2, .bytes = 3, .rate = 4, .window_ms = 5};
    struct echo_figures figures;

    if (echo_client_run(1, &load, &figures) != 0)
        return 1;
    printf("%g %g\n", figures.requests, figures.cpu_us);
    return 0;
}
