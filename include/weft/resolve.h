/* SPDX-License-Identifier: MIT */
/* Names of hosts and services. */
#ifndef WEFT_RESOLVE_H
#define WEFT_RESOLVE_H

#include "base.h"

#ifdef __cplusplus
extern "C" {
#endif

struct addrinfo;

/*
 * Find the addresses of a host and a service as getaddrinfo(3) does, on a thread of the runtime's
 * pool.
 *
 * The C library's resolver cannot be stopped.  A lookup whose deadline passes, or whose fiber is
 * cancelled, is left to itself once it has begun: the call returns at once, and the pool's thread
 * is free again when the resolver gives up (resolv.conf(5): `timeout` and `attempts`).  The end of
 * the runtime waits for that.  One that still waits for a thread is not begun at all.
 *
 * Returns   0, with a list in `*found` that freeaddrinfo(3) has to get; a negative errno.
 * Deadline  absolute; with one that has passed already nothing is looked up, be it a number.
 * Context   fiber.  A plain thread blocks, whatever the deadline.
 * Switches  yes.
 * Cancel    -ECANCELED, at once.
 * Errors    -ENOENT (there is no such host or service, or it has no address of the kind that was
 *           asked for), -EAGAIN (the name server does not answer, or the pool has no thread and
 *           none can be started: try again later), -EIO (it refuses), -EINVAL (`hints`),
 *           -ENOMEM, -ETIMEDOUT, -ECANCELED, and what the system refused, such as -EMFILE.
 */
WEFT_API WEFT_MUST_USE int weft_resolve(const char *host, const char *service,
                                        const struct addrinfo *hints, struct addrinfo **found,
                                        weft_time deadline);

#ifdef __cplusplus
}
#endif

#endif
