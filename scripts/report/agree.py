# SPDX-License-Identifier: MIT
"""Whether two runs say the same: each verdict of one beside that of the other."""

import sections


def verdicts(rows):
    """{(bench, metric, peer): (verdict, how many times as good weft is)}."""
    return {(theirs["bench"], theirs["metric"], theirs["impl"]):
            (verdict.rstrip("*"), sections.advantage(ours, theirs))
            for ours, theirs, verdict in sections.comparisons(rows)}


def compare(before, after):
    """(how many verdicts both runs have, how many more are doubtful in one of them, contradictions,
    other changes): one is ahead in one run and behind in the other, with intervals that overlap in
    neither; the others were level once."""
    old, new = verdicts(before), verdicts(after)
    common = [key for key in new if key in old]
    both = [key for key in common if not (old[key][0] + new[key][0]).count("?")]
    changed = [(key, old[key], new[key]) for key in both if old[key][0] != new[key][0]]
    contradictions = [change for change in changed
                      if {change[1][0], change[2][0]} == {"ahead", "behind"}]
    return len(both), len(common) - len(both), contradictions, [
        change for change in changed if change not in contradictions]


def _line(change):
    (bench, metric, peer), (was, factor_was), (now, factor_now) = change
    return (f"  {bench} {metric}, weft against {peer}: {was} ({factor_was:.2f}x), then {now} "
            f"({factor_now:.2f}x)")


def text(before, after):
    """(what to print, whether the runs agree)."""
    count, doubtful, contradictions, others = compare(before, after)
    lines = [f"{count} verdicts are in both runs: {count - len(contradictions) - len(others)} the "
             f"same, {len(others)} level in one of them, {len(contradictions)} contradict each "
             "other"]
    if doubtful:
        lines.append(f"{doubtful} more cannot be compared: one of the runs has fewer than three "
                     "processes of them, or fewer of one side")
    for title, changes in (("contradictions", contradictions), ("level in one run", others)):
        if changes:
            lines += [f"{title}:"] + [_line(change) for change in changes]
    return "\n".join(lines), count > 0 and not contradictions
