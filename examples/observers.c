/* SPDX-License-Identifier: MIT */
/* A value that observers are told about under its lock.  What an observer does with the value comes
 * back to functions that lock as well: the mutex is recursive. */
#include <stdio.h>
#include <weft.h>

enum { OBSERVERS_MAX = 4, FIBERS = 20, CHANGES = 50, LIMIT = 300 };

struct observed;
typedef void observer_fn(struct observed *observed);

struct observed {
    weft_recursive_mutex mutex;
    long value; /* under the mutex, as are the next */
    long told;
    observer_fn *observers[OBSERVERS_MAX]; /* NULL: a free place */
};

static int lock(struct observed *observed)
{
    return weft_recursive_mutex_lock(&observed->mutex, weft_after(10 * WEFT_SECOND));
}

static int change(struct observed *observed, long by)
{
    int error = lock(observed);

    if (error < 0)
        return error;
    observed->value += by;
    for (int i = 0; i < OBSERVERS_MAX; i++)
        if (observed->observers[i] != NULL)
            observed->observers[i](observed);
    weft_recursive_mutex_unlock(&observed->mutex);
    return 0;
}

static int forget(struct observed *observed, observer_fn *fn)
{
    int error = lock(observed); /* an observer may call this: it holds the mutex already */

    if (error < 0)
        return error;
    for (int i = 0; i < OBSERVERS_MAX; i++)
        if (observed->observers[i] == fn)
            observed->observers[i] = NULL;
    weft_recursive_mutex_unlock(&observed->mutex);
    return 0;
}

static void count(struct observed *observed)
{
    observed->told++;
}

/* Wants to hear of it once. */
static void watch_limit(struct observed *observed)
{
    if (observed->value >= LIMIT && forget(observed, watch_limit) == 0)
        printf("the limit was reached at %ld\n", observed->value);
}

static int change_often(void *arg)
{
    int error = 0;

    for (int i = 0; i < CHANGES && error == 0; i++) {
        error = change(arg, 1);
        (void)weft_yield();
    }
    return error;
}

/* Looks at it now and then, but not while somebody is at it. */
static int sample(void *arg)
{
    struct observed *observed = arg;
    long last = 0;

    while (last < LIMIT) {
        int error = weft_yield();

        if (error < 0)
            return error;
        if (weft_recursive_mutex_try_lock(&observed->mutex) == 0) {
            last = observed->value;
            weft_recursive_mutex_unlock(&observed->mutex);
        }
    }
    return 0;
}

static int app(void *arg)
{
    weft_scope scope = WEFT_SCOPE_INIT;
    int error = weft_scope_spawn(&scope, sample, arg);

    for (int i = 0; i < FIBERS && error == 0; i++)
        error = weft_scope_spawn(&scope, change_often, arg);
    return weft_scope_close(&scope, error);
}

int main(void)
{
    struct observed observed = {.mutex = WEFT_RECURSIVE_MUTEX_INIT,
                                .observers = {count, watch_limit}};
    int error = weft_run(NULL, app, &observed);

    return error < 0 || observed.told != FIBERS * CHANGES || observed.observers[1] != NULL;
}
