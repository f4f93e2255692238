# SPDX-License-Identifier: MIT
"""Plants one mistake at a time in the library and demands that a test notices it.

The mistakes are made in a copy of the sources, in which the library and the one test program are
built anew.  A mutant dies if its test fails, crashes, or hangs; before the first mutant each of
these tests has to pass.

usage: run.py [--work FOLDER] [--only TEXT]... [--seconds N] [--jobs N]
"""
import argparse
import contextlib
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import time

from table import MUTANTS

ROOT = pathlib.Path(__file__).resolve().parents[2]
SOURCES = ("CMakeLists.txt", "CMakePresets.json", "LICENSE", "README.md", "arch", "benchmarks",
           "cares", "cmake", "examples", "include", "io", "runtime", "sync", "tests", "tool")


class Stale(Exception):
    """The source has changed, and the mutant must follow."""


def list_files(root):
    for name in SOURCES:
        top = root / name
        for path in top.rglob("*") if top.is_dir() else [top]:
            if path.is_file() and path.suffix != ".pyc":
                yield path.relative_to(root)


def copy_sources(tree):
    """Leaves alone what is the same, so that only what differs is compiled again."""
    wanted = set(list_files(ROOT))
    for path in set(list_files(tree)) - wanted:
        (tree / path).unlink()
    for path in wanted:
        source, target = ROOT / path, tree / path
        if target.exists() and target.read_bytes() == source.read_bytes():
            continue
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, target)
        shutil.copymode(source, target)


@contextlib.contextmanager
def started(command, **options):
    """A process group that ends with this block at the latest, also when a signal ends the program:
    a build has compilers for children, and a test its cases."""
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                          start_new_session=True, **options) as process:
        try:
            yield process
        finally:
            # What has been waited for may be somebody else's number by now.
            if process.returncode is None:
                os.killpg(process.pid, signal.SIGKILL)


def end_by_signal(number, _frame):
    raise SystemExit(128 + number)


def build(tree, preset, targets, args):
    folder = tree.parent / preset
    if not (folder / "CMakeCache.txt").exists():
        subprocess.run(["cmake", "--preset", preset, "-S", str(tree), "-B", str(folder)], cwd=tree,
                       check=True, stdout=subprocess.DEVNULL)
    with started(["cmake", "--build", str(folder), "-j", str(args.jobs), "--target",
                  *targets]) as built:
        output, _ = built.communicate()
    if built.returncode != 0:
        raise Stale(f"does not compile:\n{output[-2000:]}")
    return folder


def run(folder, mutant, seconds):
    """Returns how the test ended, or None if it passed."""
    command = [str(folder / "tests" / mutant.program), "-j1"]
    if mutant.case:
        command += ["--filter", mutant.case]
    environment = {key: value for key, value in os.environ.items() if not key.startswith("WEFT_")}
    try:
        with started(command, env={**environment, **mutant.environment}) as test:
            output, _ = test.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        return "hangs"
    if "Tested: 0" in output or "Tested: " not in output:
        raise Stale(f"ran no test:\n{output[-2000:]}")
    if test.returncode == 0:
        return None
    return "crashes" if "CRASH" in output else "fails"


def mutated(mutant, text):
    for before, after in mutant.changes:
        if text.count(before) != 1:
            raise Stale(f"{before!r} occurs {text.count(before)} times in {mutant.path}")
        text = text.replace(before, after)
    return text


def key(mutant):
    return mutant.preset, mutant.program, mutant.case, tuple(sorted(mutant.environment.items()))


def check_unmutated(tree, chosen, args):
    """Returns how many seconds each test takes that has nothing to find."""
    seconds = {}
    for preset in sorted({mutant.preset for mutant in chosen}):
        targets = sorted({mutant.program for mutant in chosen if mutant.preset == preset})
        build(tree, preset, targets, args)
    for mutant in chosen:
        if key(mutant) in seconds:
            continue
        start = time.monotonic()
        end = run(tree.parent / mutant.preset, mutant, args.seconds)
        if end is not None:
            raise Stale(f"{mutant.program} {mutant.case} {end} without a mutant")
        seconds[key(mutant)] = time.monotonic() - start
    return seconds


def verdict(tree, mutant, seconds, args):
    target = tree / mutant.path
    original = target.read_bytes()
    try:
        target.write_text(mutated(mutant, original.decode("utf-8")), encoding="utf-8")
        folder = build(tree, mutant.preset, [mutant.program], args)
        # A test that takes ten times as long as before hangs.
        limit = max(15, 10 * seconds[key(mutant)])
        for _ in range(mutant.tries):
            end = run(folder, mutant, limit)
            if end is not None:
                return end
        return None
    finally:
        target.write_bytes(original)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--work", default=str(ROOT / "build" / "mutants"))
    parser.add_argument("--only", action="append", default=[],
                        help="mutants whose name contains this; may be given again")
    parser.add_argument("--seconds", type=int, default=120, help="for a test without a mutant")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    args = parser.parse_args()
    # The default is to end at once, without a word to the children.
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, end_by_signal)
    tree = pathlib.Path(args.work) / "tree"
    chosen = [mutant for mutant in MUTANTS
              if not args.only or any(text in mutant.name for text in args.only)]
    alive = 0
    copy_sources(tree)
    try:
        seconds = check_unmutated(tree, chosen, args)
    except Stale as error:
        print(error)
        return 1
    for mutant in chosen:
        try:
            end = verdict(tree, mutant, seconds, args)
        except Stale as error:
            end, reason = None, str(error)
        else:
            reason = f"survives {mutant.program} {mutant.case}"
        print(f"{mutant.name}: {f'dies ({end})' if end else reason}", flush=True)
        alive += end is None
    print(f"{len(chosen) - alive} of {len(chosen)} mutants died")
    return 1 if alive or not chosen else 0


if __name__ == "__main__":
    sys.exit(main())
