/* SPDX-License-Identifier: MIT */
/* Looking names up, on a thread that can be left with it: a name server may take seconds. */
#define _GNU_SOURCE 1

#include <weft/resolve.h>

#include "arch/compiler.h"
#include "runtime/alloc.h"
#include "runtime/blocking.h"
#include "runtime/wait.h"

#include <errno.h>
#include <netdb.h>
#include <string.h>

struct lookup {
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

/* Nobody wants what it has found. */
static void drop(void *arg)
{
    struct lookup *lookup = arg;

    if (lookup->found != NULL)
        freeaddrinfo(lookup->found);
    wf_free(lookup);
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

int weft_resolve(const char *host, const char *service, const struct addrinfo *hints,
                 struct addrinfo **found, weft_time deadline)
{
    struct lookup *lookup;
    int error;

    if (wf_self() == NULL)
        return error_of(getaddrinfo(host, service, hints, found));
    lookup = make_lookup(host, service, hints);
    if (lookup == NULL)
        return -ENOMEM;
    error = wf_blocking_leave(look_up, lookup, drop, deadline);
    if (error != 0)
        return error;
    error = lookup->error;
    if (error == 0)
        *found = lookup->found;
    wf_free(lookup);
    return error;
}
