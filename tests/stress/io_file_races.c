/* SPDX-License-Identifier: MIT */
/* Races of what is done with files and their names, which waits for the disk or the pool. */
#define _GNU_SOURCE 1

#include "io_races.h"

#include "../support/net.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

static struct iovec part_of(struct scene *scene)
{
    return (struct iovec){scene->buffer, LENGTH};
}

static void begin_file(struct scene *scene)
{
    scene->fds[0] = make_disk_file(race_text, LENGTH);
}

static long long pread_text(struct scene *scene)
{
    return weft_pread(scene->fds[0], scene->buffer, LENGTH, 0, scene->deadline);
}

static long long preadv_text(struct scene *scene)
{
    struct iovec part = part_of(scene);

    return weft_preadv(scene->fds[0], &part, 1, 0, scene->deadline);
}

static void settle_pread(struct scene *scene)
{
    CHECK(race_moved(scene) == 0 || scene->result == LENGTH);
}

static void stamp(struct scene *scene)
{
    CHECK_EQ(pread(scene->fds[0], &scene->stamp, sizeof scene->stamp, 0), LENGTH);
    scene->stamp++;
    memcpy(scene->buffer, &scene->stamp, sizeof scene->stamp);
}

static long long pwrite_stamp(struct scene *scene)
{
    return weft_pwrite(scene->fds[0], scene->buffer, LENGTH, 0, scene->deadline);
}

static long long pwritev_stamp(struct scene *scene)
{
    struct iovec part = part_of(scene);

    return weft_pwritev(scene->fds[0], &part, 1, 0, scene->deadline);
}

static void settle_pwrite(struct scene *scene)
{
    uint32_t found;

    CHECK_EQ(pread(scene->fds[0], &found, sizeof found, 0), LENGTH);
    CHECK_EQ(found, scene->stamp - (race_moved(scene) == 0));
}

static long long sync_file(struct scene *scene)
{
    return weft_fsync(scene->fds[0], scene->deadline);
}

static long long sync_data(struct scene *scene)
{
    return weft_fdatasync(scene->fds[0], scene->deadline);
}

static void settle_sync(struct scene *scene)
{
    (void)race_is_done(scene);
}

static long long open_null(struct scene *scene)
{
    return weft_openat(AT_FDCWD, "/dev/null", O_RDONLY | O_CLOEXEC, 0, scene->deadline);
}

/* One that is opened late and not closed would be found at the end of the run. */
static void settle_open(struct scene *scene)
{
    if (race_moved(scene) > 0)
        CHECK_EQ(weft_close((int)scene->result), 0);
}

/* Sizes. */

static off_t size_of(int fd)
{
    struct stat status;

    CHECK_EQ(fstat(fd, &status), 0);
    return status.st_size;
}

static long long ask_for_size(struct scene *scene)
{
    struct statx status = {.stx_size = 0};
    int result = weft_statx(scene->fds[0], "", AT_EMPTY_PATH, STATX_SIZE, &status, scene->deadline);

    CHECK_EQ(status.stx_size, result == 0 ? LENGTH : 0);
    return result;
}

static void settle_question(struct scene *scene)
{
    (void)race_is_done(scene);
}

static void cut_file(struct scene *scene)
{
    CHECK_EQ(ftruncate(scene->fds[0], LENGTH), 0);
}

static long long make_room_in_file(struct scene *scene)
{
    return weft_fallocate(scene->fds[0], 0, 0, 2 * LENGTH, scene->deadline);
}

static long long lengthen_file(struct scene *scene)
{
    return weft_ftruncate(scene->fds[0], 2 * LENGTH, scene->deadline);
}

static void settle_size(struct scene *scene)
{
    CHECK_EQ(size_of(scene->fds[0]), race_is_done(scene) ? 2 * LENGTH : LENGTH);
}

static void begin_copy(struct scene *scene)
{
    begin_file(scene);
    scene->fds[1] = make_disk_file("", 0);
}

static void empty_copy(struct scene *scene)
{
    CHECK_EQ(ftruncate(scene->fds[1], 0), 0);
}

static long long copy_file(struct scene *scene)
{
    off_t from = 0, to = 0;
    long long result = weft_copy_file_range(scene->fds[0], &from, scene->fds[1], &to, LENGTH, 0,
                                            scene->deadline);

    CHECK(from == (result > 0 ? result : 0) && to == from);
    return result;
}

static void settle_copy(struct scene *scene)
{
    CHECK_EQ(size_of(scene->fds[1]), race_moved(scene));
}

/* Names, in a folder where "a" is there and "b" is not. */

static void begin_folder(struct scene *scene)
{
    (void)snprintf(scene->folder, sizeof scene->folder, "/tmp/weft-race-XXXXXX");
    CHECK(mkdtemp(scene->folder) != NULL);
    scene->fds[0] = open(scene->folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    CHECK(scene->fds[0] >= 0);
}

void race_remove_folder(const struct scene *scene)
{
    (void)unlinkat(scene->fds[0], "a", 0);
    CHECK_EQ(rmdir(scene->folder), 0);
}

static bool exists(const struct scene *scene, const char *name)
{
    return faccessat(scene->fds[0], name, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
}

static void put_name(struct scene *scene)
{
    int fd = openat(scene->fds[0], "a", O_WRONLY | O_CREAT | O_CLOEXEC, 0600);

    CHECK(fd >= 0);
    CHECK_EQ(close(fd), 0);
}

static long long rename_it(struct scene *scene)
{
    return weft_renameat(scene->fds[0], "a", scene->fds[0], "b", 0, scene->deadline);
}

static void settle_rename(struct scene *scene)
{
    bool is_done = race_is_done(scene);

    CHECK(exists(scene, "a") == !is_done && exists(scene, "b") == is_done);
    CHECK_EQ(unlinkat(scene->fds[0], is_done ? "b" : "a", 0), 0);
}

static long long unlink_it(struct scene *scene)
{
    return weft_unlinkat(scene->fds[0], "a", 0, scene->deadline);
}

static void settle_unlink(struct scene *scene)
{
    CHECK(exists(scene, "a") == !race_is_done(scene));
}

static long long make_link(struct scene *scene)
{
    return weft_linkat(scene->fds[0], "a", scene->fds[0], "b", 0, scene->deadline);
}

static long long make_symlink(struct scene *scene)
{
    return weft_symlinkat("a", scene->fds[0], "b", scene->deadline);
}

static void settle_new_name(struct scene *scene)
{
    CHECK_EQ(unlinkat(scene->fds[0], "b", 0), race_is_done(scene) ? 0 : -1);
}

static long long make_folder(struct scene *scene)
{
    return weft_mkdirat(scene->fds[0], "b", 0700, scene->deadline);
}

static void settle_folder(struct scene *scene)
{
    CHECK_EQ(unlinkat(scene->fds[0], "b", AT_REMOVEDIR), race_is_done(scene) ? 0 : -1);
}

static void begin_with_link(struct scene *scene)
{
    begin_folder(scene);
    CHECK_EQ(symlinkat(race_text, scene->fds[0], "a"), 0);
}

static long long read_link(struct scene *scene)
{
    return weft_readlinkat(scene->fds[0], "a", scene->buffer, LENGTH, scene->deadline);
}

static void settle_link(struct scene *scene)
{
    CHECK(race_moved(scene) == 0 || memcmp(scene->got, race_text, LENGTH) == 0);
}

static long long open_folder(struct scene *scene)
{
    return weft_dir_open(&scene->dir, scene->fds[0], ".", scene->deadline);
}

static void settle_opened_folder(struct scene *scene)
{
    if (race_is_done(scene))
        weft_dir_close(scene->dir);
}

static void put_name_and_open_folder(struct scene *scene)
{
    put_name(scene);
    CHECK_EQ(weft_dir_open(&scene->dir, scene->fds[0], ".", WEFT_FOREVER), 0);
}

static long long list_one(struct scene *scene)
{
    struct weft_dir_entry entry;
    int result = weft_dir_next(scene->dir, &entry, scene->deadline);

    CHECK(result <= 0 || strcmp(entry.name, "a") == 0);
    return result;
}

/* It comes once, then or now. */
static void settle_listing(struct scene *scene)
{
    struct weft_dir_entry entry;

    if (race_moved(scene) == 0)
        CHECK_EQ(weft_dir_next(scene->dir, &entry, WEFT_FOREVER), 1);
    CHECK_EQ(weft_dir_next(scene->dir, &entry, WEFT_FOREVER), 0);
    weft_dir_close(scene->dir);
}

const struct operation race_file_operations[] = {
    {"pread", begin_file, NULL, pread_text, NULL, settle_pread, false},
    {"preadv", begin_file, NULL, preadv_text, NULL, settle_pread, false},
    {"pwrite", begin_file, stamp, pwrite_stamp, NULL, settle_pwrite, false},
    {"pwritev", begin_file, stamp, pwritev_stamp, NULL, settle_pwrite, false},
    {"fsync", begin_file, NULL, sync_file, NULL, settle_sync, false},
    {"fdatasync", begin_file, NULL, sync_data, NULL, settle_sync, false},
    {"openat", NULL, NULL, open_null, NULL, settle_open, false},
    {"statx", begin_file, NULL, ask_for_size, NULL, settle_question, false},
    {"fallocate", begin_file, cut_file, make_room_in_file, NULL, settle_size, false},
    {"ftruncate", begin_file, cut_file, lengthen_file, NULL, settle_size, false},
    {"copy_range", begin_copy, empty_copy, copy_file, NULL, settle_copy, false},
    {"renameat", begin_folder, put_name, rename_it, NULL, settle_rename, false},
    {"unlinkat", begin_folder, put_name, unlink_it, NULL, settle_unlink, false},
    {"linkat", begin_folder, put_name, make_link, NULL, settle_new_name, false},
    {"symlinkat", begin_folder, NULL, make_symlink, NULL, settle_new_name, false},
    {"mkdirat", begin_folder, NULL, make_folder, NULL, settle_folder, false},
    {"readlinkat", begin_with_link, NULL, read_link, NULL, settle_link, false},
    {"dir_open", begin_folder, NULL, open_folder, NULL, settle_opened_folder, false},
    {"dir_next", begin_folder, put_name_and_open_folder, list_one, NULL, settle_listing, false},
};

_Static_assert(sizeof race_file_operations == RACE_FILE_OPERATIONS * sizeof *race_file_operations,
               "all of them");
