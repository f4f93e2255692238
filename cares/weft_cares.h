/* SPDX-License-Identifier: MIT */
/*
 * Names of hosts by c-ares, on fibers: an optional library beside weft, for programs that look up
 * many names, or have to stop a lookup.  weft_resolve() (weft/resolve.h) needs a thread of the pool
 * for each lookup, and cannot stop the C library's resolver; here a lookup waits like any other
 * operation of a fiber.
 *
 *   weft_cares *dns;
 *   int error = weft_cares_create(&dns, NULL);
 *   int count = weft_cares_lookup(dns, "example.org", 443, AF_UNSPEC, addresses, 8, deadline);
 *   weft_cares_destroy(dns);
 *
 * Link weft_cares, weft and c-ares (`pkg-config weft-cares`).
 */
#ifndef WEFT_CARES_H
#define WEFT_CARES_H

#include <weft/base.h>

#include <sys/socket.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Where names are looked up; any number of fibers may use one at the same time. */
typedef struct weft_cares weft_cares;

/* Zero in any field means "the default". */
struct weft_cares_options {
    const char *servers;  /* "address[:port],...", as ares_set_servers_ports_csv(3) takes them;
                             default: those of resolv.conf(5) */
    uint32_t timeout_ms;  /* until the next try, which waits longer; default 5000 */
    uint32_t tries;       /* for each server; default 4 */
    uint32_t no_files;    /* 1: does not look into /etc/hosts */
    uint64_t reserved[4]; /* zero */
};

#define WEFT_CARES_OPTIONS_INIT \
    {                           \
        NULL, 0, 0, 0,          \
        {                       \
            0, 0, 0, 0          \
        }                       \
    }

struct weft_cares_address {
    struct sockaddr_storage address; /* for weft_connect() */
    socklen_t length;
};

/*
 * Reads the configuration of the system, which blocks the thread for as long as that file takes.
 *
 * Returns   0, with `*dns`, which weft_cares_destroy() has to get; a negative errno.
 * Context   fiber, or any thread.
 * Switches  never.
 * Errors    -EINVAL (options), -ENOMEM, -EIO (what is configured makes no sense).
 */
WEFT_MUST_USE int weft_cares_create(weft_cares **dns, const struct weft_cares_options *options);

/*
 * Frees what weft_cares_create() has made; NULL is allowed.  No lookup may be under way.
 *
 * Returns   nothing.
 * Context   fiber, or any thread.
 * Switches  never.
 */
void weft_cares_destroy(weft_cares *dns);

/*
 * Finds the addresses of a host: in /etc/hosts, else by asking the servers, by TCP where an answer
 * is too long for a datagram.  `family` is AF_INET, AF_INET6, or AF_UNSPEC for both.
 *
 * Returns   how many of the `room` addresses have been filled in, at least 1, the best first; a
 *           negative errno.
 * Deadline  absolute, for the whole.
 * Context   fiber.
 * Switches  yes, if a server has to be asked.
 * Cancel    -ECANCELED, at once: nothing of the lookup is left.
 * Errors    -ENOENT (there is no such host, or it has no address of that family), -EAGAIN (no
 *           server has answered in all tries), -ECONNREFUSED or -EIO (each refuses, fails or is
 *           not there, or the answer makes no sense; which of the two depends on c-ares's version),
 *           -EINVAL (a null or bad name, the family, no room), -ENOMEM, -ETIMEDOUT, -ECANCELED,
 *           -EPERM (plain thread).
 */
WEFT_MUST_USE int weft_cares_lookup(weft_cares *dns, const char *name, uint16_t port, int family,
                                    struct weft_cares_address *addresses, unsigned room,
                                    weft_time deadline);

#ifdef __cplusplus
}
#endif

#endif
