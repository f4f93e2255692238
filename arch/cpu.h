/* SPDX-License-Identifier: MIT */
/* Single instructions that C has no word for, and what else differs from processor to processor. */
#ifndef WF_ARCH_CPU_H
#define WF_ARCH_CPU_H

/* Tells the core that this is a spin loop: the sibling hyper-thread gets the execution units. */
static inline void wf_cpu_pause(void)
{
#if defined(__x86_64__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("isb" ::: "memory");
#elif defined(__riscv)
    __asm__ volatile(".4byte 0x0100000f" ::: "memory"); /* pause, a hint of Zihintpause */
#endif
}

/* A return address as it was saved, without the signature that AArch64 puts in its upper bits. */
static inline void *wf_cpu_plain_address(void *address)
{
#if defined(__aarch64__)
    register void *x30 __asm__("x30") = address;

    __asm__("hint #7" : "+r"(x30)); /* xpaclri */
    return x30;
#else
    return address;
#endif
}

/* A frame record is the caller's frame pointer and the return address.  It begins so many bytes
 * below where the frame pointer points to. */
#if defined(__riscv)
#define WF_CPU_RECORD_BELOW 16
#else
#define WF_CPU_RECORD_BELOW 0
#endif

#endif
