#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Plants mistakes in the scheduler, and demands that simulation finds each within 1,000 seeds.

usage: mutants.py [--seeds N] [--faults LIST] [NAME]...

Each mistake replaces texts that occur exactly once in their file.  The library is compiled once as
it is, which must pass, and then with the one changed file in place of its own.  scripts/sim.sh
--mutants runs it.
"""
import argparse
import concurrent.futures
import os
import pathlib
import re
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parents[2]
FOLDERS = ("arch", "arch/linux", "arch/x86_64", "runtime", "io", "sync", "tests/sim")
FLAGS = ["-std=gnu11", "-O1", "-D_GNU_SOURCE", "-DWEFT_CHAOS_POINTS", "-DWF_CHECK_LEVEL=2",
         "-fno-lto", "-I", "include"]

# name, file, before, after; and more of the last two
MUTANTS = [
    ("worker/no-last-look", "runtime/worker.c",
     "    wf_park_announce(self->park, &self->parker);\n    fiber = take_injected(self);",
     "    wf_park_announce(self->park, &self->parker);\n    fiber = NULL;"),
    ("outside/no-wake-when-all-sleep", "runtime/outside.c",
     "WF_UNLIKELY(is_chaotic) || wf_park_all_asleep(&runtime->park)",
     "WF_UNLIKELY(is_chaotic)"),
    ("event/sleeps-without-a-look", "sync/event.c",
     "    if ((event->flags & IS_SET) == 0)\n        return", "    if (true)\n        return"),
    ("wait/unpin-loses-the-wake", "runtime/wait.c",
     "    enqueue(self, wf_fiber_of_waiter(waiter));", "    (void)self;"),
    ("wait/parks-without-a-look-at-the-cancel", "runtime/wait.c",
     "    if (WF_UNLIKELY(wf_fiber_is_cancelled(self->runtime, fiber)))", "    if (false)"),
    ("wait/a-deadline-leaves-who-is-busy", "runtime/wait.c",
     "        return WF_TIMER_LATER;", "        return WF_TIMER_VOID;"),
    ("wait-queue/refusal-keeps-the-lock", "sync/wait_queue.c",
     "    if (WF_UNLIKELY(refusal != 0))\n        wf_lock_release(lock);\n", ""),
    ("rwlock/hands-over-to-readers-uncounted", "sync/rwlock.c",
     "allow_behind(word + readers, readers / READER)", "allow_behind(word, readers / READER)"),
    ("mutex/sleeps-without-a-look", "sync/mutex.c",
     "        if ((word & LOCKED) == 0 || (is_woken && (word & GIVEN) != 0))\n"
     "            return false;\n        target", "        target"),
    ("channel/receives-and-wakes-no-sender", "sync/channel.c",
     "        wf_wake(self, sender->waiter, 0);", "        (void)self;"),
    ("io/a-cancel-leaves-before-the-completion", "io/op.c",
     "waiter->place, reason);\n    return false;", "waiter->place, reason);\n    return true;"),
    # Nothing is wrong as long as the operation completes before its cancel is answered.
    ("ring/the-answer-of-a-cancel-ends-its-operation", "io/ring.c",
     "/* Takes completions out of the ring.",
     "static struct wf_op *stopped;\nstatic uint64_t stopped_tag;\n"
     "/* Takes completions out of the ring.",
     "        if (cqe->user_data == TAG_EVENT || cqe->user_data == TAG_NONE)\n"
     "            continue;\n",
     "        if (stopped != NULL && cqe->user_data == (stopped_tag | 1) &&\n"
     "            cqe->res != -ENOENT) {\n"
     "            ops[count] = stopped;\n"
     "            stopped = NULL;\n"
     "            ops[count]->result = -ECANCELED;\n"
     "            wf_pending_remove(ops[count++]);\n"
     "            continue;\n"
     "        }\n"
     "        if (cqe->user_data == TAG_NONE || (cqe->user_data & 1) != 0)\n"
     "            continue;\n"
     "        if (stopped != NULL && stopped_tag == cqe->user_data)\n"
     "            stopped = NULL;\n",
     "    io_uring_sqe_set_data64(sqe, TAG_NONE);\n    wf_count(",
     "    io_uring_sqe_set_data64(sqe, tag | 1);\n"
     "    stopped = op;\n    stopped_tag = tag;\n    wf_count("),
]


def sources():
    return [path for folder in FOLDERS for suffix in ("*.c", "*.S")
            for path in sorted((ROOT / folder).glob(suffix))]


def compile_one(source, target, folder):
    command = ["cc", *FLAGS, "-I", str(folder), "-c", str(source), "-o", str(target)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True)


def object_of(scratch, source):
    return scratch / (str(source.relative_to(ROOT)).replace("/", "_") + ".o")


def compile_all(scratch):
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        for result in pool.map(lambda source: compile_one(source, object_of(scratch, source), ROOT),
                               sources()):
            if result.returncode != 0:
                sys.exit(result.stderr)


def link(scratch, program, changed=None, replacement=None):
    objects = [str(replacement if source == changed else object_of(scratch, source))
               for source in sources()]
    libraries = subprocess.run(["pkg-config", "--libs", "liburing", "hwloc"], check=True,
                               capture_output=True, text=True).stdout.split()
    subprocess.run(["cc", "-o", str(program), *objects, *libraries, "-lpthread", "-lm"], check=True)


def run(program, seeds):
    """The first failure in any scenario; None if all pass.

    A seed that hangs ends by a bound of its own, on processor time (main.c): the bound here is for
    a program that not even a signal reaches, and says nothing about the mistake.
    """
    for scenario in ("sync", "network", "disk", "pipe"):
        result = subprocess.run([str(program), "--seeds", str(seeds), scenario],
                                capture_output=True, text=True, timeout=3600, errors="replace")
        if result.returncode != 0:
            text = result.stdout + result.stderr
            seed = re.search(r"WEFT_SEED=(\d+)", text)
            how = " (it hangs)" if "does not come to an end" in text else ""
            return f"seed {seed.group(1) if seed else '?'} of {scenario}{how}"
    return None


def mutated(path, text, edits):
    for before, after in zip(edits[::2], edits[1::2]):
        if text.count(before) != 1:
            raise ValueError(f"{before!r} occurs {text.count(before)} times in {path}")
        text = text.replace(before, after)
    return text


def plant(scratch, mutant, seeds):
    name, path, *edits = mutant
    source = ROOT / path
    text = source.read_text(encoding="utf-8")
    changed = scratch / "changed.c"
    changed.write_text(mutated(path, text, edits), encoding="utf-8")
    result = compile_one(changed, scratch / "changed.o", ROOT)
    if result.returncode != 0:
        return f"FAIL  {name}: does not compile\n{result.stderr}"
    link(scratch, scratch / "mutant", source, scratch / "changed.o")
    found = run(scratch / "mutant", seeds)
    return f"ok    {name}: {found}" if found else f"FAIL  {name}: survives"


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seeds", type=int, default=1000)
    parser.add_argument("--faults", default="all", help="as WEFT_SIM_FAULTS has them")
    parser.add_argument("names", nargs="*")
    arguments = parser.parse_args()
    os.environ["WEFT_SIM_FAULTS"] = arguments.faults
    failures = 0
    with tempfile.TemporaryDirectory() as folder:
        scratch = pathlib.Path(folder)
        compile_all(scratch)
        link(scratch, scratch / "plain")
        found = run(scratch / "plain", min(arguments.seeds, 200))
        if found:
            sys.exit(f"FAIL  without a mistake: {found}")
        for mutant in MUTANTS:
            if arguments.names and mutant[0] not in arguments.names:
                continue
            line = plant(scratch, mutant, arguments.seeds)
            failures += line.startswith("FAIL")
            print(line, flush=True)
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
