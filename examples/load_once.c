/* SPDX-License-Identifier: MIT */
/*
 * A cache in front of something slow: all who ask for what is not there yet wait for one load of
 * it.
 */
#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <weft.h>

enum { PAGES = 5, READERS = 100, BUCKETS = 8 };

static weft_key_bucket buckets[BUCKETS];
static weft_singleflight loads = WEFT_SINGLEFLIGHT_INIT(int, buckets, BUCKETS);
static atomic_int cache[PAGES]; /* 0: not there */
static atomic_int loaded;

/* One for each page at a time; it looks again, since another load may just have ended. */
static int load(void *arg, void *result)
{
    int page = *(int *)arg;
    int *content = result;
    int error;

    *content = cache[page];
    if (*content != 0)
        return 0;
    error = weft_sleep(10 * WEFT_MILLISECOND); /* a slow disk */
    if (error != 0)
        return error;
    loaded++;
    *content = 1000 + page;
    cache[page] = *content;
    return 0;
}

static int read_page(void *arg)
{
    int page = (int)(intptr_t)arg % PAGES;
    int content = cache[page];
    int error = 0;

    if (content == 0)
        error = weft_singleflight_do(&loads, &page, sizeof page, load, &page, &content,
                                     sizeof content, weft_after(30 * WEFT_SECOND));
    return error < 0 ? error : content == 1000 + page ? 0 : -EIO;
}

static int app(void *arg)
{
    weft_scope readers = WEFT_SCOPE_INIT;
    int error = 0;

    (void)arg;
    for (intptr_t i = 0; i < READERS && error == 0; i++)
        error = weft_scope_spawn(&readers, read_page, (void *)i);
    error = weft_scope_close(&readers, error);
    printf("%d readers, %d pages, %d loads\n", READERS, PAGES, loaded);
    return error != 0 ? error : loaded == PAGES ? 0 : -EIO;
}

int main(void)
{
    return weft_run(NULL, app, NULL) < 0;
}
