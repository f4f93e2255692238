/* SPDX-License-Identifier: MIT */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "arch/probe.h"

#include "arch/cpu.h"
#include "arch/linux/machine.h"

#include <dlfcn.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

enum {
    STACK_SIZE = 64 * 1024, /* a signal frame with all the vector state there is, and some calls */
};

struct probe_stack {
    stack_t before; /* what the thread had: a sanitizer takes its own down at the thread's end */
};

static wf_probe_fn *probe;
static struct sigaction before;

static void handle(int number, siginfo_t *info, void *context)
{
    struct wf_machine machine = wf_machine_read(context);
    int saved = errno;

    (void)number;
    (void)info;
    probe(machine.pc, machine.frame);
    errno = saved;
}

int wf_probe_claim(wf_probe_fn *fn)
{
    /* SA_RESTART: what can go on after a signal does. */
    struct sigaction action = {.sa_sigaction = handle,
                               .sa_flags = SA_SIGINFO | SA_RESTART | SA_ONSTACK};

    if (sigaction(SIGURG, NULL, &before) != 0)
        return -errno;
    if ((before.sa_flags & SA_SIGINFO) != 0 ||
        (before.sa_handler != SIG_DFL && before.sa_handler != SIG_IGN))
        return -EBUSY;
    probe = fn;
    sigemptyset(&action.sa_mask);
    return sigaction(SIGURG, &action, NULL) == 0 ? 0 : -errno;
}

void wf_probe_release(void)
{
    struct sigaction now;

    if (sigaction(SIGURG, NULL, &now) == 0 && (now.sa_flags & SA_SIGINFO) != 0 &&
        now.sa_sigaction == handle)
        (void)sigaction(SIGURG, &before, NULL);
}

void *wf_probe_enter(bool takes_signal)
{
    struct probe_stack *stack = mmap(NULL, STACK_SIZE, PROT_READ | PROT_WRITE,
                                     MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    stack_t now = {0};
    sigset_t set;

    if (stack == MAP_FAILED)
        return NULL;
    now.ss_sp = stack + 1;
    now.ss_size = STACK_SIZE - sizeof *stack;
    if (sigaltstack(&now, &stack->before) != 0) {
        (void)munmap(stack, STACK_SIZE);
        return NULL;
    }
    sigemptyset(&set);
    sigaddset(&set, SIGURG);
    if (takes_signal)
        (void)sigprocmask(SIG_UNBLOCK, &set, NULL);
    return stack;
}

void wf_probe_leave(void *entered)
{
    struct probe_stack *stack = entered;
    sigset_t set;

    if (stack == NULL)
        return;
    sigemptyset(&set);
    sigaddset(&set, SIGURG);
    (void)sigprocmask(SIG_BLOCK, &set, NULL);
    (void)sigaltstack(&stack->before, NULL);
    (void)munmap(stack, STACK_SIZE);
}

void wf_probe_send(long number)
{
    /* Fails only if the thread has ended, and then there is nobody to ask. */
    (void)syscall(SYS_tgkill, getpid(), number, SIGURG);
}

long wf_probe_thread_number(void)
{
    return syscall(SYS_gettid);
}

char wf_probe_thread_state(long number)
{
    char path[64], text[256];
    const char *name_end;
    size_t length;
    FILE *file;

    (void)snprintf(path, sizeof path, "/proc/self/task/%ld/stat", number);
    file = fopen(path, "re");
    if (file == NULL)
        return '?';
    length = fread(text, 1, sizeof text - 1, file);
    (void)fclose(file);
    text[length] = '\0';
    /* "number (name) state ...", and a name can hold anything. */
    name_end = strrchr(text, ')');
    return name_end != NULL && name_end[1] == ' ' && name_end[2] != '\0' ? name_end[2] : '?';
}

/* Without a sanitizer's checks: these are other functions' frames. */
__attribute__((no_sanitize("address", "thread", "undefined"))) size_t
wf_probe_walk(void *frame, const void *bottom, const void *top, void **addresses, size_t limit)
{
    uintptr_t at = (uintptr_t)frame, low = (uintptr_t)bottom;
    uintptr_t high = (uintptr_t)top - 2 * sizeof(void *);
    size_t count = 0;

    at -= WF_CPU_RECORD_BELOW;
    while (count < limit && at >= low && at <= high && at % sizeof(void *) == 0) {
        /* Frame record: the caller's frame pointer, then the return address. */
        void *const *record = (void *const *)at;

        if (record[1] == NULL)
            break;
        addresses[count++] = wf_cpu_plain_address(record[1]);
        low = at + 1;
        at = (uintptr_t)record[0] - WF_CPU_RECORD_BELOW;
    }
    return count;
}

void wf_probe_describe(const void *address, char *text, size_t size)
{
    Dl_info info;

    if (dladdr(address, &info) == 0 || info.dli_fname == NULL)
        (void)snprintf(text, size, "%p", address);
    else if (info.dli_sname != NULL)
        (void)snprintf(text, size, "%p %s+0x%lx (%s+0x%lx)", address, info.dli_sname,
                       (unsigned long)((const char *)address - (const char *)info.dli_saddr),
                       info.dli_fname,
                       (unsigned long)((const char *)address - (const char *)info.dli_fbase));
    else
        (void)snprintf(text, size, "%p (%s+0x%lx)", address, info.dli_fname,
                       (unsigned long)((const char *)address - (const char *)info.dli_fbase));
}
