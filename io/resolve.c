/* SPDX-License-Identifier: MIT */
/*
 * Looking names up, with somebody to leave it to.
 *
 * A fiber of its own waits for the pool's thread.  Whoever asked waits for that fiber, and goes
 * away when it has waited for too long.  Who leaves last frees: both exchange `is_left`.
 *
 *   Edge   From                          To                            Promises
 *   RV.1   run_lookup: is_left acq_rel   wait_for: is_left acq_rel     the one who left first
 *                                        (and the other way round)     has done with it
 */
#define _GNU_SOURCE 1

#include <weft/resolve.h>

#include "arch/atomic.h"
#include "arch/compiler.h"
#include "runtime/alloc.h"
#include "runtime/wait.h"

#include <errno.h>
#include <netdb.h>
#include <stdbool.h>
#include <string.h>
#include <weft/blocking.h>
#include <weft/fiber.h>

struct lookup {
    WF_ATOMIC(uint32_t) is_left; /* by the first of the two */
    const char *host, *service;
    const struct addrinfo *hints;
    struct addrinfo hints_room;
    struct addrinfo *found;
    int error;
    char names[];
};

/* Not inlined: errno is a thread's. */
static WF_NOINLINE int error_of(int code)
{
    switch (code) {
    case 0:
        return 0;
    case EAI_NONAME:
    case EAI_NODATA:
    case EAI_SERVICE:
    case EAI_ADDRFAMILY:
        return -ENOENT;
    case EAI_AGAIN:
        return -EAGAIN;
    case EAI_FAIL:
        return -EIO;
    case EAI_MEMORY:
        return -ENOMEM;
    case EAI_SYSTEM:
        return errno != 0 ? -errno : -EIO;
    default:
        return -EINVAL;
    }
}

static int look_up(void *arg)
{
    struct lookup *lookup = arg;

    lookup->error = error_of(
        getaddrinfo(lookup->host, lookup->service, lookup->hints, &lookup->found));
    return 0;
}

static void free_lookup(struct lookup *lookup)
{
    if (lookup->found != NULL)
        freeaddrinfo(lookup->found);
    wf_free(lookup);
}

static int run_lookup(void *arg)
{
    struct lookup *lookup = arg;
    /* Never on the worker itself: a name server may take seconds. */
    int error = weft_blocking(look_up, lookup, WEFT_FOREVER);

    if (error != 0)
        lookup->error = error;
    error = lookup->error;
    /* RV.1 acq_rel: what was found, for who asked; what that one has taken, for us. */
    if (atomic_exchange_explicit(&lookup->is_left, 1, memory_order_acq_rel))
        free_lookup(lookup);
    return error;
}

static const char *keep(char **room, const char *name)
{
    char *kept = *room;

    if (name == NULL)
        return NULL;
    *room = stpcpy(kept, name) + 1;
    return kept;
}

static struct lookup *make_lookup(const char *host, const char *service,
                                  const struct addrinfo *hints)
{
    size_t size = (host != NULL ? strlen(host) + 1 : 0) +
                  (service != NULL ? strlen(service) + 1 : 0);
    struct lookup *lookup = wf_alloc(sizeof *lookup + size);
    char *room;

    if (lookup == NULL)
        return NULL;
    room = lookup->names;
    lookup->host = keep(&room, host);
    lookup->service = keep(&room, service);
    if (hints != NULL) {
        lookup->hints_room = *hints;
        lookup->hints = &lookup->hints_room;
    }
    return lookup;
}

static int wait_for(weft_fiber *fiber, struct lookup *lookup, struct addrinfo **found,
                    weft_time deadline)
{
    int result;
    int error = weft_join(fiber, &result, deadline);

    if (error != 0) {
        weft_detach(fiber);
    } else {
        error = result;
        if (error == 0)
            *found = lookup->found;
        lookup->found = NULL;
    }
    /* RV.1 acq_rel: the same from the other side. */
    if (atomic_exchange_explicit(&lookup->is_left, 1, memory_order_acq_rel))
        free_lookup(lookup);
    return error;
}

int weft_resolve(const char *host, const char *service, const struct addrinfo *hints,
                 struct addrinfo **found, weft_time deadline)
{
    static const struct weft_fiber_attr attr = {.name = "weft_resolve"};
    struct lookup *lookup;
    weft_fiber *fiber;
    int error;

    if (wf_self() == NULL)
        return error_of(getaddrinfo(host, service, hints, found));
    lookup = make_lookup(host, service, hints);
    if (lookup == NULL)
        return -ENOMEM;
    error = weft_spawn_with(&attr, &fiber, run_lookup, lookup);
    if (error != 0) {
        wf_free(lookup);
        return error;
    }
    return wait_for(fiber, lookup, found, deadline);
}
