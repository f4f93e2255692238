/* SPDX-License-Identifier: MIT */
/* A lock of four bytes, for records of which there are many: what a futex is to threads, an address
 * is to fibers and threads alike. */
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <weft.h>

enum { ACCOUNTS = 1000, TRANSFERS = 20000, FIBERS = 8 };
enum { FREE, HELD, AWAITED }; /* AWAITED: held, and somebody may wait */

struct account {
    _Atomic uint32_t lock;
    int32_t money; /* under the lock */
};

static struct account accounts[ACCOUNTS];

static int lock(struct account *account)
{
    uint32_t expected = FREE;
    int error;

    if (atomic_compare_exchange_strong(&account->lock, &expected, HELD))
        return 0;
    while (atomic_exchange(&account->lock, AWAITED) != FREE) {
        /* -EAGAIN: it has changed before the wait.  Whatever ends the wait: look again. */
        error = weft_wait_on(&account->lock, AWAITED, sizeof account->lock, WEFT_FOREVER);
        if (error != 0 && error != -EAGAIN)
            return error;
    }
    return 0;
}

static void unlock(struct account *account)
{
    if (atomic_exchange(&account->lock, FREE) == AWAITED)
        weft_wake_on(&account->lock, 1);
}

static int transfer(uint32_t *seed)
{
    struct account *from, *to;
    int32_t amount;
    int error;

    *seed = *seed * 1664525 + 1013904223;
    from = &accounts[(*seed >> 8) % 10]; /* ten of them are popular */
    to = &accounts[(*seed >> 12) % ACCOUNTS];
    amount = (int32_t)(*seed >> 28);
    if (from == to)
        return 0;
    if ((error = lock(from < to ? from : to)) != 0)
        return error;
    error = lock(from < to ? to : from);
    if (error == 0) {
        from->money -= amount;
        to->money += amount;
        unlock(from < to ? to : from);
    }
    unlock(from < to ? from : to);
    return error;
}

static int transfer_many(void *arg)
{
    uint32_t seed = (uint32_t)(uintptr_t)arg;
    int error = 0;

    for (int i = 0; i < TRANSFERS && error == 0; i++)
        error = transfer(&seed);
    return error;
}

static void *transfer_in_thread(void *arg)
{
    (void)transfer_many(arg);
    return NULL;
}

static int app(void *arg)
{
    weft_scope fibers = WEFT_SCOPE_INIT;
    int error = 0;

    (void)arg;
    for (int i = 1; i <= FIBERS && error == 0; i++)
        error = weft_scope_spawn(&fibers, transfer_many, (void *)(intptr_t)i);
    return weft_scope_close(&fibers, error);
}

int main(void)
{
    pthread_t thread;
    int64_t sum = 0;

    if (pthread_create(&thread, NULL, transfer_in_thread, NULL) != 0)
        return 1;
    if (weft_run(NULL, app, NULL) < 0 || pthread_join(thread, NULL) != 0)
        return 1;
    for (int i = 0; i < ACCOUNTS; i++)
        sum += accounts[i].money;
    printf("%d transfers, and %lld too much\n", (FIBERS + 1) * TRANSFERS, (long long)sum);
    return sum != 0;
}
