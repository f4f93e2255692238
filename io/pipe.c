/* SPDX-License-Identifier: MIT */
/* Pipes, which a simulation makes up. */
#define _GNU_SOURCE 1

#include <weft/io.h>

#include "arch/sim.h"
#include "io/sim.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

int weft_pipe(int ends[2])
{
    int made[2], error;

    if (pipe2(made, O_CLOEXEC) != 0)
        return -errno;
    error = wf_sim_is_here() ? wf_sim_pipe_create(made) : 0;
    if (error != 0) {
        close(made[0]);
        close(made[1]);
        return error;
    }
    ends[0] = made[0];
    ends[1] = made[1];
    return 0;
}
