/* SPDX-License-Identifier: MIT */
/* The registers that a signal interrupted. */
#ifndef WF_ARCH_LINUX_MACHINE_H
#define WF_ARCH_LINUX_MACHINE_H

#include <ucontext.h>

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

#endif
