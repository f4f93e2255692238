# SPDX-License-Identifier: MIT
"""The program of examples/copy_file.c, whose path is in COPY_FILE, copies and does no harm."""

import os
import pathlib
import subprocess
import tempfile
import unittest

PROGRAM = os.environ["COPY_FILE"]
PATIENCE = 60  # seconds; no copy takes that long


class CopyFile(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)
        self.source = self.folder / "source"
        self.source.write_bytes(b"some text\n" * 5000)

    def copy(self, target):
        return subprocess.run([PROGRAM, self.source, target], capture_output=True, text=True,
                              timeout=PATIENCE, check=False)

    def test_copies_over_a_longer_file(self):
        target = self.folder / "target"
        target.write_bytes(b"x" * 100000)
        end = self.copy(target)
        self.assertEqual((end.returncode, end.stderr), (0, ""))
        self.assertEqual(target.read_bytes(), self.source.read_bytes())

    def test_refuses_to_copy_a_file_onto_itself(self):
        """To empty it first would leave nothing to copy, whatever its second name is."""
        link = self.folder / "link"
        link.symlink_to(self.source)
        other = self.folder / "other"
        os.link(self.source, other)
        before = self.source.read_bytes()
        for target in (self.source, link, other):
            with self.subTest(target.name):
                end = self.copy(target)
                self.assertEqual(end.returncode, 1)
                self.assertIn("Invalid argument", end.stderr)
                self.assertEqual(self.source.read_bytes(), before)


if __name__ == "__main__":
    unittest.main()
