# SPDX-License-Identifier: MIT
"""One measured window: wrk against a running server, and what the server used meanwhile."""

import os
import re
import resource
import signal
import subprocess
import time
from dataclasses import dataclass, field

import machine
import proc
import servers
import watch
import wrk

WARM_UP_SECONDS = 0.25
_LONGER_WARM_UPS = (1, 4)  # on a busy machine 2,000 connections may have no answer by then
_POLL_SECONDS = 0.05
_MEMORY_SHARE = 0.75  # of the window has passed when memory is read
_FOLDER = os.path.dirname(os.path.abspath(__file__))
_WRK_TIMEOUT_SECONDS = 4
# More than one error in a hundred requests, and the figures are not about serving any more.
_ERROR_SHARE_MAX = 0.01


@dataclass(frozen=True)
class Case:
    bench: str
    title: str
    path: str
    connections: int
    headers: tuple = ()
    delay_s: float = 0.0  # what every response must take at least
    references: tuple = ()  # who takes part beside the modes of weft-http
    left_out: tuple = ()  # who does not, of all others
    body: bytes = b"Hello, World!"  # the right answer to `path`
    script: tuple = ()  # a file beside this one that tells wrk what to send, and its arguments
    others: tuple = ()  # (path, body) of what the script asks for besides
    is_pipelined: bool = False  # wrk's latencies are then none of a request


@dataclass
class Window:
    """What one window showed; `problems` says why not to trust it, `is_failed` not to use it."""

    requests_per_s: float = 0.0
    cpu_us_per_request: float = 0.0
    p50_us: float = 0.0
    p99_us: float = 0.0
    pss_bytes: float = 0.0
    threads: int = 0
    load_share: float = 0.0  # wrk's CPU time over the length of the window: it has one thread
    causes: list = field(default_factory=list)  # what disturbed it (watch.py), or errors
    problems: list = field(default_factory=list)
    is_failed: bool = False

    def fail(self, reason):
        self.problems.append(reason)
        self.is_failed = True


def wrk_command(case, port, seconds, is_verifying):
    command = ["wrk", "-t1", f"-c{case.connections}", f"-d{seconds}s", "--latency",
               "--timeout", f"{_WRK_TIMEOUT_SECONDS}s"]
    for header in case.headers:
        command += ["-H", header]
    url = f"http://127.0.0.1:{port}{case.path}"
    script = [os.path.join(_FOLDER, name) for name in case.script[:1]] + list(case.script[1:])
    if is_verifying:
        bodies = [case.body.decode(), *(body.decode() for _, body in case.others)]
        script = [os.path.join(_FOLDER, "verify.lua"), str(len(bodies)), *bodies, *script]
    if not script:
        return command + [url]
    return command + ["-s", script[0], url, "--", *script[1:]]


def start_wrk(case, port, seconds, cpus, is_verifying=False):
    command = wrk_command(case, port, seconds, is_verifying)
    with machine.restricted_to(cpus):
        return servers.start_process(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                     stderr=subprocess.STDOUT, text=True, errors="replace")


def warm_up(case, server, cpus):
    """The same load, of which every answer is compared: that takes wrk's time, so it must not be in
    the window.  Longer, where not all kinds of answers, or none, have come in the time."""
    for seconds in (WARM_UP_SECONDS, *_LONGER_WARM_UPS):
        output = _run_verifying_wrk(case, server, cpus, seconds)
        verdicts = re.findall(r"^verified: (.*)", output, re.MULTILINE)
        if verdicts == ["all"]:
            return
        if not output:
            continue  # interrupted before it had begun: it was without a CPU
        if not verdicts or any(not text.startswith(("all", "no answer was")) for text in verdicts):
            break
    raise servers.ServerError(f"{server.name} answers {case.title} wrongly under load: "
                              + ("; ".join(text for text in verdicts if text != "all")
                                 or f"wrk says {output.strip()}"))


def _run_verifying_wrk(case, server, cpus, seconds):
    """What wrk printed.  It counts seconds in whole numbers; an interrupt ends it sooner."""
    process = start_wrk(case, server.port, int(seconds) + 2, cpus, is_verifying=True)
    output = ""
    try:
        time.sleep(seconds)
        process.send_signal(signal.SIGINT)
        output, _ = process.communicate(timeout=2 + _WRK_TIMEOUT_SECONDS)
    except subprocess.TimeoutExpired:
        pass
    finally:
        servers.stop_process(process, 1)
        process.stdout.close()
    return output


def check_case(case, server):
    """One request of each of this case's kinds, so that nobody wins by a short answer or by not
    waiting."""
    for path, wanted in ((case.path, case.body), *case.others):
        began = time.monotonic()
        status, body = servers.fetch(server.port, path)
        took = time.monotonic() - began
        if status != 200 or body != wanted:
            raise servers.ServerError(f"{server.name} answers {path} with {status} {body[:80]!r}")
        if took < case.delay_s:
            raise servers.ServerError(
                f"{server.name} answers {path} after {took * 1e3:.1f} ms, too early")


def judge(window, result):
    """Turns what wrk complained about into problems of the window."""
    bad = sum(result["errors"].values())
    if bad:
        kinds = ", ".join(f"{kind} {count}" for kind, count in result["errors"].items())
        window.problems.append(f"socket errors: {kinds}")
        window.causes = sorted({*window.causes, "socket errors"})
    if result["non_2xx"]:
        window.fail(f"{result['non_2xx']} responses were errors")
    if result["requests"] == 0:
        window.fail("no request was answered")
    elif bad > _ERROR_SHARE_MAX * result["requests"]:
        window.is_failed = True


def measure(case, server, seconds, load_cpus):
    """Loads the server for so many seconds, by wrk on those CPUs.  A dead server gives a failed
    window, and a wrong one that or a ServerError."""
    window = Window()
    check_case(case, server)
    warm_up(case, server, load_cpus)
    try:
        pids = proc.family(server.process.pid)
        watched = os.sched_getaffinity(server.process.pid) | load_cpus
        before, began, driver_before = watch.look(watched), time.monotonic(), time.process_time()
        cpu_before = proc.cpu_seconds(pids)
        output, load_cpu = _run_wrk(case, server, seconds, pids, load_cpus, window)
        cpu = proc.cpu_seconds(pids) - cpu_before
        window.causes = watch.causes(before, watch.look(watched), time.monotonic() - began,
                                     cpu + load_cpu + time.process_time() - driver_before)
        check_case(case, server)
    except OSError as error:
        window.fail(f"the server ended under load ({error.strerror}): {server.complaints()}")
        return window
    try:
        result = wrk.parse(output)
    except wrk.BadOutput as error:
        window.fail(str(error))
        return window
    judge(window, result)
    if result["requests"]:
        window.requests_per_s = result["requests"] / result["seconds"]
        window.load_share = load_cpu / result["seconds"]
        window.cpu_us_per_request = cpu * 1e6 / result["requests"]
        if not case.is_pipelined:
            window.p50_us = result["p50_us"]
            window.p99_us = result["p99_us"]
    return window


def _run_wrk(case, server, seconds, pids, cpus, window):
    """(what wrk printed, wrk's CPU seconds).  The window gets the most threads that the server had,
    and its memory near the end, while all are connected."""
    before = _cpu_of_ended_children()
    process = start_wrk(case, server.port, seconds, cpus)
    began = time.monotonic()
    deadline = began + seconds + 2 * _WRK_TIMEOUT_SECONDS
    try:
        while process.poll() is None and time.monotonic() < deadline:
            window.threads = max(window.threads, proc.thread_count(pids))
            if window.pss_bytes == 0 and time.monotonic() - began >= _MEMORY_SHARE * seconds:
                window.pss_bytes = proc.pss_bytes(pids)
            time.sleep(_POLL_SECONDS)
    finally:
        servers.stop_process(process, 1)
    with process.stdout:
        return process.stdout.read(), _cpu_of_ended_children() - before


def _cpu_of_ended_children():
    """Of children that have been waited for, of which wrk is the only one in a window."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime
