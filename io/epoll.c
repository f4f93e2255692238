/* SPDX-License-Identifier: MIT */
/*
 * The epoll backend, for where io_uring is refused: one epoll instance per worker.
 *
 * An operation is attempted first (attempt.c), by its fiber.  Where it would block, the fiber waits
 * here until its descriptor is ready, and attempts it again.  So nothing but the fiber ever touches
 * its buffers, and a wait can be ended at any time.
 *
 * Descriptors are watched for one event at a time (EPOLLONESHOT) and level-triggered.  Both cost a
 * system call for each wait, and both are what makes it safe: weft cannot see what else a program
 * does with its descriptors.  One may be closed and its number used again, or be read by somebody
 * else: each wait tells the kernel anew what it waits for, of the file that the number means now.
 * What was told before can still be there, for a file that lives on under another number and has
 * its event only now.  So each event bears the generation of the watch that asked for it, and one
 * of an earlier generation is dropped.  Nothing is lost: the later one covers all who wait, and
 * what holds comes again.
 *
 * Any worker may poll any instance (poller.h).  The lock guards the watches; it is held across
 * epoll_ctl(2), which does not block, because what is told to the kernel has to be the union of
 * what those in the watch wait for.
 */
#include "io/epoll.h"

#include "arch/os.h"
#include "io/attempt.h"
#include "io/backend.h"
#include "runtime/alloc.h"
#include "runtime/check.h"
#include "runtime/lock.h"
#include "runtime/poller.h"
#include "runtime/stats.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <time.h>

enum {
    EVENT_BATCH = 64,
    DONE_IN_A_ROW_MAX = 32, /* guessed: some 30 us of system calls */
};

/* Of the eventfd; no descriptor has the number in the lower half. */
#define EVENT_MARK UINT64_MAX

/* What an event bears: the number of the descriptor, and the generation above it. */
enum { GENERATION_SHIFT = 32 };

/* What poll(2) and epoll call alike. */
_Static_assert(EPOLLIN == POLLIN && EPOLLOUT == POLLOUT && EPOLLPRI == POLLPRI &&
                   EPOLLERR == POLLERR && EPOLLHUP == POLLHUP && EPOLLRDHUP == 0x2000,
               "operations use the bits of poll(2)");

struct instance {
    struct wf_poller poller;      /* its lock is that of all that follows, descriptors excepted */
    struct wf_counters *counters; /* of this instance: whoever has the lock writes them */
    uint64_t waiting;             /* operations that wait for an event */
    uint32_t done_count;          /* operations done without waiting */
    int epoll;
    int event; /* eventfd that ends a wait; only the owner resets it */
    bool has_no_pwait2;
};

static struct instance *instance_of(struct wf_poller *poller)
{
    return WF_CONTAINER_OF(poller, struct instance, poller);
}

static int add_event(struct instance *instance)
{
    struct epoll_event event = {.events = EPOLLIN, .data = {.u64 = EVENT_MARK}};

    instance->event = wf_os_event_create();
    if (instance->event < 0)
        return instance->event;
    if (epoll_ctl(instance->epoll, EPOLL_CTL_ADD, instance->event, &event) == 0)
        return 0;
    wf_os_close(instance->event);
    return -errno;
}

static int create(struct wf_poller **poller, uint32_t entries, struct wf_counters *counters)
{
    struct instance *instance = wf_alloc(sizeof *instance);
    int error;

    (void)entries;
    if (instance == NULL)
        return -ENOMEM;
    instance->counters = counters;
    instance->epoll = epoll_create1(EPOLL_CLOEXEC);
    error = instance->epoll < 0 ? -errno : add_event(instance);
    if (error == 0) {
        *poller = &instance->poller;
        return 0;
    }
    wf_complain("epoll: %s", strerror(-error));
    if (instance->epoll >= 0)
        wf_os_close(instance->epoll);
    wf_free(instance);
    return error;
}

static void destroy(struct wf_poller *poller)
{
    struct instance *instance = instance_of(poller);

    WF_ASSERT(instance->waiting == 0);
    wf_os_close(instance->event);
    wf_os_close(instance->epoll);
    wf_free(instance);
}

static int describe(char *line, size_t size)
{
    snprintf(line, size, "epoll, one instance per worker, files on the blocking pool");
    return 0;
}

static void interrupt_wait(struct wf_poller *poller)
{
    wf_os_event_signal(instance_of(poller)->event);
}

/* Nothing is ever left to be submitted: epoll_ctl(2) acts at once. */
static void submit(struct wf_poller *poller, struct wf_worker *self)
{
    (void)poller;
    (void)self;
}

static bool needs_service(struct wf_poller *poller)
{
    struct instance *instance = instance_of(poller);
    struct pollfd pollfd = {.fd = instance->epoll, .events = POLLIN};
    bool waits;

    wf_lock_acquire(&instance->poller.lock);
    waits = instance->waiting > 0;
    wf_lock_release(&instance->poller.lock);
    return waits && poll(&pollfd, 1, 0) > 0;
}

/* Tells the kernel what is waited for.  0 or -errno, and then what it was told before still counts.
 * Caller has the lock. */
static int arm(struct instance *instance, struct wf_fd_ops *watch, int fd)
{
    uint32_t generation = watch->generation + 1;
    struct epoll_event event = {
        .events = watch->events | EPOLLONESHOT,
        .data = {.u64 = (uint64_t)generation << GENERATION_SHIFT | (uint32_t)fd}};
    int first = watch->is_known ? EPOLL_CTL_MOD : EPOLL_CTL_ADD;
    int second = watch->is_known ? EPOLL_CTL_ADD : EPOLL_CTL_MOD;

    /* The number may mean another file than last time, or the same one still. */
    if (epoll_ctl(instance->epoll, first, fd, &event) != 0 &&
        ((errno != ENOENT && errno != EEXIST) ||
         epoll_ctl(instance->epoll, second, fd, &event) != 0))
        return -errno;
    watch->is_known = true;
    watch->generation = generation;
    return 0;
}

static struct wf_op *first_of(const struct wf_fd_ops *watch)
{
    /* relaxed: the lock orders it. */
    return atomic_load_explicit(&watch->first, memory_order_relaxed);
}

/* Caller has the lock. */
static void end_wait(struct instance *instance, struct wf_op *op, int32_t result)
{
    op->is_listed = false;
    op->result = result;
    instance->waiting--;
    wf_count(&instance->counters->ops_completed, 1);
    /* Else its fiber attempts it, and stays with the descriptor meanwhile. */
    if (result != WF_OP_TRY_AGAIN || op->done != NULL)
        wf_pending_remove(op);
}

/* 0, or why it cannot wait, and then it is in no list.  Caller has the lock. */
static int list(struct instance *instance, struct wf_op *op)
{
    int error = op->watch == NULL ? wf_pending_add(&instance->poller, op) : 0;

    if (error == 0 && op->closing != NULL)
        error = -EBADF;
    else if (error == 0 && op->watch == &instance->poller.pending.others)
        error = -ENOMEM;
    if (error != 0)
        wf_pending_remove(op);
    return error;
}

/* 0 or -errno.  Caller has the lock, and the operation is in a list. */
static int wait_for_event(struct instance *instance, struct wf_op *op)
{
    int error;

    op->watch->events |= wf_attempt_events(op);
    error = arm(instance, op->watch, op->fd);
    op->is_listed = error == 0;
    if (error == 0)
        instance->waiting++;
    return error;
}

/* Tells its fiber.  Caller has no lock. */
static void wake(struct wf_worker *self, struct wf_op *op)
{
    if (op->result == WF_OP_TRY_AGAIN && op->done == NULL)
        wf_wake_later(self, op->waiter, 0);
    else
        wf_op_complete(self, op);
}

static void start(struct wf_worker *self, struct wf_op *op)
{
    struct instance *instance = instance_of(wf_worker_poller(self));
    int error;

    op->has_waited = true;
    if (WF_UNLIKELY(op->watch != NULL && op->poller != &instance->poller)) {
        op->result = -EAGAIN; /* it goes on here, and began with another worker */
        wf_pending_finish(self, op);
    }
    wf_lock_acquire(&instance->poller.lock);
    wf_count(&instance->counters->ops_submitted, 1);
    error = list(instance, op);
    if (error == 0)
        error = wait_for_event(instance, op);
    if (error != 0) {
        wf_count(&instance->counters->ops_completed, 1);
        /* Files and folders have no readiness: the attempt sends those to the pool. */
        op->cannot_wait = error == -EPERM && op->code != WF_OP_POLL;
        op->result = op->cannot_wait ? WF_OP_TRY_AGAIN : error;
        if (!op->cannot_wait)
            wf_pending_remove(op);
    }
    wf_lock_release(&instance->poller.lock);
    if (error != 0)
        wake(self, op);
}

/* What the kernel still watches for in vain disarms itself at its first event. */
static bool stop(struct wf_poller *poller, struct wf_worker *self, struct wf_op *op)
{
    struct instance *instance = instance_of(poller);

    (void)self;
    if (!op->is_listed)
        return false;
    end_wait(instance, op, -ECANCELED);
    wf_count(&instance->counters->ops_cancelled, 1);
    return true;
}

/* The same, and puts it at the end of a list.  Caller has the lock. */
static struct wf_op **end_into(struct wf_op **end, struct instance *instance, struct wf_op *op,
                               int32_t result)
{
    end_wait(instance, op, result);
    op->next = NULL;
    *end = op;
    return &op->next;
}

/* Ends those waits for which one of the events matters, and returns a list of them.  The others are
 * watched for anew.  Caller has the lock. */
static struct wf_op *take_ready(struct instance *instance, const struct epoll_event *event)
{
    int fd = (int)(uint32_t)event->data.u64;
    struct wf_fd_ops *watch = wf_pending_watch(&instance->poller, fd);
    struct wf_op *ready = NULL, **end = &ready, *after;
    bool is_awaited = false;

    /* Of a file that had the number before, or overtaken by a later wait. */
    if (watch->generation != (uint32_t)(event->data.u64 >> GENERATION_SHIFT))
        return NULL;
    watch->events = 0;
    for (struct wf_op *op = first_of(watch); op != NULL; op = after) {
        uint32_t mine = event->events & (wf_attempt_events(op) | EPOLLERR | EPOLLHUP);

        after = op->after;
        if (!op->is_listed)
            continue;
        if (mine == 0)
            watch->events |= wf_attempt_events(op);
        else
            end = end_into(end, instance, op,
                           op->code == WF_OP_POLL ? (int32_t)mine : WF_OP_TRY_AGAIN);
        is_awaited = is_awaited || mine == 0;
    }
    if (!is_awaited || arm(instance, watch, fd) == 0)
        return ready;
    /* Where that is refused, as for a descriptor that was closed meanwhile, they try again and
     * meet the error themselves. */
    for (struct wf_op *op = first_of(watch); op != NULL; op = after) {
        after = op->after;
        if (op->is_listed)
            end = end_into(end, instance, op, WF_OP_TRY_AGAIN);
    }
    return ready;
}

static unsigned wake_all(struct wf_worker *self, struct wf_op *op)
{
    unsigned count = 0;

    while (op != NULL) {
        struct wf_op *next = op->next; /* once woken, its frame may be gone */

        wake(self, op);
        op = next;
        count++;
    }
    return count;
}

/* Rounded up: a wait that ends early only has to be begun again, over and over. */
static int to_milliseconds(int64_t ns)
{
    return ns < INT64_C(1000000) * INT32_MAX ? (int)((ns + 999999) / 1000000) : INT32_MAX;
}

/* epoll_wait(2) until a point in time: 0 is at once.  Returns how many events came, or -EINTR. */
static int wait_until(struct instance *instance, struct epoll_event *events, int64_t deadline)
{
    int64_t left = deadline == 0 ? 0 : deadline - wf_os_now();
    int count;

    if (left < 0)
        left = 0;
    if (deadline == INT64_MAX || left == 0)
        count = epoll_wait(instance->epoll, events, EVENT_BATCH, left == 0 ? 0 : -1);
    else if (instance->has_no_pwait2)
        count = epoll_wait(instance->epoll, events, EVENT_BATCH, to_milliseconds(left));
    else
        count = epoll_pwait2(instance->epoll, events, EVENT_BATCH,
                             &(struct timespec){left / 1000000000, left % 1000000000}, NULL);
    if (count >= 0)
        return count;
    /* Linux before 5.11, or a sandbox that is older than the call. */
    if ((errno == ENOSYS || errno == EPERM) && !instance->has_no_pwait2)
        instance->has_no_pwait2 = true;
    else if (errno == EINTR)
        return -EINTR;
    else
        wf_panic("epoll_wait: %s", strerror(errno));
    return 0;
}

static unsigned poll_instance(struct wf_poller *poller, struct wf_worker *self, int64_t deadline)
{
    struct instance *instance = instance_of(poller);
    bool is_owner = wf_worker_poller(self) == poller;
    struct epoll_event events[EVENT_BATCH];
    unsigned woken = 0;
    bool has_cause;
    int count;

    wf_lock_acquire(&instance->poller.lock);
    has_cause = deadline != 0 || instance->waiting > 0;
    if (has_cause)
        wf_count(&instance->counters->polls, 1);
    wf_lock_release(&instance->poller.lock);
    if (!has_cause)
        return 0;
    count = wait_until(instance, events, deadline);
    if (WF_UNLIKELY(count < 0)) {
        wf_lock_acquire(&instance->poller.lock);
        wf_count(&instance->counters->io_interrupts, 1);
        wf_lock_release(&instance->poller.lock);
    }
    for (int i = 0; i < count; i++) {
        struct wf_op *ready;

        if (events[i].data.u64 == EVENT_MARK) {
            /* Whoever polls in the owner's place leaves it, to end the owner's next wait. */
            if (is_owner)
                wf_os_event_reset(instance->event);
            continue;
        }
        wf_lock_acquire(&instance->poller.lock);
        ready = take_ready(instance, &events[i]);
        wf_lock_release(&instance->poller.lock);
        woken += wake_all(self, ready);
    }
    return woken;
}

bool wf_epoll_count_done(struct wf_worker *self, struct wf_op *op)
{
    struct instance *instance = instance_of(wf_worker_poller(self));
    struct wf_closing *closing;
    bool is_time;

    if (WF_UNLIKELY(op->watch != NULL && op->poller != &instance->poller))
        wf_pending_finish(self, op);
    wf_lock_acquire(&instance->poller.lock);
    closing = wf_pending_leave(op);
    wf_count(&instance->counters->ops_submitted, 1);
    wf_count(&instance->counters->ops_completed, 1);
    is_time = ++instance->done_count % DONE_IN_A_ROW_MAX == 0;
    wf_lock_release(&instance->poller.lock);
    if (WF_UNLIKELY(closing != NULL))
        wf_closing_done(self, closing);
    return is_time;
}

const struct wf_backend wf_backend_epoll = {
    .name = "epoll",
    .create = create,
    .destroy = destroy,
    .poll = poll_instance,
    .submit = submit,
    .needs_service = needs_service,
    .interrupt = interrupt_wait,
    .describe = describe,
    .attempt = wf_epoll_attempt,
    .start = start,
    .stop = stop,
};
