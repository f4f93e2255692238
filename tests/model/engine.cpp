// SPDX-License-Identifier: MIT
#include "engine.h"

#include <relacy/relacy.hpp>

// Relacy takes these names from every file that includes it.
#undef malloc
#undef free

#include <cstdio>
#include <cstdlib>

static const model_suite *suite_of_run;

template <unsigned threads> struct engine_suite : rl::test_suite<engine_suite<threads>, threads> {
    alignas(64) char memory[MODEL_SUITE_SIZE_MAX];

    engine_suite()
    {
        suite_of_run->construct(memory);
    }

    ~engine_suite()
    {
        suite_of_run->destroy(memory);
    }

    void before()
    {
        suite_of_run->before(memory);
    }

    void thread(unsigned index)
    {
        suite_of_run->thread(memory, index);
    }

    void after()
    {
        suite_of_run->after(memory);
    }

    void invariant()
    {
        suite_of_run->invariant(memory);
    }
};

// rl::simulate() without its other schedulers.  A failing execution is repeated to print it.
template <unsigned threads> static bool simulate(rl::test_params &params)
{
    typedef rl::random_scheduler<threads> scheduler;
    typedef engine_suite<threads> suite;
    unsigned start = get_tick_count();
    rl::ostringstream state, unused;
    unsigned ms;

    if (rl::run_test<suite, scheduler>(params, state, false) == rl::test_result_success) {
        ms = get_tick_count() - start;
        std::printf("%lu iterations in %u ms, %lu a second\n",
                    static_cast<unsigned long>(params.stop_iteration), ms,
                    static_cast<unsigned long>(params.stop_iteration * 1000 / (ms > 0 ? ms : 1)));
        return true;
    }
    params.initial_state = state.str();
    params.collect_history = true;
    (void)rl::run_test<suite, scheduler>(params, unused, true);
    return false;
}

bool model_engine_run(const model_suite &suite, unsigned threads, const char *name,
                      unsigned long iterations)
{
    rl::test_params params;

    suite_of_run = &suite;
    params.iteration_count = iterations;
    params.search_type = rl::random_scheduler_type;
    params.execution_depth_limit = 5000;
    params.progress_output_period = 3600;
    params.test_name = name;
    switch (threads) {
    case 2:
        return simulate<2>(params);
    case 3:
        return simulate<3>(params);
    case 4:
        return simulate<4>(params);
    default:
        std::fprintf(stderr, "%s: no engine for %u threads\n", name, threads);
        return false;
    }
}
