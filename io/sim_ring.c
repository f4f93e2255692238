/* SPDX-License-Identifier: MIT */
/* See sim_ring.h: the queues of a simulated ring. */
#include "io/sim_ring.h"

#include "arch/os.h"
#include "arch/sim.h"
#include "io/sim.h"
#include "runtime/alloc.h"

#include <errno.h>
#include <weft/sim.h>

enum { CQ_PER_SQ = 4 }; /* as ring_setup.c asks for */

struct wf_sim_ring {
    struct io_uring *uring;
    unsigned references; /* its opener's, and each request's */
    bool is_open;
    WF_ATOMIC(uint32_t) * event;             /* in place of its counter */
    struct wf_sim_request *reader;           /* of the event; NULL: none */
    struct wf_sim_request *requests;         /* that can be cancelled */
    struct wf_sim_request *held, **held_end; /* complete, and there was no room to say so */
    WF_ATOMIC(uint32_t) arrivals;            /* 1: whoever waits, or is about to, looks again */

    /* What both sides see. */
    unsigned sq_head, sq_tail, sq_flags, cq_head, cq_tail;
    struct io_uring_sqe *sqes;
    struct io_uring_cqe *cqes;
};

static void release(struct wf_sim_ring *ring)
{
    if (--ring->references == 0)
        wf_free(ring);
}

struct wf_sim_request *wf_sim_request_create(struct wf_sim_ring *ring, uint64_t user_data)
{
    struct wf_sim_request *request = wf_alloc(sizeof *request);

    if (request == NULL)
        return NULL;
    *request = (struct wf_sim_request){.ring = ring, .user_data = user_data};
    ring->references++;
    return request;
}

void wf_sim_request_free(struct wf_sim_request *request)
{
    release(request->ring);
    wf_free(request);
}

static void set_word(WF_ATOMIC(uint32_t) * word, uint32_t value)
{
    /* relaxed: there is one real thread; here and below. */
    atomic_store_explicit(word, value, memory_order_relaxed);
}

static uint32_t word_of(WF_ATOMIC(uint32_t) * word)
{
    /* relaxed: as above. */
    return atomic_load_explicit(word, memory_order_relaxed);
}

static void set_up_queues(struct wf_sim_ring *ring, struct io_uring *uring, uint32_t entries)
{
    *uring = (struct io_uring){.ring_fd = -1, .enter_ring_fd = -1};
    uring->sq = (struct io_uring_sq){.khead = &ring->sq_head,
                                     .ktail = &ring->sq_tail,
                                     .kflags = &ring->sq_flags,
                                     .sqes = ring->sqes,
                                     .ring_mask = entries - 1,
                                     .ring_entries = entries};
    uring->cq = (struct io_uring_cq){.khead = &ring->cq_head,
                                     .ktail = &ring->cq_tail,
                                     .cqes = ring->cqes,
                                     .ring_mask = entries * CQ_PER_SQ - 1,
                                     .ring_entries = entries * CQ_PER_SQ};
}

static void free_queues(struct wf_sim_ring *ring)
{
    wf_free(ring->sqes);
    wf_free(ring->cqes);
}

int wf_sim_ring_open(struct wf_sim_ring **ring, struct io_uring *uring, uint32_t entries,
                     WF_ATOMIC(uint32_t) * word)
{
    struct wf_sim_ring *made = wf_alloc(sizeof *made);

    if (made == NULL)
        return -ENOMEM;
    *made = (struct wf_sim_ring){.uring = uring, .references = 1, .is_open = true, .event = word};
    made->held_end = &made->held;
    made->sqes = wf_alloc(entries * sizeof *made->sqes);
    made->cqes = wf_alloc((size_t)entries * CQ_PER_SQ * sizeof *made->cqes);
    if (made->sqes == NULL || made->cqes == NULL) {
        free_queues(made);
        wf_free(made);
        return -ENOMEM;
    }
    set_up_queues(made, uring, entries);
    *ring = made;
    return 0;
}

/* What is under way, answers to cancels for one, finds that it is closed. */
void wf_sim_ring_close(struct wf_sim_ring *ring)
{
    struct wf_sim_request *request;

    ring->is_open = false;
    if (ring->reader != NULL)
        wf_sim_request_free(ring->reader);
    while ((request = ring->held) != NULL) {
        ring->held = request->next;
        wf_sim_request_free(request);
    }
    free_queues(ring);
    release(ring);
}

void wf_sim_ring_list(struct wf_sim_request *request)
{
    struct wf_sim_ring *ring = request->ring;

    request->prev = NULL;
    request->next = ring->requests;
    if (request->next != NULL)
        request->next->prev = request;
    ring->requests = request;
}

void wf_sim_ring_unlist(struct wf_sim_request *request)
{
    if (request->next != NULL)
        request->next->prev = request->prev;
    if (request->prev != NULL)
        request->prev->next = request->next;
    else
        request->ring->requests = request->next;
}

struct wf_sim_request *wf_sim_ring_find(const struct wf_sim_ring *ring, uint64_t user_data)
{
    struct wf_sim_request *request = ring->requests;

    while (request != NULL && request->user_data != user_data)
        request = request->next;
    return request;
}

static bool is_full(const struct wf_sim_ring *ring)
{
    return ring->cq_tail - ring->cq_head == ring->uring->cq.ring_entries;
}

static void put_now(struct wf_sim_request *request)
{
    struct wf_sim_ring *ring = request->ring;

    ring->cqes[ring->cq_tail++ & ring->uring->cq.ring_mask] = (struct io_uring_cqe){
        .user_data = request->user_data, .res = request->op.result};
    wf_sim_request_free(request);
}

/* Where the queue is full the kernel keeps it, and all that come after it, until it is asked for
 * more (io_uring_enter(2), IORING_SQ_CQ_OVERFLOW). */
void wf_sim_ring_put(struct wf_sim_request *request)
{
    struct wf_sim_ring *ring = request->ring;

    if (!ring->is_open) {
        wf_sim_request_free(request);
        return;
    }
    set_word(&ring->arrivals, 1); /* whoever has looked, and is about to wait, does not */
    if (wf_sim_fault(WEFT_SIM_OVERFLOW) || ring->held != NULL || is_full(ring)) {
        request->next = NULL;
        *ring->held_end = request;
        ring->held_end = &request->next;
        ring->sq_flags |= IORING_SQ_CQ_OVERFLOW;
    } else {
        put_now(request);
    }
    wf_sim_wake(&ring->arrivals, 1);
}

static void put_held(struct wf_sim_ring *ring)
{
    struct wf_sim_request *request;

    while ((request = ring->held) != NULL && !is_full(ring)) {
        ring->held = request->next;
        put_now(request);
    }
    if (ring->held != NULL)
        return;
    ring->held_end = &ring->held;
    ring->sq_flags &= ~(unsigned)IORING_SQ_CQ_OVERFLOW;
}

/* Completes the read of the event, if there is one, and something to be read. */
static void read_event(struct wf_sim_ring *ring)
{
    struct wf_sim_request *reader = ring->reader;

    if (reader == NULL || word_of(ring->event) == 0)
        return;
    set_word(ring->event, 0);
    ring->reader = NULL;
    reader->op.result = sizeof(uint64_t);
    wf_sim_ring_put(reader);
}

void wf_sim_ring_signal(struct wf_sim_ring *ring, WF_ATOMIC(uint32_t) * word)
{
    set_word(word, 1);
    if (ring != NULL)
        read_event(ring);
    wf_os_futex_wake(word, 1);
}

void wf_sim_await_signal(WF_ATOMIC(uint32_t) * word)
{
    while (word_of(word) == 0)
        wf_os_futex_wait(word, 0, INT64_MAX);
    set_word(word, 0);
}

static bool begin(struct wf_sim_ring *ring, const struct io_uring_sqe *sqe)
{
    if (sqe->opcode != IORING_OP_READ || sqe->fd != WF_SIM_EVENT)
        return wf_sim_begin(ring, sqe);
    ring->reader = wf_sim_request_create(ring, sqe->user_data);
    if (ring->reader == NULL)
        return false;
    read_event(ring);
    return true;
}

/* Returns how many it has taken, or why it takes none. */
static int take_submissions(struct wf_sim_ring *ring, unsigned count)
{
    int taken = 0;

    if (count > 0 && wf_sim_fault(WEFT_SIM_REFUSE))
        return wf_sim_fault_draw(WEFT_SIM_REFUSE, 2) == 0 ? -EBUSY : -EAGAIN;
    while (count > 0 && ring->sq_head != ring->sq_tail) {
        if (!begin(ring, &ring->sqes[ring->sq_head & ring->uring->sq.ring_mask]))
            return taken > 0 ? taken : -EAGAIN;
        ring->sq_head++;
        taken++;
        count--;
    }
    return taken;
}

/* 0; -ETIME; -EINTR: it woke for nothing. */
static int await_completion(struct wf_sim_ring *ring, int64_t deadline)
{
    while (ring->cq_head == ring->cq_tail) {
        if (wf_sim_time() >= deadline)
            return -ETIME;
        set_word(&ring->arrivals, 0);
        wf_os_futex_wait(&ring->arrivals, 0, deadline);
        put_held(ring);
        if (word_of(&ring->arrivals) == 0 && wf_sim_time() < deadline)
            return -EINTR;
    }
    return 0;
}

int wf_sim_ring_enter(struct wf_sim_ring *ring, unsigned count,
                      const struct __kernel_timespec *timeout, bool waits)
{
    int64_t deadline = INT64_MAX;
    int taken, error = 0;

    wf_sim_point();
    if (timeout != NULL)
        deadline = wf_sim_time() + timeout->tv_sec * 1000000000 + timeout->tv_nsec;
    taken = take_submissions(ring, count);
    put_held(ring);
    if (taken == (int)count && waits)
        error = await_completion(ring, deadline);
    return taken != 0 ? taken : error;
}
