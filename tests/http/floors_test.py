# SPDX-License-Identifier: MIT
"""The loops that weft is measured against answer as the report's first look at them expects.

usage: floors_test.py FOLDER     (where the programs are)
"""

import os
import sys
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../scripts/report"))

import http_cases  # noqa: E402
import servers  # noqa: E402

PROGRAMS = {}


class Floors(unittest.TestCase):
    def test_each_answers_a_request_that_is_its_connections_last(self):
        for name in http_cases.FLOORS:
            with self.subTest(name):
                program = PROGRAMS[http_cases.FLOORS[name][0]]
                if name in http_cases.RINGS and not http_cases.has_uring(program):
                    self.skipTest("the kernel refuses io_uring")
                with http_cases.make_server(name, PROGRAMS, 1) as server:
                    for _ in range(3):
                        self.assertEqual(servers.fetch(server.port, "/plaintext"),
                                         (200, b"Hello, World!"))


if __name__ == "__main__":
    FOLDER = sys.argv.pop()
    PROGRAMS.update((command[0], os.path.join(FOLDER, command[0]))
                    for command in http_cases.FLOORS.values())
    unittest.main()
