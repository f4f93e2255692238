# SPDX-License-Identifier: MIT
"""scripts/bench.sh: weft's benchmarks beside those of its peers, interleaved, in one table."""

import argparse
import fnmatch
import os
import shlex
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass

import agree
import http_cases
import machine
import page
import probing
import publish
import questions
import results
import sections
import servers
import watch

PEERS = ("boost-fiber", "cpp20", "go", "tokio", "pthread", "tbb", "openmp", "rayon", "may",
         "compio", "libuv", "uring-floor")
ALL_PEERS = tuple(dict.fromkeys(PEERS + http_cases.PEERS))
PROGRAM_SECONDS_MAX = 300
WAIT_SECONDS = 0.01  # a look that often costs nothing that could be measured

ROOT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../..")


@dataclass(frozen=True)
class Plan:
    rounds: int
    samples: int  # of each implementation in each round
    report_rounds: int  # of benchmarks that run for seconds
    tries: int  # of a program that was disturbed and cannot see that itself
    wait_s: float  # for a quiet moment before each call of a program
    http_rounds: int
    left_out: tuple  # globs of what takes long, unless --only asks for it
    minutes: int  # no round but the first goes on for longer
    is_quick: bool

    @property
    def enough(self):
        """Undisturbed samples that make a median."""
        return (self.rounds * self.samples + 1) // 2


FULL = Plan(rounds=5, samples=3, report_rounds=3, tries=3, wait_s=1.0,
            http_rounds=4, left_out=(), minutes=60, is_quick=False)
_SLOW = ("forkjoin/fib/n=40/*", "forkjoin/uts/t1l/*", "memory/parked/n=1000000",
         "echo/tcp/connections=[15]0000", "echo/open/rate=*", "echo/open/load=[127]*",
         "echo/open/load=90")
QUICK = Plan(rounds=2, samples=2, report_rounds=1, tries=1, wait_s=0.1,
             http_rounds=1, left_out=_SLOW, minutes=5, is_quick=True)


@dataclass(frozen=True)
class Bench:
    name: str
    workers: int
    metric: str

    @property
    def is_timed(self):
        """Its samples are short and compute, so it matters which CPUs they get and how fast those
        are.  Reports come from windows of seconds, memory does not depend on time."""
        return self.metric in ("ns_per_op", "s")


class Budget:
    """How long a run may go on."""

    def __init__(self, minutes, clock=time.monotonic):
        self.clock = clock
        self.start = clock()
        self.seconds = 60 * minutes

    @property
    def elapsed_s(self):
        return self.clock() - self.start

    @property
    def is_spent(self):
        return self.elapsed_s > self.seconds


class UsageError(Exception):
    """The command line asks for something that does not exist."""


class Program:
    """One implementation's benchmark program."""

    def __init__(self, impl, path):
        self.impl = impl
        self.path = path
        self.names = self.ask("--list").split()

    def ask(self, option):
        done = subprocess.run([self.path, option], capture_output=True, text=True, check=True)
        return done.stdout

    def run(self, bench, plan, best):
        """(rows with samples, error text) of one process; one of the two is empty."""
        command = [self.path, "--only", bench.name, "--samples", str(plan.samples)]
        if plan.is_quick:
            command.append("--quick")
        before = watch.look()
        began = time.monotonic()
        returncode, output, complaints, rusage = run_program(
            command, {**os.environ, "BENCH_PROBE_BEST": str(best)})
        usage = watch.usage_of(rusage, time.monotonic() - began)
        if returncode is None:
            return [], f"no end after {PROGRAM_SECONDS_MAX} s"
        if returncode != 0:
            return [], complaints.strip() or f"exit status {returncode}"
        try:
            rows = [results.parse_line(line) for line in output.splitlines() if line.strip()]
        except results.BadResult as error:
            return [], str(error)
        for row in rows:
            row["cpus"] = usage.cpu_s / usage.wall_s
            row["peak_rss_bytes"] = usage.peak_rss_bytes
            if bench.is_timed:
                row["causes"] = watch.causes(before, watch.look(), usage.wall_s, usage.cpu_s)
        return (rows, "") if rows else ([], "it printed no result")


def run_program(command, environment):
    """(exit status or None for no end, output, complaints, what it used).  Through files: only
    wait4() tells what one child used, and it cannot read pipes meanwhile."""
    with tempfile.TemporaryFile("w+") as output, tempfile.TemporaryFile("w+") as complaints:
        process = servers.start_process(command, stdin=subprocess.DEVNULL, stdout=output,
                                        stderr=complaints, env=environment)
        deadline = time.monotonic() + PROGRAM_SECONDS_MAX
        pid, status, rusage = 0, 0, None
        try:
            while not pid and time.monotonic() < deadline:
                pid, status, rusage = os.wait4(process.pid, os.WNOHANG)
                if not pid:
                    time.sleep(WAIT_SECONDS)
        finally:
            if pid:
                process.returncode = os.waitstatus_to_exitcode(status)
            servers.stop_process(process, 1)
        for file in (output, complaints):
            file.seek(0)
        return process.returncode if pid else None, output.read(), complaints.read(), rusage


def find_programs(weft_program, peer_folder, peers):
    """weft's program and those of the peers that are built, and the names of those that are not."""
    programs = [Program("weft", weft_program)]
    skipped = []
    for peer in peers:
        path = os.path.join(peer_folder, peer)
        if not os.path.isfile(path):
            skipped.append(peer)
            continue
        programs.append(Program(peer, path))
    return programs, skipped


def describe(program):
    """The benchmarks of weft's program."""
    fields = [line.split() for line in program.ask("--describe").splitlines()]
    return [Bench(name, int(workers), metric) for name, workers, metric in fields]


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


def run_all(programs, benches, http, plan, probe, budget, show):
    """(merged rows, failures, whole rounds).  Each round goes through all benchmarks, and through
    all implementations of each in turn: a slow minute of the machine hits one round of many
    benchmarks instead of all rounds of one, and all implementations alike.  Each call is a process
    of its own, so that no benchmark finds the memory that another one left."""
    raw = {}
    failures = []
    done = 0
    for round_number in range(1, plan.rounds + 1):
        for number, bench in enumerate(benches, 1):
            if not bench.is_timed and round_number > plan.report_rounds:
                continue
            if round_number > 1 and budget.is_spent:
                break
            able = [program for program in programs if bench.name in program.names]
            # Each implementation comes first in some round.
            turn = round_number % len(able)
            for program in able[turn:] + able[:turn]:
                show(f"round {round_number} of {plan.rounds} [{number}/{len(benches)}] "
                     f"{bench.name}: {program.impl}")
                rows, error = run_undisturbed(program, bench, plan, probe)
                raw.setdefault((bench, program.impl), []).extend(rows)
                if error:
                    failures.append(f"{program.impl}: {bench.name}: {error}")
        if round_number > 1 and budget.is_spent:
            break
        if http and round_number <= plan.http_rounds:
            http.run_round(round_number, show)
        done = round_number
    show("")
    order = [raw[bench, program.impl] for bench in benches for program in programs
             if (bench, program.impl) in raw]
    rows = results.merge((row for rows in order for row in rows), plan.enough)
    if http:
        rows += http.rows()
        failures += http.failures()
    return rows, failures, done


def run_undisturbed(program, bench, plan, probe):
    """All rows of one turn of one program, which starts in a quiet moment if one comes in time."""
    if not bench.is_timed:
        return program.run(bench, plan, probe.best)
    found = []
    with machine.restricted_to(machine.choose_cpus(bench.workers)):
        for _ in range(plan.tries):
            before = probe.wait_for_quiet(plan.wait_s)
            rows, error = program.run(bench, plan, probe.best)
            if error:
                return found, error
            if all("probes" in row for row in rows):
                probe.learn(value for row in rows for value in row["probes"])
                return rows, ""
            # A program with a harness of its own: what holds before and after holds for all of it.
            worst = max(before, probe.measure())
            for row in rows:
                row["probes"] = [worst] * len(row["samples"])
            found += rows
            if not results.is_disturbed(worst, probe.best):
                break
    return found, ""


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
                             f"{FULL.minutes}, with --quick {QUICK.minutes})")
    parser.add_argument("--peers", default="auto", metavar="auto|none|a,b",
                        help=f"compare with these: {', '.join(ALL_PEERS)} (default auto: those "
                             "that this machine can build)")
    parser.add_argument("--json", metavar="FILE", help="write the results as a JSON array")
    parser.add_argument("--html", metavar="FILE", help="write a report with charts")
    parser.add_argument("--read", action="append", default=[], metavar="FILE",
                        help="measure nothing: take the results of this file, of --json or of "
                             "scripts/run.sh; may be given several times")
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
    return page.Report(
        rows=rows, facts=facts, skipped=skipped, failures=failures, command=command,
        reasons=sections.read_reasons(os.path.join(ROOT, "benchmarks/reasons.txt")),
        questions=questions.read(os.path.join(ROOT, "benchmarks")))


def command_of(arguments):
    return shlex.join(["scripts/bench.sh"] + visible(arguments))


def visible(arguments):
    """Those that the user gave; the shell script's own come first, in pairs."""
    hidden = {"--weft-program", "--peer-folder", "--http-build"}
    return [argument for before, argument in zip([""] + arguments, arguments)
            if argument not in hidden and before not in hidden]


def write_outputs(options, report):
    """What the options ask for; returns whether the run agrees with the one to compare with."""
    if options.json:
        results.write_json(report.rows, options.json)
        results.write_notes({"facts": report.facts, "skipped": report.skipped,
                             "failures": report.failures, "command": report.command}, options.json)
        print(f"results: {options.json}")
    if options.html:
        with open(options.html, "w", encoding="utf-8") as out:
            out.write(page.render(report))
        print(f"report:  {options.html}")
    if options.publish:
        print(f"published: {', '.join(publish.write(report, options.publish_root))}")
    if not options.compare:
        return True
    text, is_same = agree.text(read_rows([options.compare]), report.rows)
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


def only_read(options):
    rows = read_rows(options.read)
    if options.only:
        rows = [row for row in rows
                if any(fnmatch.fnmatchcase(row["bench"], glob) for glob in options.only)]
    print(results.bench_table(rows))
    notes = results.read_notes(options.read[0])
    facts = [tuple(fact) for fact in notes.get("facts", [])]
    report = make_report(rows, facts or [("read from", ", ".join(options.read))],
                         notes.get("skipped", []), notes.get("failures", []),
                         notes.get("command", ""))
    return 0 if write_outputs(options, report) else 1


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


def measure(options, arguments, programs, skipped, benches, http):
    facts = machine.describe()
    for peer in skipped:
        print(f"skipped: {peer}")
    plan = QUICK if options.quick else FULL
    probe = probing.Probe(lambda: float(programs[0].ask("--probe")))
    budget = Budget(options.minutes or plan.minutes)
    rows, failures, rounds = run_all(programs, benches, http, plan, probe, budget, show_progress)
    facts += [
        ("probe", f"best ratio {probe.best:.3f}, {probe.waited_s:.0f} s spent waiting for busy "
                  "neighbours"),
        ("duration", f"{budget.elapsed_s / 60:.1f} minutes, {rounds} of {plan.rounds} rounds")]
    print(f"\n{results.bench_table(rows)}\n")
    for name, value in facts[-2:]:
        print(f"{name}: {value}")
    for failure in failures:
        print(f"FAILED: {failure}")
    report = make_report(rows, facts, skipped, failures, command_of(arguments))
    is_same = write_outputs(options, report)
    return 0 if is_same and not failures else 1


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
    programs, missing = find_programs(options.weft_program, options.peer_folder,
                                      [peer for peer in PEERS if peer in peers and
                                       not options.list])
    benches = describe(programs[0])
    cases = http_cases.CASES if options.http_build else ()
    everything = [entry.name for entry in benches] + [case.bench for case in cases]
    chosen = set(choose(everything, options.only))
    benches = fitting([entry for entry in benches if entry.name in chosen])
    cases = [case for case in cases if case.bench in chosen]
    if not options.only:
        left_out = (QUICK if options.quick else FULL).left_out
        benches = [entry for entry in benches
                   if not any(fnmatch.fnmatchcase(entry.name, glob) for glob in left_out)]
    if options.list:
        print("\n".join([entry.name for entry in benches] + [case.bench for case in cases]))
        return 0
    benches, beyond = within_limits(benches)
    http, notes = choose_http(cases, options, peers)
    skipped = [f"{peer} (not built on this machine)" for peer in missing] + beyond + notes
    return measure(options, arguments, programs, skipped, benches, http)


def run(arguments):
    """The command line; returns the exit status."""
    try:
        return main(arguments)
    except UsageError as error:
        print(f"scripts/bench.sh: {error}", file=sys.stderr)
        return 2
    except (OSError, subprocess.CalledProcessError) as error:
        print(f"scripts/bench.sh: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nscripts/bench.sh: stopped", file=sys.stderr)
        return 128 + signal.SIGINT


if __name__ == "__main__":
    sys.exit(run(sys.argv[1:]))
