/* SPDX-License-Identifier: MIT */
/*
 * Simulated datagrams: UDP sockets of one process, which send to each other by port.
 *
 * Without faults a datagram arrives once, and after those that its sender sent before; a network
 * promises none of that, and with faults this one does not either.  Where nobody is, a sender that
 * is connected is told so, as by ICMP.
 */
#include "arch/sim.h"
#include "io/sim.h"
#include "runtime/alloc.h"

#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <string.h>
#include <weft/sim.h>

enum {
    LENGTH_MAX = 65507,   /* of a datagram over IPv4 */
    QUEUED_MAX = 64,      /* that a socket keeps; more are lost */
    DELAY_MIN_NS = 20000, /* of what a socket sends; drawn from here */
    DELAY_DOUBLINGS = 11,
    DETOUR_MAX_NS = 50000000, /* of one that others overtake */
    CUT_MAX_MS = 2000,
    FOUND_FD_MAX = 4096, /* where sockets are looked for that weft has not seen yet */
};

struct wf_sim_datagram {
    struct wf_sim_datagram *next;
    struct wf_sim_socket *from; /* while it is on its way */
    uint16_t from_port, to_port;
    sa_family_t family;
    size_t length;
    char data[];
};

static uint32_t draw(uint32_t limit)
{
    return wf_sim_draw(WF_SIM_NETWORK, limit);
}

static bool get(int fd, int option, int wanted)
{
    int value = 0;
    socklen_t length = sizeof value;

    return getsockopt(fd, SOL_SOCKET, option, &value, &length) == 0 && value == wanted;
}

bool wf_sim_is_datagram(int fd)
{
    struct sockaddr_storage peer;
    socklen_t length = sizeof peer;

    return get(fd, SO_TYPE, SOCK_DGRAM) && get(fd, SO_PROTOCOL, IPPROTO_UDP) &&
           getpeername(fd, (struct sockaddr *)(void *)&peer, &length) != 0;
}

/* The name that the kernel has for it; it gets one if it has none. */
static int name_of(int fd, struct sockaddr_storage *name)
{
    struct sockaddr *address = (struct sockaddr *)(void *)name;
    socklen_t length = sizeof *name;

    if (getsockname(fd, address, &length) != 0)
        return -errno;
    if (wf_sim_port_of(address) == 0 &&
        (bind(fd, address, length) != 0 || getsockname(fd, address, &length) != 0))
        return -errno;
    return 0;
}

int wf_sim_adopt_datagram(int fd)
{
    struct sockaddr_storage name = {.ss_family = AF_UNSPEC};
    struct wf_sim_socket *at;
    int error = name_of(fd, &name);

    if (error != 0)
        return error;
    at = wf_sim_make(fd, WF_SIM_DATAGRAM);
    if (at == NULL)
        return -ENOMEM;
    at->family = name.ss_family;
    at->port = wf_sim_port_of((struct sockaddr *)(void *)&name);
    at->delay = (int64_t)DELAY_MIN_NS << draw(DELAY_DOUBLINGS + 1);
    at->received_end = &at->received;
    return 0;
}

/* Who has the port; one that has been bound, and that weft has not been asked about, too. */
static struct wf_sim_socket *find_receiver(sa_family_t family, uint16_t port)
{
    struct wf_sim_socket *at = wf_sim_find_port(WF_SIM_DATAGRAM, family, port);
    struct sockaddr_storage name = {.ss_family = AF_UNSPEC};
    const struct sockaddr *address = (struct sockaddr *)(void *)&name;

    for (int fd = 0; at == NULL && fd < FOUND_FD_MAX; fd++) {
        socklen_t length = sizeof name;

        if (wf_sim_find(fd) != NULL || !wf_sim_is_datagram(fd) ||
            getsockname(fd, (struct sockaddr *)(void *)&name, &length) != 0 ||
            name.ss_family != family || wf_sim_port_of(address) != port)
            continue;
        if (wf_sim_adopt_datagram(fd) == 0)
            at = wf_sim_find(fd);
    }
    return at;
}

void wf_sim_forget_datagrams(struct wf_sim_socket *at)
{
    while (at->received != NULL) {
        struct wf_sim_datagram *datagram = at->received;

        at->received = datagram->next;
        wf_free(datagram);
    }
}

static bool is_wanted(const struct wf_sim_socket *to, const struct wf_sim_datagram *datagram)
{
    return to->received_count < QUEUED_MAX && wf_sim_time() >= to->cut_until &&
           (to->peer_port == 0 || to->peer_port == datagram->from_port);
}

/* An event. */
static void arrive(void *arg)
{
    struct wf_sim_datagram *datagram = arg;
    struct wf_sim_socket *from = datagram->from;
    struct wf_sim_socket *to = find_receiver(datagram->family, datagram->to_port);

    wf_sim_trace("datagram", from->number, to != NULL ? to->number : 0);
    if (to != NULL && is_wanted(to, datagram)) {
        datagram->next = NULL;
        *to->received_end = datagram;
        to->received_end = &datagram->next;
        to->received_count++;
        wf_sim_kick(to);
    } else {
        if (to == NULL && from->peer_port != 0 && !from->is_closed) {
            from->error = ECONNREFUSED;
            wf_sim_kick(from);
        }
        wf_free(datagram);
    }
    wf_sim_socket_release(from);
}

static void send_later(struct wf_sim_socket *from, struct wf_sim_datagram *datagram)
{
    int64_t at = wf_sim_time() + from->delay + draw((uint32_t)from->delay / 4);

    if (wf_sim_fault(WEFT_SIM_REORDER)) {
        at += wf_sim_fault_draw(WEFT_SIM_REORDER, DETOUR_MAX_NS);
    } else {
        if (at <= from->last_arrival)
            at = from->last_arrival + 1;
        from->last_arrival = at;
    }
    from->references++;
    if (wf_sim_at(at, arrive, datagram))
        return;
    wf_sim_socket_release(from);
    wf_free(datagram); /* which a network may do */
}

static struct wf_sim_datagram *make(struct wf_sim_socket *from, uint16_t to_port,
                                    const struct iovec *parts, size_t count, size_t length)
{
    struct wf_sim_datagram *made = wf_alloc(sizeof *made + length);

    if (made == NULL)
        return NULL;
    *made = (struct wf_sim_datagram){.from = from,
                                     .from_port = from->port,
                                     .to_port = to_port,
                                     .family = from->family,
                                     .length = length};
    (void)wf_sim_gather(made->data, parts, count);
    return made;
}

int32_t wf_sim_datagram_send(struct wf_sim_socket *at, const struct sockaddr *to,
                             const struct iovec *parts, size_t count)
{
    uint16_t port = to != NULL ? wf_sim_port_of(to) : at->peer_port;
    size_t length = wf_sim_gather(NULL, parts, count);
    unsigned copies = 1;

    if (at->error != 0)
        return wf_sim_datagram_error(at);
    if (length > LENGTH_MAX)
        return -EMSGSIZE;
    if (port == 0)
        return to == NULL ? -EDESTADDRREQ : -EINVAL;
    if (to != NULL && to->sa_family != at->family)
        return -EAFNOSUPPORT;
    if (wf_sim_fault(WEFT_SIM_PARTITION)) /* of all that comes in here */
        at->cut_until = wf_sim_time() +
                        (1 + wf_sim_fault_draw(WEFT_SIM_PARTITION, CUT_MAX_MS)) * INT64_C(1000000);
    if (wf_sim_fault(WEFT_SIM_DUPLICATE))
        copies = 2;
    if (wf_sim_fault(WEFT_SIM_LOSE))
        copies = 0;
    for (; copies > 0; copies--) {
        struct wf_sim_datagram *datagram = make(at, port, parts, count, length);

        if (datagram == NULL)
            return -ENOBUFS;
        send_later(at, datagram);
    }
    return (int32_t)length;
}

int32_t wf_sim_datagram_error(struct wf_sim_socket *at)
{
    int error = at->error;

    at->error = 0;
    return -error;
}

/* Where it came from, as far as there is room for it. */
static void tell_sender(const struct wf_sim_datagram *datagram, struct msghdr *message)
{
    struct sockaddr_in v4 = {.sin_family = AF_INET,
                             .sin_port = datagram->from_port,
                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct sockaddr_in6 v6 = {.sin6_family = AF_INET6,
                              .sin6_port = datagram->from_port,
                              .sin6_addr = IN6ADDR_LOOPBACK_INIT};
    bool is_v4 = datagram->family == AF_INET;
    socklen_t length = is_v4 ? sizeof v4 : sizeof v6;

    if (message->msg_name != NULL)
        memcpy(message->msg_name, is_v4 ? (void *)&v4 : (void *)&v6,
               message->msg_namelen < length ? message->msg_namelen : length);
    message->msg_namelen = message->msg_name != NULL ? length : 0;
    message->msg_controllen = 0;
}

int32_t wf_sim_datagram_receive(struct wf_sim_socket *at, struct msghdr *message,
                                const struct iovec *parts, size_t count, int flags)
{
    struct wf_sim_datagram *datagram = at->received;
    size_t done = 0, length;

    if (at->error != 0)
        return wf_sim_datagram_error(at);
    if (datagram == NULL)
        return -EAGAIN;
    for (size_t i = 0; i < count && done < datagram->length; i++) {
        size_t left = datagram->length - done;
        size_t part = parts[i].iov_len < left ? parts[i].iov_len : left;

        if (part > 0)
            memcpy(parts[i].iov_base, datagram->data + done, part);
        done += part;
    }
    if (message != NULL) {
        tell_sender(datagram, message);
        message->msg_flags = done < datagram->length ? MSG_TRUNC : 0;
    }
    length = (flags & MSG_TRUNC) != 0 ? datagram->length : done;
    if ((flags & MSG_PEEK) == 0) {
        at->received = datagram->next;
        if (at->received == NULL)
            at->received_end = &at->received;
        at->received_count--;
        wf_free(datagram);
    }
    return (int32_t)length;
}

int wf_sim_datagram_events(const struct wf_sim_socket *at)
{
    return POLLOUT | POLLWRNORM | (at->received != NULL ? POLLIN | POLLRDNORM : 0) |
           (at->error != 0 ? POLLERR : 0);
}
