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
 * else: since each wait tells the kernel anew what it waits for, the answer is about the file that
 * the number means now.
 *
 * Any worker may poll any instance (poller.h).  The lock guards the watches; it is held across
 * epoll_ctl(2), which does not block, because what is told to the kernel has to be the union of
 * what those in the watch wait for.
 */
#include "io/epoll.h"

#include "arch/os.h"
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
    PAGE_BITS = 8,
    PAGE_WATCHES = 1 << PAGE_BITS,
    EVENT_BATCH = 64,
    DONE_IN_A_ROW_MAX = 32, /* guessed: some 30 us of system calls */
};

/* Of the eventfd; no descriptor has this number. */
#define EVENT_MARK UINT64_MAX

/* What poll(2) and epoll call alike. */
_Static_assert(EPOLLIN == POLLIN && EPOLLOUT == POLLOUT && EPOLLPRI == POLLPRI &&
                   EPOLLERR == POLLERR && EPOLLHUP == POLLHUP && EPOLLRDHUP == 0x2000,
               "operations use the bits of poll(2)");

/* Who waits for a descriptor. */
struct watch {
    struct wf_op *first, *last;
    uint32_t events; /* what they wait for, and perhaps some that have left waited for */
    bool is_known;   /* the kernel had this number among ours when it was last told; a hint */
};

struct instance {
    struct wf_poller poller;
    struct wf_lock lock;          /* of all that follows, descriptors excepted */
    struct wf_counters *counters; /* of this instance: whoever has the lock writes them */
    struct watch **pages;         /* by descriptor; NULL: nobody has waited in this stretch */
    size_t page_count;
    uint64_t waiting;    /* operations in the watches */
    uint32_t done_count; /* operations done without waiting */
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
    for (size_t i = 0; i < instance->page_count; i++)
        wf_free(instance->pages[i]);
    wf_free(instance->pages);
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

    wf_lock_acquire(&instance->lock);
    waits = instance->waiting > 0;
    wf_lock_release(&instance->lock);
    return waits && poll(&pollfd, 1, 0) > 0;
}

/* Returns the watch of a descriptor, or NULL when there is no memory.  Caller has the lock. */
static struct watch *watch_of(struct instance *instance, int fd)
{
    size_t page = (size_t)fd >> PAGE_BITS;

    if (page >= instance->page_count) {
        size_t count = instance->page_count == 0 ? 16 : instance->page_count;
        struct watch **pages;

        while (count <= page)
            count *= 2;
        pages = wf_alloc(count * sizeof(*pages));
        if (pages == NULL)
            return NULL;
        if (instance->page_count > 0)
            memcpy(pages, instance->pages, instance->page_count * sizeof(*pages));
        wf_free(instance->pages);
        instance->pages = pages;
        instance->page_count = count;
    }
    if (instance->pages[page] == NULL)
        instance->pages[page] = wf_alloc(PAGE_WATCHES * sizeof(struct watch));
    if (instance->pages[page] == NULL)
        return NULL;
    return &instance->pages[page][(size_t)fd % PAGE_WATCHES];
}

/* Tells the kernel what is waited for.  0 or -errno.  Caller has the lock. */
static int arm(struct instance *instance, struct watch *watch, int fd)
{
    struct epoll_event event = {.events = watch->events | EPOLLONESHOT,
                                .data = {.u64 = (uint64_t)fd}};
    int first = watch->is_known ? EPOLL_CTL_MOD : EPOLL_CTL_ADD;
    int second = watch->is_known ? EPOLL_CTL_ADD : EPOLL_CTL_MOD;

    /* The number may mean another file than last time, or the same one still. */
    if (epoll_ctl(instance->epoll, first, fd, &event) != 0 &&
        ((errno != ENOENT && errno != EEXIST) ||
         epoll_ctl(instance->epoll, second, fd, &event) != 0))
        return -errno;
    watch->is_known = true;
    return 0;
}

static void append(struct watch *watch, struct wf_op *op)
{
    op->next = NULL;
    op->prev = watch->last;
    op->is_listed = true;
    if (watch->last == NULL)
        watch->first = op;
    else
        watch->last->next = op;
    watch->last = op;
    watch->events |= wf_epoll_events(op);
}

/* What it waited for stays in watch->events until the next event, which is then for nobody. */
static void take_out(struct watch *watch, struct wf_op *op)
{
    if (op->prev == NULL)
        watch->first = op->next;
    else
        op->prev->next = op->next;
    if (op->next == NULL)
        watch->last = op->prev;
    else
        op->next->prev = op->prev;
    op->is_listed = false;
}

static void start(struct wf_worker *self, struct wf_op *op)
{
    struct instance *instance = instance_of(wf_worker_poller(self));
    struct watch *watch;
    int error = -ENOMEM;

    op->has_waited = true;
    wf_lock_acquire(&instance->lock);
    wf_count(&instance->counters->ops_submitted, 1);
    watch = watch_of(instance, op->fd);
    if (watch != NULL) {
        append(watch, op);
        error = arm(instance, watch, op->fd);
        if (error == 0)
            instance->waiting++;
        else
            take_out(watch, op);
    }
    if (error != 0)
        wf_count(&instance->counters->ops_completed, 1);
    wf_lock_release(&instance->lock);
    if (error == 0)
        return;
    /* Files and folders have no readiness: the attempt sends those to the pool. */
    op->cannot_wait = error == -EPERM && op->code != WF_OP_POLL;
    op->result = op->cannot_wait ? WF_OP_TRY_AGAIN : error;
    wf_op_complete(self, op);
}

/* What the kernel still watches for in vain disarms itself at its first event. */
static void cancel(struct wf_poller *poller, struct wf_worker *self, struct wf_op *op)
{
    struct instance *instance = instance_of(poller);
    bool is_mine;

    wf_lock_acquire(&instance->lock);
    is_mine = op->is_listed;
    if (is_mine) {
        take_out(watch_of(instance, op->fd), op);
        instance->waiting--;
        wf_count(&instance->counters->ops_completed, 1);
        wf_count(&instance->counters->ops_cancelled, 1);
    }
    wf_lock_release(&instance->lock);
    if (!is_mine)
        return;
    op->result = -ECANCELED;
    wf_op_complete(self, op);
}

/* Moves one to the end of a list of those to be woken.  Caller has the lock. */
static struct wf_op **move_to(struct wf_op **end, struct instance *instance, struct watch *watch,
                              struct wf_op *op, int32_t result)
{
    take_out(watch, op);
    op->result = result;
    op->next = NULL;
    *end = op;
    instance->waiting--;
    wf_count(&instance->counters->ops_completed, 1);
    return &op->next;
}

/* Takes out those for whom one of `events` matters, into a list.  Those that stay are watched for
 * anew.  Caller has the lock. */
static struct wf_op *take_ready(struct instance *instance, int fd, uint32_t events)
{
    struct watch *watch = watch_of(instance, fd);
    struct wf_op *ready = NULL, **end = &ready, *next;

    watch->events = 0;
    for (struct wf_op *op = watch->first; op != NULL; op = next) {
        uint32_t mine = events & (wf_epoll_events(op) | EPOLLERR | EPOLLHUP);

        next = op->next;
        if (mine == 0)
            watch->events |= wf_epoll_events(op);
        else
            end = move_to(end, instance, watch, op,
                          op->code == WF_OP_POLL ? (int32_t)mine : WF_OP_TRY_AGAIN);
    }
    /* Where that is refused, as for a descriptor that was closed meanwhile, they try again and
     * meet the error themselves. */
    if (watch->first != NULL && arm(instance, watch, fd) != 0)
        while (watch->first != NULL)
            end = move_to(end, instance, watch, watch->first, WF_OP_TRY_AGAIN);
    return ready;
}

static unsigned wake_all(struct wf_worker *self, struct wf_op *op)
{
    unsigned count = 0;

    while (op != NULL) {
        struct wf_op *next = op->next; /* once woken, its frame may be gone */

        wf_op_complete(self, op);
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

/* epoll_wait(2) until a point in time: 0 is at once.  Returns how many events came. */
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
    else if (errno != EINTR)
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

    wf_lock_acquire(&instance->lock);
    has_cause = deadline != 0 || instance->waiting > 0;
    if (has_cause)
        wf_count(&instance->counters->polls, 1);
    wf_lock_release(&instance->lock);
    if (!has_cause)
        return 0;
    count = wait_until(instance, events, deadline);
    for (int i = 0; i < count; i++) {
        struct wf_op *ready;

        if (events[i].data.u64 == EVENT_MARK) {
            /* Whoever polls in the owner's place leaves it, to end the owner's next wait. */
            if (is_owner)
                wf_os_event_reset(instance->event);
            continue;
        }
        wf_lock_acquire(&instance->lock);
        ready = take_ready(instance, (int)events[i].data.u64, events[i].events);
        wf_lock_release(&instance->lock);
        woken += wake_all(self, ready);
    }
    return woken;
}

bool wf_epoll_count_done(struct wf_worker *self)
{
    struct instance *instance = instance_of(wf_worker_poller(self));
    bool is_time;

    wf_lock_acquire(&instance->lock);
    wf_count(&instance->counters->ops_submitted, 1);
    wf_count(&instance->counters->ops_completed, 1);
    is_time = ++instance->done_count % DONE_IN_A_ROW_MAX == 0;
    wf_lock_release(&instance->lock);
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
    .cancel = cancel,
};
