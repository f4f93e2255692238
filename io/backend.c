/* SPDX-License-Identifier: MIT */
/* The choice of a backend, and the functions of runtime/poller.h. */
#include "io/backend.h"

#include "arch/atomic.h"
#include "arch/os.h"
#include "arch/sanitizer.h"
#include "arch/sim.h"
#include "runtime/check.h"
#include "runtime/poller.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include <weft/runtime.h>

/* What WEFT_BACKEND_AUTO means here; 0 until it has been found out. */
static WF_ATOMIC(uint32_t) auto_kind;

/* Refused for good, so that to try again would be in vain. */
static bool is_refusal(int error)
{
    return error == -EPERM || error == -EACCES || error == -ENOSYS;
}

/* What keeps io_uring from working at the moment, as the lack of descriptors does, is left to be
 * met, and named, by whoever makes a ring. */
static uint32_t find_kind(char *line, size_t size)
{
    if (wf_san_is_valgrind()) {
        (void)snprintf(line, size, "io_uring: on valgrind no other thread runs while one waits");
        return WEFT_BACKEND_EPOLL;
    }
    return is_refusal(wf_backend_ring.describe(line, size)) ? WEFT_BACKEND_EPOLL
                                                            : WEFT_BACKEND_IO_URING;
}

/* What is simulated is the kernel's side of a ring (ring_kernel.c). */
static const struct wf_backend *backend_of(uint32_t kind)
{
    return kind == WEFT_BACKEND_EPOLL ? &wf_backend_epoll : &wf_backend_ring;
}

static const struct wf_backend *choose(uint32_t kind)
{
    char line[320];

    if (kind != WEFT_BACKEND_AUTO)
        return backend_of(kind);
    /* relaxed: nothing hangs on it. */
    kind = atomic_load_explicit(&auto_kind, memory_order_relaxed);
    if (kind == 0) {
        uint32_t unknown = 0;

        kind = find_kind(line, sizeof line);
        /* relaxed: nothing hangs on it; only the first one says it. */
        if (atomic_compare_exchange_strong_explicit(&auto_kind, &unknown, kind,
                                                    memory_order_relaxed, memory_order_relaxed) &&
            kind == WEFT_BACKEND_EPOLL)
            wf_complain("%s; input and output go through epoll meanwhile", line);
    }
    return backend_of(kind);
}

int wf_poller_create(struct wf_poller **poller, uint32_t kind, uint32_t entries,
                     struct wf_counters *counters)
{
    const struct wf_backend *backend = choose(kind);
    int error = (kind == WEFT_BACKEND_SIM) == wf_sim_is_here() ? 0 : -ENOTSUP;

    if (error == 0)
        error = backend->create(poller, entries, counters);

    if (error != 0)
        return error;
    (*poller)->backend = backend;
    /* A simulation is all by itself; and what one that has failed leaves behind is nobody's. */
    if (!wf_sim_is_here())
        wf_close_enlist(*poller);
    return 0;
}

int wf_poller_describe(uint32_t kind, char *line, size_t size)
{
    char refusal[320];
    int length;

    if (kind == WEFT_BACKEND_SIM) {
        (void)snprintf(line, size, "sim, all in memory and decided by a seed");
        return 0;
    }
    if (kind != WEFT_BACKEND_AUTO || find_kind(refusal, sizeof refusal) == WEFT_BACKEND_IO_URING)
        return backend_of(kind)->describe(line, size);
    wf_backend_epoll.describe(line, size);
    length = snprintf(NULL, 0, "%s", line);
    snprintf(line + length, size - (size_t)length, ", since %s", refusal);
    return 0;
}

int wf_poller_open(struct wf_poller *poller)
{
    return poller->backend->open != NULL ? poller->backend->open(poller) : 0;
}

bool wf_poller_close(struct wf_poller *poller, struct wf_worker *self)
{
    return poller->backend->close == NULL || poller->backend->close(poller, self);
}

void wf_poller_destroy(struct wf_poller *poller)
{
    if (!wf_sim_is_here())
        wf_close_delist(poller);
    wf_pending_destroy(&poller->pending);
    poller->backend->destroy(poller);
}

unsigned wf_poller_poll(struct wf_poller *poller, struct wf_worker *self, int64_t deadline)
{
    return poller->backend->poll(poller, self, deadline);
}

void wf_poller_submit(struct wf_poller *poller, struct wf_worker *self)
{
    poller->backend->submit(poller, self);
}

bool wf_poller_needs_service(struct wf_poller *poller)
{
    return poller->backend->needs_service(poller);
}

void wf_poller_interrupt(struct wf_poller *poller)
{
    poller->backend->interrupt(poller);
}

void wf_backend_start(struct wf_worker *self, struct wf_op *op)
{
    wf_worker_poller(self)->backend->start(self, op);
}

void wf_backend_cancel(struct wf_poller *poller, struct wf_worker *self, struct wf_op *op,
                       int reason)
{
    bool is_complete;

    wf_lock_acquire(&poller->lock);
    if (op->reason == 0)
        op->reason = reason;
    is_complete = poller->backend->stop(poller, self, op);
    wf_lock_release(&poller->lock);
    if (is_complete)
        wf_op_complete(self, op);
}

bool wf_backend_is_ring(int fd)
{
    static const char ring[] = "anon_inode:[io_uring]";
    char path[32], found[sizeof ring];

    if (wf_sim_is_here())
        return false;
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    return readlink(path, found, sizeof found) == (ssize_t)sizeof ring - 1 &&
           memcmp(found, ring, sizeof ring - 1) == 0;
}

void wf_backend_await_others(struct wf_worker *self)
{
    if (self != NULL)
        (void)wf_poller_poll(wf_worker_poller(self), self, 0);
    wf_os_yield();
}
