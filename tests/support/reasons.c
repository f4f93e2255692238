/* SPDX-License-Identifier: MIT */
#include "reasons.h"

#include "check.h"
#include "fixture.h"

#include <errno.h>

#define MEANWHILE (200 * WEFT_MICROSECOND)

enum end { HAS_PASSED, PASSES, WAS_CANCELLED, IS_CANCELLED, ENDS };

static int cancel_meanwhile(void *arg)
{
    CHECK_EQ(weft_sleep(MEANWHILE), 0);
    return weft_scope_cancel(arg);
}

/* Where the scope around is cancelled already. */
static void join_in_shield(weft_fiber *fiber)
{
    weft_scope shield = WEFT_SCOPE_INIT;

    CHECK_EQ(weft_scope_open_shielded(&shield, WEFT_FOREVER), 0);
    CHECK_EQ(must_join(fiber), 0);
    CHECK_EQ(weft_scope_close(&shield, 0), 0);
}

static void expect_reason(const struct wait_kind *kind, enum end end)
{
    weft_scope scope = WEFT_SCOPE_INIT;
    weft_time deadline = end == HAS_PASSED ? 1
                         : end == PASSES   ? weft_after(MEANWHILE)
                                           : WEFT_FOREVER;
    int reason = end == HAS_PASSED || end == PASSES ? -ETIMEDOUT : -ECANCELED;
    weft_fiber *canceller = NULL;
    int result;

    CHECK_EQ(weft_scope_open(&scope, deadline), 0);
    if (end == WAS_CANCELLED)
        CHECK_EQ(weft_scope_cancel(&scope), 0);
    if (end == IS_CANCELLED)
        canceller = must_spawn(cancel_meanwhile, &scope);
    result = kind->wait();
    if (result != reason)
        check_fail(__FILE__, __LINE__, "%s says %d, expected %d (way %d)", kind->name, result,
                   reason, (int)end);
    if (canceller != NULL)
        join_in_shield(canceller);
    CHECK_EQ(weft_scope_close(&scope, reason), reason);
}

void expect_reasons(const struct wait_kind *kinds, size_t count)
{
    for (size_t i = 0; i < count; i++)
        for (enum end end = HAS_PASSED; end < ENDS; end++)
            expect_reason(&kinds[i], end);
}
