/* SPDX-License-Identifier: MIT */
/* Coroutines of C++20, which the compiler makes into state machines without stacks.  Questions and
 * methods are those of weft's benchmarks of the same names; below is only what differs. */
#include "harness/bench.h"

#include <coroutine>
#include <cstdint>
#include <exception>
#include <iterator>
#include <utility>

namespace
{

/* As std::generator of C++23, which this compiler's library may not have yet; and what is sent is
 * the value of the co_yield at which the coroutine stands. */
class generator
{
  public:
    struct promise_type {
        const uint64_t *value = nullptr;
        uint64_t sent = 0;

        struct yielding : std::suspend_always {
            const promise_type &promise;

            explicit yielding(const promise_type &own) noexcept : promise(own)
            {
            }
            uint64_t await_resume() const noexcept
            {
                return promise.sent;
            }
        };

        generator get_return_object()
        {
            return generator(std::coroutine_handle<promise_type>::from_promise(*this));
        }
        std::suspend_always initial_suspend() noexcept
        {
            return {};
        }
        std::suspend_always final_suspend() noexcept
        {
            return {};
        }
        yielding yield_value(const uint64_t &yielded) noexcept
        {
            value = &yielded;
            return yielding(*this);
        }
        void return_void() noexcept
        {
        }
        void unhandled_exception() noexcept
        {
            std::terminate();
        }
    };

    explicit generator(std::coroutine_handle<promise_type> own) : coroutine(own)
    {
    }
    generator(generator &&other) noexcept : coroutine(std::exchange(other.coroutine, nullptr))
    {
    }
    generator &operator=(generator &&) = delete;
    ~generator()
    {
        if (coroutine)
            coroutine.destroy();
    }
    uint64_t next()
    {
        coroutine.resume();
        return *coroutine.promise().value;
    }
    uint64_t send(uint64_t sent)
    {
        coroutine.promise().sent = sent;
        return next();
    }

  private:
    std::coroutine_handle<promise_type> coroutine;
};

/* Not inlined: else the compiler may see through the coroutine and leave a plain loop. */
[[gnu::noinline]] generator count_up()
{
    for (uint64_t i = 1;; i++)
        co_yield i;
}

void generator_next(bench *b)
{
    generator numbers = count_up();
    uint64_t wrong = 0;
    bench_start(b);
    for (uint64_t i = 1; i <= b->batch; i++)
        wrong += numbers.next() != i;
    bench_stop(b);
    if (wrong != 0)
        bench_fail(b, "%llu numbers were wrong", static_cast<unsigned long long>(wrong));
}

[[gnu::noinline]] generator answer()
{
    for (uint64_t reply = 0;;)
        reply = (co_yield reply) + 1;
}

void generator_send(bench *b)
{
    generator answerer = answer();
    uint64_t wrong = answerer.next();
    bench_start(b);
    for (uint64_t i = 0; i < b->batch; i++)
        wrong += answerer.send(i) != i + 1;
    bench_stop(b);
    if (wrong != 0)
        bench_fail(b, "%llu answers were wrong", static_cast<unsigned long long>(wrong));
}

const bench_case cases[] = {
    {"generator/next", BENCH_NS_PER_OP, 1, 1, 0, generator_next, nullptr},
    {"generator/send", BENCH_NS_PER_OP, 1, 1, 0, generator_send, nullptr},
};

} // namespace

int main(int argc, char **argv)
{
    return bench_main(argc, argv, "cpp20", cases, std::size(cases));
}
