/* SPDX-License-Identifier: MIT */
/* What a ring asks of the kernel: of the real one, or in a simulation of sim_ring.h. */
#include "io/ring.h"

#include "arch/os.h"
#include "arch/sim.h"
#include "io/attempt.h"
#include "io/sim_ring.h"
#include "runtime/check.h"

#include <errno.h>
#include <signal.h>
#include <string.h>

int wf_ring_make_event(struct ring *ring)
{
    if (wf_sim_is_here()) {
        wf_sim_attach();
        ring->event = WF_SIM_EVENT;
        return 0;
    }
    ring->event = wf_os_event_create();
    if (ring->event < 0)
        wf_complain("eventfd: %s", strerror(-ring->event));
    return ring->event < 0 ? ring->event : 0;
}

void wf_ring_close_event(struct ring *ring)
{
    if (wf_sim_is_here())
        wf_sim_detach();
    else
        wf_os_close(ring->event);
}

void wf_ring_signal(struct ring *ring)
{
    if (wf_sim_is_here())
        wf_sim_ring_signal(ring->simulated, &ring->signal);
    else
        wf_os_event_signal(ring->event);
}

void wf_ring_await_signal(struct ring *ring)
{
    if (wf_sim_is_here())
        wf_sim_await_signal(&ring->signal);
    else
        wf_os_event_reset(ring->event);
}

int wf_ring_connect(struct ring *ring)
{
    int error;

    ring->registered = -1;
    if (wf_sim_is_here())
        return wf_sim_ring_open(&ring->simulated, &ring->uring, ring->entries, &ring->signal);
    /* The owner may try every few milliseconds: a spare that is called (runtime/spare.c). */
    error = wf_ring_open(&ring->uring, ring->entries, !ring->is_refused);
    ring->is_refused = error != 0;
    if (error != 0)
        return error;
    ring->resumes_sends = wf_ring_resumes_sends(&ring->uring);
    /* Spares the owner a look-up in each enter; Linux before 5.18 works as well without it. */
    if (io_uring_register_ring_fd(&ring->uring) == 1)
        ring->registered = ring->uring.enter_ring_fd;
    return 0;
}

void wf_ring_disconnect(struct ring *ring)
{
    if (ring->simulated != NULL)
        wf_sim_ring_close(ring->simulated);
    else
        wf_ring_close(&ring->uring);
    ring->simulated = NULL;
}

int wf_ring_enter(struct ring *ring, bool is_owner, unsigned count,
                  const struct __kernel_timespec *timeout, bool waits)
{
    struct io_uring_getevents_arg arg = {.sigmask_sz = _NSIG / 8,
                                         .ts = (uint64_t)(uintptr_t)timeout};
    unsigned flags = IORING_ENTER_GETEVENTS | IORING_ENTER_EXT_ARG;
    int fd = ring->uring.ring_fd, result;

    if (WF_UNLIKELY(ring->simulated != NULL))
        return wf_sim_ring_enter(ring->simulated, count, timeout, waits);
    if (is_owner && ring->registered >= 0) {
        flags |= IORING_ENTER_REGISTERED_RING;
        fd = ring->registered;
    }
    result = io_uring_enter2((unsigned)fd, count, waits ? 1 : 0, flags, (sigset_t *)&arg,
                             sizeof arg);
    if (result < 0 && result != -EINTR && result != -ETIME && result != -EBUSY && result != -EAGAIN)
        wf_panic("io_uring_enter: %s", strerror(-result));
    return result;
}

bool wf_ring_attempt(const struct ring *ring, struct wf_op *op, weft_time deadline)
{
    return WF_UNLIKELY(ring->simulated != NULL) ? wf_sim_ring_attempt(op, deadline)
                                                : wf_attempt_now(op, deadline);
}
