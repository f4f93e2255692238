# SPDX-License-Identifier: MIT
"""The command-line tool, whose path is in WEFT_TOOL: `weft bench` finds the comparison, and
what cannot be printed is an error."""

import os
import pathlib
import shutil
import subprocess
import tempfile
import unittest

TOOL = os.environ["WEFT_TOOL"]
SCRIPT = """#!/bin/sh
echo "$0" "$@"
exit 7
"""


class Bench(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name).resolve()
        self.empty = self.folder / "empty"
        self.empty.mkdir()
        # Deep enough that only what a test makes can be found around it.
        self.tool = self.folder / "a" / "b" / "c" / "d" / "weft"
        self.tool.parent.mkdir(parents=True)
        shutil.copy(TOOL, self.tool)

    def sources(self, name):
        script = self.folder / name / "scripts" / "bench.sh"
        script.parent.mkdir(parents=True)
        script.write_text(SCRIPT, encoding="utf-8")
        script.chmod(0o755)
        return script

    def run_tool(self, *arguments, tool=None, folder=None, source=None):
        environment = {name: value for name, value in os.environ.items() if name != "WEFT_SOURCE"}
        if source:
            environment["WEFT_SOURCE"] = str(source)
        return subprocess.run([tool or self.tool, *arguments], cwd=folder or self.empty, timeout=60,
                              env=environment, capture_output=True, text=True, check=False)

    def test_options_and_status_are_those_of_the_script(self):
        script = self.sources("weft-source")
        done = self.run_tool("bench", "--only", "a b", source=script.parents[1])
        self.assertEqual((done.returncode, done.stdout), (7, f"{script} --only a b\n"))

    def test_the_sources_around_the_program_are_found(self):
        script = self.sources("around")
        tool = script.parents[1] / "build" / "release" / "bin" / "weft"
        tool.parent.mkdir(parents=True)
        shutil.copy(TOOL, tool)
        done = self.run_tool("bench", tool=tool)
        self.assertEqual((done.returncode, done.stdout), (7, f"{script}\n"))

    def test_the_sources_in_the_working_folder_are_found_but_not_those_around_it(self):
        script = self.sources("here")
        done = self.run_tool("bench", folder=script.parents[1])
        self.assertEqual((done.returncode, done.stdout), (7, f"{script}\n"))
        done = self.run_tool("bench", folder=script.parent)
        self.assertEqual(done.returncode, 1)

    def test_where_there_are_none_it_says_what_to_do(self):
        for source in (None, self.folder / "nowhere"):
            done = self.run_tool("bench", source=source)
            self.assertEqual(done.returncode, 1)
            self.assertIn("WEFT_SOURCE", done.stderr)

    def test_wrong_use_ends_with_2(self):
        for arguments in ([], ["frobnicate"], ["doctor", "now"]):
            self.assertEqual(self.run_tool(*arguments).returncode, 2)
        done = self.run_tool("help")
        self.assertEqual(done.returncode, 0)
        self.assertIn("weft bench", done.stdout)


class Output(unittest.TestCase):
    def test_what_cannot_be_written_fails(self):
        for command in ("doctor", "version", "help"):
            with open("/dev/full", "w", encoding="utf-8") as full:
                done = subprocess.run([TOOL, command], stdout=full, stderr=subprocess.PIPE,
                                      timeout=60, text=True, check=False)
            self.assertEqual(done.returncode, 1, command)
            self.assertIn("standard output", done.stderr)
            done = subprocess.run([TOOL, command], capture_output=True, timeout=60, check=False)
            self.assertEqual(done.returncode, 0, command)


if __name__ == "__main__":
    unittest.main()
