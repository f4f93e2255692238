# SPDX-License-Identifier: MIT
"""benchmarks/template: a workload of fewer than 50 lines is measured beside its peers."""

import json
import os
import pathlib
import shutil
import subprocess
import tempfile
import unittest

TEMPLATE = pathlib.Path(__file__).resolve().parents[2] / "benchmarks" / "template"


class Template(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)

    def run_workload(self, path, *options):
        environment = {name: value for name, value in os.environ.items()
                       if name == "WEFT_BENCH_BUILD" or not name.startswith("WEFT_")}
        return subprocess.run([TEMPLATE / "run.sh", path, *options], env=environment, timeout=240,
                              capture_output=True, text=True, check=False)

    def test_the_example_is_short_and_every_peer_does_its_work(self):
        example = TEMPLATE / "primes.h"
        self.assertLess(len(example.read_text(encoding="utf-8").splitlines()), 50)
        target = self.folder / "out.json"
        done = self.run_workload(example, "--quick", "--only", "*/workers=2", "--json", target)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        rows = json.loads(target.read_text(encoding="utf-8"))
        self.assertEqual({row["bench"] for row in rows}, {"template/primes/n=2000000/workers=2"})
        left_out = {peer for peer in ("openmp", "tbb", "go", "rayon")
                    if f"skipped: {peer}" in done.stdout}
        if shutil.which("go"):
            self.assertNotIn("go", left_out, done.stderr)
        self.assertEqual({row["impl"] for row in rows},
                         {"weft", "pthread", "openmp", "tbb", "go", "rayon"} - left_out)

    def test_a_wrong_result_fails(self):
        text = (TEMPLATE / "primes.h").read_text(encoding="utf-8")
        wrong = self.folder / "wrong.h"
        wrong.write_text(text.replace("PRIMES_COUNT = 148933", "PRIMES_COUNT = 148934"),
                         encoding="utf-8")
        done = self.run_workload(wrong, "--quick", "--only", "*/workers=1", "--peers", "none")
        self.assertEqual(done.returncode, 1)
        self.assertIn("the result is wrong", done.stdout)

    def test_a_missing_workload_is_told(self):
        done = self.run_workload(self.folder / "none.h")
        self.assertEqual((done.returncode, "there is no file" in done.stderr), (2, True))


if __name__ == "__main__":
    unittest.main()
