/* SPDX-License-Identifier: MIT */
/* io/luck.h: how many attempts are left out after some in vain. */
#include "io/luck.h"

#include "../support/fixture.h"

/* How many operations come before the next attempt. */
static unsigned count_skips(struct wf_luck *luck)
{
    unsigned count = 0;

    while (!wf_luck_try(luck))
        count++;
    return count;
}

/* Else what has to wait each time would pay for a system call each time. */
Test(luck, attempts_in_vain_become_rare, .timeout = TEST_TIMEOUT_S)
{
    static const unsigned expected[] = {0, 1, 3, 7, 15, 31, 31, 31};
    struct wf_luck luck = {0, 0};

    for (unsigned i = 0; i < sizeof expected / sizeof expected[0]; i++) {
        cr_expect_eq(count_skips(&luck), expected[i], "after %u in vain", i);
        wf_luck_note(&luck, false);
    }
}

Test(luck, one_that_is_done_begins_anew, .timeout = TEST_TIMEOUT_S)
{
    struct wf_luck luck = {0, 0};

    for (int i = 0; i < 9; i++) {
        wf_luck_note(&luck, false);
        (void)count_skips(&luck);
    }
    wf_luck_note(&luck, true);
    for (int i = 0; i < 100; i++)
        cr_expect(wf_luck_try(&luck));
    wf_luck_note(&luck, false);
    cr_expect_eq(count_skips(&luck), 1);
}
