/* SPDX-License-Identifier: MIT */
/* Stands before an example's weft_accept() (--wrap): what does not end a server comes first, and
 * again when it has a connection that must go on. */
#include <errno.h>
#include <stdatomic.h>
#include <weft.h>

int __real_weft_accept(int fd, weft_time deadline);
int __wrap_weft_accept(int fd, weft_time deadline);

int __wrap_weft_accept(int fd, weft_time deadline)
{
    static const int errors[] = {-EMFILE, -ECONNABORTED, -ENFILE, 0, -ENOBUFS, -ENOMEM};
    static atomic_uint calls;
    unsigned call = atomic_fetch_add(&calls, 1);

    if (call < sizeof errors / sizeof *errors && errors[call] != 0)
        return errors[call];
    return __real_weft_accept(fd, deadline);
}
