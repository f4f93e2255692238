/* SPDX-License-Identifier: MIT */
/* A few connections that many fibers share: whoever finds none free waits on a condition variable,
 * for as long as it likes, and all go away when the pool is closed. */
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <weft.h>

enum { CONNECTIONS = 3, CLIENTS = 30, REQUESTS = 20 };

struct pool {
    weft_mutex mutex;
    weft_condition changed; /* a connection is free, or the pool is closed */
    int free[CONNECTIONS];  /* under the mutex, as are the next */
    int free_count;
    bool is_closed;
    long requests;
};

/* Returns a connection, or a negative errno. */
static int take(struct pool *pool, weft_time deadline)
{
    int result = weft_mutex_lock(&pool->mutex, deadline);

    if (result < 0)
        return result;
    /* In a loop: another may have taken what was signalled. */
    while (result == 0 && pool->free_count == 0 && !pool->is_closed)
        result = weft_condition_wait(&pool->changed, &pool->mutex, deadline);
    if (pool->is_closed)
        result = -EPIPE;
    else if (pool->free_count > 0)
        result = pool->free[--pool->free_count]; /* even if the deadline has just passed */
    weft_mutex_unlock(&pool->mutex);
    return result;
}

/* In a shield: a client that is cancelled gives back what it has all the same. */
static void give_back(struct pool *pool, int connection)
{
    weft_scope shield = WEFT_SCOPE_INIT;

    (void)weft_scope_open_shielded(&shield, WEFT_FOREVER);
    if (weft_mutex_lock(&pool->mutex, WEFT_FOREVER) == 0) {
        pool->free[pool->free_count++] = connection;
        pool->requests++;
        weft_condition_signal(&pool->changed);
        weft_mutex_unlock(&pool->mutex);
    }
    (void)weft_scope_close(&shield, 0);
}

static int ask(void *arg)
{
    struct pool *pool = arg;

    for (int i = 0; i < REQUESTS; i++) {
        int connection = take(pool, weft_after(10 * WEFT_SECOND));

        if (connection < 0)
            return connection;
        (void)weft_yield(); /* the request */
        give_back(pool, connection);
    }
    return 0;
}

static int be_refused(void *arg)
{
    int connection = take(arg, WEFT_FOREVER);

    return connection == -EPIPE ? 0 : -EIO;
}

static void close_pool(struct pool *pool)
{
    if (weft_mutex_lock(&pool->mutex, WEFT_FOREVER) < 0)
        return;
    pool->is_closed = true;
    weft_condition_broadcast(&pool->changed);
    weft_mutex_unlock(&pool->mutex);
}

static int app(void *arg)
{
    struct pool *pool = arg;
    weft_scope clients = WEFT_SCOPE_INIT, late = WEFT_SCOPE_INIT;
    int error = 0;

    for (int i = 0; i < CLIENTS && error == 0; i++)
        error = weft_scope_spawn(&clients, ask, pool);
    error = weft_scope_close(&clients, error);
    if (error < 0)
        return error;
    printf("%ld requests on %d connections\n", pool->requests, pool->free_count);
    pool->free_count = 0; /* all in use, say */
    error = weft_scope_spawn(&late, be_refused, pool);
    (void)weft_yield();
    close_pool(pool);
    return weft_scope_close(&late, error);
}

int main(void)
{
    struct pool pool = {.mutex = WEFT_MUTEX_INIT,
                        .changed = WEFT_CONDITION_INIT,
                        .free = {1, 2, 3},
                        .free_count = CONNECTIONS};
    int error = weft_run(NULL, app, &pool);

    return error < 0 || pool.requests != CLIENTS * REQUESTS;
}
