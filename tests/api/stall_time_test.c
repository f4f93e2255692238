/* SPDX-License-Identifier: MIT */
/* For how long a fiber has held its worker, as a report says it. */
#define _GNU_SOURCE 1

#include "../support/child.h"
#include "../support/fixture.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { REPORT_MS = 50, ROUNDS = 2 };

/* The signal that asks the thread where it is ends the call, and the fiber goes to sleep.  Reports
 * are a second apart. */
static int block_now_and_then(void *arg)
{
    (void)arg;
    for (int i = 0; i < ROUNDS; i++) {
        (void)usleep(10 * 1000 * 1000);
        CHECK_EQ(weft_sleep(1200 * WEFT_MILLISECOND), 0);
    }
    return 0;
}

CHILD(stall_that_its_report_ends)
{
    struct weft_config config = {.workers = 1, .stall_report_ms = parameter};

    return weft_run(&config, block_now_and_then, NULL);
}

/* The worker sleeps by the time that the report is printed. */
Test(stall_time, is_that_of_the_call_which_the_report_ended, .timeout = TEST_TIMEOUT_S)
{
    static const char mark[] = "in one fiber for ";
    const char *at;
    struct child_end end;
    unsigned reports = 0;

    run_child("stall_that_its_report_ends", REPORT_MS, NULL, &end);
    cr_assert_eq(end.exit_status, 0, "%s", end.output);
    for (at = end.output; (at = strstr(at, mark)) != NULL; at++, reports++)
        cr_expect_geq(strtol(at + strlen(mark), NULL, 10), REPORT_MS, "%s", end.output);
    cr_expect_geq(reports, 1, "%s", end.output);
}
