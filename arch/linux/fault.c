/* SPDX-License-Identifier: MIT */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "arch/fault.h"

#include "arch/atomic.h"
#include "arch/linux/machine.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/syscall.h>
#include <ucontext.h>
#include <unistd.h>
#include <unwind.h>

#ifndef AT_MINSIGSTKSZ
#define AT_MINSIGSTKSZ 51 /* Linux 5.14; Debian 12's headers have it, older ones do not */
#endif

enum {
    SIGNALS = 2,
    FRAME_SIZE_MAX =
        4096,            /* assumed where the kernel does not tell; with AVX-512 it is some 3 KB */
    CALLS_MAX = 1 << 18, /* some tenths of a second */
    RED_ZONE = 128,      /* the x86-64 psABI's, which the kernel leaves alone */
};

static const int numbers[SIGNALS] = {SIGSEGV, SIGBUS};

/* What the program had.  Written before the handler that reads it is there. */
static struct sigaction before[SIGNALS];
/* Set when the program has taken a signal from us: what it took, which may well call us. */
static struct sigaction taken[SIGNALS];
static bool is_taken[SIGNALS];
static WF_ATOMIC(uint32_t) used_up[SIGNALS]; /* 1: it was for one signal only (SA_RESETHAND) */
static wf_fault_fn *judge;

static void set_default(int number)
{
    struct sigaction action = {.sa_handler = SIG_DFL};

    sigemptyset(&action.sa_mask);
    (void)sigaction(number, &action, NULL);
}

static bool was_sent(const siginfo_t *info)
{
    return info->si_code <= 0;
}

/* As if the program had no handler: the process dies here, by this signal.  An instruction faults
 * once more, and the core shows that place.  Nothing does so where somebody sent the signal, or
 * where the kernel had no room on the stack for another one, which is lost. */
static void die(int number, const siginfo_t *info)
{
    set_default(number);
    if (was_sent(info) || info->si_code == SI_KERNEL)
        (void)syscall(SYS_tgkill, getpid(), syscall(SYS_gettid), number);
}

static void call(const struct sigaction *action, int number, siginfo_t *info, void *context)
{
    const ucontext_t *interrupted = context;
    sigset_t mask;

    /* The kernel knows 64 signals, the C library's type has room for more.  It puts the mask of the
     * interrupted code back when we return. */
    sigemptyset(&mask);
    memcpy(&mask, &interrupted->uc_sigmask, sizeof(uint64_t));
    (void)sigorset(&mask, &mask, &action->sa_mask);
    if ((action->sa_flags & SA_NODEFER) == 0)
        sigaddset(&mask, number);
    (void)sigprocmask(SIG_SETMASK, &mask, NULL);
    if ((action->sa_flags & SA_SIGINFO) != 0)
        action->sa_sigaction(number, info, context);
    else
        action->sa_handler(number);
}

/* Does what would have happened without us. */
static void pass_on(int which, int number, siginfo_t *info, void *context)
{
    const struct sigaction *action = &before[which];
    bool is_function = (action->sa_flags & SA_SIGINFO) != 0 ||
                       (action->sa_handler != SIG_DFL && action->sa_handler != SIG_IGN);

    if (is_function && (action->sa_flags & (int)SA_RESETHAND) != 0) {
        /* relaxed: one thread gets the handler, whatever else it sees. */
        if (atomic_exchange_explicit(&used_up[which], 1, memory_order_relaxed) != 0)
            is_function = false;
    }
    if (is_function)
        call(action, number, info, context);
    else if (action->sa_handler != SIG_IGN || !was_sent(info))
        die(number, info); /* a fault cannot be ignored: the kernel does the same */
}

static void describe(struct wf_fault *fault, int number, const siginfo_t *info, void *context)
{
    struct wf_machine machine = wf_machine_read(context);

    fault->number = number;
    /* SI_KERNEL: the kernel had no room for a frame, or the address cannot exist. */
    fault->has_address = info->si_code != SI_KERNEL;
    fault->address = fault->has_address ? info->si_addr : NULL;
    fault->pc = machine.pc;
    fault->frame = machine.frame;
    fault->stack_pointer = machine.stack_pointer;
}

static void handle(int number, siginfo_t *info, void *context)
{
    int which = number == numbers[0] ? 0 : 1;
    int saved = errno;
    struct wf_fault fault;

    describe(&fault, number, info, context);
    if (!was_sent(info) && judge(&fault))
        die(number, info);
    else
        pass_on(which, number, info, context);
    errno = saved;
}

static bool is_same(const struct sigaction *a, const struct sigaction *b)
{
    if (((a->sa_flags ^ b->sa_flags) & SA_SIGINFO) != 0)
        return false;
    return (a->sa_flags & SA_SIGINFO) != 0 ? a->sa_sigaction == b->sa_sigaction
                                           : a->sa_handler == b->sa_handler;
}

/* A fault in our handler ends the process at once: the kernel does so where it is blocked. */
static void make_action(struct sigaction *action)
{
    *action = (struct sigaction){.sa_sigaction = handle, .sa_flags = SA_SIGINFO | SA_ONSTACK};
    sigemptyset(&action->sa_mask);
    for (int i = 0; i < SIGNALS; i++)
        sigaddset(&action->sa_mask, numbers[i]);
}

static int claim(int i)
{
    struct sigaction action, now;

    make_action(&action);
    if (sigaction(numbers[i], NULL, &now) != 0)
        return -errno;
    /* What took the signal from us may have kept our handler to call it: two that call each other
     * would never end. */
    if (is_same(&now, &action) || (is_taken[i] && is_same(&now, &taken[i])))
        return 0;
    is_taken[i] = false;
    before[i] = now;
    /* relaxed: no handler runs yet. */
    atomic_store_explicit(&used_up[i], 0, memory_order_relaxed);
    return sigaction(numbers[i], &action, NULL) == 0 ? 0 : -errno;
}

int wf_fault_claim(wf_fault_fn *fn)
{
    int error = 0;

    judge = fn;
    for (int i = 0; i < SIGNALS && error == 0; i++)
        error = claim(i);
    if (error != 0)
        wf_fault_release();
    return error;
}

void wf_fault_release(void)
{
    struct sigaction action;

    make_action(&action);
    for (int i = 0; i < SIGNALS; i++) {
        if (sigaction(numbers[i], NULL, &taken[i]) != 0)
            continue;
        is_taken[i] = !is_same(&taken[i], &action);
        if (!is_taken[i])
            (void)sigaction(numbers[i], &before[i], NULL);
    }
}

size_t wf_fault_frame_size(void)
{
    size_t size = getauxval(AT_MINSIGSTKSZ);

    return (size != 0 ? size : FRAME_SIZE_MAX) + RED_ZONE;
}

struct unwinding {
    const void *pc;
    struct wf_fault_place *places;
    size_t count, limit;
    size_t calls;
};

static _Unwind_Reason_Code add_call(struct _Unwind_Context *context, void *arg)
{
    struct unwinding *unwinding = arg;
    void *address = (void *)_Unwind_GetIP(context);
    struct wf_fault_place *last = unwinding->places + unwinding->count - 1;

    /* Before the place of the fault come the handler's own frames. */
    if (unwinding->count == 0 && address != unwinding->pc)
        return _URC_NO_REASON;
    if (address == NULL || ++unwinding->calls > CALLS_MAX)
        return _URC_END_OF_STACK;
    if (unwinding->count > 0 && last->address == address) {
        last->times++;
        return _URC_NO_REASON;
    }
    if (unwinding->count == unwinding->limit)
        return _URC_END_OF_STACK;
    unwinding->places[unwinding->count++] = (struct wf_fault_place){address, 1};
    return _URC_NO_REASON;
}

/* By the unwinding tables, which also code without frame pointers has: the C library's, say.  The
 * unwinder takes no lock and no memory where the C library finds the tables for it (glibc 2.35). */
size_t wf_fault_unwind(const struct wf_fault *fault, struct wf_fault_place *places, size_t limit)
{
    struct unwinding unwinding = {.pc = fault->pc, .places = places, .limit = limit};

    (void)_Unwind_Backtrace(add_call, &unwinding);
    return unwinding.count;
}

void wf_fault_write(const char *text, size_t length)
{
    while (length > 0) {
        ssize_t written = write(STDERR_FILENO, text, length);

        if (written < 0 && errno == EINTR)
            continue;
        if (written <= 0)
            return;
        text += written;
        length -= (size_t)written;
    }
}
