# SPDX-License-Identifier: MIT
"""scripts/run.sh: the same HTTP server on fibers and on threads, under load, in one table."""

import argparse
import os
import signal
import statistics
import sys

import chart
import http_cases
import machine
import results
import servers

from http_cases import CASES, FIBER, implementations, load_notes

# Many short windows rather than a few long ones: neighbours disturb for seconds at a time, and the
# median leaves out what hit a minority.
ROUNDS = 4
SECONDS = 1


def format_latency(us):
    if us == 0:
        return "-"
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
    header = ["case", "server", "req/s", "p50", "p99", "CPU us/req", "Pss", "threads",
              "wrk's CPU"]
    return results.format_table(header, lines), notes


def table_cells(usable):
    def median(metric):
        return statistics.median(getattr(window, metric) for window in usable)

    return [
        f"{median('requests_per_s'):,.0f}",
        format_latency(median("p50_us")),
        format_latency(median("p99_us")),
        f"{median('cpu_us_per_request'):.2f}",
        f"{median('pss_bytes') / 1e6:.1f} MB",
        str(max(window.threads for window in usable)),
        f"{100 * median('load_share'):.0f} %",
    ]


def ratio_table(rows):
    """Fibers against each other server: throughput, CPU, memory and tail as ratios."""
    shown = ("requests_per_s", "cpu_us_per_request", "pss_bytes", "p99_us")
    lines = []
    for case in CASES:
        if results.find(rows, case.bench, shown[0], FIBER) is None:
            continue
        for impl in implementations(case)[1:]:
            values = [results.ratio(results.find(rows, case.bench, metric, FIBER),
                                    results.find(rows, case.bench, metric, impl))
                      for metric in shown]
            if all(value is None for value in values):
                continue  # it was left out
            cells = ["-" if value is None else results.format_ratio(value) for value in values]
            lines.append([case.title, f"fibers / {impl}"] + cells)
    header = ["case", "ratio", "req/s", "CPU/req", "Pss", "p99"]
    return results.format_table(header, lines)


def write_outputs(rows, json_path):
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
    parser.add_argument("--all", action="store_true",
                        help="with JSON, pipelining, requests that compute, and a bare loop that "
                             "parses as weft-http does, which take another minute")
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


def interrupt(signal_number, _):
    """Every way to be told to stop runs the same `finally` clauses as Ctrl-C."""
    raise KeyboardInterrupt(signal_number)


def main(arguments):
    options = parse_options(arguments)
    if options.check_options:
        return 0
    for signal_number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(signal_number, interrupt)
    cases = CASES if options.all else http_cases.MAIN_CASES
    http_cases.raise_file_limit(cases)
    programs = http_cases.find_programs(options.build)

    os.makedirs(os.path.dirname(os.path.abspath(options.json)), exist_ok=True)
    results.check_writable(options.json)
    machine.describe()
    left_out = () if options.all else http_cases.MAIN_WITHOUT
    if not http_cases.has_uring(programs["http-uring-floor"]):
        left_out += http_cases.RINGS
        print(f"{' and '.join(http_cases.RINGS)} are left out: this process may not use io_uring")
    for name in http_cases.missing(programs):
        left_out += (name,)
        print(f"{name} is left out: it is not built on this machine")
    suite = http_cases.Suite(cases, programs, left_out, options.seconds)
    for round_number in range(1, ROUNDS + 1):
        suite.run_round(round_number, show_progress)
    windows, rows = suite.windows, suite.rows()
    table, notes = result_table(windows)
    print(f"\n{table}\n\n{ratio_table(rows)}\n")
    for note in notes + load_notes(windows):
        print(note)
    svg_path = write_outputs(rows, options.json)
    print(f"results: {options.json}\nchart:   {svg_path}")
    return 1 if suite.failures() else 0


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except (servers.ServerError, OSError) as error:
        sys.exit(f"scripts/run.sh: {error}")
    except KeyboardInterrupt:
        print("\nscripts/run.sh: stopped; no server is left running", file=sys.stderr)
        sys.exit(128 + signal.SIGINT)
