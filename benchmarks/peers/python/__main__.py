# SPDX-License-Identifier: MIT
"""Python's generators, and its tasks (asyncio), beside weft.  Questions and methods are those of
weft's benchmarks of the same names; the comments say what differs.  Nothing but what Python comes
with: its interpreter is most of what is measured."""

import asyncio
import itertools
import sys
import time

from harness import Benchmark, Failure, main


def count_up():
    number = 1
    while True:
        yield number
        number += 1


def generator_next(batch):
    """By a loop, which asks without the call that next() is."""
    wrong = 0
    numbers = count_up()
    start = time.perf_counter_ns()
    for expected, number in enumerate(itertools.islice(numbers, batch), 1):
        if number != expected:
            wrong += 1
    elapsed = time.perf_counter_ns() - start
    if wrong or next(numbers) != batch + 1:
        raise Failure(f"{wrong} numbers were wrong")
    return elapsed


def answer():
    number = yield
    while True:
        number = yield number + 1


def generator_send(batch):
    wrong = 0
    answerer = answer()
    next(answerer)
    start = time.perf_counter_ns()
    for number in range(batch):
        if answerer.send(number) != number + 1:
            wrong += 1
    elapsed = time.perf_counter_ns() - start
    if wrong:
        raise Failure(f"{wrong} answers were wrong")
    return elapsed


def in_loop(work):
    """A benchmark's function of a coroutine's, in an event loop of its own for each sample."""
    return lambda batch: asyncio.run(work(batch))


async def switch_yield(batch):
    repeats, last = 0, 0

    async def play(player):
        nonlocal repeats, last
        for _ in range(batch):
            if last == player:
                repeats += 1
            last = player
            await asyncio.sleep(0)

    start = time.perf_counter_ns()
    await asyncio.gather(play(1), play(2))
    elapsed = time.perf_counter_ns() - start
    if repeats > 2 + batch / 100:
        raise Failure(f"{repeats} yields did not switch")
    return elapsed


async def one():
    return 1


async def spawn_join_empty(batch):
    ran = 0
    start = time.perf_counter_ns()
    for _ in range(batch):
        ran += await asyncio.create_task(one())
    elapsed = time.perf_counter_ns() - start
    if ran != batch:
        raise Failure("some tasks did not run")
    return elapsed


MEMBERS = 100


async def scope_spawn_join(batch):
    ran = 0
    start = time.perf_counter_ns()
    for _ in range(batch):
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(one()) for _ in range(MEMBERS)]
        ran += sum(task.result() for task in tasks)
    elapsed = time.perf_counter_ns() - start
    if ran != batch * MEMBERS:
        raise Failure("some tasks did not run")
    return elapsed


async def channel_pingpong(batch):
    """A queue holds one value at least, as tokio's channels do, so the sender need not wait."""
    there, back = asyncio.Queue(1), asyncio.Queue(1)

    async def answer_all():
        while (number := await there.get()) is not None:
            await back.put(number + 1)

    answerer = asyncio.create_task(answer_all())
    wrong = 0
    start = time.perf_counter_ns()
    for number in range(batch):
        await there.put(number)
        if await back.get() != number + 1:
            wrong += 1
    elapsed = time.perf_counter_ns() - start
    await there.put(None)
    await answerer
    if wrong:
        raise Failure(f"{wrong} answers were wrong")
    return elapsed


BENCHMARKS = [
    Benchmark("generator/next", 1, generator_next),
    Benchmark("generator/send", 1, generator_send),
    Benchmark("switch/yield", 2, in_loop(switch_yield)),
    Benchmark("spawn/join_empty/workers=1", 1, in_loop(spawn_join_empty)),
    Benchmark("channel/pingpong", 1, in_loop(channel_pingpong)),
]
# There are no groups of tasks before Python 3.11.
if hasattr(asyncio, "TaskGroup"):
    BENCHMARKS.append(Benchmark("scope/spawn_join_100", MEMBERS, in_loop(scope_spawn_join)))

sys.exit(main(BENCHMARKS))
