/* SPDX-License-Identifier: MIT */
/*
 * Names of the simulated disk, as they are and as they are sure to be after a crash.
 *
 * A change of names is a step.  Steps become certain in the order in which they were made, as in
 * the journal of a file system: a crash keeps the first few of those that nobody has synced.
 */
#define _GNU_SOURCE 1

#include "io/sim_disk.h"

#include "arch/sim.h"
#include "io/sim.h"
#include "runtime/alloc.h"
#include "runtime/check.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include <weft/sim.h>

struct name {
    struct name *next;
    struct wf_sim_inode *inode;
    char *path;
};

struct step {
    struct step *next;
    struct wf_sim_inode *inode; /* to be added; NULL: none */
    char *from, *to;            /* both: to be moved; only one: to be removed, or added */
};

struct names {
    struct name *first;
};

static struct {
    struct names now, durable;
    struct step *first, **last; /* from `durable` to `now` */
    struct wf_sim_inode *root;
    uint64_t age;
    int folder_memory, descriptors; /* -1: not there yet */
} disk;

uint64_t wf_sim_disk_age(void)
{
    return disk.age;
}

int wf_sim_disk_folder_memory(void)
{
    if (disk.folder_memory < 0)
        disk.folder_memory = memfd_create("weft-sim folder", MFD_CLOEXEC);
    return disk.folder_memory >= 0 ? disk.folder_memory : -errno;
}

int wf_sim_disk_descriptors(void)
{
    if (disk.descriptors < 0)
        disk.descriptors = open("/proc/self/fd", O_PATH | O_DIRECTORY | O_CLOEXEC);
    return disk.descriptors >= 0 ? disk.descriptors : -errno;
}

static char *copy_text(const char *text)
{
    size_t size = strlen(text) + 1;
    char *copy = wf_alloc(size);

    /* The disk is as large as it has to be, and what it has lost it must not lose by chance. */
    if (copy == NULL)
        wf_panic("simulation: out of memory");
    memcpy(copy, text, size);
    return copy;
}

static struct name **place_of(struct names *names, const char *path)
{
    struct name **place = &names->first;

    while (*place != NULL && strcmp((*place)->path, path) != 0)
        place = &(*place)->next;
    return place;
}

static void add_name(struct names *names, const char *path, struct wf_sim_inode *inode)
{
    struct name **place = place_of(names, path);
    struct name *name = wf_alloc(sizeof *name);

    WF_ASSERT(*place == NULL);
    if (name == NULL)
        wf_panic("simulation: out of memory");
    *name = (struct name){.inode = inode, .path = copy_text(path)};
    inode->references++;
    *place = name;
}

static void remove_name(struct names *names, const char *path)
{
    struct name **place = place_of(names, path);
    struct name *name = *place;

    if (name == NULL)
        return;
    *place = name->next;
    wf_sim_inode_release(name->inode);
    wf_free(name->path);
    wf_free(name);
}

/* Whether it is the path, or lies below it. */
static bool is_within(const char *path, const char *folder)
{
    size_t length = strlen(folder);

    return strncmp(path, folder, length) == 0 && (path[length] == '\0' || path[length] == '/');
}

static void move_names(struct names *names, const char *from, const char *to)
{
    remove_name(names, to);
    for (struct name *name = names->first; name != NULL; name = name->next) {
        wf_sim_path path;
        char *old = name->path;

        if (!is_within(old, from))
            continue;
        snprintf(path, sizeof path, "%s%s", to, old + strlen(from));
        name->path = copy_text(path);
        wf_free(old);
    }
}

static void apply(struct names *names, const struct step *step)
{
    if (step->inode != NULL)
        add_name(names, step->to, step->inode);
    else if (step->to != NULL)
        move_names(names, step->from, step->to);
    else
        remove_name(names, step->from);
}

static void forget_first_step(void)
{
    struct step *step = disk.first;

    disk.first = step->next;
    if (disk.first == NULL)
        disk.last = &disk.first;
    if (step->inode != NULL)
        wf_sim_inode_release(step->inode);
    wf_free(step->from);
    wf_free(step->to);
    wf_free(step);
}

static void make_certain(size_t steps)
{
    for (; steps > 0; steps--) {
        apply(&disk.durable, disk.first);
        forget_first_step();
    }
}

static int take_step(const char *from, const char *to, struct wf_sim_inode *inode)
{
    struct step *step = wf_alloc(sizeof *step);

    if (step == NULL)
        return -ENOMEM;
    *step = (struct step){.inode = inode,
                          .from = from != NULL ? copy_text(from) : NULL,
                          .to = to != NULL ? copy_text(to) : NULL};
    if (inode != NULL)
        inode->references++;
    apply(&disk.now, step);
    *disk.last = step;
    disk.last = &step->next;
    return 0;
}

struct wf_sim_inode *wf_sim_disk_find(const char *path)
{
    struct name *name = *path != '\0' ? *place_of(&disk.now, path) : NULL;

    if (*path == '\0')
        return disk.root;
    return name != NULL ? name->inode : NULL;
}

/* The length of the path of the folder that it is in. */
static size_t parent_length(const char *path)
{
    const char *slash = strrchr(path, '/');

    return slash != NULL ? (size_t)(slash - path) : 0;
}

int wf_sim_disk_check_parent(const char *path)
{
    const struct wf_sim_inode *folder;
    wf_sim_path parent;

    snprintf(parent, sizeof parent, "%.*s", (int)parent_length(path), path);
    folder = wf_sim_disk_find(parent);
    if (folder == NULL)
        return -ENOENT;
    return wf_sim_inode_is_folder(folder) ? 0 : -ENOTDIR;
}

int wf_sim_disk_add(const char *path, struct wf_sim_inode *inode)
{
    int error = take_step(NULL, path, inode);

    if (error == 0)
        inode->links++;
    return error;
}

static void count_one_less(const char *path)
{
    struct wf_sim_inode *inode = wf_sim_disk_find(path);

    if (inode != NULL)
        inode->links--;
}

int wf_sim_disk_remove(const char *path)
{
    count_one_less(path);
    return take_step(path, NULL, NULL);
}

int wf_sim_disk_move(const char *from, const char *to)
{
    count_one_less(to);
    return take_step(from, to, NULL);
}

static const char *path_of(const struct names *names, const struct wf_sim_inode *inode)
{
    if (inode == disk.root)
        return "";
    for (const struct name *name = names->first; name != NULL; name = name->next)
        if (name->inode == inode)
            return name->path;
    return NULL;
}

static bool is_in(const char *path, const char *folder)
{
    size_t length = parent_length(path);

    return strlen(folder) == length && strncmp(path, folder, length) == 0;
}

const char *wf_sim_disk_entry(const struct wf_sim_inode *folder, size_t place,
                              struct wf_sim_inode **inode)
{
    const char *path = path_of(&disk.now, folder);

    for (const struct name *name = disk.now.first; path != NULL && name != NULL; name = name->next)
        if (is_in(name->path, path) && place-- == 0) {
            *inode = name->inode;
            return name->path;
        }
    return NULL;
}

bool wf_sim_disk_is_empty(const char *folder)
{
    for (const struct name *name = disk.now.first; name != NULL; name = name->next)
        if (is_in(name->path, folder))
            return false;
    return true;
}

void wf_sim_disk_sync_folder(const struct wf_sim_inode *folder)
{
    const char *path = path_of(&disk.now, folder);
    size_t steps = 0, wanted = 0;

    for (const struct step *step = disk.first; path != NULL && step != NULL; step = step->next) {
        steps++;
        if ((step->from != NULL && is_in(step->from, path)) ||
            (step->to != NULL && is_in(step->to, path)))
            wanted = steps;
    }
    wf_sim_trace("names", folder->number, wanted);
    make_certain(wanted);
}

/* Appends what is named, part by part. */
static int append_path(wf_sim_path path, const char *more)
{
    size_t length = strlen(path);

    while (*more != '\0') {
        size_t part = strcspn(more, "/");

        if (part == 2 && memcmp(more, "..", 2) == 0) {
            path[length = parent_length(path)] = '\0';
        } else if (part > 0 && !(part == 1 && *more == '.')) {
            if (part > NAME_MAX || length + 1 + part >= PATH_MAX)
                return -ENAMETOOLONG;
            path[length++] = '/';
            memcpy(path + length, more, part);
            path[length += part] = '\0';
        }
        more += part;
        more += *more == '/';
    }
    return 0;
}

int wf_sim_disk_resolve(int dir_fd, const char *path, wf_sim_path on_disk)
{
    const char *mount = wf_sim_is_here() ? wf_sim_disk_path() : NULL;
    struct wf_sim_socket *at;
    const char *folder;
    size_t length;
    int error;

    if (mount == NULL || path == NULL)
        return 0;
    *on_disk = '\0';
    if (*path == '/') {
        error = append_path(on_disk, path);
        length = strlen(mount);
        if (error != 0 || !is_within(on_disk, mount))
            return 0;
        memmove(on_disk, on_disk + length, strlen(on_disk + length) + 1);
        return 1;
    }
    at = wf_sim_find(dir_fd);
    if (at == NULL || at->kind != WF_SIM_FILE)
        return 0;
    if (*path == '\0')
        return -ENOENT;
    error = wf_sim_file_find(dir_fd, &at);
    if (error != 0)
        return error;
    folder = path_of(&disk.now, at->inode);
    if (!wf_sim_inode_is_folder(at->inode) || folder == NULL)
        return folder == NULL ? -ENOENT : -ENOTDIR;
    memcpy(on_disk, folder, strlen(folder) + 1);
    error = append_path(on_disk, path);
    return error != 0 ? error : 1;
}

static void forget_names(struct names *names)
{
    while (names->first != NULL)
        remove_name(names, names->first->path);
}

/* What a run that has failed had is lost, as all is that it had. */
void wf_sim_disk_begin(void)
{
    memset(&disk, 0, sizeof disk);
    disk.last = &disk.first;
    disk.folder_memory = disk.descriptors = -1;
    if (wf_sim_disk_path() != NULL)
        disk.root = wf_sim_inode_create(S_IFDIR | 0755);
}

void wf_sim_disk_end(void)
{
    while (disk.first != NULL)
        forget_first_step();
    forget_names(&disk.now);
    forget_names(&disk.durable);
    if (disk.root != NULL)
        wf_sim_inode_release(disk.root);
    disk.root = NULL;
    if (disk.folder_memory >= 0)
        close(disk.folder_memory);
    if (disk.descriptors >= 0)
        close(disk.descriptors);
    disk.folder_memory = disk.descriptors = -1;
}

int weft_sim_crash(void)
{
    size_t steps = 0, kept;

    if (!wf_sim_is_here() || disk.root == NULL)
        return -EPERM;
    for (const struct step *step = disk.first; step != NULL; step = step->next)
        steps++;
    kept = wf_sim_fault_draw(WEFT_SIM_TORN, (uint32_t)steps + 1);
    if (!wf_sim_may_fail(WEFT_SIM_TORN))
        kept = 0;
    wf_sim_trace("crash", steps, kept);
    disk.age++;
    make_certain(kept);
    while (disk.first != NULL)
        forget_first_step();
    for (const struct name *name = disk.now.first; name != NULL; name = name->next)
        name->inode->links = 0;
    forget_names(&disk.now);
    for (const struct name *name = disk.durable.first; name != NULL; name = name->next) {
        struct wf_sim_inode *inode = name->inode;

        if (inode->links == 0) {
            wf_sim_inode_lose(inode);
            wf_sim_inode_recover(inode);
        }
        add_name(&disk.now, name->path, inode);
        inode->links++;
    }
    return 0;
}
