/* SPDX-License-Identifier: MIT */
/*
 * c-ares never blocks where its sockets are concerned: it says which it waits for, and until when.
 * Each lookup has a channel of its own, copied from one that nobody else touches, so lookups share
 * nothing but what is only read; and a lookup that ends early frees all that it had.
 *
 * Its callbacks run within ares_process_fd() and ares_destroy(), on the fiber, and do not suspend.
 */
#include "weft_cares.h"

#include <ares.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <weft.h>

struct weft_cares {
    ares_channel pattern;
};

struct lookup {
    struct weft_cares_address *addresses;
    unsigned room, count;
    bool is_done;
    int status; /* of c-ares, once it is done */
};

/* Its initialisation counts, without a lock of its own. */
static pthread_mutex_t library_lock = PTHREAD_MUTEX_INITIALIZER;

static int error_of(int status)
{
    switch (status) {
    case ARES_SUCCESS:
        return 0;
    case ARES_ENOTFOUND:
    case ARES_ENODATA:
    case ARES_ENONAME:
    case ARES_ESERVICE:
        return -ENOENT;
    case ARES_ETIMEOUT:
        return -EAGAIN;
    case ARES_ECONNREFUSED:
        return -ECONNREFUSED;
    case ARES_ENOMEM:
        return -ENOMEM;
    case ARES_EBADNAME:
    case ARES_EBADFAMILY:
    case ARES_EBADSTR:
    case ARES_EBADFLAGS:
    case ARES_EBADHINTS:
        return -EINVAL;
    default:
        return -EIO;
    }
}

static int check_options(const struct weft_cares_options *options)
{
    for (size_t i = 0; i < sizeof options->reserved / sizeof *options->reserved; i++)
        if (options->reserved[i] != 0)
            return -EINVAL;
    return options->no_files > 1 || options->timeout_ms > 3600000 || options->tries > 1000 ? -EINVAL
                                                                                           : 0;
}

static int make_pattern(ares_channel *pattern, const struct weft_cares_options *options)
{
    struct ares_options wanted = {.timeout = (int)options->timeout_ms,
                                  .tries = (int)options->tries,
                                  .lookups = (char *)(uintptr_t) "b"};
    int mask = 0, status;

    mask |= options->timeout_ms != 0 ? ARES_OPT_TIMEOUTMS : 0;
    mask |= options->tries != 0 ? ARES_OPT_TRIES : 0;
    mask |= options->no_files != 0 ? ARES_OPT_LOOKUPS : 0;
    status = ares_init_options(pattern, &wanted, mask);
    if (status != ARES_SUCCESS)
        return error_of(status);
    status = options->servers != NULL ? ares_set_servers_ports_csv(*pattern, options->servers)
                                      : ARES_SUCCESS;
    if (status == ARES_SUCCESS)
        return 0;
    ares_destroy(*pattern);
    return status == ARES_ENOMEM ? -ENOMEM : -EINVAL;
}

/* c-ares counts its users, without a lock.  A fiber never waits while it holds this one, and one
 * that has been cancelled has to get it too. */
static int begin_library(void)
{
    int status;

    (void)pthread_mutex_lock(&library_lock);
    status = ares_library_init(ARES_LIB_INIT_ALL);
    (void)pthread_mutex_unlock(&library_lock);
    return error_of(status);
}

static void end_library(void)
{
    (void)pthread_mutex_lock(&library_lock);
    ares_library_cleanup();
    (void)pthread_mutex_unlock(&library_lock);
}

/* Returns 0, or a negative errno with nothing left behind. */
static int begin(ares_channel *pattern, const struct weft_cares_options *options)
{
    int error = begin_library();

    if (error != 0)
        return error;
    error = make_pattern(pattern, options);
    if (error != 0)
        end_library();
    return error;
}

int weft_cares_create(weft_cares **dns, const struct weft_cares_options *options)
{
    static const struct weft_cares_options none = WEFT_CARES_OPTIONS_INIT;
    weft_cares *made;
    int error;

    if (options == NULL)
        options = &none;
    error = check_options(options);
    if (error != 0)
        return error;
    made = malloc(sizeof *made);
    if (made == NULL)
        return -ENOMEM;
    error = begin(&made->pattern, options);
    if (error != 0) {
        free(made);
        return error;
    }
    *dns = made;
    return 0;
}

void weft_cares_destroy(weft_cares *dns)
{
    if (dns == NULL)
        return;
    ares_destroy(dns->pattern);
    end_library();
    free(dns);
}

static void take_answer(void *arg, int status, int timeouts, struct ares_addrinfo *found)
{
    struct lookup *lookup = arg;

    (void)timeouts;
    lookup->is_done = true;
    lookup->status = status;
    if (found == NULL)
        return;
    for (struct ares_addrinfo_node *node = found->nodes;
         node != NULL && lookup->count < lookup->room; node = node->ai_next) {
        struct weft_cares_address *address = &lookup->addresses[lookup->count];

        if (node->ai_addrlen > sizeof address->address)
            continue;
        memset(address, 0, sizeof *address);
        memcpy(&address->address, node->ai_addr, node->ai_addrlen);
        address->length = node->ai_addrlen;
        lookup->count++;
    }
    ares_freeaddrinfo(found);
}

/* What one wait is for. */
struct interest {
    weft_poll polls[ARES_GETSOCK_MAXNUM];
    struct weft_select_case cases[ARES_GETSOCK_MAXNUM];
    int held[ARES_GETSOCK_MAXNUM];
    unsigned count;
};

static void ask_for_interest(ares_channel channel, struct interest *interest)
{
    ares_socket_t sockets[ARES_GETSOCK_MAXNUM];
    /* Unsigned: c-ares's own macros shift into the sign. */
    unsigned bits = (unsigned)ares_getsock(channel, sockets, ARES_GETSOCK_MAXNUM);

    interest->count = 0;
    for (unsigned i = 0; i < ARES_GETSOCK_MAXNUM; i++) {
        int events = ((bits >> i & 1) != 0 ? POLLIN : 0) |
                     ((bits >> (i + ARES_GETSOCK_MAXNUM) & 1) != 0 ? POLLOUT : 0);
        unsigned n = interest->count;

        if (events == 0)
            continue;
        interest->polls[n] = (weft_poll)WEFT_POLL_INIT(sockets[i], events);
        interest->cases[n] = (struct weft_select_case)WEFT_POLL_CASE(&interest->polls[n],
                                                                     &interest->held[n]);
        interest->count++;
    }
}

/* The descriptor that is ready, with what holds in `*events`; or -errno. */
static int await_interest(struct interest *interest, int *events, weft_time deadline)
{
    int index;

    if (interest->count == 1) {
        *events = weft_poll_fd(interest->polls[0].fd, interest->polls[0].events, deadline);
        return *events < 0 ? *events : interest->polls[0].fd;
    }
    index = weft_select(interest->cases, interest->count, deadline);
    if (index < 0)
        return index;
    *events = interest->cases[index].result == 0 ? interest->held[index] : POLLERR;
    return interest->polls[index].fd;
}

/* Waits for a socket, or until c-ares tries again, and lets it go on.  0 or -errno. */
static int go_on(ares_channel channel, weft_time deadline)
{
    struct interest interest;
    struct timeval room, *next = ares_timeout(channel, NULL, &room);
    weft_time until = deadline;
    int events = 0, fd;

    ask_for_interest(channel, &interest);
    if (next != NULL) {
        weft_time retry = weft_after(next->tv_sec * WEFT_SECOND + next->tv_usec * 1000);

        until = retry < deadline ? retry : deadline;
    }
    if (interest.count == 0 && until == WEFT_FOREVER)
        return -EIO; /* it would wait for nothing */
    fd = await_interest(&interest, &events, until);
    if (fd == -ETIMEDOUT && until < deadline && !weft_is_cancelled())
        ares_process_fd(channel, ARES_SOCKET_BAD, ARES_SOCKET_BAD);
    else if (fd < 0)
        return fd;
    else
        ares_process_fd(channel, (events & ~POLLOUT) != 0 ? fd : ARES_SOCKET_BAD,
                        (events & POLLOUT) != 0 ? fd : ARES_SOCKET_BAD);
    return 0;
}

int weft_cares_lookup(weft_cares *dns, const char *name, uint16_t port, int family,
                      struct weft_cares_address *addresses, unsigned room, weft_time deadline)
{
    const struct ares_addrinfo_hints hints = {.ai_family = family, .ai_socktype = SOCK_STREAM};
    struct lookup lookup = {.addresses = addresses, .room = room};
    ares_channel channel;
    int error;

    if (weft_self() == NULL)
        return -EPERM;
    if (name == NULL || room == 0 ||
        (family != AF_INET && family != AF_INET6 && family != AF_UNSPEC))
        return -EINVAL;
    error = error_of(ares_dup(&channel, dns->pattern));
    if (error != 0)
        return error;
    ares_getaddrinfo(channel, name, NULL, &hints, take_answer, &lookup);
    while (!lookup.is_done && error == 0)
        error = go_on(channel, deadline);
    ares_destroy(channel); /* calls back for what is not done */
    if (error != 0)
        return error;
    if (lookup.status != ARES_SUCCESS)
        return error_of(lookup.status);
    for (unsigned i = 0; i < lookup.count; i++) /* at the same place in both families */
        ((struct sockaddr_in *)&addresses[i].address)->sin_port = htons(port);
    return lookup.count > 0 ? (int)lookup.count : -ENOENT;
}
