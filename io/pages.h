/* SPDX-License-Identifier: MIT */
/* The lists of a poller by descriptor, for pending.c: a table of pages, which only grows. */
#ifndef WF_IO_PAGES_H
#define WF_IO_PAGES_H

#include "io/pending.h"

enum { WF_PAGE_BITS = 8, WF_PAGE_WATCHES = 1 << WF_PAGE_BITS };

/* A table that was too small stays until the end, for those who look without the lock. */
struct wf_pages {
    struct wf_pages *smaller;
    size_t count;
    WF_ATOMIC(struct wf_fd_ops *) at[]; /* by descriptor; NULL: nothing was ever under way here */
};

static inline struct wf_pages *wf_pages_of(struct wf_pending *pending)
{
    /* CL.2 acquire: needed by those who have no lock. */
    return atomic_load_explicit(&pending->pages, memory_order_acquire);
}

static inline struct wf_fd_ops *wf_page_of(struct wf_pages *pages, size_t page)
{
    /* CL.2 acquire: as above. */
    return atomic_load_explicit(&pages->at[page], memory_order_acquire);
}

/* NULL if it was never made. */
static inline struct wf_fd_ops *wf_pages_find(struct wf_pending *pending, int fd)
{
    size_t page = (size_t)fd >> WF_PAGE_BITS;
    struct wf_pages *pages = wf_pages_of(pending);
    struct wf_fd_ops *watches;

    if (WF_UNLIKELY(pages == NULL || page >= pages->count))
        return NULL;
    watches = wf_page_of(pages, page);
    return WF_LIKELY(watches != NULL) ? &watches[(size_t)fd % WF_PAGE_WATCHES] : NULL;
}

/* Makes it if the descriptor is open; NULL: it is not, or there is no memory.  Caller holds the
 * poller's lock. */
WF_COLD struct wf_fd_ops *wf_pages_make(struct wf_pending *pending, int fd);

bool wf_pages_is_open(int fd);

#endif
