/* SPDX-License-Identifier: MIT */
/*
 * Simulated pipes: bytes that go from one descriptor to another of the same process, in order.
 *
 * As in pipe(7), what is written is there at once; up to PIPE_BUF bytes are written in one piece,
 * and wait until there is room for all of them; and of more than that some go, as many as there is
 * room for or, at a fault, fewer.
 */
#include "arch/sim.h"
#include "io/sim.h"
#include "runtime/alloc.h"
#include "runtime/check.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <string.h>
#include <weft/sim.h>

enum { CAPACITY = 65536 /* pipe(7): "16 pages" */ };

enum end { READS, WRITES };

struct wf_sim_pipe {
    struct wf_sim_socket *ends[2]; /* NULL: closed */
    unsigned references;           /* of ends, and of events */
    size_t begin, length;          /* of what is in it: a ring */
    char data[CAPACITY];
};

static void release(struct wf_sim_pipe *made)
{
    if (--made->references == 0)
        wf_free(made);
}

static struct wf_sim_socket *add_end(struct wf_sim_pipe *made, int fd, enum end side)
{
    struct wf_sim_socket *end = wf_sim_make(fd, WF_SIM_PIPE);

    if (end == NULL)
        return NULL;
    end->pipe = made;
    end->side = side;
    made->ends[side] = end;
    made->references++;
    return end;
}

int wf_sim_pipe_create(const int fds[2])
{
    struct wf_sim_pipe *made;

    if (wf_sim_fault(WEFT_SIM_REFUSE))
        return -EMFILE;
    made = wf_alloc(sizeof *made);
    if (made == NULL)
        return -ENOMEM;
    made->references = 1;
    if (add_end(made, fds[READS], READS) == NULL || add_end(made, fds[WRITES], WRITES) == NULL) {
        if (made->ends[READS] != NULL)
            wf_sim_forget(made->ends[READS]);
        release(made);
        return -ENOMEM;
    }
    release(made); /* the ends have theirs */
    wf_sim_trace("pipe", made->ends[READS]->number, made->ends[WRITES]->number);
    return 0;
}

/* An event: an operation that makes a difference does not do so in its own middle. */
static void kick_ends(void *arg)
{
    struct wf_sim_pipe *at = arg;

    for (int i = 0; i < 2; i++)
        if (at->ends[i] != NULL)
            wf_sim_kick(at->ends[i]);
    release(at);
}

static void kick_later(struct wf_sim_pipe *at)
{
    at->references++;
    if (!wf_sim_at(wf_sim_time(), kick_ends, at))
        wf_panic("simulation: out of memory");
}

void wf_sim_pipe_detach(struct wf_sim_socket *end)
{
    struct wf_sim_pipe *at = end->pipe;

    at->ends[end->side] = NULL;
    if (at->ends[1 - end->side] != NULL)
        kick_later(at); /* the end of the data, or of who would read it */
    release(at);
}

static size_t room_of(const struct wf_sim_pipe *at)
{
    return CAPACITY - at->length;
}

/* The first `length` bytes of the parts into the ring, or out of it. */
static void move(struct wf_sim_pipe *at, const struct iovec *parts, size_t length, bool is_write)
{
    size_t place = at->begin + (is_write ? at->length : 0);

    while (length > 0) {
        size_t n = parts->iov_len < length ? parts->iov_len : length;

        for (size_t done = 0; done < n;) {
            size_t in_ring = (place + done) % CAPACITY;
            size_t run = n - done < CAPACITY - in_ring ? n - done : CAPACITY - in_ring;
            char *outside = (char *)parts->iov_base + done;

            memcpy(is_write ? at->data + in_ring : outside, is_write ? outside : at->data + in_ring,
                   run);
            done += run;
        }
        place += n;
        length -= n;
        parts++;
    }
}

static int32_t read_from(struct wf_sim_pipe *at, const struct iovec *parts, size_t count)
{
    size_t wanted = wf_sim_gather(NULL, parts, count);
    size_t length = wanted < at->length ? wanted : at->length;

    if (wanted == 0)
        return 0;
    if (length == 0)
        return at->ends[WRITES] != NULL ? -EAGAIN : 0;
    length = wf_sim_cut_short(length);
    move(at, parts, length, false);
    at->begin = (at->begin + length) % CAPACITY;
    at->length -= length;
    kick_later(at);
    return (int32_t)length;
}

static int32_t write_to(struct wf_sim_pipe *at, const struct iovec *parts, size_t count)
{
    size_t length = wf_sim_gather(NULL, parts, count);

    if (length == 0)
        return 0;
    if (at->ends[READS] == NULL)
        return -EPIPE;
    if (room_of(at) == 0 || (length <= PIPE_BUF && length > room_of(at)))
        return -EAGAIN;
    if (length > PIPE_BUF)
        length = wf_sim_cut_short(length < room_of(at) ? length : room_of(at));
    move(at, parts, length, true);
    at->length += length;
    kick_later(at);
    return (int32_t)length;
}

int32_t wf_sim_pipe_transfer(struct wf_sim_socket *end, const struct iovec *parts, size_t count,
                             bool is_write)
{
    if (is_write != (end->side == WRITES))
        return -EBADF;
    return is_write ? write_to(end->pipe, parts, count) : read_from(end->pipe, parts, count);
}

int wf_sim_pipe_events(const struct wf_sim_socket *end)
{
    const struct wf_sim_pipe *at = end->pipe;

    if (end->side == READS)
        return (at->length > 0 ? POLLIN | POLLRDNORM : 0) |
               (at->ends[WRITES] == NULL ? POLLHUP : 0);
    return (room_of(at) >= PIPE_BUF ? POLLOUT | POLLWRNORM : 0) |
           (at->ends[READS] == NULL ? POLLERR : 0);
}
