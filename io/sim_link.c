/* SPDX-License-Identifier: MIT */
/*
 * Simulated connections: streams of bytes in both directions, which arrive in order and after a
 * while, and what can befall them.
 *
 * As in TCP, what is sent is lost to the sender only when it has sent more than the receiver has
 * room for; a partition delays and loses nothing, since it is sent again; a reset loses what has
 * not been read; and of a peer that is gone without a word nothing is heard at all, until what was
 * sent to it has not been acknowledged for a quarter of an hour (tcp(7), tcp_retries2).
 */
#include "io/sim.h"

#include "arch/sim.h"
#include "runtime/alloc.h"
#include "runtime/check.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <weft/sim.h>

enum {
    WINDOW = 16 * 1024,   /* bytes that one direction holds */
    DELAY_MIN_NS = 20000, /* of a link; drawn from here */
    DELAY_DOUBLINGS = 11, /* to some 40 ms */
    CUT_MAX_MS = 2000,    /* a partition */
};

#define GIVE_UP_NS (924 * INT64_C(1000000000)) /* tcp(7): "at least 924.6 seconds" by default */

/* What one end sends to the other. */
struct direction {
    char *data; /* that has arrived: a ring of WINDOW bytes */
    size_t begin, length;
    size_t flying;
    int64_t last_arrival;
    bool is_ended;  /* the sender has closed it */
    bool has_ended; /* and the receiver has heard */
};

struct wf_sim_link {
    uint32_t number;
    unsigned references;
    struct wf_sim_socket *ends[2];
    struct wf_sim_socket *listener; /* NULL: nobody listened */
    struct direction from[2];       /* by the end that sends */
    int error[2];                   /* to be reported to an end, once */
    bool is_reset;
    bool is_dead; /* nothing arrives any more, in neither direction */
    int64_t delay;
    int64_t cut_until;
    struct wf_sim_link *next; /* in the listener's queue */
};

/* On its way. */
struct segment {
    struct wf_sim_link *link;
    unsigned side; /* that sent it */
    size_t length; /* 0: the end of the data */
    char data[];
};

static uint32_t draw(uint32_t limit)
{
    return wf_sim_draw(WF_SIM_NETWORK, limit);
}

struct wf_sim_link **wf_sim_link_next(struct wf_sim_link *link)
{
    return &link->next;
}

uint32_t wf_sim_link_number(const struct wf_sim_link *link)
{
    return link->number;
}

struct wf_sim_socket *wf_sim_link_end(const struct wf_sim_link *link, unsigned side)
{
    return link->ends[side];
}

struct wf_sim_socket *wf_sim_link_listener(const struct wf_sim_link *link)
{
    return link->listener;
}

void wf_sim_link_hold(struct wf_sim_link *link)
{
    link->references++;
}

void wf_sim_link_release(struct wf_sim_link *link)
{
    if (--link->references > 0)
        return;
    if (link->listener != NULL)
        wf_sim_socket_release(link->listener);
    wf_free(link->from[0].data);
    wf_free(link->from[1].data);
    wf_free(link);
}

struct wf_sim_link *wf_sim_link_create(struct wf_sim_socket *from, struct wf_sim_socket *listener)
{
    struct wf_sim_link *link = wf_alloc(sizeof *link);

    if (link == NULL)
        return NULL;
    *link = (struct wf_sim_link){
        .number = from->number,
        .references = 1,
        .ends = {from, NULL},
        .listener = listener,
        .delay = (int64_t)DELAY_MIN_NS << draw(DELAY_DOUBLINGS + 1),
    };
    if (listener != NULL)
        listener->references++;
    for (int i = 0; i < 2; i++) {
        link->from[i].data = wf_alloc(WINDOW);
        if (link->from[i].data == NULL) {
            wf_sim_link_release(link);
            return NULL;
        }
    }
    return link;
}

void wf_sim_link_attach(struct wf_sim_link *link, struct wf_sim_socket *to)
{
    link->references++;
    link->ends[1] = to;
    to->link = link;
    to->side = 1;
}

/* An event: an operation that makes a difference does not do so in its own middle. */
static void kick_ends(void *arg)
{
    struct wf_sim_link *link = arg;

    for (int i = 0; i < 2; i++)
        if (link->ends[i] != NULL)
            wf_sim_kick(link->ends[i]);
    wf_sim_link_release(link);
}

static void kick_ends_later(struct wf_sim_link *link)
{
    link->references++;
    if (!wf_sim_at(wf_sim_time(), kick_ends, link))
        wf_panic("simulation: out of memory");
}

static void reset(struct wf_sim_link *link)
{
    if (link->is_reset)
        return;
    wf_sim_trace("reset", link->number, 0);
    link->is_reset = true;
    for (int i = 0; i < 2; i++) {
        link->from[i].length = 0;
        link->error[i] = ECONNRESET;
    }
    kick_ends_later(link);
}

/* A link may be struck each time that something is sent over it. */
static void strike(struct wf_sim_link *link)
{
    if (wf_sim_fault(WEFT_SIM_PARTITION)) {
        int64_t until = wf_sim_time() +
                        (1 + wf_sim_fault_draw(WEFT_SIM_PARTITION, CUT_MAX_MS)) * INT64_C(1000000);

        if (link->listener != NULL && wf_sim_fault_draw(WEFT_SIM_PARTITION, 2) == 0)
            link->listener->cut_until = until; /* the whole server is cut off */
        else
            link->cut_until = until;
    }
    if (wf_sim_fault(WEFT_SIM_HALF_OPEN))
        link->is_dead = true;
}

int64_t wf_sim_link_delay(struct wf_sim_link *link)
{
    int64_t now = wf_sim_time(), from = now;

    if (link->cut_until > from)
        from = link->cut_until;
    if (link->listener != NULL && link->listener->cut_until > from)
        from = link->listener->cut_until;
    return from - now + link->delay + draw((uint32_t)link->delay / 4);
}

/* An event: what was sent to a peer that is gone has not been acknowledged for too long. */
static void give_up(void *arg)
{
    struct segment *segment = arg;
    struct wf_sim_link *link = segment->link;

    if (!link->is_reset) {
        link->is_reset = true;
        link->error[segment->side] = ETIMEDOUT;
        kick_ends_later(link);
    }
    wf_free(segment);
    wf_sim_link_release(link);
}

static void append(struct direction *from, const char *data, size_t length)
{
    for (size_t i = 0; i < length; i++)
        from->data[(from->begin + from->length + i) % WINDOW] = data[i];
    from->length += length;
}

/* An event. */
static void arrive(void *arg)
{
    struct segment *segment = arg;
    struct wf_sim_link *link = segment->link;
    struct direction *from = &link->from[segment->side];
    struct wf_sim_socket *to = link->ends[1 - segment->side];

    from->flying -= segment->length;
    wf_sim_trace("deliver", link->number, segment->length);
    if (segment->length == 0)
        from->has_ended = true;
    else if (!link->is_reset)
        append(from, segment->data, segment->length);
    /* Whoever sends to an end that is closed is told so. */
    if (segment->length > 0 && to == NULL && link->from[1 - segment->side].is_ended)
        reset(link);
    else if (to != NULL)
        wf_sim_kick(to);
    wf_free(segment);
    wf_sim_link_release(link);
}

/* Returns false if there is no memory. */
static bool send_segment(struct wf_sim_link *link, unsigned side, struct segment *segment)
{
    struct direction *from = &link->from[side];
    int64_t at;

    if (segment == NULL)
        return false;
    strike(link);
    at = wf_sim_time() + wf_sim_link_delay(link);
    if (at <= from->last_arrival)
        at = from->last_arrival + 1;
    segment->link = link;
    segment->side = side;
    link->references++;
    if (link->is_dead ? wf_sim_at(wf_sim_time() + GIVE_UP_NS, give_up, segment)
                      : wf_sim_at(at, arrive, segment)) {
        from->last_arrival = at;
        return true;
    }
    wf_sim_link_release(link);
    wf_free(segment);
    return false;
}

/* Without memory for it the end of the data cannot be told: then it is a reset. */
static void end_data(struct wf_sim_link *link, unsigned side)
{
    if (link->from[side].is_ended || link->is_reset)
        return;
    link->from[side].is_ended = true;
    if (!send_segment(link, side, wf_alloc(sizeof(struct segment))))
        reset(link);
}

void wf_sim_link_detach(struct wf_sim_link *link, unsigned side)
{
    bool has_unread = link->from[1 - side].length > 0;

    link->ends[side] = NULL;
    end_data(link, side);
    if (has_unread && !link->is_dead)
        reset(link);
    wf_sim_link_release(link);
}

void wf_sim_link_refuse(struct wf_sim_link *link)
{
    reset(link);
    wf_sim_link_release(link);
}

static int32_t take_error(struct wf_sim_link *link, unsigned side)
{
    int error = link->error[side];

    link->error[side] = 0;
    return -error;
}

/* Copies `length` bytes between the parts and what lies in the ring from `begin` on, or a plain
 * buffer with `begin` 0. */
static void copy(const struct iovec *parts, char *data, size_t begin, size_t length, bool is_out)
{
    size_t done = 0;

    for (size_t i = 0; done < length; i++)
        for (size_t j = 0; j < parts[i].iov_len && done < length; j++, done++) {
            char *inner = &data[(begin + done) % WINDOW], *outer = (char *)parts[i].iov_base + j;

            if (is_out)
                *outer = *inner;
            else
                *inner = *outer;
        }
}

int32_t wf_sim_link_receive(struct wf_sim_link *link, unsigned side, const struct iovec *parts,
                            size_t count, int flags)
{
    struct direction *from = &link->from[1 - side];
    size_t length = wf_sim_gather(NULL, parts, count);

    if (wf_sim_fault(WEFT_SIM_RESET))
        reset(link);
    if (link->error[side] != 0)
        return take_error(link, side);
    if (length > from->length)
        length = from->length;
    if (length == 0 && wf_sim_gather(NULL, parts, count) > 0)
        return from->has_ended || link->is_reset ? 0 : -EAGAIN;
    length = wf_sim_cut_short(length);
    copy(parts, from->data, from->begin, length, true);
    if ((flags & MSG_PEEK) == 0) {
        from->begin = (from->begin + length) % WINDOW;
        from->length -= length;
        if (link->ends[1 - side] != NULL)
            wf_sim_kick(link->ends[1 - side]); /* it may send again */
    }
    return (int32_t)length;
}

static size_t room_of(const struct direction *from)
{
    return WINDOW - from->length - from->flying;
}

int32_t wf_sim_link_send(struct wf_sim_link *link, unsigned side, const struct iovec *parts,
                         size_t count)
{
    struct direction *from = &link->from[side];
    size_t length = wf_sim_gather(NULL, parts, count);
    struct segment *segment;

    if (wf_sim_fault(WEFT_SIM_RESET))
        reset(link);
    if (link->error[side] != 0)
        return take_error(link, side);
    if (link->is_reset || from->is_ended)
        return -EPIPE;
    if (length == 0)
        return 0;
    if (room_of(from) == 0)
        return -EAGAIN;
    if (length > room_of(from))
        length = room_of(from);
    length = wf_sim_cut_short(length);
    segment = wf_alloc(sizeof *segment + length);
    if (segment != NULL) {
        segment->length = length;
        copy(parts, segment->data, 0, length, false);
    }
    if (!send_segment(link, side, segment))
        return -ENOBUFS;
    from->flying += length;
    return (int32_t)length;
}

int wf_sim_link_events(const struct wf_sim_link *link, unsigned side)
{
    const struct direction *in = &link->from[1 - side], *out = &link->from[side];
    int events = 0;

    if (in->length > 0 || in->has_ended || link->is_reset)
        events |= POLLIN | POLLRDNORM;
    if (in->has_ended || link->is_reset)
        events |= POLLRDHUP;
    if (room_of(out) > 0 || link->is_reset)
        events |= POLLOUT | POLLWRNORM;
    if (link->is_reset || (in->has_ended && out->is_ended))
        events |= POLLHUP;
    if (link->error[side] != 0)
        events |= POLLERR;
    return events;
}
