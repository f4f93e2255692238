# SPDX-License-Identifier: MIT
"""What else the machine did while a benchmark ran: time stolen by the hypervisor, and programs that
ran beside it.  The probe (probing.py) sees what this cannot, the siblings of other tenants."""

import os
from dataclasses import dataclass

_TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")
_FIELDS = ("user", "nice", "system", "idle", "iowait", "irq", "softirq", "steal")

# Shares of the CPUs' time.  The kernel's own threads and interrupts stay below these on machines
# that nobody else uses; guessed from runs on two such machines.
STOLEN_SHARE_MAX = 0.01
OTHERS_SHARE_MAX = 0.05
# /proc/stat counts in ticks, so a few of them mean nothing.
_SLACK_TICKS = 4


def parse_stat(text, cpus):
    """(busy ticks, stolen ticks) of these CPUs since the start of the machine."""
    busy = stolen = 0
    for line in text.splitlines():
        name, _, rest = line.partition(" ")
        if not (name.startswith("cpu") and name[3:].isdigit() and int(name[3:]) in cpus):
            continue
        ticks = dict(zip(_FIELDS, (int(word) for word in rest.split())))
        busy += sum(ticks[field] for field in ("user", "nice", "system", "irq", "softirq"))
        stolen += ticks.get("steal", 0)
    return busy, stolen


@dataclass(frozen=True)
class Moment:
    cpus: frozenset
    busy: int
    stolen: int


def look(cpus=None):
    """At these CPUs, or at all that this process may use."""
    cpus = frozenset(os.sched_getaffinity(0) if cpus is None else cpus)
    try:
        with open("/proc/stat", encoding="utf-8") as file:
            return Moment(cpus, *parse_stat(file.read(), cpus))
    except OSError:
        return Moment(cpus, 0, 0)


def causes(before, after, wall_s, own_cpu_s):
    """Why the time between two moments was disturbed, as words; none if it was not.  `own_cpu_s`
    is the CPU time of whatever was measured: the server, its load generator and, where that works
    meanwhile, the driver."""
    ticks = wall_s * _TICKS_PER_SECOND * max(len(before.cpus), 1)
    others = after.busy - before.busy - own_cpu_s * _TICKS_PER_SECOND - _SLACK_TICKS
    stolen = after.stolen - before.stolen
    found = []
    if stolen > 1 and stolen > STOLEN_SHARE_MAX * ticks:
        found.append("stolen time")
    if others > OTHERS_SHARE_MAX * ticks:
        found.append("other programs")
    return found


@dataclass
class Usage:
    """What one process used, its ended children included."""

    wall_s: float
    cpu_s: float
    peak_rss_bytes: int
    preempted: int  # involuntary context switches


def usage_of(rusage, wall_s):
    return Usage(wall_s, rusage.ru_utime + rusage.ru_stime, rusage.ru_maxrss * 1024,
                 rusage.ru_nivcsw)
