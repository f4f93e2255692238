/* SPDX-License-Identifier: MIT */
/*
 * Relacy's scheduler, compiled once for all models and all their mutants: as a template of each
 * suite it would be most of what each of them compiles.  A suite is handed over as its functions.
 */
#ifndef WEFT_MODEL_ENGINE_H
#define WEFT_MODEL_ENGINE_H

#include <cstddef>

enum { MODEL_SUITE_SIZE_MAX = 1 << 16 };

struct model_suite {
    void (*construct)(void *memory); /* of MODEL_SUITE_SIZE_MAX bytes */
    void (*destroy)(void *suite);
    void (*before)(void *suite);
    void (*thread)(void *suite, unsigned index);
    void (*after)(void *suite);
    void (*invariant)(void *suite);
};

/* Runs so many random interleavings of 2 to 4 threads (the generator is Relacy's own and starts
 * alike each time), and prints the first one that fails.  Returns true if none does. */
bool model_engine_run(const model_suite &suite, unsigned threads, const char *name,
                      unsigned long iterations);

#endif
