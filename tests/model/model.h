/* SPDX-License-Identifier: MIT */
/*
 * What the models share: the runtime's allocator and its assertions under the model checker, and
 * the run itself.  Included once per model, after the sources that it checks.
 */
#ifndef WEFT_MODEL_H
#define WEFT_MODEL_H

#include "engine.h"
#include "model_atomic.h"
#include "runtime/check.h"

#include <cstdarg>
#include <cstdio>
#include <cstdlib>

/* Blocks stay mapped until the end of the execution, with what lived in them destroyed: Relacy then
 * reports every later access to an atomic in them. */
struct model_block {
    char *memory;
    size_t size;
};

struct model_object {
    char *memory;
    void (*destroy)(void *);
};

/* Not std::vector: Relacy replaces operator new while an execution runs. */
static rl::vector<model_block>::type model_blocks;
static rl::vector<model_object>::type model_objects;

void model_heap_adopt(void *object, void (*destroy)(void *))
{
    model_objects.push_back(model_object{static_cast<char *>(object), destroy});
}

static void model_heap_destroy(const char *memory, size_t size)
{
    for (size_t i = 0; i < model_objects.size();) {
        model_object object = model_objects[i];

        if (object.memory < memory || object.memory >= memory + size) {
            i++;
            continue;
        }
        model_objects[i] = model_objects.back();
        model_objects.pop_back();
        object.destroy(object.memory);
    }
}

static inline void *model_alloc(size_t size)
{
    char *memory = static_cast<char *>(std::calloc(1, size));

    model_blocks.push_back(model_block{memory, size});
    return memory;
}

static inline void model_free(void *memory)
{
    for (const model_block &block : model_blocks)
        if (block.memory == memory)
            model_heap_destroy(block.memory, block.size);
}

/* Caller: after(), where every thread has ended. */
static inline void model_heap_reset()
{
    for (const model_block &block : model_blocks) {
        model_heap_destroy(block.memory, block.size);
        std::free(block.memory);
    }
    model_blocks.clear();
    model_objects.clear();
}

/* A broken invariant of the runtime ends the execution like a broken one of the model. */
__attribute__((noreturn)) void wf_panic(const char *format, ...)
{
    char line[256];
    va_list arguments;

    va_start(arguments, format);
    std::vsnprintf(line, sizeof line, format, arguments);
    va_end(arguments);
    rl::ctx().fail_test(line, rl::test_result_user_assert_failed, RL_INFO);
    std::abort();
}

static const unsigned long model_default_iterations = 60000;

template <typename Suite> struct model_functions {
    static void construct(void *memory)
    {
        static_assert(sizeof(Suite) <= MODEL_SUITE_SIZE_MAX, "the engine keeps room for it");
        ::new (memory) Suite();
    }

    static void destroy(void *suite)
    {
        static_cast<Suite *>(suite)->~Suite();
    }

    static void before(void *suite)
    {
        static_cast<Suite *>(suite)->before();
    }

    static void thread(void *suite, unsigned index)
    {
        static_cast<Suite *>(suite)->thread(index);
    }

    static void after(void *suite)
    {
        static_cast<Suite *>(suite)->after();
    }

    static void invariant(void *suite)
    {
        static_cast<Suite *>(suite)->invariant();
    }
};

/* WEFT_MODEL_ITERATIONS executions, divided by `share` where a model has many suites. */
template <typename Suite> static bool model_run(const char *name, unsigned long share = 1)
{
    typedef model_functions<Suite> functions;
    static const model_suite suite = {functions::construct, functions::destroy,
                                      functions::before,    functions::thread,
                                      functions::after,     functions::invariant};
    const char *wanted = std::getenv("WEFT_MODEL_ITERATIONS");
    unsigned long iterations = wanted != nullptr ? std::strtoul(wanted, nullptr, 10)
                                                 : model_default_iterations;

    iterations /= share;
    std::printf("%s: %lu executions\n", name, iterations);
    std::fflush(stdout);
    return model_engine_run(suite, Suite::params::thread_count, name, iterations);
}

#endif
