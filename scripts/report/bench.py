# SPDX-License-Identifier: MIT
"""scripts/bench.sh: weft's benchmarks beside those of its peers, interleaved, in one table."""

import argparse
import dataclasses
import fnmatch
import os
import shlex
import signal
import subprocess
import sys

import agree
import http_cases
import machine
import page
import probing
import programs as benchmark_programs
import publish
import questions
import results
import rounds
import sections
import servers

PEERS = ("boost-fiber", "cpp20", "go", "tokio", "pthread", "tbb", "openmp", "rayon", "may",
         "compio", "libuv", "python", "uring-floor", "epoll-floor")
ALL_PEERS = tuple(dict.fromkeys(PEERS + http_cases.PEERS))

ROOT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../..")


class UsageError(Exception):
    """The command line asks for something that does not exist."""


def choose(names, globs):
    """Those names that a glob matches; all if there is none."""
    for glob in globs:
        if not any(fnmatch.fnmatchcase(name, glob) for name in names):
            raise UsageError(f"--only '{glob}' matches no benchmark; --list shows their names")
    return [name for name in names
            if not globs or any(fnmatch.fnmatchcase(name, glob) for glob in globs)]


def fitting(benches, cpus=None):
    """Those that this machine has the CPUs for; two workers are tried on any."""
    cpus = max(len(os.sched_getaffinity(0)) if cpus is None else cpus, 2)
    return [bench for bench in benches if bench.workers <= cpus]


def within_limits(benches):
    """Those whose connections this process may have open, and why the others are left out."""
    lacking = {entry.name: machine.lacking_files(entry.name) for entry in benches}
    return ([entry for entry in benches if not lacking[entry.name]],
            [f"{name} ({why})" for name, why in lacking.items() if why])


def parse_peers(text):
    if text == "auto":
        return ALL_PEERS
    if text == "none":
        return ()
    names = tuple(name for name in text.split(",") if name)
    unknown = [name for name in names if name not in ALL_PEERS]
    if unknown or not names:
        raise UsageError(f"--peers: unknown '{text}'; auto, none, or some of "
                         f"{', '.join(ALL_PEERS)}")
    return names


def positive_number(text):
    number = float(text)
    if not 0 < number < float("inf"):
        raise ValueError
    return number


def parse_options(arguments):
    parser = argparse.ArgumentParser(prog="scripts/bench.sh", description=__doc__,
                                     allow_abbrev=False)
    parser.add_argument("--list", action="store_true", help="print the benchmarks' names and end")
    parser.add_argument("--only", action="append", default=[], metavar="GLOB",
                        help="run those whose name matches; may be given several times")
    parser.add_argument("--quick", action="store_true", help="fewer and shorter samples")
    parser.add_argument("--minutes", type=positive_number, metavar="N",
                        help=f"no round but the first goes on for longer (default "
                             f"{rounds.FULL.minutes}, with --quick {rounds.QUICK.minutes})")
    parser.add_argument("--peers", default="auto", metavar="auto|none|a,b",
                        help=f"compare with these: {', '.join(ALL_PEERS)} (default auto: those "
                             "that this machine can build)")
    parser.add_argument("--json", metavar="FILE", help="write the results as a JSON array")
    parser.add_argument("--html", metavar="FILE", help="write a report with charts")
    parser.add_argument("--read", action="append", default=[], metavar="FILE",
                        help="measure nothing: take the results of this file, of --json or of "
                             "scripts/run.sh; may be given several times, and runs of the same are "
                             "put together")
    parser.add_argument("--compare", metavar="FILE",
                        help="tell which verdicts differ from those of this earlier run; status 1 "
                             "if one contradicts")
    parser.add_argument("--publish", action="store_true",
                        help="write the tables of README.md, and docs/benchmarks.md with its "
                             "pictures")
    parser.add_argument("--publish-root", default=ROOT, help=argparse.SUPPRESS)
    parser.add_argument("--weft-program", help=argparse.SUPPRESS)
    parser.add_argument("--peer-folder", help=argparse.SUPPRESS)
    parser.add_argument("--http-build", help=argparse.SUPPRESS)
    # What the shell script asks before it builds: which peers, or nothing for --list.
    parser.add_argument("--print-peers", action="store_true", help=argparse.SUPPRESS)
    return parser.parse_args(arguments)


def show_progress(text):
    """Over itself on a terminal, line by line elsewhere."""
    if sys.stderr.isatty():
        print(f"\r\033[K{text}", end="", file=sys.stderr, flush=True)
    elif text:
        print(text, file=sys.stderr, flush=True)


def make_report(rows, facts, skipped, failures, command):
    try:
        reasons = sections.read_reasons(os.path.join(ROOT, "benchmarks/reasons.txt"))
    except ValueError as error:
        raise UsageError(str(error)) from error
    return page.Report(
        rows=rows, facts=facts, skipped=skipped, failures=failures, command=command,
        reasons=reasons, questions=questions.read(os.path.join(ROOT, "benchmarks")))


def command_of(arguments):
    return shlex.join(["scripts/bench.sh"] + visible(arguments))


def visible(arguments):
    """Those that the user gave; the shell script's own come first, in pairs."""
    hidden = {"--weft-program", "--peer-folder", "--http-build"}
    return [argument for before, argument in zip([""] + arguments, arguments)
            if argument not in hidden and before not in hidden]


def check_files(options):
    """The rows to compare with.  Called before an hour of measuring: a path that is wrong shall not
    be found afterwards, nor the run be compared with itself."""
    for path in filter(None, (options.json, options.html)):
        results.check_writable(path)
    if options.publish:
        try:
            publish.check(options.publish_root)
        except ValueError as error:
            raise UsageError(str(error)) from error
    return read_rows([options.compare]) if options.compare else []


def write_results(report, path):
    results.write_json(report.rows, path)
    results.write_notes({"facts": report.facts, "skipped": report.skipped,
                         "failures": report.failures, "command": report.command,
                         "calls": report.calls}, path)


def write_outputs(options, report, earlier, is_whole=True):
    """What the options ask for; returns whether the run agrees with the earlier rows.  One that was
    stopped is neither published nor compared."""
    if options.json:
        write_results(report, options.json)
        print(f"results: {options.json}")
    if options.html:
        with open(options.html, "w", encoding="utf-8") as out:
            out.write(page.render(report))
        print(f"report:  {options.html}")
    if not is_whole:
        return False
    if options.publish:
        doubt = sections.disturbed_text(report.rows)
        if doubt:
            print(f"scripts/bench.sh: warning: published, though {doubt}", file=sys.stderr)
        print(f"published: {', '.join(publish.write(report, options.publish_root))}")
    if not options.compare:
        return True
    text, is_same = agree.text(earlier, report.rows)
    print(f"compared with {options.compare}: {text}")
    return is_same


def read_rows(paths):
    """Rows of earlier files, for a report without measuring."""
    rows = []
    for path in paths:
        try:
            rows += results.read_json(path)
        except (OSError, ValueError) as error:
            raise UsageError(f"'{path}' cannot be read: {error}") from error
    return rows


def without_repeats(texts):
    return list(dict.fromkeys(texts))


def told_of_all(notes):
    """(facts, skipped, failures, command): what the runs do not agree in, one after the other."""
    facts = {}
    for each in notes:
        for name, value in each.get("facts", []):
            facts.setdefault(name, []).append(value)
    return ([(name, "; ".join(without_repeats(values))) for name, values in facts.items()],
            without_repeats(text for each in notes for text in each.get("skipped", [])),
            [text for each in notes for text in each.get("failures", [])],
            "; ".join(without_repeats(each["command"] for each in notes if each.get("command"))))


def join_rows(rows, notes):
    """Those of several runs of the same sources in one."""
    try:
        joined = results.join(rows)
    except ValueError as error:
        raise UsageError(str(error)) from error
    revisions = without_repeats(dict(each.get("facts", [])).get("revision", "unknown")
                                for each in notes)
    if len(joined) < len(rows) and len(revisions) > 1:
        raise UsageError("the files have measured the same, but not the same sources: " +
                         "; ".join(revisions))
    return joined


def only_read(options):
    earlier = check_files(options)
    notes = [results.read_notes(path) for path in options.read]
    facts, skipped, failures, command = told_of_all(notes)
    rows = join_rows(read_rows(options.read), notes)
    if options.only:
        rows = [row for row in rows
                if any(fnmatch.fnmatchcase(row["bench"], glob) for glob in options.only)]
    print(results.bench_table(rows))
    report = make_report(rows, facts or [("read from", ", ".join(options.read))], skipped,
                         failures, command)
    report.calls = sum(each.get("calls", 1) for each in notes)
    return 0 if write_outputs(options, report, earlier) else 1


def interrupt(signal_number, _):
    """Every way to be told to stop runs the same `finally` clauses as Ctrl-C."""
    raise KeyboardInterrupt(signal_number)


def choose_http(cases, options, peers):
    """The HTTP comparison of these cases, or None, and who is left out, and why."""
    if not cases:
        return None, []
    try:
        programs = http_cases.find_programs(options.http_build)
    except servers.ServerError as error:
        return None, [f"http/* ({error})"]
    http_cases.raise_file_limit(cases)
    left_out = [peer for peer in http_cases.PEERS if peer not in peers]
    notes = []
    rings = [peer for peer in http_cases.RINGS if peer in peers]
    if rings and not http_cases.has_uring(programs["http-uring-floor"]):
        left_out += rings
        notes.append(f"{', '.join(rings)} (this process may not use io_uring)")
    unbuilt = [peer for peer in http_cases.missing(programs) if peer in peers]
    left_out += unbuilt
    notes += [f"{peer} (not built on this machine)" for peer in unbuilt]
    return http_cases.Suite(cases, programs, left_out), notes


def facts_of(outcome, probe, budget, http):
    stopped = ", then stopped" if outcome.is_stopped else ""
    return [("probe", f"best ratio {probe.best:.3f}, {probe.waited_s:.0f} s spent waiting for busy "
                      "neighbours"),
            ("duration", f"{budget.elapsed_s / 60:.1f} minutes, {outcome.rounds} whole rounds"
                         f"{stopped}"),
            *(("HTTP load", note) for note in (http.notes() if http else []))]


def measure(options, arguments, programs, skipped, benches, http):
    earlier = check_files(options)
    facts = machine.describe()
    for peer in skipped:
        print(f"skipped: {peer}")
    plan = plan_of(options)
    probe = probing.Probe(lambda: float(programs[0].ask("--probe")))
    budget = rounds.Budget(options.minutes or plan.minutes)
    empty = make_report([], facts, skipped, [], command_of(arguments))

    def report_of(outcome):
        return dataclasses.replace(
            empty, rows=outcome.rows, failures=outcome.failures,
            facts=facts + facts_of(outcome, probe, budget, http))

    def keep(outcome):
        if options.json:
            write_results(report_of(outcome), options.json)
    entries = [rounds.turns_of(entry, programs, plan) for entry in benches]
    outcome = rounds.run_all(entries + (http.turns() if http else []), plan, probe, budget,
                             show_progress, keep)
    if outcome.is_stopped and not outcome.rows:
        raise KeyboardInterrupt
    report = report_of(outcome)
    print(f"\n{results.bench_table(outcome.rows)}\n")
    for name, value in report.facts[len(facts):]:
        print(f"{name}: {value}")
    for failure in outcome.failures:
        print(f"FAILED: {failure}")
    is_same = write_outputs(options, report, earlier, not outcome.is_stopped)
    print(f"\n{rounds.time_table(outcome.seconds)}")
    if outcome.is_stopped:
        raise KeyboardInterrupt
    return 0 if is_same and not outcome.failures else 1


def plan_of(options):
    return rounds.QUICK if options.quick else rounds.FULL


def main(arguments):
    options = parse_options(arguments)
    peers = parse_peers(options.peers)
    if options.print_peers:
        print(" ".join(() if options.list else [peer for peer in PEERS if peer in peers]))
        return 0
    if options.read:
        return only_read(options)
    for signal_number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(signal_number, interrupt)
    http_cases.raise_file_limit(())
    wanted = [peer for peer in PEERS if peer in peers and not options.list]
    programs, skipped = benchmark_programs.find(options.weft_program, options.peer_folder, wanted)
    benches = benchmark_programs.describe(programs[0])
    cases = http_cases.CASES if options.http_build else ()
    everything = [entry.name for entry in benches] + [case.bench for case in cases]
    chosen = set(choose(everything, options.only))
    benches = fitting([entry for entry in benches if entry.name in chosen])
    cases = [case for case in cases if case.bench in chosen]
    if not options.only:
        benches = [entry for entry in benches if not any(
            fnmatch.fnmatchcase(entry.name, glob) for glob in plan_of(options).left_out)]
    if options.list:
        print("\n".join([entry.name for entry in benches] + [case.bench for case in cases]))
        return 0
    benches, beyond = within_limits(benches)
    http, notes = choose_http(cases, options, peers)
    return measure(options, arguments, programs, skipped + beyond + notes, benches, http)


def run(arguments):
    """The command line; returns the exit status."""
    try:
        return main(arguments)
    except UsageError as error:
        print(f"scripts/bench.sh: {error}", file=sys.stderr)
        return 2
    except (OSError, subprocess.SubprocessError) as error:
        print(f"scripts/bench.sh: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nscripts/bench.sh: stopped", file=sys.stderr)
        return 128 + signal.SIGINT


if __name__ == "__main__":
    sys.exit(run(sys.argv[1:]))
