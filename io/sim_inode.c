/* SPDX-License-Identifier: MIT */
/* Files of the simulated disk: their bytes, and which of them are certain. */
#define _GNU_SOURCE 1

#include "io/sim_disk.h"

#include "arch/sim.h"
#include "io/sim.h"
#include "runtime/alloc.h"
#include "runtime/check.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/uio.h>
#include <unistd.h>
#include <weft/sim.h>

enum { SECTOR = 512 /* is written whole, or not at all */ };

static uint64_t numbers_run; /* the run that `numbers` is of */
static uint32_t numbers;

bool wf_sim_inode_is_folder(const struct wf_sim_inode *inode)
{
    return inode->memory < 0;
}

struct wf_sim_inode *wf_sim_inode_create(mode_t mode)
{
    struct wf_sim_inode *inode = wf_alloc(sizeof *inode);
    bool is_folder = (mode & S_IFMT) == S_IFDIR;

    if (inode == NULL)
        return NULL;
    if (numbers_run != wf_sim_run_number())
        numbers = 0;
    numbers_run = wf_sim_run_number();
    *inode = (struct wf_sim_inode){
        .number = ++numbers, .references = 1, .mode = mode, .changed_at = wf_sim_time()};
    inode->last = &inode->first;
    inode->memory = is_folder ? -1 : memfd_create("weft-sim", MFD_CLOEXEC);
    if (inode->memory >= 0 || is_folder)
        return inode;
    wf_free(inode);
    return NULL;
}

static void forget_changes(struct wf_sim_inode *inode)
{
    while (inode->first != NULL) {
        struct wf_sim_change *change = inode->first;

        inode->first = change->next;
        wf_free(change);
    }
    inode->last = &inode->first;
}

void wf_sim_inode_release(struct wf_sim_inode *inode)
{
    if (--inode->references > 0)
        return;
    forget_changes(inode);
    if (inode->memory >= 0)
        close(inode->memory);
    wf_free(inode->durable);
    wf_free(inode);
}

size_t wf_sim_inode_length(const struct wf_sim_inode *inode)
{
    struct stat status = {.st_size = 0};

    return inode->memory >= 0 && fstat(inode->memory, &status) == 0 ? (size_t)status.st_size : 0;
}

static bool set_durable_length(struct wf_sim_inode *inode, size_t length)
{
    if (length > inode->durable_room) {
        size_t room = length < SIZE_MAX / 2 ? 2 * length : length;
        char *larger = wf_alloc(room);

        if (larger == NULL)
            return false;
        if (inode->durable_length > 0)
            memcpy(larger, inode->durable, inode->durable_length);
        wf_free(inode->durable);
        inode->durable = larger;
        inode->durable_room = room;
    }
    if (length > inode->durable_length)
        memset(inode->durable + inode->durable_length, 0, length - inode->durable_length);
    inode->durable_length = length;
    return true;
}

/* Some bytes of a change become certain. */
static bool keep(struct wf_sim_inode *inode, const struct wf_sim_change *change, size_t from,
                 size_t to)
{
    if (change->offset + to > inode->durable_length &&
        !set_durable_length(inode, change->offset + to))
        return false;
    memcpy(inode->durable + change->offset + from, change->data + from, to - from);
    return true;
}

static bool keep_all(struct wf_sim_inode *inode, const struct wf_sim_change *change)
{
    if (change->is_resize)
        return set_durable_length(inode, change->offset);
    return keep(inode, change, 0, change->length);
}

bool wf_sim_inode_sync(struct wf_sim_inode *inode)
{
    wf_sim_trace("durable", inode->number, inode->durable_length);
    for (const struct wf_sim_change *change = inode->first; change != NULL; change = change->next)
        if (!keep_all(inode, change))
            return false;
    forget_changes(inode);
    return true;
}

/* Sector by sector, as a disk writes: some are there, some are not, in no order. */
static bool tear(struct wf_sim_inode *inode, const struct wf_sim_change *change)
{
    size_t from = 0;

    while (from < change->length) {
        size_t to = from + SECTOR - (change->offset + from) % SECTOR;

        if (to > change->length)
            to = change->length;
        if (wf_sim_fault_draw(WEFT_SIM_TORN, 2) == 0 && !keep(inode, change, from, to))
            return false;
        from = to;
    }
    return true;
}

void wf_sim_inode_lose(struct wf_sim_inode *inode)
{
    bool is_done = true;

    for (const struct wf_sim_change *change = inode->first; is_done && change != NULL;
         change = change->next) {
        uint32_t fate = wf_sim_fault_draw(WEFT_SIM_TORN, 4);

        if (fate > 1 || !wf_sim_may_fail(WEFT_SIM_TORN))
            continue;
        wf_sim_count_fault(WEFT_SIM_TORN);
        if (fate == 0)
            is_done = keep_all(inode, change);
        else if (!change->is_resize)
            is_done = tear(inode, change);
    }
    if (!is_done)
        wf_panic("simulation: out of memory");
    forget_changes(inode);
}

void wf_sim_inode_recover(struct wf_sim_inode *inode)
{
    size_t done = 0;

    if (wf_sim_inode_is_folder(inode))
        return;
    inode->reserved_from = inode->reserved_to = 0;
    if (ftruncate(inode->memory, 0) != 0)
        wf_panic("simulation: a file in memory cannot be emptied");
    while (done < inode->durable_length) {
        ssize_t n = pwrite(inode->memory, inode->durable + done, inode->durable_length - done,
                           (off_t)done);

        if (n <= 0)
            wf_panic("simulation: a file in memory cannot be written");
        done += (size_t)n;
    }
}

void wf_sim_inode_reserve(struct wf_sim_inode *inode, size_t from, size_t to)
{
    bool is_apart = from > inode->reserved_to || to < inode->reserved_from;

    if (is_apart || from < inode->reserved_from)
        inode->reserved_from = from;
    if (is_apart || to > inode->reserved_to)
        inode->reserved_to = to;
}

bool wf_sim_inode_is_reserved(const struct wf_sim_inode *inode, size_t from, size_t length)
{
    return from >= inode->reserved_from && from <= inode->reserved_to &&
           length <= inode->reserved_to - from;
}

static void append(struct wf_sim_inode *inode, struct wf_sim_change *change)
{
    change->next = NULL;
    *inode->last = change;
    inode->last = &change->next;
    inode->changed_at = wf_sim_time();
}

int wf_sim_inode_resize(struct wf_sim_inode *inode, size_t length)
{
    struct wf_sim_change *change = wf_alloc(sizeof *change);
    size_t old = wf_sim_inode_length(inode);

    if (change == NULL)
        return -ENOMEM;
    if (ftruncate(inode->memory, (off_t)length) != 0) {
        int error = -errno;

        wf_free(change);
        return error;
    }
    if (length <= old && inode->reserved_to > length)
        inode->reserved_to = length;
    *change = (struct wf_sim_change){.offset = length, .is_resize = true};
    append(inode, change);
    return 0;
}

/* Where a write begins.  What is appended is so whatever the offset (pwrite(2)). */
static int64_t place_of_write(const struct wf_sim_inode *inode, int fd, int64_t offset)
{
    if ((fcntl(fd, F_GETFL) & O_APPEND) != 0)
        return (int64_t)wf_sim_inode_length(inode);
    return offset >= 0 ? offset : lseek(fd, 0, SEEK_CUR);
}

ssize_t wf_sim_inode_write(struct wf_sim_inode *inode, int fd, const struct iovec *parts,
                           size_t count, int64_t offset)
{
    size_t length = wf_sim_gather(NULL, parts, count);
    size_t place = (size_t)place_of_write(inode, fd, offset);
    struct wf_sim_change *change;
    ssize_t n;

    if (!wf_sim_inode_is_reserved(inode, place, length) && wf_sim_fault(WEFT_SIM_NO_SPACE))
        return -ENOSPC;
    change = wf_alloc(sizeof *change + length);
    if (change == NULL)
        return -ENOMEM;
    n = offset < 0 ? writev(fd, parts, (int)count) : pwritev(fd, parts, (int)count, offset);
    if (n <= 0) {
        n = n < 0 ? -errno : 0;
        wf_free(change);
        return n;
    }
    *change = (struct wf_sim_change){.offset = place, .length = (size_t)n};
    (void)wf_sim_gather(change->data, parts, count);
    append(inode, change);
    wf_sim_trace("write", inode->number, (uint64_t)n);
    return n;
}
