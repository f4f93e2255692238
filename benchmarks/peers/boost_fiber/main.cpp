/* SPDX-License-Identifier: MIT */
/* Boost.Fiber and Boost.Context beside weft.  Questions and methods are those of weft's benchmarks
 * of the same names; below is only what differs. */
#include "harness/bench.h"
#include "harness/inexact.h"
#include "objects.h"

#include <boost/context/continuation.hpp>
#include <boost/context/stack_context.hpp>
#include <boost/context/stack_traits.hpp>
#include <boost/fiber/all.hpp>

#include <array>
#include <chrono>
#include <functional>
#include <memory>
#include <new>
#include <vector>

#include <sys/mman.h>

namespace context = boost::context;
namespace fibers = boost::fibers;

namespace
{

/* Boost's scheduler belongs to a thread and starts by itself, so there is no host to run. */

template <bool is_inexact> void switch_raw(bench *b)
{
    uint64_t turns = 0;
    context::continuation other = context::callcc(
        [&turns](context::continuation &&caller) -> context::continuation {
            context::continuation main = std::move(caller);
            main = main.resume();
            while (main) {
                turns++;
                if (is_inexact)
                    do_inexact_addition();
                main = main.resume();
            }
            return {};
        });

    bench_start(b);
    for (uint64_t i = 0; i < b->batch; i++)
        other = other.resume();
    bench_stop(b);

    /* Destroying the continuation unwinds the other context by an exception. */
    if (turns != b->batch)
        bench_fail(b, "the other context ran %llu times", static_cast<unsigned long long>(turns));
}

void switch_yield(bench *b)
{
    uint64_t repeats = 0;
    int last = 0;
    auto player = [&](int id) {
        for (uint64_t i = 0; i < b->batch; i++) {
            repeats += last == id;
            last = id;
            boost::this_fiber::yield();
        }
    };

    bench_start(b);
    fibers::fiber first(player, 1);
    fibers::fiber second(player, 2);
    first.join();
    second.join();
    bench_stop(b);

    if (repeats > 2 + b->batch / 100)
        bench_fail(b, "%llu yields did not switch", static_cast<unsigned long long>(repeats));
}

/* A pool of stacks and launch::post, the default: the pool spares the fiber two system calls, and
 * launch::dispatch, which runs the new fiber at once, was measured slower here. */
void spawn_join_empty(bench *b)
{
    static fibers::pooled_fixedsize_stack stacks;
    uint64_t ran = 0;

    bench_start(b);
    for (uint64_t i = 0; i < b->batch; i++)
        fibers::fiber(std::allocator_arg, stacks, [&ran] { ran++; }).join();
    bench_stop(b);

    if (ran != b->batch)
        bench_fail(b, "some fibers did not run");
}

constexpr uint64_t skynet_leaves = 1000000;
constexpr std::size_t skynet_children = 10;

/* launch::dispatch runs a child at once.  With launch::post the tree would unfold level by level: a
 * million fibers at the same time, more than the kernel has mappings for their stacks.  Even so
 * some 67,000 are alive at the peak, for the parents wait in one first-in-first-out queue.
 *
 * On two workers there is no such benchmark: the pool of stacks is not made for several threads,
 * and malloc(), which the other allocators use, maps each stack by itself. */
void skynet_node(fibers::pooled_fixedsize_stack &stacks, uint64_t first, uint64_t size,
                 uint64_t &sum)
{
    sum = first;
    if (size == 1)
        return;
    size /= skynet_children;
    std::array<fibers::fiber, skynet_children> children;
    std::array<uint64_t, skynet_children> sums;
    for (std::size_t i = 0; i < skynet_children; i++)
        children[i] = fibers::fiber(fibers::launch::dispatch, std::allocator_arg, stacks,
                                    skynet_node, std::ref(stacks), first + i * size, size,
                                    std::ref(sums[i]));
    sum = 0;
    for (std::size_t i = 0; i < skynet_children; i++) {
        children[i].join();
        sum += sums[i];
    }
}

void spawn_skynet(bench *b)
{
    static fibers::pooled_fixedsize_stack stacks;
    uint64_t sum = 0;

    bench_start(b);
    skynet_node(stacks, 0, skynet_leaves, sum);
    bench_stop(b);

    if (sum != skynet_leaves * (skynet_leaves - 1) / 2)
        bench_fail(b, "the sum is wrong: %llu", static_cast<unsigned long long>(sum));
}

/* Stacks of Boost's default size, each mapped by itself and without a guard.  What Boost offers
 * would do worse: its guarded stacks need two mappings each and the kernel allows 65,530, and the
 * allocators on top of malloc() write to the far end of each stack, a second page. */
struct mapped_stack {
    context::stack_context allocate()
    {
        const std::size_t size = context::stack_traits::default_size();
        void *bottom = mmap(nullptr, size, PROT_READ | PROT_WRITE,
                            MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        if (bottom == MAP_FAILED)
            throw std::bad_alloc();
        context::stack_context stack;
        stack.size = size;
        stack.sp = static_cast<char *>(bottom) + size;
        return stack;
    }

    void deallocate(context::stack_context &stack)
    {
        munmap(static_cast<char *>(stack.sp) - stack.size, stack.size);
    }
};

void memory_parked(bench *b)
{
    const uint64_t count = b->spec->parameter;
    std::vector<fibers::fiber> crowd(count);
    mapped_stack stacks;
    fibers::mutex mutex;
    fibers::condition_variable released;
    uint64_t arrived = 0;
    uint64_t woken = 0;
    bool is_released = false;
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::hours(1);
    auto park = [&] {
        std::unique_lock<fibers::mutex> lock(mutex);
        arrived++;
        /* A timed wait, since Boost cannot end a sleep early: both sit in the timer tree. */
        released.wait_until(lock, deadline, [&] { return is_released; });
        woken++;
    };

    const uint64_t before = bench_resident_bytes();
    for (auto &fiber : crowd)
        fiber = fibers::fiber(std::allocator_arg, stacks, park);
    while (arrived < count)
        boost::this_fiber::yield();
    const uint64_t after = bench_resident_bytes();
    bench_value(b, (static_cast<double>(after) - static_cast<double>(before)) /
                       static_cast<double>(count));
    if (woken != 0)
        bench_fail(b, "some fibers were not asleep");

    {
        std::unique_lock<fibers::mutex> lock(mutex);
        is_released = true;
    }
    released.notify_all();
    for (auto &fiber : crowd)
        fiber.join();
    if (woken != count)
        bench_fail(b, "some fibers did not wake");
}

const std::array<bench_case, 15> cases{{
    {"switch/raw", BENCH_NS_PER_OP, 1, 2, 0, switch_raw<false>, nullptr},
    {"switch/raw/inexact=1", BENCH_NS_PER_OP, 1, 2, 0, switch_raw<true>, nullptr},
    {"switch/yield", BENCH_NS_PER_OP, 1, 2, 0, switch_yield, nullptr},
    {"spawn/join_empty/workers=1", BENCH_NS_PER_OP, 1, 1, 0, spawn_join_empty, nullptr},
    {"spawn/skynet/workers=1", BENCH_SECONDS, 1, 1, 0, spawn_skynet, nullptr},
    {"memory/parked/n=10000", BENCH_BYTES_PER_FIBER, 1, 1, 10000, memory_parked, nullptr},
    {"memory/parked/n=100000", BENCH_BYTES_PER_FIBER, 1, 1, 100000, memory_parked, nullptr},
    {"channel/pingpong", BENCH_NS_PER_OP, 1, 1, 0, bench_channel_pingpong, nullptr},
    {"channel/throughput/senders=1/receivers=1/workers=1", BENCH_NS_PER_OP, 1, 1, 0x101,
     bench_channel_throughput, nullptr},
    {"channel/throughput/senders=4/receivers=1/workers=1", BENCH_NS_PER_OP, 1, 1, 0x401,
     bench_channel_throughput, nullptr},
    {"channel/throughput/senders=4/receivers=4/workers=1", BENCH_NS_PER_OP, 1, 1, 0x404,
     bench_channel_throughput, nullptr},
    {"mutex/uncontended", BENCH_NS_PER_OP, 1, 1, 0, bench_mutex_uncontended, nullptr},
    {"condvar/pingpong", BENCH_NS_PER_OP, 1, 1, 0, bench_condvar_pingpong, nullptr},
    {"barrier/cross/parties=2", BENCH_NS_PER_OP, 1, 2, 0, bench_barrier_cross, nullptr},
    {"generator/next", BENCH_NS_PER_OP, 1, 1, 0, bench_generator_next, nullptr},
}};

} // namespace

int main(int argc, char **argv)
{
    return bench_main(argc, argv, "boost-fiber", cases.data(), cases.size());
}
