/* SPDX-License-Identifier: MIT */
/* Asks mirrors, of which some are down, for a list of parts: the first answer that is one counts.
 * Then fetches all parts, and uses each as soon as it is there. */
#include <errno.h>
#include <stdio.h>
#include <weft.h>

enum { MIRRORS = 3, PARTS = 4 };

static int list_parts(void *arg)
{
    int delay = *(int *)arg;
    int error = weft_sleep(delay * WEFT_MILLISECOND);

    if (error < 0)
        return error;
    return delay == 1 ? -ECONNREFUSED : PARTS; /* the one that answers first is down */
}

static int fetch(void *arg)
{
    int size = *(int *)arg;
    int error = weft_sleep(size * WEFT_MILLISECOND); /* large ones take longer */

    return error < 0 ? error : size;
}

static int ask_mirrors(void)
{
    static int delays[MIRRORS] = {1, 5, 2000};
    weft_future futures[MIRRORS] = {WEFT_FUTURE_INIT};
    weft_future *all[MIRRORS];
    int parts = 0;
    ssize_t which;

    for (int i = 0; i < MIRRORS; i++) {
        int error = weft_future_spawn(all[i] = &futures[i], list_parts, &delays[i]);

        if (error < 0)
            weft_future_set(all[i], error, NULL); /* it has failed, like a mirror that is down */
    }
    which = weft_any(all, MIRRORS, &parts, weft_after(10 * WEFT_SECOND));
    for (int i = 0; i < MIRRORS; i++)
        weft_future_close(all[i]);
    printf("mirror %zd has %d parts\n", which, parts);
    return which < 0 ? (int)which : parts;
}

static int app(void *arg)
{
    static int sizes[PARTS] = {30, 5, 20, 10};
    weft_future futures[PARTS] = {WEFT_FUTURE_INIT};
    weft_future_group under_way = WEFT_FUTURE_GROUP_INIT;
    weft_future *next;
    int parts = ask_mirrors(), total = 0, error = 0;

    (void)arg;
    for (int i = 0; i < parts; i++) {
        if ((error = weft_future_spawn(&futures[i], fetch, &sizes[i])) < 0)
            weft_future_set(&futures[i], error, NULL);
        weft_future_group_add(&under_way, &futures[i]);
    }
    while ((error = weft_future_group_next(&under_way, &next, weft_after(10 * WEFT_SECOND))) == 0) {
        int size = 0;

        /* It is done, so this does not wait. */
        if (weft_future_await(next, &size, 0) == 0 && size >= 0)
            total += size;
        printf("part %td: %d bytes\n", next - futures, size);
    }
    weft_future_group_close(&under_way);
    for (int i = 0; i < parts; i++)
        weft_future_close(&futures[i]);
    /* -ENOENT: the group has become empty. */
    return parts == PARTS && error == -ENOENT && total == 65 ? 0 : -EIO;
}

int main(void)
{
    return weft_run(NULL, app, NULL) < 0;
}
