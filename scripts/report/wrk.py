# SPDX-License-Identifier: MIT
"""Reading what wrk prints."""

import re

_UNITS_US = {"us": 1.0, "ms": 1e3, "s": 1e6, "m": 60e6, "h": 3600e6}
_DURATION = r"([0-9.]+)(us|ms|s|m|h)"


class BadOutput(Exception):
    """wrk did not print what was expected; the message carries what it printed."""


def parse_duration_us(text):
    """wrk's '950.00us', '1.05ms', '2.10s' in microseconds."""
    match = re.fullmatch(_DURATION, text.strip())
    if not match:
        raise BadOutput(f"not a duration: {text!r}")
    return float(match.group(1)) * _UNITS_US[match.group(2)]


def _percentile(text, percent):
    match = re.search(rf"^\s+{percent}%\s+(\S+)\s*$", text, re.MULTILINE)
    if not match:
        raise BadOutput(f"no {percent} % line in:\n{text}")
    return parse_duration_us(match.group(1))


def parse(text):
    """wrk --latency output as a dict: requests, seconds, p50_us, p99_us, errors, non_2xx.

    `errors` are socket errors of all four kinds; wrk prints its line only if there were any.
    """
    total = re.search(rf"^\s*([0-9]+) requests in {_DURATION},", text, re.MULTILINE)
    if not total:
        raise BadOutput(f"no total in what wrk printed:\n{text}")
    result = {
        "requests": int(total.group(1)),
        "seconds": float(total.group(2)) * _UNITS_US[total.group(3)] / 1e6,
        "errors": {},
        "non_2xx": 0,
    }
    errors = re.search(r"Socket errors: (.*)", text)
    if errors:
        for kind, count in re.findall(r"([a-z]+) ([0-9]+)", errors.group(1)):
            if int(count) > 0:
                result["errors"][kind] = int(count)
    non_2xx = re.search(r"Non-2xx or 3xx responses: ([0-9]+)", text)
    if non_2xx:
        result["non_2xx"] = int(non_2xx.group(1))
    if result["requests"] > 0:
        result["p50_us"] = _percentile(text, 50)
        result["p99_us"] = _percentile(text, 99)
    return result
