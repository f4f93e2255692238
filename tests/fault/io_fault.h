/* SPDX-License-Identifier: MIT */
/*
 * Makes one of the library's requests for input or output fail, in any way, or move a single byte
 * of what it could.
 *
 * A program that is linked with io_fault.c, io_fault_ring.c and --wrap for each function of
 * io_fault_functions.txt sends the library's calls of these through the first.  On io_uring an
 * operation is changed on its way to the kernel: into one that does nothing and completes with the
 * error (IORING_NOP_INJECT_RESULT), or into a shorter one.
 */
#ifndef WEFT_TEST_IO_FAULT_H
#define WEFT_TEST_IO_FAULT_H

#include <stdbool.h>
#include <stddef.h>

enum {
    IO_FAULT_SHORT = 1, /* no error: one byte is moved */
    IO_FAULT_FDS = 1024,
    /* For what has no descriptor before it begins. */
    IO_FAULT_PROCESSES = IO_FAULT_FDS - 4,
    IO_FAULT_SIGNALS,
    IO_FAULT_NAMES,
    IO_FAULT_NEW_FDS,
};

/* Which requests on a descriptor count. */
enum { IO_FAULT_NONE, IO_FAULT_CALLS = 1, IO_FAULT_CLOSE = 2, IO_FAULT_ALL = 3 };

/* From now on these requests on `fd` count, until it is closed. */
void io_fault_concern(int fd, unsigned requests);

/* From now on the request with this number fails, counting from 1: with -errno, or it is short. */
void io_fault_arm(int number, int error);

/* What it was armed with last. */
int io_fault_error(void);

/* Nothing fails any more. */
void io_fault_disarm(void);

/* The request that has failed since the arming, by its function or its opcode; NULL: none. */
const char *io_fault_fired(void);

/* Whether the caller is to hear of that one. */
bool io_fault_is_told(void);

/* Whether a request of this name has ever failed in this process. */
bool io_fault_was_tried(const char *name);

/* Whether the kernel has an operation that completes as it is told (Linux 6.10). */
bool io_fault_has_injection(void);

/* For io_fault_ring.c.  What the library keeps to itself: */
enum {
    IO_FAULT_REPEATED = 1, /* EINTR: it asks once more */
    IO_FAULT_AWAITED = 2,  /* EAGAIN: it waits and asks once more */
    IO_FAULT_RETRIED = 3,  /* both */
};

/* Whether this request is the one. */
bool io_fault_hits(const char *name, unsigned kept, int fd);
bool io_fault_hits_close(const char *name, int fd);

#endif
