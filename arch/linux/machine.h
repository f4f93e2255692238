/* SPDX-License-Identifier: MIT */
/* What of the processor the system shows: the registers that a signal interrupted, and whether the
 * calling thread has a shadow stack. */
#ifndef WF_ARCH_LINUX_MACHINE_H
#define WF_ARCH_LINUX_MACHINE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/prctl.h>
#include <ucontext.h>

#ifndef PR_GET_SHADOW_STACK_STATUS /* Linux 6.13; Debian 12's headers are older */
#define PR_GET_SHADOW_STACK_STATUS 74
#endif

struct wf_machine {
    void *pc, *frame, *stack_pointer;
};

/* `context` is what a signal handler gets as its third argument. */
static inline struct wf_machine wf_machine_read(const void *context)
{
    const mcontext_t *machine = &((const ucontext_t *)context)->uc_mcontext;

#if defined(__x86_64__)
    return (struct wf_machine){(void *)machine->gregs[REG_RIP], (void *)machine->gregs[REG_RBP],
                               (void *)machine->gregs[REG_RSP]};
#elif defined(__aarch64__)
    return (struct wf_machine){(void *)machine->pc, (void *)machine->regs[29], (void *)machine->sp};
#elif defined(__riscv)
    return (struct wf_machine){(void *)machine->__gregs[REG_PC], (void *)machine->__gregs[REG_S0],
                               (void *)machine->__gregs[REG_SP]};
#endif
}

static inline bool wf_machine_has_shadow_stack(void)
{
#if defined(__x86_64__)
    /* The processor answers; without shadow stacks this is a no-op that leaves the register alone.
     */
    uint64_t pointer = 0;

    __asm__ volatile("rdsspq %0" : "+r"(pointer));
    return pointer != 0;
#else
    unsigned long status = 0;

    return prctl(PR_GET_SHADOW_STACK_STATUS, &status, 0, 0, 0) == 0 && (status & 1) != 0;
#endif
}

#endif
