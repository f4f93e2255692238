# SPDX-License-Identifier: MIT
"""The benchmark programs, weft's and its peers': which there are, and one process of one."""

import os
import subprocess
import tempfile
import time
from dataclasses import dataclass

import machine
import results
import servers
import watch

PROGRAM_SECONDS_MAX = 120  # the longest takes a sixth; one that hangs shall not eat the run
ASK_SECONDS_MAX = 30  # what a program tells of itself takes a thousandth
WAIT_SECONDS = 0.01  # a look that often costs nothing that could be measured
# Modules whose programs start a load generator.
_LOADED = ("echo", "hog", "balance", "connect")
# Modules whose reports are of nothing but computing.
_COMPUTING = ("mutex", "rwlock", "forkjoin")


@dataclass(frozen=True)
class Bench:
    name: str
    workers: int
    metric: str

    @property
    def module(self):
        return self.name.split("/")[0]

    @property
    def is_timed(self):
        """It computes, so it matters which CPUs it gets.  Most reports are of servers or wait."""
        return self.metric in ("ns_per_op", "s") or self.module in _COMPUTING

    @property
    def is_watched(self):
        return self.metric not in results.MEMORY_METRICS

    def place(self, allowed=None):
        """(CPUs of the program, those of its load generator).  A peer with a thread for each fiber
        or connection shall have no more CPUs than there are workers."""
        allowed = set(os.sched_getaffinity(0) if allowed is None else allowed)
        if self.is_timed:
            return machine.choose_cpus(self.workers, allowed), set()
        if self.module in _LOADED:
            server, load_cpus = machine.split_cpus(allowed)
            return machine.choose_cpus(self.workers, server), load_cpus
        return allowed, set()


class Program:
    """One implementation's benchmark program."""

    def __init__(self, impl, path):
        self.impl = impl
        self.path = path
        self.names = self.ask("--list").split()

    def ask(self, option):
        done = subprocess.run([self.path, option], stdin=subprocess.DEVNULL, capture_output=True,
                              text=True, errors="replace", check=True, timeout=ASK_SECONDS_MAX)
        return done.stdout

    def run(self, bench, plan):
        """(rows with samples, error text) of one process; one of the two is empty."""
        command = [self.path, "--only", bench.name, "--samples", str(plan.samples)]
        if plan.is_quick:
            command.append("--quick")
        cpus, load_cpus = bench.place()
        environment = dict(os.environ)
        if load_cpus:
            environment["BENCH_LOAD_CPUS"] = ",".join(str(cpu) for cpu in sorted(load_cpus))
        before = watch.look(cpus | load_cpus)
        began = time.monotonic()
        with machine.restricted_to(cpus):
            returncode, output, complaints, rusage = run_program(command, environment)
        usage = watch.usage_of(rusage, time.monotonic() - began) if rusage else None
        if returncode is None:
            return [], f"no end after {PROGRAM_SECONDS_MAX} s"
        if returncode != 0:
            return [], complaints.strip() or f"exit status {returncode}"
        try:
            rows = [results.parse_line(line) for line in output.splitlines() if line.strip()]
        except results.BadResult as error:
            return [], str(error)
        after = watch.look(cpus | load_cpus)
        for row in rows:
            row["cpus"] = usage.cpu_s / usage.wall_s
            row["peak_rss_bytes"] = usage.peak_rss_bytes
            row["causes"] = watch.causes(before, after, usage.wall_s, usage.cpu_s)
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


def find(weft_program, peer_folder, peers):
    """weft's program and those of the peers that are built and start, and who is left out, and why.
    A library that is gone shall cost that peer only."""
    programs = [Program("weft", weft_program)]
    skipped = []
    for peer in peers:
        path = os.path.join(peer_folder, peer)
        if not os.path.isfile(path):
            skipped.append(f"{peer} (not built on this machine)")
            continue
        try:
            programs.append(Program(peer, path))
        except (OSError, subprocess.SubprocessError) as error:
            told = error.stderr.split() if isinstance(error, subprocess.CalledProcessError) else []
            skipped.append(f"{peer} (does not start: {' '.join(told) or error})")
    return programs, skipped


def describe(program):
    """The benchmarks of weft's program."""
    fields = [line.split() for line in program.ask("--describe").splitlines()]
    return [Bench(name, int(workers), metric) for name, workers, metric in fields]
