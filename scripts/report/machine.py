# SPDX-License-Identifier: MIT
"""What a reader must know about the machine to judge a number."""

import contextlib
import os
import platform
import subprocess
from datetime import datetime, timezone


def _cpu_model():
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            for line in file:
                if line.startswith("model name"):
                    return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.machine()


def _revision():
    """The commit, marked when the tree differs from it."""
    root = os.path.dirname(os.path.abspath(__file__))
    try:
        done = subprocess.run(["git", "-C", root, "describe", "--always", "--dirty"],
                              capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return done.stdout.strip()


def _siblings(cpu):
    """The CPUs of the core that `cpu` belongs to, as text; itself where nobody knows."""
    path = f"/sys/devices/system/cpu/cpu{cpu}/topology/thread_siblings_list"
    try:
        with open(path, encoding="utf-8") as file:
            return file.read().strip()
    except OSError:
        return str(cpu)


def choose_cpus(count, allowed=None, siblings=_siblings):
    """So many of the allowed CPUs, on as many cores as possible, the last ones first: the first
    CPU takes most interrupts."""
    allowed = sorted(os.sched_getaffinity(0) if allowed is None else allowed, reverse=True)
    firsts, others, cores = [], [], set()
    for cpu in allowed:
        core = siblings(cpu)
        (others if core in cores else firsts).append(cpu)
        cores.add(core)
    return set((firsts + others)[:count])


@contextlib.contextmanager
def restricted_to(cpus):
    """Processes started inside run on these CPUs only."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cpus)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def facts():
    """Pairs of a name and a value."""
    return [
        ("processor", f"{_cpu_model()}, {len(os.sched_getaffinity(0))} CPUs allowed"),
        ("kernel", platform.release()),
        ("revision", _revision()),
        ("load before", " ".join(f"{value:.2f}" for value in os.getloadavg())),
        ("time", datetime.now(timezone.utc).strftime("%Y-%m-%d %H:%M UTC")),
    ]


def describe():
    """Prints the facts, and a warning if others keep the machine busy; returns the facts."""
    pairs = facts()
    for name, value in pairs:
        print(f"{name}: {value}")
    load = os.getloadavg()[0]
    if load > 0.5 * len(os.sched_getaffinity(0)):
        print(f"warning: the machine is busy (load {load:.2f}); the figures will suffer")
    return pairs
