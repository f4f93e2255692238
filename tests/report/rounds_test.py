# SPDX-License-Identifier: MIT
"""Tests of scripts/report/rounds.py, probing.py and of where programs run."""

import os
import sys
import unittest
from unittest import mock

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../scripts/report"))

import http_cases  # noqa: E402
import load  # noqa: E402
import machine  # noqa: E402
import probing  # noqa: E402
import programs  # noqa: E402
import rounds  # noqa: E402
import watch  # noqa: E402

CPUS = frozenset(os.sched_getaffinity(0))


def row_of(impl, value=1, bench="a"):
    return {"bench": bench, "metric": "s", "impl": impl, "workers": 1, "better": "lower",
            "samples": [value]}


class Clock:
    """Time that passes only when it is told to."""

    def __init__(self):
        self.now = 0.0

    def __call__(self):
        return self.now

    def sleep(self, _):
        self.now += 1


def probe_of(ratios, clock=None):
    """One that reads the ratios in turn, and whose pauses take a second."""
    found = iter(ratios)
    clock = clock or Clock()
    made = probing.Probe(lambda: next(found), clock.sleep, clock)
    made.ratios = [1.0, 1.0]
    return made


class Turns(unittest.TestCase):
    def setUp(self):
        self.clock = Clock()
        self.budget = rounds.Budget(60, self.clock)
        self.calls = []

    def turn(self, impl="fake", seconds=0, bench="a", error="", is_watched=True):
        def run():
            self.calls.append(f"{impl} {bench}")
            self.clock.now += seconds
            return ([], error) if error else ([row_of(impl, len(self.calls), bench)], "")
        return rounds.Turn(bench, impl, run, CPUS, is_watched)

    def run_all(self, entries, ratios=None, plan=rounds.FULL):
        probe = probe_of(ratios or [1.0] * 1000, self.clock)
        return rounds.run_all(entries, plan, probe, self.budget, lambda _: None)

    def take(self, turn, ratios):
        return rounds.take(turn, rounds.FULL, probe_of(ratios, self.clock), self.budget)[0]

    def test_the_worse_of_the_probes_before_and_after_is_that_of_the_process(self):
        self.assertEqual(self.take(self.turn(), [1.0, 1.5])[0]["probe"], 1.5)
        self.assertEqual(self.take(self.turn(), [1.4, 1.0])[0]["probe"], 1.4)

    def test_who_was_disturbed_is_not_repeated(self):
        self.take(self.turn(), [1.5] * 10)
        self.assertEqual(self.calls, ["fake a"])

    def test_memory_is_neither_probed_nor_waited_for(self):
        self.assertNotIn("probe", self.take(self.turn(is_watched=False), [])[0])
        self.assertFalse(programs.Bench("a", 1, "bytes_per_fiber").is_watched)
        self.assertTrue(programs.Bench("a", 1, "report").is_watched)

    def test_it_is_waited_for_a_tenth_of_the_time_so_far(self):
        self.assertEqual(self.budget.wait_left_s(0), 0)
        self.clock.now = 100
        self.assertAlmostEqual(self.budget.wait_left_s(4), 6)
        self.assertEqual(self.budget.wait_left_s(11), 0)

    def test_busy_neighbours_cost_no_more_than_that(self):
        turns = [self.turn(f"impl{number}", 2) for number in range(50)]
        probe = probe_of([1.5] * 10000, self.clock)
        rounds.run_all([turns], rounds.FULL, probe, self.budget, lambda _: None)
        self.assertEqual(len(self.calls), 50 * rounds.FULL.rounds)
        self.assertGreater(probe.waited_s, 0)
        self.assertLessEqual(probe.waited_s, self.clock.now / 10 + 1)

    def test_all_have_as_many_processes_when_the_time_is_over(self):
        outcome = self.run_all([[self.turn("weft", 600), self.turn("go", 300)],
                                [self.turn("weft", 300, "http/x")]])
        self.assertEqual(outcome.rounds, 3)
        self.assertEqual([row["n"] for row in outcome.rows], [3, 3, 3])
        self.assertEqual(outcome.seconds, {"a": 2700, "http/x": 900})

    def test_a_round_that_takes_longer_than_those_before_it_is_cut(self):
        lengths = iter((600, 600, 600, 600, 2500, 600))
        entries = []
        for name in ("a", "b"):
            def run(bench=name):
                self.calls.append(bench)
                self.clock.now += next(lengths)
                return [row_of("weft", 1, bench)], ""
            entries.append([rounds.Turn(name, "weft", run, CPUS)])
        self.assertEqual(self.run_all(entries).rounds, 2)
        self.assertEqual(self.calls, ["a", "b", "a", "b", "a"])

    def test_a_failure_is_kept_and_the_others_go_on(self):
        outcome = self.run_all([[self.turn("go", error="no luck"), self.turn("weft")]])
        self.assertEqual(outcome.failures, ["go: a: no luck"] * rounds.FULL.rounds)
        self.assertEqual([row["impl"] for row in outcome.rows], ["weft"])

    def test_the_longest_benchmark_is_the_first_of_the_table(self):
        lines = rounds.time_table({"short": 1.25, "long": 70}).splitlines()
        self.assertRegex(lines[2], "^long +70.0$")
        self.assertRegex(lines[3], "^short +1.2$")


class Http(unittest.TestCase):
    def turn(self, window):
        suite = http_cases.Suite(http_cases.CASES[:1], {})
        turns = suite.turns()
        self.assertEqual([turn.impl for turn in turns[0]], suite.names(http_cases.CASES[0]))
        with mock.patch.object(http_cases.Suite, "measure", lambda *_: window):
            return turns[0][0].run()

    def test_a_window_is_a_process_like_any_other(self):
        rows, error = self.turn(load.Window(requests_per_s=10, cpu_us_per_request=8, pss_bytes=5,
                                            causes=["other programs"]))
        self.assertEqual(error, "")
        self.assertEqual({row["metric"]: (row["samples"], row["causes"]) for row in rows},
                         {"requests_per_s": ([10], ["other programs"]),
                          "cpu_us_per_request": ([8], ["other programs"]),
                          "pss_bytes": ([5], ["other programs"])})

    def test_a_window_that_failed_says_why(self):
        window = load.Window(requests_per_s=10)
        window.fail("no luck")
        self.assertEqual(self.turn(window), ([], "no luck"))

    def test_errors_that_are_few_and_a_load_generator_that_is_full_are_told(self):
        window = load.Window(requests_per_s=1000, load_share=0.97)
        load.judge(window, {"errors": {"timeout": 3}, "non_2xx": 0, "requests": 1000})
        suite = http_cases.Suite(http_cases.CASES[:1], {})
        with mock.patch.object(http_cases.Suite, "measure", lambda *_: window):
            rows, error = suite.turns()[0][0].run()
        self.assertEqual((error, rows[0]["causes"]), ("", ["socket errors"]))
        self.assertEqual(suite.notes(), [
            "weft, /plaintext, 64 connections: socket errors: timeout 3",
            "wrk could not ask for more, so compare CPU/req: /plaintext, 64 connections: weft"])


class Waiting(unittest.TestCase):
    def test_the_wait_ends_when_it_is_quiet_or_long_enough(self):
        probe = probe_of([1.5, 1.5, 1.02, 1.5, 1.5, 1.5, 1.5, 1.6])
        self.assertEqual(probe.wait_for_quiet(10), 1.02)
        self.assertEqual(probe.waited_s, 2)
        self.assertEqual(probe.wait_for_quiet(3.5), 1.6)

    def test_the_first_wait_looks_for_the_best_ratio(self):
        probe = probe_of([1.5, 1.004] + [1.5] * 8 + [1.006])
        probe.ratios = []
        self.assertEqual(probe.wait_for_quiet(10), 1.006)
        self.assertEqual(probe.best, 1.006)

    def test_disturbed_readings_that_are_repeated_do_not_outnumber_the_others(self):
        probe = probe_of([1.0, 1.0] + 40 * ([1.5] * 99 + [1.0]) + [1.5])
        probe.ratios = []
        for _ in range(2):
            probe.measure()
        for _ in range(40):
            self.assertEqual(probe.wait_for_quiet(1000), 1.0)
        self.assertEqual(probe.best, 1.0)
        self.assertEqual(len(probe.ratios), 42)

    def test_readings_that_went_wrong_are_not_the_best(self):
        quiet, wrong = [1.28 + i / 1e5 for i in range(990)], [0.96, 1.0, 1.0, 1.15]
        probe = probe_of(quiet[:500] + wrong + quiet[500:])
        probe.ratios = []
        for _ in range(len(quiet) + len(wrong)):
            probe.measure()
        self.assertGreaterEqual(probe.best, 1.28)
        self.assertLess(probe.best, 1.2805)


class Places(unittest.TestCase):
    def test_cpus_are_of_different_cores_while_there_are_some(self):
        def siblings(cpu):
            return str(cpu // 2)
        self.assertEqual(machine.choose_cpus(1, range(4), siblings), {3})
        self.assertEqual(machine.choose_cpus(2, range(4), siblings), {3, 1})
        self.assertEqual(machine.choose_cpus(3, range(4), siblings), {3, 1, 2})
        self.assertEqual(machine.choose_cpus(9, range(4), siblings), {0, 1, 2, 3})

    def test_a_load_generator_has_a_cpu_of_its_own_where_there_are_three(self):
        self.assertEqual(machine.split_cpus({2}), ({2}, {2}))
        self.assertEqual(machine.split_cpus({0, 1}), ({0, 1}, {0, 1}))
        self.assertEqual(machine.split_cpus({4, 5, 7}), ({5, 7}, {4}))
        self.assertEqual(machine.split_cpus(range(8)), (set(range(1, 8)), {0}))

    def test_only_servers_share_the_machine_with_a_load_generator(self):
        four = {0, 1, 2, 3}
        for name in ("echo/tcp/connections=100", "hog/echo/hogs=1", "balance/echo",
                     "connect/churn"):
            timed, load_cpus = programs.Bench(name, 2, "report").place(four)
            self.assertLess(timed, {1, 2, 3})
            self.assertEqual((len(timed), load_cpus), (2, {0}))
        self.assertEqual(programs.Bench("idle/parked", 1, "report").place(four), (four, set()))
        for bench in (programs.Bench("a/b", 2, "s"), programs.Bench("mutex/b", 2, "report")):
            timed, load_cpus = bench.place(four)
            self.assertEqual((len(timed), load_cpus), (2, set()))

    def test_a_program_is_told_where_its_load_generator_runs(self):
        bench = programs.Bench("echo/tcp", 2, "report")
        program = programs.Program.__new__(programs.Program)
        program.impl, program.path = "weft", "x"
        seen = []

        def run(_, environment):
            seen.append((environment["BENCH_LOAD_CPUS"], os.sched_getaffinity(0)))
            return 1, "", "enough", None
        first = min(CPUS)
        for load_cpus, text in (({4}, "4"), ({4, 11}, "4,11")):
            with mock.patch.object(machine, "split_cpus", lambda _, l=load_cpus: ({first}, l)), \
                    mock.patch.object(programs, "run_program", run):
                self.assertEqual(program.run(bench, rounds.QUICK), ([], "enough"))
            self.assertEqual(seen.pop(), (text, {first}))
        self.assertEqual(os.sched_getaffinity(0), CPUS)

    def test_what_a_program_starts_counts_as_its_own(self):
        loop = "i=0; while [ $i -lt 100000 ]; do i=$((i+1)); done"
        _, _, _, idle = programs.run_program(["sh", "-c", "sh -c true; true"], os.environ)
        _, _, _, busy = programs.run_program(["sh", "-c", f"sh -c '{loop}'; true"], os.environ)
        spent = [watch.usage_of(rusage, 1).cpu_s for rusage in (idle, busy)]
        self.assertGreater(spent[1], spent[0] + 0.01)

    def test_wrk_runs_on_its_own_cpu_and_the_server_on_the_others(self):
        last = max(CPUS)
        seen = []

        class Server:
            def __init__(self, *_):
                seen.append(os.sched_getaffinity(0))

            def __enter__(self):
                return self

            def __exit__(self, *_):
                pass
        case = http_cases.CASES[0]
        with mock.patch.object(machine, "split_cpus", lambda: ({last}, {99})), \
                mock.patch.object(http_cases, "make_server", Server), \
                mock.patch.object(load, "measure", lambda *arguments: arguments[-1]):
            self.assertEqual(http_cases.Suite([case], {}).measure(case, "weft"), {99})
        self.assertEqual(seen, [{last}])
        with mock.patch.object(load, "wrk_command", lambda *_: ["nproc"]):
            with load.start_wrk(case, 1, 1, {last}) as process:
                self.assertEqual(process.stdout.read(), "1\n")


if __name__ == "__main__":
    unittest.main()
