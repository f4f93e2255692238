# SPDX-License-Identifier: MIT
"""Plants one mistake at a time in a source that a model checks, and demands that the model fails.

A model that no mistake can fail proves nothing: with scenarios a little shorter than those here,
some of these mutants survive.  The mistakes are made in copies, so the sources carry no trace.

usage: mutants.py [--cxx COMPILER] [--relacy FOLDER] [--only TEXT]... [--jobs N]
"""
import argparse
import concurrent.futures
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import tempfile

from mutant_claim import CLAIM_MUTANTS
from mutant_close import CLOSE_MUTANTS
from mutant_gate import GATE_MUTANTS
from mutant_join import JOIN_MUTANTS
from mutant_locks import LOCK_MUTANTS
from mutant_next import NEXT_MUTANTS
from mutant_table import MUTANTS

ALL_MUTANTS = (MUTANTS + LOCK_MUTANTS + CLOSE_MUTANTS + JOIN_MUTANTS + NEXT_MUTANTS +
               GATE_MUTANTS + CLAIM_MUTANTS)

FOLDER = pathlib.Path(__file__).resolve().parent
ROOT = FOLDER.parents[1]
# What a healthy model passes; every mutant so far dies within a few thousand.
ITERATIONS = "60000"


def mutate(mutant, target):
    """Writes the mutated copy below `target`; returns the model's source to compile."""
    source = (ROOT / mutant.path).read_text(encoding="utf-8")
    if source.count(mutant.before) != 1:
        raise ValueError(f"{mutant.name}: its text occurs {source.count(mutant.before)} times in "
                         f"{mutant.path}: the source has changed, the mutant must follow")
    copy = target / mutant.path
    copy.parent.mkdir(parents=True)
    copy.write_text(source.replace(mutant.before, mutant.after), encoding="utf-8")
    model = f"tests/model/{mutant.model}_model.cpp"
    return copy if mutant.path == model else ROOT / model


def compiler(args):
    return [args.cxx, "-std=c++11", "-O0", "-w", "-DWF_MODEL=1", *args.flag,
            *(["-isystem", args.relacy] if args.relacy not in ("", "/usr/include") else [])]


def precompile(folder, args):
    """Relacy's header is most of what each mutant compiles: it is compiled once."""
    header = pathlib.Path(folder) / "relacy_first.hpp"
    header.write_text("#include <relacy/relacy.hpp>\n", encoding="utf-8")
    options = ["-fpch-instantiate-templates"] if "clang" in args.cxx else []
    subprocess.run([*compiler(args), *options, "-x", "c++-header", str(header),
                    "-o", f"{header}.gch"], check=True)
    return header


def compile_engine(folder, args):
    """What all models share, compiled once too, and so worth the optimiser's time."""
    engine = pathlib.Path(folder) / "engine.o"
    subprocess.run([*compiler(args), "-O2", "-c", str(FOLDER / "engine.cpp"), "-o", str(engine)],
                   check=True)
    return engine


def build(source, target, args):
    program = target / "model"
    includes = [target, FOLDER, ROOT, ROOT / "include"]
    command = [*compiler(args), "-include", str(args.header),
               *(f"-I{folder}" for folder in includes), str(source), str(args.engine),
               "-o", str(program)]
    built = subprocess.run(command, capture_output=True, text=True, check=False)
    if built.returncode != 0:
        raise ValueError(f"does not compile:\n{built.stderr[-2000:]}")
    return program


def verdict(mutant, args):
    """Returns None if the mutant died, else what went wrong."""
    try:
        with tempfile.TemporaryDirectory(prefix="weft-mutant-") as folder:
            target = pathlib.Path(folder)
            program = build(mutate(mutant, target), target, args)
            run = subprocess.run([str(program)], capture_output=True, text=True, check=False,
                                 timeout=300,
                                 env={**os.environ, "WEFT_MODEL_ITERATIONS": ITERATIONS})
    except ValueError as error:
        return str(error)
    except subprocess.TimeoutExpired:
        return "neither passes nor fails within five minutes"
    if run.returncode == 0:
        return "survives"
    # Relacy's verdict counts as death, and so does a plain pointer that a missing lock has torn:
    # Relacy sees only what goes through the seam.  Any other end may be the checker's own.
    if run.returncode != -signal.SIGSEGV and "\niteration: " not in run.stdout:
        return f"ends with status {run.returncode} and no verdict: {run.stdout[-500:]}"
    return None


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--cxx", default=shutil.which("clang++") or "c++")
    parser.add_argument("--relacy", default="")
    parser.add_argument("--flag", action="append", default=[], help="for the compiler")
    parser.add_argument("--only", action="append", default=[],
                        help="mutants whose name contains this; may be given again")
    parser.add_argument("--jobs", type=int, default=min(2, os.cpu_count() or 1))
    args = parser.parse_args()
    chosen = [mutant for mutant in ALL_MUTANTS
              if not args.only or any(text in mutant.name for text in args.only)]
    failures = 0
    with tempfile.TemporaryDirectory(prefix="weft-mutants-") as folder, \
            concurrent.futures.ThreadPoolExecutor(args.jobs) as pool:
        args.header = precompile(folder, args)
        args.engine = compile_engine(folder, args)
        for mutant, wrong in zip(chosen, pool.map(lambda m: verdict(m, args), chosen)):
            print(f"{mutant.name}: {wrong or 'dies'}", flush=True)
            failures += wrong is not None
    print(f"{len(chosen) - failures} of {len(chosen)} mutants died")
    return 1 if failures or not chosen else 0


if __name__ == "__main__":
    sys.exit(main())
