# SPDX-License-Identifier: MIT
"""The server whose path is in SERVER, and whose accept fails, says so and ends."""

import os
import subprocess
import unittest

SERVER = os.environ["SERVER"]
PATIENCE = 60  # seconds; no end takes that long
PORT = "0"  # any; ignored by those that have a client of their own in any case


class FailedAccept(unittest.TestCase):
    def test_ends_with_a_message_and_a_status(self):
        for arguments in ([], [PORT]):
            with self.subTest(arguments):
                end = subprocess.run([SERVER, *arguments], stderr=subprocess.PIPE, text=True,
                                     timeout=PATIENCE, check=False)
                self.assertEqual(end.returncode, 1)
                self.assertIn("the server has failed: Invalid argument\n", end.stderr)


if __name__ == "__main__":
    unittest.main()
