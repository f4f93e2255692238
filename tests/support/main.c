/* SPDX-License-Identifier: MIT */
/* Criterion's usual main(), and the entry of the processes that tests start: see child.h. */
#include "child.h"

#include <criterion/criterion.h>

int main(int argc, char **argv)
{
    struct criterion_test_set *tests;
    int status = 0;

    if (child_requested(argc, argv))
        return child_main(argv);
    tests = criterion_initialize();
    if (criterion_handle_args(argc, argv, true))
        status = criterion_run_all_tests(tests) ? 0 : 1;
    criterion_finalize(tests);
    return status;
}
