/* SPDX-License-Identifier: MIT */
/* Events: counters of the kernel's, which a ring can read as any file. */
#include "arch/os.h"

#include <errno.h>
#include <sys/eventfd.h>
#include <unistd.h>

int wf_os_event_create(void)
{
    int event = eventfd(0, EFD_CLOEXEC);

    return event >= 0 ? event : -errno;
}

void wf_os_event_signal(int event)
{
    uint64_t one = 1;

    /* Fails only when the counter is full, and then the event is signalled already. */
    while (write(event, &one, sizeof one) < 0 && errno == EINTR)
        ;
}

void wf_os_event_reset(int event)
{
    uint64_t count;

    while (read(event, &count, sizeof count) < 0 && errno == EINTR)
        ;
}

void wf_os_close(int fd)
{
    close(fd);
}
