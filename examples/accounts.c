/* SPDX-License-Identifier: MIT */
/*
 * Transfers between accounts, each of which is locked by its number.  There is no mutex for each
 * account: only those that are being worked on take any memory, and that is on a stack.
 */
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <weft.h>

enum { ACCOUNTS = 50, CLERKS = 20, TRANSFERS = 200, BUCKETS = 32, BEGIN = 1000 };

static weft_key_bucket buckets[BUCKETS];
static weft_keyed_mutex accounts = WEFT_KEYED_MUTEX_INIT(buckets, BUCKETS);
static int balances[ACCOUNTS];

/* The lower number first: so no two clerks wait for each other. */
static int transfer(int from, int to, int amount)
{
    int low = from < to ? from : to;
    int high = from < to ? to : from;
    weft_key_hold first = WEFT_KEY_HOLD_INIT;
    weft_key_hold second = WEFT_KEY_HOLD_INIT;
    int error = weft_keyed_mutex_lock(&accounts, &first, &low, sizeof low, WEFT_FOREVER);

    if (error != 0)
        return error;
    error = weft_keyed_mutex_lock(&accounts, &second, &high, sizeof high, WEFT_FOREVER);
    if (error == 0) {
        balances[from] -= amount;
        error = weft_yield(); /* writes it down, somewhere */
        balances[to] += amount;
        weft_keyed_mutex_unlock(&accounts, &second);
    }
    weft_keyed_mutex_unlock(&accounts, &first);
    return error;
}

static int work(void *arg)
{
    int clerk = (int)(intptr_t)arg;
    int error = 0;

    for (int i = 0; i < TRANSFERS && error == 0; i++) {
        int from = (clerk * 7 + i * 13) % ACCOUNTS;

        error = transfer(from, (from + 1 + i % (ACCOUNTS - 1)) % ACCOUNTS, i % 20);
    }
    return error;
}

static int app(void *arg)
{
    weft_scope clerks = WEFT_SCOPE_INIT;
    int error = 0;
    int sum = 0;

    (void)arg;
    for (int i = 0; i < ACCOUNTS; i++)
        balances[i] = BEGIN;
    for (intptr_t i = 0; i < CLERKS && error == 0; i++)
        error = weft_scope_spawn(&clerks, work, (void *)i);
    error = weft_scope_close(&clerks, error);
    for (int i = 0; i < ACCOUNTS; i++)
        sum += balances[i];
    printf("%d accounts hold %d\n", ACCOUNTS, sum);
    return error != 0 ? error : sum == ACCOUNTS * BEGIN ? 0 : -EIO;
}

int main(void)
{
    return weft_run(NULL, app, NULL) < 0;
}
