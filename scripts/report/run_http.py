# SPDX-License-Identifier: MIT
"""scripts/run.sh: the same HTTP server on fibers and on threads, under load, in one table."""

import argparse
import os
import resource
import shutil
import signal
import statistics
import subprocess
import sys

import chart
import load
import machine
import results
import servers

# Many short windows rather than a few long ones: neighbours disturb for seconds at a time, and the
# median leaves out what hit a minority.
ROUNDS = 4
SECONDS = 1
FIBER = "weft"
MODES = (FIBER, "thread-per-connection", "thread-per-request")
FLOORS = {"epoll-floor": "http-epoll-floor", "uring-floor": "http-uring-floor"}
REFERENCES = ("nginx", *FLOORS)
WORKERS = {"nginx": 2, **dict.fromkeys(FLOORS, 1)}
# Of its thread: the load generator has then no time left to ask for more.
LOAD_SHARE_FULL = 0.9

CASES = (
    load.Case("http/plaintext/connections=64", "/plaintext, 64 connections", "/plaintext", 64),
    load.Case("http/plaintext/connections=512", "/plaintext, 512 connections", "/plaintext", 512),
    load.Case("http/delay=10/connections=2000", "/delay/10, 2,000 connections", "/delay/10", 2000,
              delay_s=0.010),
    load.Case("http/churn/connections=64", "/plaintext, 64 connections, a new one per request",
              "/plaintext", 64, ("Connection: close",)),
)

# (metric, which way is better)
METRICS = (("requests_per_s", "higher"), ("cpu_us_per_request", "lower"), ("p50_us", "lower"),
           ("p99_us", "lower"), ("rss_bytes", "lower"))


def implementations(case):
    """The references only know /plaintext, and the floors keep every connection open."""
    if case.path != "/plaintext":
        return MODES
    if case.headers:
        return MODES + ("nginx",)
    return MODES + REFERENCES


def find_program(build, name):
    """A built program, wherever below the build folder it was put."""
    for folder, _, files in os.walk(build):
        path = os.path.join(folder, name)
        if name in files and os.access(path, os.X_OK):
            return path
    raise servers.ServerError(f"{name} is not built in {build}")


def make_server(name, programs):
    if name == "nginx":
        return servers.Nginx(name, programs["nginx"])
    if name in FLOORS:
        return servers.Server(name, [programs[FLOORS[name]], "--port", "0"])
    mode = "fiber" if name == FIBER else name
    return servers.Server(name, [programs["weft-http"], f"--mode={mode}", "--port", "0"])


def schedule():
    """(round, case, server) for every window.  Each round goes through all cases and all servers,
    so that a slow phase of the machine hits one window of many servers, not all windows of one;
    and another server comes first in each round."""
    for round_number in range(1, ROUNDS + 1):
        for case in CASES:
            names = implementations(case)
            turn = (round_number - 1) % len(names)
            for name in names[turn:] + names[:turn]:
                yield round_number, case, name


def has_uring(program):
    """Whether this process may use io_uring; sandboxes forbid it."""
    return subprocess.run([program, "--check"], stdin=subprocess.DEVNULL, check=False,
                          stdout=subprocess.DEVNULL, timeout=10).returncode == 0


def measure_all(programs, seconds, show, left_out=()):
    """All windows, {(bench, impl): [Window, ...]}, in the order of the tables."""
    plan = [entry for entry in schedule() if entry[2] not in left_out]
    windows = {(case.bench, name): [] for case in CASES for name in implementations(case)
               if name not in left_out}
    for done, (round_number, case, name) in enumerate(plan, 1):
        show(f"[{done}/{len(plan)}] round {round_number} of {ROUNDS}, {case.title}: {name}")
        windows[case.bench, name].append(measure_one(case, name, programs, seconds))
    show("")
    return windows


def measure_one(case, name, programs, seconds):
    try:
        with make_server(name, programs) as server:
            return load.measure(case, server, seconds)
    except (servers.ServerError, OSError) as error:
        window = load.Window()
        window.fail(str(error))
        return window


def make_rows(windows):
    """Rows in the common format, from the windows that did not fail."""
    rows = []
    for (bench, impl), group in windows.items():
        usable = [window for window in group if not window.is_failed]
        workers = WORKERS.get(impl, len(os.sched_getaffinity(0)))
        for metric, better in METRICS:
            samples = [getattr(window, metric) for window in usable]
            if samples:
                rows.append(results.make_row(bench, metric, impl, workers, better, samples))
    return rows


def format_latency(us):
    if us < 1000:
        return f"{us:.0f} us"
    return f"{us / 1000:.2f} ms" if us < 100000 else f"{us / 1000:.0f} ms"


def result_table(windows):
    """One line a case and server; a failed one says so, a doubtful one is marked."""
    lines = []
    notes = []
    for case in CASES:
        for impl in implementations(case):
            group = windows.get((case.bench, impl))
            if group is None:
                continue
            usable = [window for window in group if not window.is_failed]
            problems = [problem for window in group for problem in window.problems]
            mark = "" if not problems else " !"
            notes += [f"! {impl}, {case.title}: {problem}" for problem in problems]
            title = case.title if impl == FIBER else ""
            if len(usable) < len(group):
                notes.append(f"! {impl}, {case.title}: {len(group) - len(usable)} of "
                             f"{len(group)} rounds failed and are left out")
            if not usable:
                lines.append([title, impl + mark] + ["FAILED"] + ["-"] * 6)
                continue
            lines.append([title, impl + mark] + table_cells(usable))
    header = ["case", "server", "req/s", "p50", "p99", "CPU us/req", "peak RSS", "threads",
              "wrk's CPU"]
    return results.format_table(header, lines), notes


def load_notes(windows):
    """Where a figure of requests per second is wrk's limit rather than the server's."""
    notes = []
    for case in CASES:
        full = [impl for (bench, impl), group in windows.items() if bench == case.bench
                and statistics.median(window.load_share for window in group) >= LOAD_SHARE_FULL]
        if full:
            notes.append(f"wrk could not ask for more, so compare CPU/req: {case.title}: "
                         + ", ".join(full))
    return notes


def table_cells(usable):
    def median(metric):
        return statistics.median(getattr(window, metric) for window in usable)

    return [
        f"{median('requests_per_s'):,.0f}",
        format_latency(median("p50_us")),
        format_latency(median("p99_us")),
        f"{median('cpu_us_per_request'):.2f}",
        f"{median('rss_bytes') / 1e6:.1f} MB",
        str(max(window.threads for window in usable)),
        f"{100 * median('load_share'):.0f} %",
    ]


def ratio_table(rows):
    """Fibers against each other server: throughput, CPU, memory and tail as ratios."""
    shown = ("requests_per_s", "cpu_us_per_request", "rss_bytes", "p99_us")
    lines = []
    for case in CASES:
        for impl in implementations(case)[1:]:
            values = [results.ratio(results.find(rows, case.bench, metric, FIBER),
                                    results.find(rows, case.bench, metric, impl))
                      for metric in shown]
            cells = ["-" if value is None else results.format_ratio(value) for value in values]
            lines.append([case.title, f"fibers / {impl}"] + cells)
    header = ["case", "ratio", "req/s", "CPU/req", "peak RSS", "p99"]
    return results.format_table(header, lines)


def write_outputs(rows, json_path):
    os.makedirs(os.path.dirname(os.path.abspath(json_path)), exist_ok=True)
    results.write_json(rows, json_path)
    svg_path = os.path.splitext(json_path)[0] + ".svg"
    with open(svg_path, "w", encoding="utf-8") as out:
        out.write(chart.bar_charts(rows))
    return svg_path


def positive(text):
    value = int(text)
    if not 1 <= value <= 3600:
        raise argparse.ArgumentTypeError("wants 1-3600")
    return value


def parse_options(arguments):
    parser = argparse.ArgumentParser(prog="scripts/run.sh", description=__doc__,
                                     allow_abbrev=False)
    parser.add_argument("--seconds", type=positive, default=SECONDS, metavar="N",
                        help=f"length of each of the {ROUNDS} measured windows (default "
                             f"{SECONDS}, the whole run then takes under two minutes)")
    parser.add_argument("--json", metavar="FILE",
                        help="where the results go, with a chart beside them "
                             "(default build/run.json)")
    parser.add_argument("--build", required=True, help=argparse.SUPPRESS)
    parser.add_argument("--check-options", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.json is None:
        options.json = os.path.join(os.path.dirname(options.build), "run.json")
    return options


def show_progress(text):
    """Over itself on a terminal, line by line elsewhere."""
    if sys.stderr.isatty():
        print(f"\r\033[K{text}", end="", file=sys.stderr, flush=True)
    elif text:
        print(text, file=sys.stderr, flush=True)


def raise_file_limit():
    """2,000 connections need as many descriptors, here and in the servers, which inherit it."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    if hard != resource.RLIM_INFINITY and hard < 2200:
        print(f"warning: at most {hard} open files are allowed; 2,000 connections will not fit",
              file=sys.stderr)


def interrupt(signal_number, _):
    """Every way to be told to stop runs the same `finally` clauses as Ctrl-C."""
    raise KeyboardInterrupt(signal_number)


def main(arguments):
    options = parse_options(arguments)
    if options.check_options:
        return 0
    for signal_number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(signal_number, interrupt)
    raise_file_limit()
    programs = {name: find_program(options.build, name)
                for name in ("weft-http", *FLOORS.values())}
    programs["nginx"] = shutil.which("nginx", path=os.environ.get("PATH", "") + ":/usr/sbin")
    for name, path in (("wrk", shutil.which("wrk")), ("nginx", programs["nginx"])):
        if not path:
            raise servers.ServerError(f"{name} is not installed; scripts/setup.sh --run does it")

    machine.describe()
    left_out = ()
    if not has_uring(programs["http-uring-floor"]):
        left_out = ("uring-floor",)
        print("uring-floor is left out: this process may not use io_uring")
    windows = measure_all(programs, options.seconds, show_progress, left_out)
    rows = make_rows(windows)
    table, notes = result_table(windows)
    print(f"\n{table}\n\n{ratio_table(rows)}\n")
    for note in notes + load_notes(windows):
        print(note)
    svg_path = write_outputs(rows, options.json)
    print(f"results: {options.json}\nchart:   {svg_path}")
    is_failed = any(window.is_failed for group in windows.values() for window in group)
    return 1 if is_failed else 0


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except servers.ServerError as error:
        sys.exit(f"scripts/run.sh: {error}")
    except KeyboardInterrupt:
        print("\nscripts/run.sh: stopped; no server is left running", file=sys.stderr)
        sys.exit(128 + signal.SIGINT)
