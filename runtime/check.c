/* SPDX-License-Identifier: MIT */
#include "runtime/check.h"

#include "arch/os.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

/* One write for the whole line, so that lines of several threads do not mix. */
static void print_line(const char *format, va_list arguments)
{
    char line[512];

    vsnprintf(line, sizeof line, format, arguments);
    fprintf(stderr, "weft: %s\n", line);
}

void wf_complain(const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    print_line(format, arguments);
    va_end(arguments);
}

void wf_panic(const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    print_line(format, arguments);
    va_end(arguments);
    abort();
}

int wf_check_shadow_stack(void)
{
    if (WF_LIKELY(!wf_os_has_shadow_stack()))
        return 0;
    wf_complain(
        "this thread has a shadow stack, which switches between fibers do not keep; run the "
        "program without, with glibc by GLIBC_TUNABLES=glibc.cpu.x86_shstk=off");
    return -ENOTSUP;
}
