# SPDX-License-Identifier: MIT
"""Tests of the driver of all benchmarks, scripts/report/bench.py."""

import contextlib
import dataclasses
import io
import json
import os
import signal
import subprocess
import sys
import tempfile
import unittest
from unittest import mock

REPORT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../scripts/report")
sys.path.insert(0, REPORT)

import bench  # noqa: E402
import http_cases  # noqa: E402
import load  # noqa: E402
import machine  # noqa: E402
import probing  # noqa: E402
import programs  # noqa: E402
import results  # noqa: E402
import rounds  # noqa: E402

# A benchmark program: notes each call in a file, then does as its name says.  In the shell, which
# starts sooner than Python.
PROGRAM = """#!/bin/sh
case $1 in
--probe) echo 1.0 ;;
--list) printf '{names}' ;;
--describe) printf 'a/one 1 s\\na/two 1 s\\nb/three 2 s\\nc/report 2 report\\n' ;;
--only)
    echo "{impl} $2" >> {log}
    echo "{impl} $2 $(nproc)" >> {log}.cpus
    [ {impl} = go ] && echo "out of luck" >&2 && exit 1
    printf '{{"bench":"%s","metric":"s","impl":"{impl}","workers":1,"better":"lower",' $2
    echo '"median":2,"min":1,"max":3,"n":2,"samples":[1,3]}}'
    ;;
esac
"""
NAMES = {"weft": "a/one\\na/two\\nb/three\\nc/report\\n"}


@dataclasses.dataclass
class Done:
    returncode: int
    stdout: str
    stderr: str


class BenchDriver(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = folder.name
        self.log = os.path.join(self.folder, "log")
        for impl in ("weft", "tokio", "go"):
            names = NAMES.get(impl, "a/one\\nc/report\\n")
            self.write_program(impl, PROGRAM.format(impl=impl, log=self.log, names=names))
        # Asking the compilers for their versions takes longer than all else here.
        facts = mock.patch.object(machine, "facts", lambda: [("processor", "a fast one")])
        looks = mock.patch.object(probing, "_FIRST_LOOKS", 1)
        for patch in (facts, looks):
            patch.start()
            self.addCleanup(patch.stop)

    def write_program(self, name, text):
        path = os.path.join(self.folder, name)
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)
        os.chmod(path, 0o755)
        return path

    def drive(self, *arguments):
        """As the command line does, but in this process: starting Python takes long."""
        output, complaints = io.StringIO(), io.StringIO()
        before = [(number, signal.getsignal(number)) for number in (signal.SIGTERM, signal.SIGHUP)]
        with contextlib.redirect_stdout(output), contextlib.redirect_stderr(complaints):
            try:
                status = bench.run(["--weft-program", os.path.join(self.folder, "weft"),
                                    "--peer-folder", self.folder, *arguments])
            except SystemExit as end:
                status = end.code
        for number, handler in before:
            signal.signal(number, handler)
        return Done(status, output.getvalue(), complaints.getvalue())

    def test_the_command_line_ends_with_the_same_status(self):
        done = subprocess.run([sys.executable, os.path.join(REPORT, "bench.py"), "--peers", "x"],
                              capture_output=True, text=True, check=False)
        self.assertEqual(done.returncode, 2)
        self.assertIn("unknown 'x'", done.stderr)

    def test_list_prints_names_only(self):
        done = self.drive("--list")
        self.assertEqual((done.returncode, done.stdout), (0, "a/one\na/two\nb/three\nc/report\n"))

    def test_list_obeys_the_globs(self):
        self.assertEqual(self.drive("--list", "--only", "a/*").stdout, "a/one\na/two\n")

    def calls(self):
        with open(self.log, encoding="utf-8") as log:
            return log.read().splitlines()

    def test_rounds_go_through_all_benchmarks_and_each_implementation_is_first_in_turn(self):
        done = self.drive("--quick", "--only", "a/*", "--peers", "tokio")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(self.calls(), ["tokio a/one", "weft a/one", "weft a/two",
                                        "weft a/one", "tokio a/one", "weft a/two",
                                        "tokio a/one", "weft a/one", "weft a/two"])

    def test_benchmarks_of_long_windows_run_in_as_many_rounds(self):
        self.drive("--quick", "--only", "c/*", "--only", "a/two", "--peers", "none")
        self.assertEqual(self.calls(), ["weft a/two", "weft c/report"] * 3)

    def test_the_log_ends_with_the_time_of_each_benchmark(self):
        done = self.drive("--quick", "--only", "a/*", "--peers", "none")
        self.assertRegex(done.stdout, r"benchmark +seconds\n-.*\n(a/(one|two) +[0-9.]+\n){2}$")

    def test_no_round_but_the_first_outlasts_the_minutes(self):
        done = self.drive("--quick", "--only", "a/*", "--peers", "tokio", "--minutes", "0.00001")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(self.calls(), ["tokio a/one", "weft a/one", "weft a/two"])
        self.assertIn("minutes, 1 whole rounds", done.stdout)

    def test_minutes_are_a_positive_number(self):
        for text in ("0", "-1", "inf", "nan", "x"):
            done = self.drive("--minutes", text)
            self.assertEqual(done.returncode, 2)
            self.assertIn("--minutes", done.stderr)

    def test_timed_benchmarks_get_as_many_cpus_as_they_have_workers(self):
        self.drive("--quick", "--peers", "tokio")
        allowed = len(os.sched_getaffinity(0))
        with open(self.log + ".cpus", encoding="utf-8") as log:
            seen = set(log.read().splitlines())
        self.assertEqual(seen, {"weft a/one 1", "tokio a/one 1", "weft a/two 1",
                                f"weft b/three {min(2, allowed)}", f"weft c/report {allowed}",
                                f"tokio c/report {allowed}"})

    def test_the_json_has_one_process_of_each_round(self):
        path = os.path.join(self.folder, "out.json")
        self.drive("--quick", "--only", "a/one", "--peers", "tokio", "--json", path)
        with open(path, encoding="utf-8") as file:
            rows = json.load(file)
        self.assertEqual([(r["impl"], r["median"]) for r in rows], [("weft", 2), ("tokio", 2)])
        self.assertEqual([(r["n"], r["sample_count"]) for r in rows], [(3, 6), (3, 6)])

    def test_a_peer_that_fails_is_named_and_the_others_still_count(self):
        done = self.drive("--quick", "--only", "a/one", "--peers", "go,tokio")
        self.assertEqual(done.returncode, 1)
        self.assertIn("FAILED: go: a/one: out of luck", done.stdout)
        self.assertRegex(done.stdout, r"tokio .* 1\.00 level")

    def test_wrong_paths_are_told_before_anything_is_measured(self):
        nowhere = os.path.join(self.folder, "nowhere", "file")
        broken = os.path.join(self.folder, "broken.json")
        with open(broken, "w", encoding="utf-8") as file:
            file.write("[")
        for arguments in (["--json", nowhere], ["--html", nowhere], ["--compare", nowhere],
                          ["--compare", broken], ["--publish", "--publish-root", self.folder]):
            with self.subTest(arguments):
                done = self.drive("--quick", "--only", "a/*", "--peers", "none", *arguments)
                self.assertIn(done.returncode, (1, 2))
                self.assertIn(arguments[-1], done.stderr)
                self.assertFalse(os.path.exists(self.log), "it measured")

    def stop_at(self, number, *arguments):
        """A run that is interrupted at the turn of this number."""
        take, taken = rounds.take, []

        def stop(*turn):
            taken.append(turn)
            if len(taken) == number:
                raise KeyboardInterrupt
            return take(*turn)
        with mock.patch.object(rounds, "take", stop):
            return self.drive("--quick", "--only", "a/*", "--peers", "tokio", *arguments)

    def test_an_interrupt_leaves_what_there_is(self):
        path, html = (os.path.join(self.folder, name) for name in ("out.json", "out.html"))
        done = self.stop_at(5, "--json", path, "--html", html)
        self.assertEqual(done.returncode, 130)
        self.assertIn("stopped", done.stderr)
        self.assertEqual([(row["bench"], row["impl"], row["n"]) for row in results.read_json(path)],
                         [("a/one", "weft", 2), ("a/one", "tokio", 1), ("a/two", "weft", 1)])
        self.assertIn("1 whole rounds, then stopped",
                      dict(results.read_notes(path)["facts"])["duration"])
        self.assertTrue(os.path.exists(html))
        before = results.read_json(path)
        self.assertEqual(self.stop_at(1, "--json", path).returncode, 130)
        self.assertEqual(results.read_json(path), before, "nothing took the place of something")

    def test_what_was_interrupted_is_not_published(self):
        os.mkdir(os.path.join(self.folder, "docs"))
        readme = os.path.join(self.folder, "README.md")
        with open(readme, "w", encoding="utf-8") as file:
            file.write("<!-- MEASURED: begin. -->\n<!-- MEASURED: end. -->\n")
        done = self.stop_at(5, "--publish", "--publish-root", self.folder)
        self.assertEqual(done.returncode, 130)
        self.assertEqual(os.listdir(os.path.join(self.folder, "docs")), [])

    def test_each_round_is_on_disk_before_the_next(self):
        path = os.path.join(self.folder, "out.json")
        take, seen = rounds.take, []

        def look(*turn):
            seen.append([row["n"] for row in results.read_json(path)]
                        if os.path.exists(path) else [])
            return take(*turn)
        with mock.patch.object(rounds, "take", look):
            self.drive("--quick", "--only", "a/two", "--peers", "none", "--json", path)
        self.assertEqual(seen, [[], [1], [2]])

    def test_a_run_can_be_compared_with_what_it_overwrites(self):
        path = os.path.join(self.folder, "out.json")
        with open(path, "w", encoding="utf-8") as file:
            file.write("[]")
        done = self.drive("--quick", "--only", "a/one", "--peers", "tokio", "--json", path,
                          "--compare", path)
        self.assertEqual(done.returncode, 1)
        self.assertIn("0 verdicts are in both runs", done.stdout)

    def test_a_peer_that_is_not_built_is_named(self):
        done = self.drive("--quick", "--only", "a/one", "--peers", "pthread")
        self.assertEqual(done.returncode, 0)
        self.assertIn("skipped: pthread", done.stdout)

    def test_a_peer_that_does_not_start_is_skipped_with_its_complaint(self):
        self.write_program("pthread", "#!/bin/sh\necho no libfoo.so >&2\nexit 127\n")
        self.write_program("tbb", "no program")
        done = self.drive("--quick", "--only", "a/one", "--peers", "pthread,tbb,tokio")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn("skipped: pthread (does not start: no libfoo.so)", done.stdout)
        self.assertRegex(done.stdout, r"skipped: tbb \(does not start: .*Exec format error")
        self.assertRegex(done.stdout, r"tokio .* 1\.00 level")

    def test_a_peer_that_tells_nothing_of_itself_is_skipped_after_a_while(self):
        path = self.write_program("pthread", "#!/bin/sh\nexec sleep 3600\n")
        with mock.patch.object(programs, "ASK_SECONDS_MAX", 0.1), \
                self.assertRaises(subprocess.TimeoutExpired) as caught:
            programs.Program("pthread", path)
        made = mock.Mock(side_effect=["weft", caught.exception])
        with mock.patch.object(programs, "Program", made):
            found, skipped = programs.find("weft", self.folder, ["pthread"])
        self.assertEqual(found, ["weft"])
        self.assertRegex(skipped[0], r"^pthread \(does not start: .*timed out")

    def test_the_report_is_one_file_that_loads_nothing(self):
        path = os.path.join(self.folder, "out.html")
        self.drive("--quick", "--peers", "none", "--html", path)
        with open(path, encoding="utf-8") as file:
            html = file.read()
        self.assertIn("<svg", html)
        for word in ("src=", "@import", "url(", "<script", "<link"):
            self.assertNotIn(word, html)
        self.assertEqual(html.count("href="), html.count('href="#'))

    def test_a_report_can_be_made_of_earlier_results(self):
        first, second, report = (os.path.join(self.folder, name)
                                 for name in ("a.json", "b.json", "c.html"))
        self.drive("--quick", "--only", "a/one", "--peers", "tokio", "--json", first)
        self.drive("--quick", "--only", "b/*", "--peers", "none", "--json", second)
        os.remove(self.log)
        done = self.drive("--read", first, "--read", second, "--html", report)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertFalse(os.path.exists(self.log), "it measured")
        with open(report, encoding="utf-8") as file:
            html = file.read()
        self.assertIn("a/one", html)
        self.assertIn("b/three", html)
        done = self.drive("--read", report)
        self.assertEqual(done.returncode, 2)
        self.assertIn("cannot be read", done.stderr)

    def two_runs(self):
        paths = [os.path.join(self.folder, name) for name in ("a.json", "b.json")]
        for path in paths:
            self.drive("--quick", "--only", "a/one", "--peers", "tokio", "--json", path)
        return paths

    def add_fact(self, path, name, value):
        notes = results.read_notes(path)
        notes["facts"].append([name, value])
        results.write_notes(notes, path)

    def test_runs_of_the_same_sources_are_put_together(self):
        first, second = self.two_runs()
        joined = os.path.join(self.folder, "c.json")
        self.add_fact(first, "time", "today")
        self.add_fact(second, "time", "tomorrow")
        done = self.drive("--read", first, "--read", second, "--json", joined)
        self.assertEqual(done.returncode, 0, done.stderr)
        rows = results.read_json(joined)
        self.assertEqual([(row["impl"], row["n"]) for row in rows], [("weft", 6), ("tokio", 6)])
        facts = dict(results.read_notes(joined)["facts"])
        self.assertEqual((facts["time"], facts["processor"]), ("today; tomorrow", "a fast one"))
        again = os.path.join(self.folder, "d.json")
        self.drive("--read", joined, "--read", first, "--json", again)
        self.assertEqual([results.read_notes(path)["calls"] for path in (first, joined, again)],
                         [1, 2, 3])

    def test_runs_of_different_sources_are_not(self):
        first, second = self.two_runs()
        self.add_fact(first, "revision", "1234")
        self.add_fact(second, "revision", "5678")
        done = self.drive("--read", first, "--read", second)
        self.assertEqual(done.returncode, 2)
        self.assertIn("not the same sources: 1234; 5678", done.stderr)

    def test_nor_is_a_file_that_does_not_tell_of_its_processes(self):
        first, second = self.two_runs()
        rows = results.read_json(second)
        for row in rows:
            del row["processes"]
        results.write_json(rows, second)
        done = self.drive("--read", first, "--read", second)
        self.assertEqual(done.returncode, 2)
        self.assertIn("a/one of weft is in more than one file", done.stderr)

    def test_a_run_can_be_published_and_compared_later(self):
        path = os.path.join(self.folder, "out.json")
        os.mkdir(os.path.join(self.folder, "docs"))
        with open(os.path.join(self.folder, "README.md"), "w", encoding="utf-8") as file:
            file.write("<!-- MEASURED: begin. -->\n<!-- MEASURED: end. -->\n")
        self.drive("--quick", "--only", "a/one", "--peers", "tokio", "--json", path)
        done = self.drive("--read", path, "--publish", "--publish-root", self.folder)
        self.assertEqual(done.returncode, 0, done.stderr)
        with open(os.path.join(self.folder, "docs/benchmarks.md"), encoding="utf-8") as file:
            text = file.read()
        self.assertIn("processor: a fast one", text)
        self.assertNotIn("warning", done.stderr)
        self.assertIn("`scripts/bench.sh --quick --only a/one", text)
        rows = results.read_json(path)
        results.write_json([{**row, "disturbed": 1.0} for row in rows], path)
        done = self.drive("--read", path, "--publish", "--publish-root", self.folder)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn("warning: published, though 2 of 2 rows were disturbed", done.stderr)
        done = self.drive("--read", path, "--compare", path)
        self.assertIn(f"compared with {path}: ", done.stdout)
        self.assertEqual(self.drive("--read", path, "--compare", "x").returncode, 2)

    def test_the_report_says_how_to_repeat_it_without_what_the_script_adds(self):
        self.assertEqual(bench.visible(["--weft-program", "x", "--peer-folder", "y", "--quick",
                                        "--html", "f"]), ["--quick", "--html", "f"])

    def test_a_program_tells_what_it_used(self):
        path = os.path.join(self.folder, "out.json")
        self.drive("--quick", "--only", "a/one", "--peers", "none", "--json", path)
        row = results.read_json(path)[0]
        self.assertGreater(row["cpus"], 0)
        self.assertGreater(row["peak_rss_bytes"], 1000 * 1000)

    def test_what_needs_more_cpus_than_there_are_is_left_out(self):
        benches = [programs.Bench(f"a/workers={n}", n, "s") for n in (1, 2, 4, 8)]
        self.assertEqual([b.workers for b in bench.fitting(benches, 1)], [1, 2])
        self.assertEqual([b.workers for b in bench.fitting(benches, 5)], [1, 2, 4])

    def test_what_needs_more_files_than_allowed_is_skipped_by_name(self):
        names = ("echo/tcp/connections=10000", "echo/tcp/connections=50000",
                 "memory/parked/n=50000")
        benches = [programs.Bench(name, 2, "report") for name in names]
        for allowed, kept in ((20000, (0, 2)), (50199, (0, 2)), (50200, (0, 1, 2)),
                              (-1, (0, 1, 2))):
            with mock.patch("resource.getrlimit", lambda _: (allowed, allowed)):
                fitting, notes = bench.within_limits(benches)
            self.assertEqual([b.name for b in fitting], [names[i] for i in kept])
            self.assertEqual([note.partition(" ")[0] for note in notes],
                             [] if 1 in kept else [names[1]])

    def test_wrong_use_ends_with_2_and_a_reason(self):
        wrong = {
            "unrecognized arguments: --frobnicate": ["--frobnicate"],
            "'x/*' matches no benchmark": ["--only", "x/*"],
            "'a/x' matches no benchmark": ["--only", "a/one", "--only", "a/x"],
            "unknown 'erlang'": ["--peers", "erlang"],
            "unknown ','": ["--peers", ","],
        }
        for reason, arguments in wrong.items():
            with self.subTest(reason):
                done = self.drive(*arguments)
                self.assertEqual(done.returncode, 2)
                self.assertIn(reason, done.stderr)

    def test_print_peers_tells_the_shell_what_to_build(self):
        self.assertEqual(self.drive("--print-peers").stdout.split(), list(bench.PEERS))
        self.assertEqual(self.drive("--print-peers", "--peers", "none").stdout.split(), [])
        self.assertEqual(self.drive("--print-peers", "--list").stdout.split(), [])
        self.assertEqual(self.drive("--print-peers", "--peers", "nginx,go").stdout.split(), ["go"])

    def test_the_http_comparison_is_part_of_a_whole_run(self):
        path = os.path.join(self.folder, "out.json")
        seen = []

        def measure(_, case, name):
            seen.append((case.bench, name))
            return load.Window(requests_per_s=1000, cpu_us_per_request=8, p50_us=100, p99_us=200,
                               pss_bytes=5e6, threads=3)
        built = {"http-uring-floor": "true"}
        with mock.patch.object(http_cases, "find_programs", lambda _: built), \
                mock.patch.object(http_cases.Suite, "measure", measure):
            done = self.drive("--quick", "--peers", "nginx", "--http-build", "x", "--json", path)
        self.assertEqual(done.returncode, 0, done.stderr)
        wanted = {(case.bench, name) for case in http_cases.CASES
                  for name in ("weft", "nginx") if name in http_cases.implementations(case)}
        self.assertEqual(set(seen), wanted)
        modules = {row["bench"].split("/")[0] for row in results.read_json(path)}
        self.assertEqual(modules, {"a", "b", "c", "http"})

    def test_a_server_that_is_not_built_is_skipped_by_name(self):
        windows = []

        def measure(_, case, name):
            windows.append(name)
            return load.Window(requests_per_s=1000, cpu_us_per_request=8)
        for built in ({}, {"h2o": "http-h2o"}):
            programs = {"http-uring-floor": "true", **built}
            with mock.patch.object(http_cases, "find_programs", lambda _: programs), \
                    mock.patch.object(http_cases.Suite, "measure", measure):
                done = self.drive("--quick", "--only", "http/json*", "--peers", "h2o,nginx",
                                  "--http-build", "x")
            self.assertEqual(done.returncode, 0, done.stderr)
            self.assertEqual("skipped: h2o (not built on this machine)" in done.stdout, not built)
            self.assertCountEqual(windows, (["weft", "nginx"] + list(built)) * rounds.QUICK.rounds)
            windows.clear()

    def test_the_http_comparison_is_listed_and_chosen_like_the_others(self):
        listed = self.drive("--list", "--http-build", "x").stdout.split()
        self.assertEqual(listed[-len(http_cases.CASES):], [c.bench for c in http_cases.CASES])
        self.assertEqual(self.drive("--list", "--http-build", "x", "--only", "*delay*").stdout,
                         "http/delay=10/connections=2000\n")

    def test_without_a_load_generator_the_http_comparison_is_skipped_by_name(self):
        done = self.drive("--quick", "--only", "a/one", "--only", "http/churn*", "--peers", "none",
                          "--http-build", self.folder)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertRegex(done.stdout, r"skipped: http/\* \(weft-http is not built")

    def test_a_quick_run_leaves_out_what_takes_long_unless_it_is_asked_for(self):
        with mock.patch.object(rounds, "QUICK",
                               dataclasses.replace(rounds.QUICK, left_out=("a/*",))):
            self.assertEqual(self.drive("--quick", "--list").stdout, "b/three\nc/report\n")
            self.assertEqual(self.drive("--quick", "--list", "--only", "a/one").stdout, "a/one\n")

    def test_a_run_ends_in_time(self):
        """The first round is whole, whatever it takes; then the clock decides."""
        with mock.patch.object(rounds, "QUICK", dataclasses.replace(rounds.QUICK, minutes=0)):
            done = self.drive("--quick", "--only", "a/*", "--peers", "none")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(self.calls(), ["weft a/one", "weft a/two"])
        self.assertIn("minutes, 1 whole rounds", done.stdout)


if __name__ == "__main__":
    unittest.main()
