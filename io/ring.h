/* SPDX-License-Identifier: MIT */
/* The set-up of a ring, for ring.c. */
#ifndef WF_IO_RING_H
#define WF_IO_RING_H

#include <liburing.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Makes a ring with the best flags that the kernel knows, and names them; tries each system call
 * and looks for each operation that is going to be needed.  0 or -errno. */
int wf_ring_set_up(struct io_uring *ring, uint32_t entries, const char **name);

/* Whether the kernel goes on by itself with a send for all of which there was no room
 * (MSG_WAITALL), and always tells how much it has sent then: Linux 6.1, as this one's operations
 * tell.  Earlier ones could send a part and report an error. */
bool wf_ring_resumes_sends(struct io_uring *ring);

/* Writes one line on why the set-up failed and what to do about it. */
void wf_ring_explain(int error, char *text, size_t size);

/* See wf_backend.describe. */
int wf_ring_describe(char *line, size_t size);

#endif
