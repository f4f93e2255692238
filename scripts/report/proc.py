# SPDX-License-Identifier: MIT
"""What /proc knows about a process and its descendants."""

import os

_TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")


def parse_stat(text):
    """(parent pid, user + system seconds) of a line of /proc/PID/stat.

    The name is in parentheses and may itself hold spaces and parentheses, so fields are counted
    from the last one.
    """
    fields = text[text.rindex(")") + 2:].split()
    parent = int(fields[1])
    ticks = int(fields[11]) + int(fields[12])
    return parent, ticks / _TICKS_PER_SECOND


def parse_status(text):
    """(peak resident bytes, threads) of /proc/PID/status; zeros for a process that is ending."""
    peak = 0
    threads = 0
    for line in text.splitlines():
        key, _, value = line.partition(":")
        if key == "VmHWM":
            peak = int(value.split()[0]) * 1024
        elif key == "Threads":
            threads = int(value)
    return peak, threads


def _read(path):
    with open(path, encoding="utf-8", errors="replace") as file:
        return file.read()


def family(pid):
    """The process and all its descendants that are alive."""
    children = {}
    for name in os.listdir("/proc"):
        if not name.isdigit():
            continue
        try:
            parent, _ = parse_stat(_read(f"/proc/{name}/stat"))
        except (OSError, ValueError):
            continue  # it ended while we looked
        children.setdefault(parent, []).append(int(name))
    found = [pid]
    for member in found:
        found.extend(children.get(member, []))
    return found


def cpu_seconds(pids):
    """User + system time of the processes, ended threads included."""
    return sum(parse_stat(_read(f"/proc/{pid}/stat"))[1] for pid in pids)


def peak_and_threads(pids):
    """The sums of the peaks of resident memory and of the numbers of threads."""
    peak = 0
    threads = 0
    for pid in pids:
        member_peak, member_threads = parse_status(_read(f"/proc/{pid}/status"))
        peak += member_peak
        threads += member_threads
    return peak, threads
