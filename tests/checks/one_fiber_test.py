# SPDX-License-Identifier: MIT
"""docs/one-fiber.md walks through files that are there, few of them, and names what is in them."""
import pathlib
import re
import unittest

import checks_path  # noqa: F401
import source

ROOT = pathlib.Path(__file__).resolve().parents[2]
TEXT = (ROOT / "docs" / "one-fiber.md").read_text(encoding="utf-8")
ROW = re.compile(r"^\| \d \| \[([\w/.]+)\]\(\.\./\1\) \|.*\| (\d+) \|$", re.MULTILINE)


def lines_of_code(name):
    code = source.blank((ROOT / name).read_text(encoding="utf-8"))
    return sum(bool(line.strip()) for line in code.split("\n"))


class OneFiber(unittest.TestCase):
    def test_it_is_a_short_walk(self):
        rows = ROW.findall(TEXT)
        self.assertEqual(len(rows), 6)
        for name, said in rows:
            with self.subTest(name):
                # Near enough for who wants to know how much there is to read.
                self.assertAlmostEqual(int(said), lines_of_code(name), delta=20)
        said = re.search(r"about ([\d,]+) lines in six files", TEXT).group(1)
        self.assertAlmostEqual(int(said.replace(",", "")),
                               sum(lines_of_code(name) for name, _ in rows), delta=40)

    def test_what_it_names_is_there(self):
        sources = "".join(path.read_text(encoding="utf-8")
                          for folder in ("include", "arch", "runtime", "io")
                          for path in (ROOT / folder).rglob("*.[chS]"))
        known = set(re.findall(r"\w+", sources))
        prose = re.sub(r"^```.*?^```", "", TEXT, flags=re.MULTILINE | re.DOTALL)
        named = set(re.findall(r"`(\w*_\w*)`", prose))
        self.assertGreater(len(named), 50)
        self.assertEqual(named - known, set())


if __name__ == "__main__":
    unittest.main()
