/* SPDX-License-Identifier: MIT */
/* Single instructions that C has no word for. */
#ifndef WF_ARCH_CPU_H
#define WF_ARCH_CPU_H

/* Tells the core that this is a spin loop: the sibling hyper-thread gets the execution units. */
static inline void wf_cpu_pause(void)
{
#if defined(__x86_64__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("isb" ::: "memory");
#endif
}

#endif
