# SPDX-License-Identifier: MIT
"""The rounds of a run: what is measured when, by one rule for all, and for how long.

A turn is one process of one implementation with one benchmark, or one window of one HTTP server.
Each round has one turn of each, and each turn a probe before and after it.  What was disturbed is
marked and not repeated: who is slower, and so disturbed more often, would get more attempts.
"""

import time
from dataclasses import dataclass, field
from typing import Callable

import machine
import results

# Of the time so far, so that the first round does not use up what is for all.
WAIT_SHARE_MAX = 0.1


@dataclass(frozen=True)
class Plan:
    rounds: int  # at most
    samples: int  # of each process
    wait_s: float  # for a quiet moment before each turn
    left_out: tuple  # globs of what takes long, unless --only asks for it
    minutes: int  # no round but the first goes on for longer
    is_quick: bool


# They are for the table of docs/io.md, and take half a minute a round.
_OPERATIONS = ("io/op/*",)
FULL = Plan(rounds=5, samples=3, wait_s=1.0, left_out=_OPERATIONS, minutes=60, is_quick=False)
_SLOW = ("forkjoin/fib/n=40/*", "forkjoin/uts/t1l/*", "memory/parked/n=1000000",
         "echo/tcp/connections=[15]0000", "echo/open/rate=*", "echo/open/load=[127]*",
         "echo/open/load=90")
QUICK = Plan(rounds=3, samples=2, wait_s=0.1, left_out=_OPERATIONS + _SLOW, minutes=5,
             is_quick=True)


class Budget:
    """How long a run may go on."""

    def __init__(self, minutes, clock=time.monotonic):
        self.clock = clock
        self.start = clock()
        self.seconds = 60 * minutes

    @property
    def elapsed_s(self):
        return self.clock() - self.start

    def has(self, seconds):
        return self.elapsed_s + seconds <= self.seconds

    def wait_left_s(self, waited_s):
        """How much longer may be waited for busy neighbours by now."""
        return max(WAIT_SHARE_MAX * self.elapsed_s - waited_s, 0)


@dataclass(frozen=True)
class Turn:
    bench: str
    impl: str
    run: Callable  # () -> (rows of one process, error text)
    cpus: frozenset  # that are probed
    is_watched: bool = True


@dataclass
class Outcome:
    rows: list = field(default_factory=list)
    failures: list = field(default_factory=list)
    rounds: int = 0  # whole ones
    is_stopped: bool = False  # by an interrupt
    seconds: dict = field(default_factory=dict)  # {benchmark: all its turns}


def turns_of(bench, programs, plan):
    cpus = frozenset(bench.place()[0])
    return [Turn(bench.name, program.impl, lambda p=program: p.run(bench, plan), cpus,
                 bench.is_watched)
            for program in programs if bench.name in program.names]


def take(turn, plan, probe, budget):
    """(rows, error) of one turn, which begins in a quiet moment if one comes in time."""
    if not turn.is_watched:
        return turn.run()
    with machine.restricted_to(turn.cpus):
        before = probe.wait_for_quiet(min(plan.wait_s, budget.wait_left_s(probe.waited_s)))
    rows, error = turn.run()
    with machine.restricted_to(turn.cpus):
        worst = max(before, probe.measure())
    for row in rows:
        row["probe"] = worst
    return rows, error


def run_all(entries, plan, probe, budget, show, keep=lambda _: None):
    """Each entry is all turns of one benchmark.  Each round goes through all of them, and through
    all implementations of each in turn: a slow minute of the machine hits one round of many
    benchmarks instead of all rounds of one, and all implementations alike.  A round begins only if
    it can end in time, judged by the longest before it, so that all have as many processes.  What
    there is after each goes to `keep`; an interrupt ends the rounds with what there is by then."""
    raw = {(turn.bench, turn.impl): [] for turns in entries for turn in turns}
    outcome = Outcome()
    longest = 0
    try:
        for number in range(1, plan.rounds + 1):
            began = budget.elapsed_s
            if number > 1 and not budget.has(longest):
                break
            if not run_round(number, entries, raw, outcome, (plan, probe, budget, show)):
                break
            outcome.rounds = number
            longest = max(longest, budget.elapsed_s - began)
            outcome.rows = merge(raw, probe)
            keep(outcome)
    except KeyboardInterrupt:
        outcome.is_stopped = True
    show("")
    outcome.rows = merge(raw, probe)
    return outcome


def merge(raw, probe):
    return results.merge((row for rows in raw.values() for row in rows), probe.best)


def run_round(number, entries, raw, outcome, run):
    """Whether it was whole: even one that was begun in time ends when the time is over."""
    plan, probe, budget, show = run
    for place, turns in enumerate(entries, 1):
        if number > 1 and not budget.has(0):
            return False
        began = budget.elapsed_s
        # Each implementation comes first in some round.
        first = number % len(turns)
        for turn in turns[first:] + turns[:first]:
            show(f"round {number} of at most {plan.rounds} [{place}/{len(entries)}] {turn.bench}: "
                 f"{turn.impl}")
            rows, error = take(turn, plan, probe, budget)
            raw[turn.bench, turn.impl] += rows
            if error:
                outcome.failures.append(f"{turn.impl}: {turn.bench}: {error}")
        bench = turns[0].bench
        outcome.seconds[bench] = outcome.seconds.get(bench, 0) + budget.elapsed_s - began
    return True


def time_table(seconds):
    """Where the time of a run went, the longest first."""
    lines = [[bench, "", f"{spent:.1f}"] for bench, spent
             in sorted(seconds.items(), key=lambda pair: -pair[1])]
    return results.format_table(["benchmark", "", "seconds"], lines)
