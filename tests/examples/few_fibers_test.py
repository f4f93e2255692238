# SPDX-License-Identifier: MIT
"""Each example whose path is an argument ends when it cannot have all the fibers that it wants."""

import concurrent.futures
import os
import subprocess
import sys
import tempfile
import unittest

PATIENCE = 90  # seconds; replicated_store gives up after 30
COUNTS = (1, 2, 3, 4, 5, 7, 9, 14)
PROGRAMS = sys.argv[1:]


def run(program, count, folder):
    """What is wrong with this run, or nothing."""
    environment = dict(os.environ, WEFT_MAX_FIBERS=str(count))
    try:
        end = subprocess.run([program], env=environment, cwd=folder, stdin=subprocess.DEVNULL,
                             capture_output=True, text=True, errors="replace", timeout=PATIENCE,
                             check=False)
    except subprocess.TimeoutExpired:
        return "does not end"
    if end.returncode not in (0, 1):
        return f"ends with {end.returncode}: {end.stderr}"
    # That of mistakes.c is on purpose, and said whatever the number.
    if "weft: deadlock" in end.stderr and os.path.basename(program) != "mistakes":
        return end.stderr
    return ""


class FewFibers(unittest.TestCase):
    def test_ends_without_them(self):
        self.assertTrue(PROGRAMS)
        with tempfile.TemporaryDirectory() as folder, \
                concurrent.futures.ThreadPoolExecutor(4) as pool:
            runs = {(program, count): pool.submit(run, program, count, folder)
                    for program in PROGRAMS for count in COUNTS}
            for (program, count), future in runs.items():
                with self.subTest(program=os.path.basename(program), fibers=count):
                    self.assertEqual(future.result(), "")


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1])
