/* SPDX-License-Identifier: MIT */
/*
 * Disk: fibers that replace documents by renaming and append to journals, and a power that fails.
 *
 * What must hold whatever befalls the disk: a document that was said to be stored is found after a
 * crash, or a newer one, and found whole; a record that was said to be stored is in its journal, as
 * it was written; what is read is what was written; and when the faults are over, all gets stored.
 */
#include "scenario.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#define FOLDER SCENARIO_DISK "/data"

enum {
    STORES_MAX = 3,
    WANTED = 6, /* documents and records, of each store */
    DOCUMENT_MAX = 5000,
    RECORD = 100, /* which a sector's end divides now and then */
    CRASHES_MAX = 3,
};

struct world {
    enum scenario_bug bug;
    unsigned stores;
    unsigned crashes;
    bool has_crashed; /* and those that worked need not know yet */
    const char *failure;
};

struct store {
    struct world *world;
    unsigned number;
    uint32_t stored, tried;     /* versions of the document */
    uint32_t recorded, written; /* records of the journal */
};

struct document {
    uint32_t version;
    uint32_t length;
    char body[DOCUMENT_MAX];
};

static void require(struct world *world, bool holds, const char *rule)
{
    if (!holds && world->failure == NULL) {
        world->failure = rule;
        fprintf(stderr, "scenario: broken rule: %s\n", rule);
    }
}

static char byte_of(unsigned store, uint32_t version, size_t i)
{
    return (char)((store * 37 + version * 11 + i * 5 + (i >> 8)) | 1); /* what is lost is 0 */
}

/* Anything that a disk can do to an operation. */
static bool is_mishap(const struct world *world, ssize_t error)
{
    if (error == -ENOENT) /* what was written under another name is gone */
        return world->has_crashed;
    return error == -EIO || error == -ENOSPC || error == -EMFILE || error == -ENOMEM ||
           error == -ECANCELED;
}

/* Whether to try once more: not when somebody wants an end of it. */
static bool is_to_repeat(struct world *world, ssize_t error)
{
    if (error >= 0 || world->failure != NULL)
        return false;
    require(world, is_mishap(world, error), "an operation on a file fails with a cause");
    return error != -ECANCELED && weft_sleep(scenario_draw(5) * WEFT_MILLISECOND) == 0;
}

static int write_at(int fd, const char *data, size_t length, off_t offset)
{
    while (length > 0) {
        ssize_t n = weft_pwrite(fd, data, length, offset, WEFT_FOREVER);

        if (n < 0)
            return (int)n;
        data += n;
        length -= (size_t)n;
        offset += n;
    }
    return 0;
}

/* The number of bytes until the end of the file, or -errno. */
static ssize_t read_at(int fd, char *data, size_t length, off_t offset)
{
    size_t done = 0;

    while (done < length) {
        ssize_t n = weft_pread(fd, data + done, length - done, offset + (off_t)done, WEFT_FOREVER);

        if (n < 0)
            return n;
        if (n == 0)
            break;
        done += (size_t)n;
    }
    return (ssize_t)done;
}

static int open_at(const char *path, int flags)
{
    return weft_openat(AT_FDCWD, path, flags, 0644, WEFT_FOREVER);
}

static int sync_folder(const char *path)
{
    int fd = open_at(path, O_RDONLY | O_DIRECTORY);
    int error = fd < 0 ? fd : weft_fsync(fd, WEFT_FOREVER);

    if (fd >= 0)
        (void)weft_close(fd);
    return error;
}

static void name_file(char name[64], const char *what, const struct store *store)
{
    snprintf(name, 64, FOLDER "/%s-%u", what, store->number);
}

static void fill_document(const struct store *store, uint32_t version, struct document *document)
{
    document->version = version;
    document->length = (uint32_t)(version * 977 % DOCUMENT_MAX);
    for (size_t i = 0; i < document->length; i++)
        document->body[i] = byte_of(store->number, version, i);
}

static int write_document(const struct store *store, const char *name, uint32_t version)
{
    struct document *document = malloc(sizeof *document);
    int fd = open_at(name, O_WRONLY | O_CREAT | O_TRUNC);
    int error = fd < 0 ? fd : -ENOMEM;

    if (document != NULL && fd >= 0) {
        fill_document(store, version, document);
        error = write_at(fd, (const char *)document,
                         offsetof(struct document, body) + document->length, 0);
    }
    if (error == 0 && store->world->bug != BUG_NO_SYNC)
        error = weft_fsync(fd, WEFT_FOREVER);
    if (fd >= 0)
        (void)weft_close(fd);
    free(document);
    return error;
}

/* Under another name first, so that one of them is there at any time. */
static int replace_document(struct store *store)
{
    uint32_t version = ++store->tried;
    unsigned crashes = store->world->crashes;
    char name[64], new_name[64];
    int error;

    name_file(name, "document", store);
    name_file(new_name, "new", store);
    error = write_document(store, new_name, version);
    if (error == 0)
        error = weft_renameat(AT_FDCWD, new_name, AT_FDCWD, name, 0, WEFT_FOREVER);
    if (error == 0 && store->world->bug != BUG_NO_FOLDER_SYNC)
        error = sync_folder(FOLDER);
    /* Who lives on after a crash may sync a folder that has lost the name. */
    if (error == 0 && crashes == store->world->crashes)
        store->stored = version;
    return error;
}

static void fill_record(const struct store *store, uint32_t number, char record[RECORD])
{
    for (size_t i = 0; i < RECORD; i++)
        record[i] = byte_of(store->number, number, i);
}

/* After a sync that failed the bytes have to be written once more; the next sync knows nothing of
 * them. */
static int append_record(struct store *store, int fd)
{
    char record[RECORD];
    off_t offset = (off_t)store->recorded * RECORD;
    bool is_written = false;
    int error;

    fill_record(store, store->recorded, record);
    store->written = store->recorded + 1; /* or some of it */
    do {
        error = is_written && store->world->bug == BUG_SYNC_AGAIN
                    ? 0
                    : write_at(fd, record, RECORD, offset);
        if (error == 0) {
            is_written = true;
            error = scenario_draw(2) == 0 ? weft_fsync(fd, WEFT_FOREVER)
                                          : weft_fdatasync(fd, WEFT_FOREVER);
        }
    } while (error == -EIO && scenario_draw(4) > 0);
    if (error == 0)
        store->recorded++;
    return error;
}

static int keep_journal(struct store *store)
{
    char name[64];
    int fd, error;

    name_file(name, "journal", store);
    fd = open_at(name, O_WRONLY | O_CREAT);
    error = fd < 0 ? fd : sync_folder(FOLDER);
    for (unsigned i = 1 + scenario_draw(4); i > 0 && error == 0; i--)
        error = append_record(store, fd);
    if (fd >= 0)
        (void)weft_close(fd);
    return error;
}

static int work(void *arg)
{
    struct store *store = arg;
    int error = 0;

    while (store->stored < WANTED || store->recorded < WANTED) {
        error = scenario_draw(2) == 0 ? replace_document(store) : keep_journal(store);
        if (error < 0 && !is_to_repeat(store->world, error))
            break;
    }
    return 0;
}

/* A whole file, tried until the disk lets it be read. */
static ssize_t read_file(struct world *world, const char *name, char *data, size_t size)
{
    ssize_t n;

    do {
        int fd = open_at(name, O_RDONLY);

        n = fd < 0 ? fd : read_at(fd, data, size, 0);
        if (fd >= 0)
            (void)weft_close(fd);
    } while (n != -ENOENT && is_to_repeat(world, n));
    return n;
}

static void check_document(struct store *store)
{
    struct world *world = store->world;
    struct document *found = malloc(sizeof *found), *wanted = malloc(sizeof *wanted);
    char name[64];
    ssize_t n;

    if (found == NULL || wanted == NULL)
        abort();
    name_file(name, "document", store);
    n = read_file(world, name, (char *)found, sizeof *found);
    if (n == -ENOENT) {
        require(world, store->stored == 0, "a document that was stored is there");
    } else if (n >= 0) {
        require(world, n >= (ssize_t)offsetof(struct document, body), "a document is whole");
        require(world, found->version >= store->stored && found->version <= store->tried,
                "a document is the one stored last, or one that was about to be");
        fill_document(store, found->version, wanted);
        require(world,
                n == (ssize_t)(offsetof(struct document, body) + wanted->length) &&
                    memcmp(found, wanted, (size_t)n) == 0,
                "a document is whole");
        /* A newer one is not stored for that: a rename that came after the crash is not certain. */
    }
    free(found);
    free(wanted);
}

static void check_journal(struct store *store)
{
    struct world *world = store->world;
    size_t size = (size_t)(store->written + 1) * RECORD;
    char *data = malloc(size), record[RECORD], name[64];
    ssize_t n;

    if (data == NULL)
        abort();
    name_file(name, "journal", store);
    n = read_file(world, name, data, size);
    require(world, n >= 0 || (n == -ENOENT && store->recorded == 0), "a journal is there");
    require(world, n <= (ssize_t)store->written * RECORD, "a journal has what was written");
    for (uint32_t i = 0; i < store->recorded && world->failure == NULL; i++) {
        fill_record(store, i, record);
        require(world, n >= (ssize_t)(i + 1) * RECORD, "a record that was stored is there");
        if (world->failure == NULL)
            require(world, memcmp(data + (size_t)i * RECORD, record, RECORD) == 0,
                    "a record is as it was written");
    }
    free(data);
}

/* Everybody works until all is stored, or the power fails. */
static void run_stores(struct world *world, struct store *stores, bool is_to_crash)
{
    weft_scope scope = WEFT_SCOPE_INIT;

    if (weft_scope_open(&scope, WEFT_FOREVER) != 0)
        abort();
    for (unsigned i = 0; i < world->stores; i++)
        if (weft_scope_spawn(&scope, work, &stores[i]) != 0)
            work(&stores[i]);
    if (is_to_crash) {
        (void)weft_sleep(scenario_draw(150000) * WEFT_MICROSECOND);
        require(world, weft_sim_crash() == 0, "the power can fail");
        world->has_crashed = true;
        world->crashes++;
        (void)weft_scope_cancel(&scope);
    }
    (void)weft_scope_close(&scope, 0);
    world->has_crashed = false;
    for (unsigned i = 0; i < world->stores; i++) {
        check_document(&stores[i]);
        check_journal(&stores[i]);
    }
}

static int remove_one(const char *name)
{
    int error = weft_unlinkat(AT_FDCWD, name, 0, WEFT_FOREVER);

    return error == -ENOENT ? 0 : error;
}

/* And then the folder can go. */
static void clean_up(struct world *world, struct store *stores)
{
    static const char *const what[] = {"document", "new", "journal"};
    char name[64];
    int error;

    for (unsigned i = 0; i < 3 * world->stores; i++) {
        name_file(name, what[i % 3], &stores[i / 3]);
        do
            error = remove_one(name);
        while (is_to_repeat(world, error));
    }
    do
        error = weft_unlinkat(AT_FDCWD, FOLDER, AT_REMOVEDIR, WEFT_FOREVER);
    while (is_to_repeat(world, error));
    require(world, error == 0, "a folder without files can be removed");
}

static int make_folder(struct world *world)
{
    int error;

    do
        error = weft_mkdirat(AT_FDCWD, FOLDER, 0755, WEFT_FOREVER);
    while (is_to_repeat(world, error));
    if (error != 0)
        return error;
    do
        error = sync_folder(SCENARIO_DISK);
    while (is_to_repeat(world, error));
    return error;
}

int disk_scenario(void *arg)
{
    struct world world = {.bug = (enum scenario_bug)(intptr_t)arg,
                          .stores = 1 + scenario_draw(STORES_MAX)};
    struct store stores[STORES_MAX];
    unsigned crashes = scenario_draw(CRASHES_MAX + 1);
    int error = make_folder(&world);

    if (error != 0)
        return error;
    for (unsigned i = 0; i < world.stores; i++)
        stores[i] = (struct store){.world = &world, .number = i};
    for (unsigned i = 0; i < crashes && world.failure == NULL; i++)
        run_stores(&world, stores, true);
    if (world.failure == NULL)
        run_stores(&world, stores, false);
    for (unsigned i = 0; i < world.stores; i++)
        require(&world, stores[i].stored >= WANTED && stores[i].recorded >= WANTED,
                "all gets stored");
    if (world.failure == NULL)
        clean_up(&world, stores);
    return world.failure == NULL ? 0 : -EPROTO;
}
