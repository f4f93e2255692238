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


def parse_number(text, name):
    """What stands behind `name:` in /proc/PID/status or the like; 0 in a process that is ending."""
    for line in text.splitlines():
        key, _, value = line.partition(":")
        if key == name:
            return int(value.split()[0])
    return 0


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


def thread_count(pids):
    return sum(parse_number(_read(f"/proc/{pid}/status"), "Threads") for pid in pids)


def pss_bytes(pids):
    """Resident memory, a page that n processes share as an n-th in each: the sum counts none twice.
    The kernel walks the page tables for it, some milliseconds for 100 MB."""
    return 1024 * sum(parse_number(_read(f"/proc/{pid}/smaps_rollup"), "Pss") for pid in pids)
