# SPDX-License-Identifier: MIT
"""What a reader must know about the machine to judge a number."""

import contextlib
import os
import platform
import re
import resource
import subprocess
from datetime import datetime, timezone

_OTHER_FILES = 200  # of a server, beside its connections


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


def split_cpus(allowed=None):
    """(CPUs of a server, those of its load generator).  The load generator gets the first one for
    itself, which the server needs least: it takes most interrupts.  With fewer than three both
    have all, as a server on one CPU would be another benchmark."""
    allowed = set(os.sched_getaffinity(0) if allowed is None else allowed)
    load = {min(allowed)}
    return (allowed - load, load) if len(allowed) > 2 else (allowed, allowed)


@contextlib.contextmanager
def restricted_to(cpus):
    """Processes started inside run on these CPUs only."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cpus)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def lacking_files(name):
    """Why a benchmark of so many connections cannot run here; empty if it can."""
    connections = re.search(r"/connections=([0-9]+)", name)
    allowed, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if not connections or allowed == resource.RLIM_INFINITY or \
            int(connections[1]) + _OTHER_FILES <= allowed:
        return ""
    return f"a process may have {allowed:,} files open; raise the hard limit, ulimit -Hn"


def _read(path):
    try:
        with open(path, encoding="utf-8") as file:
            return file.read().strip()
    except OSError:
        return ""


def _governor():
    governor = _read("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor")
    return governor or "not told (usual in virtual machines)"


def _quota():
    """Of the cgroup that this process is in, and of those around it: the least of them counts."""
    group = _read("/proc/self/cgroup").rpartition("::")[2].strip("/")
    found = []
    while True:
        limit, _, period = _read(f"/sys/fs/cgroup/{group}/cpu.max").partition(" ")
        if limit.isdigit() and period.isdigit():
            found.append(int(limit) / int(period))
        if not group:
            break
        group = group.rpartition("/")[0]
    return f"{min(found):.2f} CPUs" if found else "none"


def _first_line(*command):
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=20)
    except (OSError, subprocess.SubprocessError):
        return ""
    return done.stdout.strip().split("\n")[0]


def _packages(*patterns):
    """Those that are installed, with their versions, as one text."""
    form = "${db:Status-Status} ${Package} ${Version}\n"
    try:
        done = subprocess.run(["dpkg-query", "-W", "-f", form, *patterns],
                              capture_output=True, text=True, check=False, timeout=20)
    except (OSError, subprocess.SubprocessError):
        return ""
    return ", ".join(line.partition(" ")[2] for line in done.stdout.splitlines()
                     if line.startswith("installed "))


def _locked_crate(root, name):
    match = re.search(rf'name = "{name}"\nversion = "([^"]+)"',
                      _read(os.path.join(root, f"benchmarks/peers/{name}/Cargo.lock")))
    return f"{name} {match.group(1)}" if match else ""


def _versions():
    """Compilers and libraries that the programs are built with."""
    root = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../..")
    found = [_first_line("cc", "--version"), _first_line("go", "version"),
             _first_line("rustc", "--version"), _first_line("python3", "--version"),
             *(_locked_crate(root, name) for name in ("tokio", "rayon", "may", "compio")),
             _packages("liburing-dev", "libhwloc-dev", "libjemalloc-dev", "libtbb-dev",
                       "libboost-fiber*-dev", "libuv1-dev", "libh2o-evloop-dev", "nginx", "wrk",
                       "node-llhttp", "libllhttp-dev"),
             " ".join(platform.libc_ver())]
    return ", ".join(version for version in found if version.strip())


def _virtual():
    """Whether a hypervisor is below us, from the processor's own flag."""
    return "yes" if " hypervisor" in _read("/proc/cpuinfo") else "no"


def facts():
    """Pairs of a name and a value."""
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2 ** 30
    settings = sorted(f"{name}={value}" for name, value in os.environ.items()
                      if name.startswith(("BENCH_FOLDER", "WEFT_", "GOMAXPROCS", "GOGC", "OMP_")))
    return [
        ("processor", f"{_cpu_model()}, {len(os.sched_getaffinity(0))} CPUs allowed, siblings of "
                      f"the first: {_siblings(min(os.sched_getaffinity(0)))}"),
        ("virtual machine", _virtual()),
        ("frequency governor", _governor()),
        ("CPU quota", _quota()),
        ("memory", f"{memory:.1f} GiB"),
        ("kernel", platform.release()),
        ("versions", _versions()),
        ("flags", "weft: the release preset (CMakePresets.json); C and C++ peers: -O3 "
                  "-falign-loops=64 -DNDEBUG; Go: its defaults; Rust: release, fat LTO"),
        ("environment", " ".join(settings) or "no variable set"),
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
