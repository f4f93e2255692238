/* SPDX-License-Identifier: MIT */
#include "io/pages.h"

#include "runtime/alloc.h"

#include <fcntl.h>

static struct wf_pages *grow(struct wf_pending *pending, size_t page)
{
    struct wf_pages *old = wf_pages_of(pending), *pages;
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
        atomic_store_explicit(&pages->at[i], wf_page_of(old, i), memory_order_relaxed);
    /* CL.2 release: what is in it. */
    atomic_store_explicit(&pending->pages, pages, memory_order_release);
    return pages;
}

bool wf_pages_is_open(int fd)
{
    return fcntl(fd, F_GETFD) >= 0;
}

/* A number that is none must not take memory for all those below it. */
struct wf_fd_ops *wf_pages_make(struct wf_pending *pending, int fd)
{
    size_t page = (size_t)fd >> WF_PAGE_BITS;
    struct wf_pages *pages = wf_pages_of(pending);
    struct wf_fd_ops *watches;

    if (!wf_pages_is_open(fd))
        return NULL;
    if (pages == NULL || page >= pages->count)
        pages = grow(pending, page);
    if (pages == NULL)
        return NULL;
    watches = wf_page_of(pages, page);
    if (watches == NULL) {
        watches = wf_alloc(WF_PAGE_WATCHES * sizeof *watches);
        if (watches == NULL)
            return NULL;
        /* CL.2 release: zeroed. */
        atomic_store_explicit(&pages->at[page], watches, memory_order_release);
    }
    return &watches[(size_t)fd % WF_PAGE_WATCHES];
}

void wf_pending_destroy(struct wf_pending *pending)
{
    struct wf_pages *pages = wf_pages_of(pending);

    for (size_t i = 0; pages != NULL && i < pages->count; i++)
        wf_free(wf_page_of(pages, i));
    while (pages != NULL) {
        struct wf_pages *smaller = pages->smaller;

        wf_free(pages);
        pages = smaller;
    }
}
