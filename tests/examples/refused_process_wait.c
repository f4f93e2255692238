/* SPDX-License-Identifier: MIT */
/* Stands before an example's weft_process_wait() (--wrap), which has no descriptor at first. */
#include <errno.h>
#include <stdatomic.h>
#include <weft.h>

int __real_weft_process_wait(pid_t pid, int *status, weft_time deadline);
int __wrap_weft_process_wait(pid_t pid, int *status, weft_time deadline);

int __wrap_weft_process_wait(pid_t pid, int *status, weft_time deadline)
{
    static const int errors[] = {-EMFILE, -ENFILE, -ENOMEM, -EMFILE, -ENFILE, -ENOMEM};
    static atomic_uint calls;
    unsigned call = atomic_fetch_add(&calls, 1);

    return call < sizeof errors / sizeof *errors ? errors[call]
                                                 : __real_weft_process_wait(pid, status, deadline);
}
