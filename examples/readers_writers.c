/* SPDX-License-Identifier: MIT */
/* A table of routes that many look up and few change, behind a readers-writer lock.  Whoever
 * changes it goes on as a reader, to say what it is now without keeping the others out. */
#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <weft.h>

enum { ROUTES = 16, READERS = 40, LOOKUPS = 200, WRITERS = 2, CHANGES = 25 };

struct routes {
    weft_rwlock lock;
    int version;         /* under the lock, as is the next */
    int targets[ROUTES]; /* all of one version */
    atomic_long lookups;
};

static int sum_of(const struct routes *routes)
{
    int sum = 0;

    for (int i = 0; i < ROUTES; i++)
        sum += routes->targets[i];
    return sum;
}

static int look_up(void *arg)
{
    struct routes *routes = arg;

    for (int i = 0; i < LOOKUPS; i++) {
        int error = weft_rwlock_read_lock(&routes->lock, weft_after(10 * WEFT_SECOND));
        int sum, version;

        if (error < 0)
            return error;
        sum = sum_of(routes);
        version = routes->version;
        weft_rwlock_unlock(&routes->lock);
        if (sum != version * ROUTES)
            return -EIO; /* a table that somebody was just changing */
        atomic_fetch_add(&routes->lookups, 1);
        (void)weft_yield();
    }
    return 0;
}

static int change(void *arg)
{
    struct routes *routes = arg;

    for (int i = 0; i < CHANGES; i++) {
        int error = weft_rwlock_write_lock(&routes->lock, weft_after(10 * WEFT_SECOND));
        int version, sum;

        if (error < 0)
            return error;
        version = ++routes->version;
        for (int j = 0; j < ROUTES; j++) {
            routes->targets[j] = version;
            (void)weft_yield(); /* holding the lock: nobody sees half a table */
        }
        /* Readers may come in again, another writer not: this is still our version. */
        weft_rwlock_downgrade(&routes->lock);
        (void)weft_yield();
        sum = sum_of(routes);
        weft_rwlock_unlock(&routes->lock);
        if (sum != version * ROUTES)
            return -EIO;
    }
    return 0;
}

static int app(void *arg)
{
    struct routes routes = {.lock = WEFT_RWLOCK_INIT};
    weft_scope users = WEFT_SCOPE_INIT;
    int error = 0;

    (void)arg;
    for (int i = 0; i < READERS && error >= 0; i++)
        error = weft_scope_spawn(&users, look_up, &routes);
    for (int i = 0; i < WRITERS && error >= 0; i++)
        error = weft_scope_spawn(&users, change, &routes);
    error = weft_scope_close(&users, error);
    printf("%ld lookups beside %d changes\n", atomic_load(&routes.lookups), routes.version);
    if (error < 0)
        return error;
    return routes.version == WRITERS * CHANGES ? 0 : -EIO;
}

int main(void)
{
    return weft_run(NULL, app, NULL) < 0;
}
