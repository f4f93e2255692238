# SPDX-License-Identifier: MIT
"""What scripts/run.sh and scripts/bench.sh ask of the HTTP servers: the cases, who takes part in
each, and the rounds."""

import dataclasses
import os
import resource
import shutil
import statistics
import subprocess
import sys

import load
import machine
import results
import rounds
import servers

FIBER = "weft"
MODES = (FIBER, "thread-per-connection", "thread-per-request", "thread-pool")
FLOORS = {"epoll-floor": ("http-epoll-floor",), "uring-floor": ("http-uring-floor",),
          "uring-loop": ("http-uring-floor", "--parse")}
RINGS = ("uring-floor", "uring-loop")
# C servers that others wrote: nginx by its configuration, h2o as a library below a program of ours,
# which is built where the library is there.
SERVERS = ("nginx", "h2o")
REFERENCES = (*SERVERS, *FLOORS)
# All but weft's own.
PEERS = MODES[1:] + REFERENCES
# All others have a worker for each CPU that they may use.
WORKERS = dict.fromkeys(FLOORS, 1)


def computed(thousands):
    """The body of /compute/N: a linear congruential generator after so many thousand steps."""
    x = thousands
    for _ in range(1000 * thousands):
        x = (x * 6364136223846793005 + 1442695040888963407) & (2 ** 64 - 1)
    return f"{x:016x}".encode()


# The floors know /plaintext only and keep every connection open; nginx can answer with text of its
# configuration, but neither waits nor computes there; h2o does all of it.
CASES = (
    load.Case("http/plaintext/connections=64", "/plaintext, 64 connections", "/plaintext", 64,
              references=REFERENCES),
    load.Case("http/plaintext/connections=512", "/plaintext, 512 connections", "/plaintext", 512,
              references=REFERENCES),
    load.Case("http/delay=10/connections=2000", "/delay/10, 2,000 connections", "/delay/10", 2000,
              references=("h2o",), delay_s=0.010),
    load.Case("http/churn/connections=64", "/plaintext, 64 connections, a new one per request",
              "/plaintext", 64, ("Connection: close",), references=SERVERS),
    load.Case("http/json/connections=64", "/json, 64 connections", "/json", 64,
              references=SERVERS, body=b'{"message":"Hello, World!"}'),
    load.Case("http/pipelined=16/connections=64", "/plaintext, 64 connections, 16 at a time",
              "/plaintext", 64, references=REFERENCES, script=("pipelined.lua", "16"),
              is_pipelined=True),
    load.Case("http/mixed/connections=64", "64 connections, one of ten requests computes",
              "/plaintext", 64, references=("h2o",), script=("mixed.lua",),
              others=(("/compute/100", computed(100)),)),
)
# What scripts/run.sh measures unless it is asked for all, as it is to end within two minutes: the
# first cases, without some servers, and the pool where it differs most from other threads.
MAIN_CASES = tuple(case if case.delay_s else dataclasses.replace(case, left_out=("thread-pool",))
                   for case in CASES[:4])
MAIN_WITHOUT = ("uring-loop", "h2o")

# (metric, which way is better)
METRICS = (("requests_per_s", "higher"), ("cpu_us_per_request", "lower"), ("p50_us", "lower"),
           ("p99_us", "lower"), ("pss_bytes", "lower"))

# Of its thread: the load generator has then no time left to ask for more.
LOAD_SHARE_FULL = 0.9
# Beside its connections a server has files, pipes and rings.
_OTHER_FILES = 200


def implementations(case):
    return tuple(name for name in MODES + case.references if name not in case.left_out)


def find_program(build, name):
    """A built program, wherever below the build folder it was put."""
    for folder, _, files in os.walk(build):
        path = os.path.join(folder, name)
        if name in files and os.access(path, os.X_OK):
            return path
    raise servers.ServerError(f"{name} is not built in {build}")


def find_programs(build):
    names = ("weft-http", *(command[0] for command in FLOORS.values()))
    programs = {name: find_program(build, name) for name in names}
    programs["nginx"] = shutil.which("nginx", path=os.environ.get("PATH", "") + ":/usr/sbin")
    for name, path in (("wrk", shutil.which("wrk")), ("nginx", programs["nginx"])):
        if not path:
            raise servers.ServerError(f"{name} is not installed; scripts/setup.sh --run does it")
    try:
        programs["h2o"] = find_program(build, "http-h2o")
    except servers.ServerError:
        pass  # missing() tells
    return programs


def missing(programs):
    """Those that take part only where they can be built, and are not."""
    return [name for name in ("h2o",) if name not in programs]


def make_server(name, programs, connections):
    """The server, not started yet, with as many workers as it has CPUs."""
    workers = len(os.sched_getaffinity(0))
    if name == "nginx":
        return servers.Nginx(name, programs["nginx"], workers, connections)
    if name == "h2o":
        return servers.Server(name, [programs["h2o"], f"--threads={workers}", "--port", "0"])
    if name in FLOORS:
        return servers.Server(name, [programs[FLOORS[name][0]], *FLOORS[name][1:], "--port", "0"])
    mode = "fiber" if name == FIBER else name
    return servers.Server(name, [programs["weft-http"], f"--mode={mode}",
                                 f"--workers={workers}", "--port", "0"])


def has_uring(program):
    """Whether this process may use io_uring; sandboxes forbid it."""
    return subprocess.run([program, "--check"], stdin=subprocess.DEVNULL, check=False,
                          stdout=subprocess.DEVNULL, timeout=10).returncode == 0


def raise_file_limit(cases):
    """Each connection needs a descriptor, here and in the servers, which inherit the limit."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    wanted = max((case.connections for case in cases), default=0)
    if hard != resource.RLIM_INFINITY and hard < wanted + _OTHER_FILES:
        print(f"warning: at most {hard} open files are allowed; {wanted:,} connections will not "
              "fit", file=sys.stderr)


class Suite:
    """The windows of some cases, taken round by round."""

    def __init__(self, cases, programs, left_out=(), seconds=1):
        self.cases = cases
        self.programs = programs
        self.left_out = left_out
        self.seconds = seconds
        self.windows = {(case.bench, name): [] for case in cases for name in self.names(case)}

    def names(self, case):
        return [name for name in implementations(case) if name not in self.left_out]

    def schedule(self, round_number):
        """(case, server) for every window of a round.  It goes through all cases and all servers,
        so that a slow phase of the machine hits one window of many servers, not all windows of
        one; and another server comes first in each round."""
        for case in self.cases:
            names = self.names(case)
            turn = (round_number - 1) % len(names)
            for name in names[turn:] + names[:turn]:
                yield case, name

    def run_round(self, round_number, show):
        plan = list(self.schedule(round_number))
        for done, (case, name) in enumerate(plan, 1):
            show(f"round {round_number}, [{done}/{len(plan)}] {case.title}: {name}")
            self.windows[case.bench, name].append(self.measure(case, name))
        show("")

    def turns(self):
        """The windows for scripts/bench.sh, which has rounds of its own."""
        cpus = frozenset(os.sched_getaffinity(0))
        return [[rounds.Turn(case.bench, name, lambda c=case, n=name: self.take_turn(c, n), cpus)
                 for name in self.names(case)] for case in self.cases]

    def take_turn(self, case, name):
        window = self.measure(case, name)
        self.windows[case.bench, name].append(window)
        return window_rows(case.bench, name, window), \
            "; ".join(window.problems) if window.is_failed else ""

    def measure(self, case, name):
        server_cpus, load_cpus = machine.split_cpus()
        try:
            with machine.restricted_to(server_cpus), \
                    make_server(name, self.programs, case.connections) as server:
                return load.measure(case, server, self.seconds, load_cpus)
        except (servers.ServerError, OSError) as error:
            window = load.Window()
            window.fail(str(error))
            return window

    def notes(self):
        """What windows that count had, all the same: the errors that were few enough, and a load
        generator that had no time left."""
        problems = [f"{impl}, {case.title}: {problem}" for case in self.cases
                    for impl in self.names(case) for window in self.windows[case.bench, impl]
                    if not window.is_failed for problem in window.problems]
        return problems + load_notes(self.windows)

    def rows(self):
        return make_rows(self.windows)

    def failures(self):
        return [f"{impl}: {bench}: {'; '.join(window.problems)}"
                for (bench, impl), group in self.windows.items()
                for window in group if window.is_failed]


def load_notes(windows):
    """Where a figure of requests per second is wrk's limit rather than the server's."""
    notes = []
    for case in CASES:
        shares = {impl: [window.load_share for window in group if not window.is_failed]
                  for (bench, impl), group in windows.items() if bench == case.bench}
        full = [impl for impl, each in shares.items()
                if each and statistics.median(each) >= LOAD_SHARE_FULL]
        if full:
            notes.append(f"wrk could not ask for more, so compare CPU/req: {case.title}: "
                         + ", ".join(full))
    return notes


def window_rows(bench, impl, window):
    """What one window showed, as rows of one process; none if it failed."""
    if window.is_failed:
        return []
    workers = WORKERS.get(impl, len(machine.split_cpus()[0]))
    rows = []
    for metric, better in METRICS:
        value = getattr(window, metric)
        # wrk tells no latency of requests that it sends many at a time.
        if value:
            rows.append({"bench": bench, "metric": metric, "impl": impl, "workers": workers,
                         "better": better, "samples": [value],
                         "causes": window.causes})
    return rows


def make_rows(windows):
    """Rows in the common format, from the windows that did not fail."""
    return results.merge(row for (bench, impl), group in windows.items() for window in group
                         for row in window_rows(bench, impl, window))
