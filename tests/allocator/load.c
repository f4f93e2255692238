/* SPDX-License-Identifier: MIT */
/*
 * The shared library can be loaded by a program that runs already, as bindings for other languages
 * do.  An allocator below it, with its caches in static thread-local storage, would forbid that.
 *
 * usage: load LIBRARY
 */
#include <dlfcn.h>
#include <stdio.h>

static int return_five(void *arg)
{
    (void)arg;
    return 5;
}

int main(int argc, char **argv)
{
    void *library = argc == 2 ? dlopen(argv[1], RTLD_NOW | RTLD_LOCAL) : NULL;
    int (*run)(const void *, int (*)(void *), void *) = NULL;

    if (library == NULL) {
        (void)fprintf(stderr, "%s\n", dlerror());
        return 1;
    }
    *(void **)&run = dlsym(library, "weft_run");
    return run != NULL && run(NULL, return_five, NULL) == 5 ? 0 : 1;
}
