# SPDX-License-Identifier: MIT
"""What run.py starts must not outlive it."""
import os
import pathlib
import signal
import subprocess
import sys
import unittest

import run

FOLDER = pathlib.Path(__file__).resolve().parent
# A test with a child of its own, as Criterion's have: both hold on to the pipe that is the last
# argument, and to nothing else of the program above.
PARENT = """
import os, signal, sys
sys.path.insert(0, sys.argv[1])
import run
signal.signal(signal.SIGTERM, run.end_by_signal)
with run.started(["sh", "-c", "sleep 1000 & echo started; wait"],
                 pass_fds=[int(sys.argv[2])]) as process:
    print(process.stdout.readline(), end="", flush=True)
    os.close(int(sys.argv[2]))
    process.wait()
"""


class Started(unittest.TestCase):
    def test_a_signal_ends_the_children_too(self):
        reading, writing = os.pipe()
        with subprocess.Popen([sys.executable, "-c", PARENT, str(FOLDER), str(writing)],
                              pass_fds=[writing], stdout=subprocess.PIPE) as program:
            os.close(writing)
            self.assertEqual(program.stdout.readline(), b"started\n")
            program.send_signal(signal.SIGTERM)
            self.assertEqual(program.wait(), 128 + signal.SIGTERM)
        # The end of the pipe: nobody is left that holds it open.
        self.assertEqual(os.read(reading, 1), b"")
        os.close(reading)

    def test_a_program_that_ends_is_left_alone(self):
        with run.started([sys.executable, "-c", "print('done')"]) as process:
            output, _ = process.communicate()
        self.assertEqual((output, process.returncode), ("done\n", 0))


if __name__ == "__main__":
    unittest.main()
