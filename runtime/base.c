/* SPDX-License-Identifier: MIT */
#include <weft/base.h>

#include "arch/os.h"

weft_time weft_now(void)
{
    return wf_os_now();
}

weft_time weft_after(int64_t ns)
{
    weft_time deadline;

    return __builtin_add_overflow(wf_os_now(), ns, &deadline) ? WEFT_FOREVER : deadline;
}

const char *weft_version(void)
{
    return WEFT_VERSION_STRING;
}
