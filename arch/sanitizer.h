/* SPDX-License-Identifier: MIT */
/*
 * What AddressSanitizer, ThreadSanitizer and valgrind want to know about stacks and switches.
 * Every conditional on them is in this file; without them all of it compiles to nothing.
 */
#ifndef WF_ARCH_SANITIZER_H
#define WF_ARCH_SANITIZER_H

#include <stdbool.h>
#include <stddef.h>

#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define WF_ASAN 1
#endif
#if __has_feature(thread_sanitizer)
#define WF_TSAN 1
#endif
#endif
#if defined(__SANITIZE_ADDRESS__)
#define WF_ASAN 1
#endif
#if defined(__SANITIZE_THREAD__)
#define WF_TSAN 1
#endif

#ifdef WF_ASAN
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#endif
#ifdef WF_TSAN
#include <sanitizer/tsan_interface.h>
void __sanitizer_syscall_pre_impl_close(long fd); /* of linux_syscall_hooks.h, which gcc lacks */
#endif
#if __has_include(<valgrind/valgrind.h>)
#include <valgrind/valgrind.h>
#define WF_VALGRIND 1
#endif

/* One stack as the tools see it: a fiber's, or the one that a worker thread was born with. */
struct wf_san {
#ifdef WF_ASAN
    void *fake_stack;   /* saved while the stack is not running */
    const void *bottom; /* a worker learns its own from the first switch away from it */
    size_t size;
#endif
#ifdef WF_TSAN
    void *fiber;
#endif
    char unused; /* C forbids an empty struct */
};

/* Caller: the thread whose own stack this is, before its first switch. */
static inline void wf_san_thread(struct wf_san *san)
{
    (void)san;
#ifdef WF_TSAN
    san->fiber = __tsan_get_current_fiber();
#endif
}

/* A stack beside the one that a fiber or a thread has: a generator's.  Only an address sanitizer is
 * told: to a thread sanitizer it is still the same thread of control. */
static inline void wf_san_stack(struct wf_san *san, void *bottom, size_t size)
{
    (void)san, (void)bottom, (void)size;
#ifdef WF_ASAN
    /* A recycled stack still carries the poison of the frames that it last held. */
    __asan_unpoison_memory_region(bottom, size);
    san->fake_stack = NULL;
    san->bottom = bottom;
    san->size = size;
#endif
}

/* Caller: the spawner, before the fiber can run. */
static inline void wf_san_fiber(struct wf_san *san, void *bottom, size_t size)
{
    wf_san_stack(san, bottom, size);
#ifdef WF_TSAN
    san->fiber = __tsan_create_fiber(0);
#endif
}

/* Caller: whoever carves a stack, before it writes the record that lies there. */
static inline void wf_san_record(void *record, size_t size)
{
    (void)record, (void)size;
#ifdef WF_ASAN
    /* Memory that was mapped before, for stacks of another size, has the poison of their frames. */
    __asan_unpoison_memory_region(record, size);
#endif
}

/* Caller: whoever unmaps memory that has held stacks, just before. */
static inline void wf_san_unmap(void *memory, size_t size)
{
    (void)memory, (void)size;
#ifdef WF_ASAN
    /* What comes to lie there next can be mapped past the sanitizer, as io_uring's rings are. */
    __asan_unpoison_memory_region(memory, size);
#endif
}

/* Caller: the worker, on its own stack, after the fiber's last switch. */
static inline void wf_san_fiber_end(struct wf_san *san)
{
    (void)san;
#ifdef WF_TSAN
    __tsan_destroy_fiber(san->fiber);
#endif
}

/* Caller: right before the switch; `dies` when `from` never runs again. */
static inline void wf_san_stack_switch(struct wf_san *from, struct wf_san *to, bool dies)
{
    (void)from, (void)to, (void)dies;
#ifdef WF_ASAN
    __sanitizer_start_switch_fiber(dies ? NULL : &from->fake_stack, to->bottom, to->size);
#endif
}

/* Caller: right after a switch, on the stack of `self`, coming from that of `other`.  Returns
 * `result`, so that without a sanitizer the switch can be the last thing in a function. */
static inline int wf_san_stack_switched(struct wf_san *self, struct wf_san *other, int result)
{
    (void)self, (void)other;
#ifdef WF_ASAN
    __sanitizer_finish_switch_fiber(self->fake_stack, &other->bottom, &other->size);
#endif
    return result;
}

/* The same for fibers, and for the stacks that workers switch from. */
static inline void wf_san_switch(struct wf_san *from, struct wf_san *to, bool dies)
{
    wf_san_stack_switch(from, to, dies);
#ifdef WF_TSAN
    __tsan_switch_to_fiber(to->fiber, 0);
#endif
}

static inline void wf_san_switched(struct wf_san *self, struct wf_san *other)
{
    (void)wf_san_stack_switched(self, other, 0);
}

/* Caller: whoever closes a descriptor by other means than close(2), just before.  A thread
 * sanitizer would take the next one with this number, on whatever thread, for the same. */
static inline void wf_san_close(int fd)
{
    (void)fd;
#ifdef WF_TSAN
    __sanitizer_syscall_pre_impl_close(fd);
#endif
}

/* Before memory goes, and after it has come, by system calls of a library that a thread sanitizer
 * does not see: whoever has an address next comes after all who had it.  `kind` is the same. */
static inline void wf_san_before_unmap(void *kind)
{
    (void)kind;
#ifdef WF_TSAN
    __tsan_release(kind);
#endif
}

static inline void wf_san_after_map(void *kind)
{
    (void)kind;
#ifdef WF_TSAN
    __tsan_acquire(kind);
#endif
}

/* Threads take turns there, and one that waits in io_uring_enter() does not give up its own. */
static inline bool wf_san_is_valgrind(void)
{
#ifdef WF_VALGRIND
    return RUNNING_ON_VALGRIND != 0;
#else
    return false;
#endif
}

/* Caller: whoever maps a stack, once. */
static inline void wf_san_stack_mapped(void *bottom, size_t size)
{
    (void)bottom, (void)size;
#ifdef WF_VALGRIND
    (void)VALGRIND_STACK_REGISTER(bottom, (char *)bottom + size);
#endif
}

#endif
