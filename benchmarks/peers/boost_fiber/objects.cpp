/* SPDX-License-Identifier: MIT */
/* Channels, locks and generators of Boost.Fiber and Boost.Coroutine2.  Questions and methods are
 * those of weft's benchmarks of the same names; below is only what differs. */
#include "objects.h"

#include <boost/coroutine2/all.hpp>
#include <boost/fiber/all.hpp>

#include <memory>
#include <mutex>
#include <numeric>
#include <vector>

namespace fibers = boost::fibers;

void bench_channel_pingpong(bench *b)
{
    fibers::unbuffered_channel<uint64_t> there;
    fibers::unbuffered_channel<uint64_t> back;
    uint64_t wrong = 0;
    fibers::fiber answerer([&] {
        for (const uint64_t value : there)
            back.push(value + 1);
    });
    bench_start(b);
    for (uint64_t i = 0; i < b->batch; i++) {
        there.push(i);
        wrong += back.value_pop() != i + 1;
    }
    bench_stop(b);
    there.close();
    answerer.join();
    if (wrong != 0)
        bench_fail(b, "%llu answers were wrong", static_cast<unsigned long long>(wrong));
}

/* The capacity of Boost's channels is a power of two, of which one place stays free. */
void bench_channel_throughput(bench *b)
{
    const auto sender_count = static_cast<std::size_t>(b->spec->parameter >> 8);
    const auto receiver_count = static_cast<std::size_t>(b->spec->parameter & 255);
    const uint64_t share = b->batch / sender_count + 1;
    fibers::buffered_channel<uint64_t> channel(128);
    std::vector<fibers::fiber> senders;
    std::vector<fibers::fiber> receivers;
    std::vector<uint64_t> sums(receiver_count);
    bench_start(b);
    for (uint64_t &sum : sums)
        receivers.emplace_back([&] {
            for (const uint64_t value : channel)
                sum += value;
        });
    for (std::size_t i = 0; i < sender_count; i++)
        senders.emplace_back([&] {
            for (uint64_t value = 1; value <= share; value++)
                channel.push(value);
        });
    for (auto &fiber : senders)
        fiber.join();
    channel.close();
    for (auto &fiber : receivers)
        fiber.join();
    bench_stop(b);
    if (std::accumulate(sums.begin(), sums.end(), uint64_t{0}) !=
        share * (share + 1) / 2 * sender_count)
        bench_fail(b, "values were lost");
}

void bench_mutex_uncontended(bench *b)
{
    static fibers::mutex mutex;
    static uint64_t count; /* under the mutex */
    const uint64_t before = count;
    bench_start(b);
    for (uint64_t i = 0; i < b->batch; i++) {
        const std::lock_guard<fibers::mutex> lock(mutex);
        count++;
    }
    bench_stop(b);
    if (count - before != b->batch)
        bench_fail(b, "some locks failed");
}

void bench_condvar_pingpong(bench *b)
{
    fibers::mutex mutex;
    fibers::condition_variable changed;
    uint64_t turn = 0;
    uint64_t waits = 0;
    auto play = [&](uint64_t id) {
        std::unique_lock<fibers::mutex> lock(mutex);
        while (turn < b->batch) {
            if (turn % 2 == id) {
                turn++;
                changed.notify_one();
            } else {
                waits++;
                changed.wait(lock);
            }
        }
        changed.notify_one();
    };
    bench_start(b);
    fibers::fiber second(play, 1);
    play(0);
    second.join();
    bench_stop(b);
    if (turn != b->batch || waits + 2 < b->batch)
        bench_fail(b, "some turns were not waited for");
}

/* One operation is one party's part in a crossing. */
void bench_barrier_cross(bench *b)
{
    fibers::barrier barrier(2);
    uint64_t crossed = 0;
    auto cross = [&] {
        for (uint64_t i = 0; i <= b->batch; i++) {
            if (!barrier.wait())
                continue;
            crossed++;
            if (i == 0)
                bench_start(b);
            if (i == b->batch)
                bench_stop(b);
        }
    };
    fibers::fiber other(cross);
    cross();
    other.join();
    if (crossed != b->batch + 1)
        bench_fail(b, "%llu crossings", static_cast<unsigned long long>(crossed));
}

/* A coroutine with a stack: the generator of Boost's that stands beside its fibers. */
void bench_generator_next(bench *b)
{
    using values = boost::coroutines2::coroutine<uint64_t>;
    values::pull_type generator([](values::push_type &yield) {
        for (uint64_t i = 1;; i++)
            yield(i);
    });
    uint64_t wrong = 0;
    bench_start(b);
    for (uint64_t i = 1; i <= b->batch; i++) {
        wrong += generator.get() != i;
        generator();
    }
    bench_stop(b);
    if (wrong != 0)
        bench_fail(b, "%llu numbers were wrong", static_cast<unsigned long long>(wrong));
}
