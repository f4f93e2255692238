# SPDX-License-Identifier: MIT
"""What holds for the scripts a user starts: they explain themselves, and the tests are on their own
configuration."""
import pathlib
import re
import subprocess
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]
SCRIPTS = ROOT / "scripts"


class Scripts(unittest.TestCase):
    def test_each_explains_itself_to_the_end(self):
        scripts = sorted([*SCRIPTS.glob("*.sh"), SCRIPTS / "check", SCRIPTS / "tls-lint"])
        self.assertGreater(len(scripts), 10)
        for script in scripts:
            with self.subTest(script.name):
                end = subprocess.run([script, "--help"], capture_output=True, text=True,
                                     timeout=100, check=False)
                self.assertEqual((end.returncode, end.stderr), (0, ""))
                self.assertIn(f"scripts/{script.name}", end.stdout)
                # A paragraph of prose ends with a full stop; options and lists end as they like.
                last = end.stdout.rstrip().split("\n")[-1]
                if not last.startswith(" ") and not last.startswith("They are: "):
                    self.assertTrue(last.endswith("."), last)

    def test_the_tests_take_nothing_from_the_callers_environment(self):
        text = (SCRIPTS / "test.sh").read_text(encoding="utf-8")
        unset = set(re.search(r"^unset ((?:.*\\\n)*.*)$", text, re.MULTILINE).group(1).split())
        options = re.findall(r"^    (?:OPTION|LIMIT|NAMED)\((\w+)",
                             (ROOT / "runtime/config.c").read_text(encoding="utf-8"), re.MULTILINE)
        self.assertGreater(len(options), 20)
        read = {"WEFT_" + name.upper() for name in options}
        for folder in ("arch", "runtime", "io", "sync"):
            for path in (ROOT / folder).rglob("*.c"):
                read.update(re.findall(r'(?:getenv|read_number|read_duration)\("(WEFT_\w+)"',
                                       path.read_text(encoding="utf-8")))
        self.assertEqual(read - unset, set())


if __name__ == "__main__":
    unittest.main()
