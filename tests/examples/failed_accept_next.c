/* SPDX-License-Identifier: MIT */
/* Stands before an example's weft_accept_next() (--wrap), which fails for good. */
#include <errno.h>
#include <weft.h>

int __wrap_weft_accept_next(int fd, weft_time deadline);

int __wrap_weft_accept_next(int fd, weft_time deadline)
{
    (void)fd;
    (void)deadline;
    return -EINVAL;
}
