/* SPDX-License-Identifier: MIT */
/* The command-line tool. */
#include <weft.h>

#include <errno.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { BUILD_LEVELS = 4 }; /* bin, release, build, the sources */

static int print_usage(FILE *out)
{
    fprintf(out,
            "usage: weft doctor       print what a runtime would use on this machine, and why\n"
            "       weft bench [...]   compare weft with its peers on this machine; the options\n"
            "                          are those of scripts/bench.sh, of which --help tells\n"
            "       weft version      print the version of the library\n");
    return out == stderr ? 2 : 0;
}

static int run_doctor(void)
{
    int error = weft_doctor(NULL, stdout);

    if (error != 0)
        fprintf(stderr, "weft: a runtime would not start: %s\n", strerror(-error));
    return error != 0;
}

static bool has_script(const char *folder, char script[static PATH_MAX])
{
    int length = snprintf(script, PATH_MAX, "%s/scripts/bench.sh", folder);

    return length < PATH_MAX && access(script, X_OK) == 0;
}

/* The folder of this program is bin/ in a build folder, which lies within the sources.  No further
 * up: somebody else's folders must not choose what runs. */
static bool find_around(char *program, char script[static PATH_MAX])
{
    for (int level = 0; level < BUILD_LEVELS; level++) {
        char *end = strrchr(program, '/');

        if (!end || end == program)
            return false;
        *end = '\0';
        if (has_script(program, script))
            return true;
    }
    return false;
}

static bool find_script(char script[static PATH_MAX])
{
    const char *source = getenv("WEFT_SOURCE");
    char folder[PATH_MAX];
    ssize_t n;

    if (source)
        return has_script(source, script);
    n = readlink("/proc/self/exe", folder, sizeof folder - 1);
    folder[n > 0 ? n : 0] = '\0';
    if (find_around(folder, script))
        return true;
    return getcwd(folder, sizeof folder) && has_script(folder, script);
}

/* The peers are built from sources that are not installed, each by its own compiler. */
static int run_bench(char **options)
{
    char script[PATH_MAX];

    if (!find_script(script)) {
        fprintf(stderr,
                "weft: the comparison needs weft's sources, which hold the peers' programs: "
                "run it in their folder, or name that in WEFT_SOURCE\n");
        return 1;
    }
    options[0] = script;
    execv(script, options);
    fprintf(stderr, "weft: %s: %s\n", script, strerror(errno));
    return 1;
}

static int run(int argc, char **argv)
{
    if (argc == 2 && strcmp(argv[1], "doctor") == 0)
        return run_doctor();
    if (argc >= 2 && strcmp(argv[1], "bench") == 0)
        return run_bench(argv + 1);
    if (argc == 2 && strcmp(argv[1], "version") == 0) {
        printf("weft %s\n", weft_version());
        return 0;
    }
    if (argc == 2 && (strcmp(argv[1], "help") == 0 || strcmp(argv[1], "--help") == 0))
        return print_usage(stdout);
    return print_usage(stderr);
}

/* Who keeps a report in a file on a full disk shall not take half of it for the whole. */
int main(int argc, char **argv)
{
    int status = run(argc, argv);

    if (fflush(stdout) == 0 && !ferror(stdout))
        return status;
    fprintf(stderr, "weft: cannot write to standard output\n");
    return status != 0 ? status : 1;
}
