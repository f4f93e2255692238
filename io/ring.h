/* SPDX-License-Identifier: MIT */
/* The set-up of a ring, for ring.c. */
#ifndef WF_IO_RING_H
#define WF_IO_RING_H

#include <liburing.h>
#include <stddef.h>
#include <stdint.h>

/* Makes a ring with the best flags that the kernel knows, and names them; tries each system call
 * and looks for each operation that is going to be needed.  0 or -errno. */
int wf_ring_set_up(struct io_uring *ring, uint32_t entries, const char **name);

/* Writes one line on why the set-up failed and what to do about it. */
void wf_ring_explain(int error, char *text, size_t size);

/* See wf_backend.describe. */
int wf_ring_describe(char *line, size_t size);

#endif
