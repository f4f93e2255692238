/* SPDX-License-Identifier: MIT */
/*
 * Five philosophers, five forks, and each needs the two beside him.  If all took their left one
 * first and waited for the right one, none would ever eat.  Two ways out: every one takes the fork
 * of the lower number first; or only four sit down at a time.
 */
#include <errno.h>
#include <stdio.h>
#include <weft.h>

enum { PHILOSOPHERS = 5, MEALS = 200 };

struct table {
    weft_mutex forks[PHILOSOPHERS];
    weft_semaphore chairs;
    int meals[PHILOSOPHERS];
    _Atomic(int) seated;
};

static int eat(struct table *table, int number, weft_mutex *first, weft_mutex *second)
{
    int error = weft_mutex_lock(first, WEFT_FOREVER);

    if (error != 0)
        return error;
    error = weft_mutex_lock(second, WEFT_FOREVER);
    if (error == 0) {
        table->meals[number]++;
        error = weft_yield(); /* chews, with both forks in hand */
        weft_mutex_unlock(second);
    }
    weft_mutex_unlock(first);
    return error;
}

/* A circle of waiting needs someone who waits for a lower number than he holds. */
static int dine_in_order(void *arg)
{
    struct table *table = arg;
    int number = table->seated++;
    int left = number;
    int right = (number + 1) % PHILOSOPHERS;
    int low = left < right ? left : right;
    int high = left < right ? right : left;
    int error = 0;

    for (int i = 0; i < MEALS && error == 0; i++)
        error = eat(table, number, &table->forks[low], &table->forks[high]);
    return error;
}

/* With one chair empty, one of those seated has a neighbour who takes no fork. */
static int dine_on_chairs(void *arg)
{
    struct table *table = arg;
    int number = table->seated++;
    int error = 0;

    for (int i = 0; i < MEALS && error == 0; i++) {
        error = weft_semaphore_acquire(&table->chairs, 1, WEFT_FOREVER);
        if (error != 0)
            break;
        error = eat(table, number, &table->forks[number],
                    &table->forks[(number + 1) % PHILOSOPHERS]);
        weft_semaphore_release(&table->chairs, 1);
    }
    return error;
}

static int dine(int (*philosopher)(void *))
{
    struct table table = {.chairs = WEFT_SEMAPHORE_INIT(PHILOSOPHERS - 1)};
    weft_scope scope = WEFT_SCOPE_INIT;
    int error = 0;
    int meals = 0;

    for (int i = 0; i < PHILOSOPHERS && error == 0; i++)
        error = weft_scope_spawn(&scope, philosopher, &table);
    error = weft_scope_close(&scope, error);
    for (int i = 0; i < PHILOSOPHERS; i++)
        meals += table.meals[i];
    printf("%d meals\n", meals);
    return error != 0 ? error : meals == PHILOSOPHERS * MEALS ? 0 : -EIO;
}

static int app(void *arg)
{
    int error = dine(dine_in_order);

    (void)arg;
    return error != 0 ? error : dine(dine_on_chairs);
}

int main(void)
{
    return weft_run(NULL, app, NULL) < 0;
}
