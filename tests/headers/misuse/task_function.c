/* SPDX-License-Identifier: MIT */
/* Must not compile: the function has another result than its declaration. */
#include <weft.h>

WEFT_TASK(add_one, int, const int *)

static long add_one(weft_team team, const int *number)
{
    (void)team;
    return *number + 1;
}

WEFT_TASK_VOID(forget, double)

static void forget(weft_team team, double number)
{
    (void)team;
    (void)number;
}

WEFT_TASK(use, int, int)

static int use(weft_team team, int number)
{
    struct add_one_task first;
    struct forget_task second;

    add_one_fork(&team, &first, &number);
    forget_fork(&team, &second, 1.0);
    forget_join(&team, &second);
    return add_one_join(&team, &first);
}

int main(void)
{
    return use_call(-1);
}
