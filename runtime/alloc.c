/* SPDX-License-Identifier: MIT */
/*
 *   Edge   From                     To                       Promises
 *   AL.1   choice: kind release     use: kind acquire        the arena, the program's functions
 */
#include "runtime/alloc.h"

#include "arch/atomic.h"
#include "arch/os.h"
#include "runtime/arena.h"
#include "runtime/check.h"
#include "runtime/jemalloc.h"
#include "runtime/lock.h"
#include "runtime/process.h"

#include <errno.h>
#include <malloc.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ALIGNMENT 128

enum kind { KIND_UNKNOWN, KIND_MALLOC, KIND_JEMALLOC, KIND_PROGRAM };

/* Chosen before the first allocation, and anew only while nothing is allocated. */
static struct {
    struct wf_lock lock; /* guards the choice */
    WF_ATOMIC(uint32_t) kind;
    WF_ATOMIC(uint64_t) bytes;
    struct wf_allocator program;
    unsigned arena;
} state;

/* What stands before the memory that a program's allocator gave: it is told the size again. */
struct header {
    size_t size; /* with this header */
};

/* The caller holds the lock. */
static enum kind choose(int *error)
{
    const char *wanted = getenv("WEFT_ALLOCATOR");
    bool is_any = wanted == NULL || *wanted == '\0' || strcmp(wanted, "auto") == 0;

    *error = 0;
    if (is_any && state.program.alloc != NULL)
        return KIND_PROGRAM;
    if (is_any)
        return wf_arena_shared(&state.arena) == 0 ? KIND_JEMALLOC : KIND_MALLOC;
    if (strcmp(wanted, "system") == 0)
        return KIND_MALLOC;
    if (strcmp(wanted, "jemalloc") != 0) {
        wf_complain("WEFT_ALLOCATOR=%s is none of auto, system and jemalloc", wanted);
        *error = -EINVAL;
    } else if (wf_arena_shared(&state.arena) == 0) {
        return KIND_JEMALLOC;
    } else {
        wf_complain("WEFT_ALLOCATOR=jemalloc, but the program has no jemalloc: link it with "
                    "-ljemalloc, or preload it");
        *error = -ENOTSUP;
    }
    return KIND_MALLOC;
}

static enum kind kind_now(int *error)
{
    /* AL.1 acquire: the arena, or the program's functions. */
    enum kind kind = (enum kind)atomic_load_explicit(&state.kind, memory_order_acquire);

    if (kind != KIND_UNKNOWN)
        return kind;
    (void)wf_process_watch(); /* refused, the child of a fork() in the next moment may hang */
    wf_lock_acquire(&state.lock);
    /* relaxed: under the lock. */
    kind = (enum kind)atomic_load_explicit(&state.kind, memory_order_relaxed);
    if (kind == KIND_UNKNOWN) {
        kind = choose(error);
        /* AL.1 release: what choose() has set up.  A choice that failed is made again. */
        atomic_store_explicit(&state.kind, *error == 0 ? kind : KIND_UNKNOWN, memory_order_release);
    }
    wf_lock_release(&state.lock);
    return kind;
}

static void count(size_t size)
{
    /* relaxed: a count. */
    atomic_fetch_add_explicit(&state.bytes, size, memory_order_relaxed);
}

static void *alloc_program(size_t size, bool is_zeroed)
{
    size_t whole = size + ALIGNMENT;
    char *memory = state.program.alloc(state.program.context, whole, ALIGNMENT);

    if (memory == NULL)
        return NULL;
    if (is_zeroed)
        memset(memory, 0, whole);
    ((struct header *)(void *)memory)->size = whole;
    count(whole);
    return memory + ALIGNMENT;
}

static void free_program(void *memory)
{
    struct header *header = (struct header *)(void *)((char *)memory - ALIGNMENT);

    count(-header->size);
    state.program.free(state.program.context, header, header->size);
}

static void *alloc_malloc(size_t size, bool is_zeroed)
{
    size_t rounded = (size + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
    void *memory = aligned_alloc(ALIGNMENT, rounded);

    if (memory == NULL)
        return NULL;
    if (is_zeroed)
        memset(memory, 0, rounded);
    count(malloc_usable_size(memory));
    return memory;
}

static void *alloc_jemalloc(size_t size, uint32_t home, bool is_zeroed)
{
    int flags = JEMALLOC_ALIGN_128 | (is_zeroed ? JEMALLOC_ZERO : 0) | JEMALLOC_NO_CACHE |
                (int)((home != WF_HOME_NONE ? home : state.arena + 1) << JEMALLOC_ARENA_SHIFT);
    void *memory = mallocx(size, flags);

    if (memory != NULL)
        count(sallocx(memory, 0));
    return memory;
}

static void *alloc_near(size_t size, bool is_zeroed)
{
    uint32_t home = wf_alloc_home();
    void *memory = alloc_jemalloc(size, home, is_zeroed);

    if (memory != NULL && home != WF_HOME_NONE)
        wf_alloc_count_home();
    return memory;
}

static void *alloc_any(size_t size, bool is_zeroed)
{
    int error = 0;

    switch (kind_now(&error)) {
    case KIND_PROGRAM:
        return alloc_program(size, is_zeroed);
    case KIND_JEMALLOC:
        return alloc_near(size, is_zeroed);
    default:
        return alloc_malloc(size, is_zeroed);
    }
}

void *wf_alloc(size_t size)
{
    return alloc_any(size, true);
}

void *wf_alloc_unset(size_t size)
{
    return alloc_any(size, false);
}

void *wf_alloc_at(size_t size, uint32_t home)
{
    return home != WF_HOME_NONE ? alloc_jemalloc(size, home, true) : wf_alloc(size);
}

int wf_alloc_find_home(unsigned node, bool is_real, uint32_t *home)
{
    unsigned arena;
    int error = 0;

    *home = WF_HOME_NONE;
    if (kind_now(&error) != KIND_JEMALLOC)
        return 0;
    error = wf_arena_of_node(node, is_real, &arena);
    if (error == 0)
        *home = arena + 1;
    return error;
}

void wf_free(void *memory)
{
    int error = 0;

    if (memory == NULL)
        return;
    switch (kind_now(&error)) {
    case KIND_PROGRAM:
        free_program(memory);
        return;
    case KIND_JEMALLOC:
        count(-sallocx(memory, 0));
        dallocx(memory, JEMALLOC_NO_CACHE);
        return;
    default:
        count(-malloc_usable_size(memory));
        free(memory);
    }
}

/* What is mapped for it, or 0: it is allocated. */
static size_t pages_for(size_t size)
{
    size_t page = wf_os_page_size();
    int error = 0;

    if (size < page || kind_now(&error) == KIND_PROGRAM)
        return 0;
    return (size + page - 1) / page * page;
}

void *wf_alloc_pages(size_t size)
{
    size_t mapped = pages_for(size);
    void *memory;

    if (mapped == 0)
        return wf_alloc(size);
    memory = wf_os_map(mapped);
    if (memory != NULL)
        count(mapped);
    return memory;
}

void wf_free_pages(void *memory, size_t size)
{
    size_t mapped = pages_for(size);

    if (mapped == 0) {
        wf_free(memory);
        return;
    }
    count(-mapped);
    wf_os_unmap(memory, mapped);
}

uint64_t wf_alloc_bytes(void)
{
    /* relaxed: a count. */
    return atomic_load_explicit(&state.bytes, memory_order_relaxed);
}

int wf_alloc_check(void)
{
    int error = 0;

    (void)kind_now(&error);
    return error;
}

int wf_alloc_set(const struct wf_allocator *allocator)
{
    int error = 0;

    (void)wf_process_watch(); /* as in kind_now() */
    wf_lock_acquire(&state.lock);
    if (wf_alloc_bytes() != 0) {
        error = -EBUSY;
    } else {
        state.program = *allocator;
        /* relaxed: whoever allocates comes after the caller. */
        atomic_store_explicit(&state.kind, KIND_UNKNOWN, memory_order_relaxed);
    }
    wf_lock_release(&state.lock);
    return error;
}

/* A choice that was just being made is made anew. */
void wf_alloc_forget_parent(void)
{
    /* relaxed: the child has one thread. */
    atomic_store_explicit(&state.lock.word, WF_LOCK_FREE, memory_order_relaxed);
}

void wf_alloc_describe(char *text, size_t size)
{
    int error = 0;
    enum kind kind = kind_now(&error);
    const char *version = "of an unknown version";
    size_t length = sizeof version;

    if (kind == KIND_JEMALLOC) {
        (void)mallctl("version", &version, &length, NULL, 0);
        snprintf(text, size, "jemalloc %s, arena %u", version, state.arena);
    } else {
        snprintf(text, size, "%s", kind == KIND_PROGRAM ? "the program's" : "malloc");
    }
}
