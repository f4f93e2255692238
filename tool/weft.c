/* SPDX-License-Identifier: MIT */
/* The command-line tool. */
#include <weft.h>

#include <stdio.h>
#include <string.h>

static int print_usage(FILE *out)
{
    fprintf(out, "usage: weft doctor    print what a runtime would use on this machine, and why\n"
                 "       weft version   print the version of the library\n");
    return out == stderr ? 2 : 0;
}

static int run_doctor(void)
{
    int error = weft_doctor(NULL, stdout);

    if (error != 0)
        fprintf(stderr, "weft: a runtime would not start: %s\n", strerror(-error));
    return error != 0;
}

int main(int argc, char **argv)
{
    if (argc == 2 && strcmp(argv[1], "doctor") == 0)
        return run_doctor();
    if (argc == 2 && strcmp(argv[1], "version") == 0) {
        printf("weft %s\n", weft_version());
        return 0;
    }
    if (argc == 2 && (strcmp(argv[1], "help") == 0 || strcmp(argv[1], "--help") == 0))
        return print_usage(stdout);
    return print_usage(stderr);
}
