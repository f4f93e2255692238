/* SPDX-License-Identifier: MIT */
/* Files that are in memory, and names in a folder of their own. */
#include "operations.h"

#include "harness/folder.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

enum { NAME_MAX_HERE = 16 };

/* A name of this operation, and of none else of the batch; it is in `name`. */
static const char *name_of(char name[NAME_MAX_HERE], char kind, unsigned i)
{
    snprintf(name, NAME_MAX_HERE, "%c%u", kind, i);
    return name;
}

static off_t offset_of(unsigned i)
{
    return (off_t)i * OPERATION_BLOCK;
}

static char *block_of(struct place *p, unsigned i)
{
    return p->blocks[i % OPERATION_FIBERS];
}

static int make_file(struct place *p, const char *name)
{
    int fd = openat(p->folder, name, O_RDWR | O_CREAT | O_CLOEXEC, 0600);

    for (unsigned i = 0; fd >= 0 && i < OPERATION_MANY; i++)
        if (pwrite(fd, block_of(p, i), OPERATION_BLOCK, offset_of(i)) != OPERATION_BLOCK)
            return -1;
    return fd;
}

bool place_files(struct place *p)
{
    snprintf(p->path, sizeof p->path, "%s/weft-bench-XXXXXX", bench_folder());
    if (mkdtemp(p->path) == NULL) {
        p->path[0] = '\0';
        return false;
    }
    p->folder = open(p->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    p->file = make_file(p, "file");
    p->copy = make_file(p, "copy");
    return p->file >= 0 && p->copy >= 0 && symlinkat("file", p->folder, "link") == 0 &&
           fsync(p->file) == 0 && fsync(p->copy) == 0;
}

static const struct scene files = {.set_up = place_files};
static const struct scene open_files = {.set_up = place_files, .clean = place_close};

OPERATION(pread, files, 256,
          pread(p->file, block_of(p, i), OPERATION_BLOCK, offset_of(i)) == OPERATION_BLOCK,
          weft_pread(p->file, block_of(p, i), OPERATION_BLOCK, offset_of(i), WEFT_FOREVER) ==
              OPERATION_BLOCK);
OPERATION(preadv, files, 256,
          preadv(p->file, &(struct iovec){block_of(p, i), OPERATION_BLOCK}, 1, offset_of(i)) ==
              OPERATION_BLOCK,
          weft_preadv(p->file, &(struct iovec){block_of(p, i), OPERATION_BLOCK}, 1, offset_of(i),
                      WEFT_FOREVER) == OPERATION_BLOCK);
OPERATION(pwrite, files, 256,
          pwrite(p->copy, block_of(p, i), OPERATION_BLOCK, offset_of(i)) == OPERATION_BLOCK,
          weft_pwrite(p->copy, block_of(p, i), OPERATION_BLOCK, offset_of(i), WEFT_FOREVER) ==
              OPERATION_BLOCK);
OPERATION(pwritev, files, 256,
          pwritev(p->copy, &(struct iovec){block_of(p, i), OPERATION_BLOCK}, 1, offset_of(i)) ==
              OPERATION_BLOCK,
          weft_pwritev(p->copy, &(struct iovec){block_of(p, i), OPERATION_BLOCK}, 1, offset_of(i),
                       WEFT_FOREVER) == OPERATION_BLOCK);
OPERATION(openat, open_files, 64,
          (p->fds[i] = openat(p->folder, "file", O_RDONLY | O_CLOEXEC)) >= 0,
          (p->fds[i] = weft_openat(p->folder, "file", O_RDONLY, 0, WEFT_FOREVER)) >= 0);

/* Of a journal it would be measured what others have written. */
static bool set_up_memory(struct place *p)
{
    p->file = memfd_create("weft-bench", MFD_CLOEXEC);
    return p->file >= 0;
}

static const struct scene in_memory = {.set_up = set_up_memory};

OPERATION(fsync, in_memory, 64, fsync(p->file) == 0, weft_fsync(p->file, WEFT_FOREVER) == 0);
OPERATION(fdatasync, in_memory, 64, fdatasync(p->file) == 0,
          weft_fdatasync(p->file, WEFT_FOREVER) == 0);
OPERATION(fallocate, files, 64, fallocate(p->file, 0, 0, OPERATION_BLOCK) == 0,
          weft_fallocate(p->file, 0, 0, OPERATION_BLOCK, WEFT_FOREVER) == 0);
OPERATION(ftruncate, files, 64, ftruncate(p->copy, offset_of(OPERATION_MANY)) == 0,
          weft_ftruncate(p->copy, offset_of(OPERATION_MANY), WEFT_FOREVER) == 0);

static bool plain_status(struct place *p)
{
    struct statx status;

    return statx(p->folder, "file", 0, STATX_BASIC_STATS, &status) == 0;
}

static bool ask_status(struct place *p)
{
    struct statx status;

    return weft_statx(p->folder, "file", 0, STATX_BASIC_STATS, &status, WEFT_FOREVER) == 0;
}

OPERATION(statx, files, 64, plain_status(p), ask_status(p));

static bool plain_copy(struct place *p, unsigned i)
{
    off_t in = offset_of(i), out = in;

    return copy_file_range(p->file, &in, p->copy, &out, OPERATION_BLOCK, 0) == OPERATION_BLOCK;
}

static bool copy(struct place *p, unsigned i)
{
    off_t in = offset_of(i), out = in;

    return weft_copy_file_range(p->file, &in, p->copy, &out, OPERATION_BLOCK, 0, WEFT_FOREVER) ==
           OPERATION_BLOCK;
}

OPERATION(copy_file_range, files, 64, plain_copy(p, i), copy(p, i));

static bool set_up_sending(struct place *p)
{
    return place_files(p) && place_sockets(p);
}

static bool take_sent(struct place *p, unsigned count)
{
    return place_take(p, count * OPERATION_BLOCK);
}

static bool plain_sendfile_block(struct place *p, unsigned i)
{
    off_t offset = offset_of(i);

    return sendfile(p->out, p->file, &offset, OPERATION_BLOCK) == OPERATION_BLOCK;
}

static bool sendfile_block(struct place *p, unsigned i)
{
    off_t offset = offset_of(i);

    return weft_sendfile(p->out, p->file, &offset, OPERATION_BLOCK, WEFT_FOREVER) ==
           OPERATION_BLOCK;
}

static const struct scene sending = {.set_up = set_up_sending, .clean = take_sent};

OPERATION(sendfile, sending, 16, plain_sendfile_block(p, i), sendfile_block(p, i));

/* Names: those of kind 'a' are there before a batch, those of kind 'b' come to be. */
static bool make_names(struct place *p, unsigned count)
{
    char name[NAME_MAX_HERE];

    for (unsigned i = 0; i < count; i++) {
        int fd = openat(p->folder, name_of(name, 'a', i), O_WRONLY | O_CREAT | O_CLOEXEC, 0600);

        if (fd < 0 || close(fd) != 0)
            return false;
    }
    return true;
}

static bool remove_names(struct place *p, char kind, unsigned count)
{
    char name[NAME_MAX_HERE];

    for (unsigned i = 0; i < count; i++) {
        name_of(name, kind, i);
        if (unlinkat(p->folder, name, 0) != 0 && errno == EISDIR)
            (void)unlinkat(p->folder, name, AT_REMOVEDIR);
    }
    return true;
}

static bool remove_made(struct place *p, unsigned count)
{
    return remove_names(p, 'b', count);
}

static const struct scene names = {
    .set_up = place_files, .prepare = make_names, .clean = remove_made};
static const struct scene no_names = {.set_up = place_files, .clean = remove_made};

#define A name_of((char[NAME_MAX_HERE]){0}, 'a', i)
#define B name_of((char[NAME_MAX_HERE]){0}, 'b', i)

OPERATION(renameat, names, 64, renameat2(p->folder, A, p->folder, B, 0) == 0,
          weft_renameat(p->folder, A, p->folder, B, 0, WEFT_FOREVER) == 0);
OPERATION(unlinkat, names, 64, unlinkat(p->folder, A, 0) == 0,
          weft_unlinkat(p->folder, A, 0, WEFT_FOREVER) == 0);
OPERATION(mkdirat, no_names, 64, mkdirat(p->folder, B, 0700) == 0,
          weft_mkdirat(p->folder, B, 0700, WEFT_FOREVER) == 0);
OPERATION(linkat, no_names, 64, linkat(p->folder, "file", p->folder, B, 0) == 0,
          weft_linkat(p->folder, "file", p->folder, B, 0, WEFT_FOREVER) == 0);
OPERATION(symlinkat, no_names, 64, symlinkat("file", p->folder, B) == 0,
          weft_symlinkat("file", p->folder, B, WEFT_FOREVER) == 0);
OPERATION(readlinkat, files, 64,
          readlinkat(p->folder, "link", block_of(p, i), OPERATION_BLOCK) == 4,
          weft_readlinkat(p->folder, "link", block_of(p, i), OPERATION_BLOCK, WEFT_FOREVER) == 4);

static bool close_folders(struct place *p, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        if (p->plain_dirs[i] != NULL)
            closedir(p->plain_dirs[i]);
        if (p->dirs[i] != NULL)
            weft_dir_close(p->dirs[i]);
        p->plain_dirs[i] = NULL;
        p->dirs[i] = NULL;
    }
    return true;
}

static bool open_folders(struct place *p, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        p->plain_dirs[i] = opendir(p->path);
        if (p->plain_dirs[i] == NULL ||
            weft_dir_open(&p->dirs[i], p->folder, ".", WEFT_FOREVER) != 0)
            return false;
    }
    return true;
}

static bool close_plain(struct place *p, unsigned i)
{
    DIR *dir = p->plain_dirs[i];

    p->plain_dirs[i] = NULL;
    return closedir(dir) == 0;
}

static bool close_one(struct place *p, unsigned i)
{
    weft_dir *dir = p->dirs[i];

    p->dirs[i] = NULL;
    weft_dir_close(dir);
    return true;
}

static const struct scene folders = {.set_up = place_files, .clean = close_folders};
static const struct scene open_ones = {
    .set_up = place_files, .prepare = open_folders, .clean = close_folders};

OPERATION(dir_open, folders, 32, (p->plain_dirs[i] = opendir(p->path)) != NULL,
          weft_dir_open(&p->dirs[i], p->folder, ".", WEFT_FOREVER) == 0);
OPERATION(dir_close, open_ones, 32, close_plain(p, i), close_one(p, i));

static bool set_up_entries(struct place *p)
{
    return place_files(p) && make_names(p, OPERATION_MANY);
}

static bool open_listed(struct place *p, unsigned count)
{
    (void)count;
    return open_folders(p, 1);
}

static bool next_entry(struct place *p)
{
    struct weft_dir_entry entry;

    return weft_dir_next(p->dirs[0], &entry, WEFT_FOREVER) == 1;
}

static const struct scene listed = {
    .set_up = set_up_entries, .prepare = open_listed, .clean = close_folders, .is_for_one = true};

OPERATION(dir_next, listed, 256, readdir(p->plain_dirs[0]) != NULL, next_entry(p));

static void close_fd(int *fd)
{
    if (*fd >= 0)
        close(*fd);
    *fd = -1;
}

bool place_tear_down(struct place *p)
{
    if (p->stdio != NULL)
        fclose(p->stdio);
    if (p->folder >= 0) {
        remove_names(p, 'a', OPERATION_MANY);
        remove_names(p, 'b', OPERATION_MANY);
        (void)unlinkat(p->folder, "file", 0);
        (void)unlinkat(p->folder, "copy", 0);
        (void)unlinkat(p->folder, "link", 0);
    }
    if (p->in == p->out)
        p->out = -1;
    close_fd(&p->in);
    close_fd(&p->out);
    close_fd(&p->more_in);
    close_fd(&p->more_out);
    close_fd(&p->file);
    close_fd(&p->copy);
    close_fd(&p->folder);
    return p->path[0] == '\0' || rmdir(p->path) == 0;
}
