/* SPDX-License-Identifier: MIT */
/* The lists of a poller by descriptor, for pending.c: a table of pages, which only grows. */
#ifndef WF_IO_PAGES_H
#define WF_IO_PAGES_H

#include "io/pending.h"
#include "runtime/alloc.h"

#include <fcntl.h>

enum { WF_PAGE_BITS = 8, WF_PAGE_WATCHES = 1 << WF_PAGE_BITS };

/* A table that was too small stays until the end, for those who look without the lock. */
struct wf_pages {
    struct wf_pages *smaller;
    size_t count;
    WF_ATOMIC(struct wf_fd_ops *) at[]; /* by descriptor; NULL: nothing was ever under way here */
};

static inline struct wf_pages *pages_of(struct wf_pending *pending)
{
    /* CL.2 acquire: needed by those who have no lock. */
    return atomic_load_explicit(&pending->pages, memory_order_acquire);
}

static inline struct wf_fd_ops *page_of(struct wf_pages *pages, size_t page)
{
    /* CL.2 acquire: as above. */
    return atomic_load_explicit(&pages->at[page], memory_order_acquire);
}

static inline struct wf_pages *grow(struct wf_pending *pending, size_t page)
{
    struct wf_pages *old = pages_of(pending), *pages;
    size_t count = old == NULL ? 16 : old->count;

    while (count <= page)
        count *= 2;
    pages = wf_alloc(sizeof *pages + count * sizeof pages->at[0]);
    if (pages == NULL)
        return NULL;
    pages->smaller = old;
    pages->count = count;
    for (size_t i = 0; old != NULL && i < old->count; i++)
        /* relaxed: published with the whole, below. */
        atomic_store_explicit(&pages->at[i], page_of(old, i), memory_order_relaxed);
    /* CL.2 release: what is in it. */
    atomic_store_explicit(&pending->pages, pages, memory_order_release);
    return pages;
}

static inline bool is_open(int fd)
{
    return fcntl(fd, F_GETFD) >= 0;
}

/* A number that is none must not take memory for all those below it. */
static WF_COLD struct wf_fd_ops *make_watch(struct wf_pending *pending, int fd)
{
    size_t page = (size_t)fd >> WF_PAGE_BITS;
    struct wf_pages *pages = pages_of(pending);
    struct wf_fd_ops *watches;

    if (!is_open(fd))
        return NULL;
    if (pages == NULL || page >= pages->count)
        pages = grow(pending, page);
    if (pages == NULL)
        return NULL;
    watches = page_of(pages, page);
    if (watches == NULL) {
        watches = wf_alloc(WF_PAGE_WATCHES * sizeof *watches);
        if (watches == NULL)
            return NULL;
        /* CL.2 release: zeroed. */
        atomic_store_explicit(&pages->at[page], watches, memory_order_release);
    }
    return &watches[(size_t)fd % WF_PAGE_WATCHES];
}

/* NULL if it was never made. */
static inline struct wf_fd_ops *find_watch(struct wf_pending *pending, int fd)
{
    size_t page = (size_t)fd >> WF_PAGE_BITS;
    struct wf_pages *pages = pages_of(pending);
    struct wf_fd_ops *watches;

    if (WF_UNLIKELY(pages == NULL || page >= pages->count))
        return NULL;
    watches = page_of(pages, page);
    return WF_LIKELY(watches != NULL) ? &watches[(size_t)fd % WF_PAGE_WATCHES] : NULL;
}

void wf_pending_destroy(struct wf_pending *pending)
{
    struct wf_pages *pages = pages_of(pending);

    for (size_t i = 0; pages != NULL && i < pages->count; i++)
        wf_free(page_of(pages, i));
    while (pages != NULL) {
        struct wf_pages *smaller = pages->smaller;

        wf_free(pages);
        pages = smaller;
    }
}

#endif
