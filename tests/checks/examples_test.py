# SPDX-License-Identifier: MIT
"""Each call of the headers below is in an example, and the examples are in docs/patterns.md."""
import pathlib
import re
import unittest

import checks_path  # noqa: F401
import docs

ROOT = pathlib.Path(__file__).resolve().parents[2]
HEADERS = ("address", "barrier", "broadcast", "channel", "condition", "event", "future",
           "generator", "keyed_mutex", "local", "mutex", "once", "pipeline", "rate_limiter",
           "rwlock", "scope", "select", "semaphore", "singleflight", "timer", "wait_group")
# What is called by other names, or differs from what is shown in nothing of interest.
NOT_SHOWN = re.compile(
    r"_checked$|_take_free$|_unlock_rest$"  # what the plain names become
    r"|_destroy$"  # all alike: that of events is in mistakes.c
    r"|^weft_(channel|broadcast)_(init|create|free|length)$"  # made at run time
    r"|^weft_(scope_failed_id|generator_result|future_spawn_with|scope_is_cancelled)$")
TYPED = re.compile(r"^weft_(?:channel|broadcast)_(\w+)$")


def names_of(function):
    """Those of the macros that define typed channels and broadcasts, too."""
    typed = TYPED.match(function)
    return rf"\b(?:{function}|\w+_{typed.group(1)})\(" if typed else rf"\b{function}\b"


class Examples(unittest.TestCase):
    text = "".join(path.read_text(encoding="utf-8")
                   for path in sorted((ROOT / "examples").glob("*.c")))

    def test_every_call_is_shown(self):
        for header in HEADERS:
            path = ROOT / "include" / "weft" / f"{header}.h"
            declared = [match.group(1)
                        for match in docs.DECLARATION.finditer(path.read_text(encoding="utf-8"))]
            self.assertTrue(declared, header)
            for function in declared:
                if not NOT_SHOWN.search(function):
                    with self.subTest(function):
                        self.assertTrue(re.search(names_of(function), self.text), function)

    def test_acceptors_outlive_what_passes(self):
        """weft_accept_next() sees to that; who calls weft_accept() must have a reason."""
        files = {path.stem: path.read_text(encoding="utf-8")
                 for path in (ROOT / "examples").glob("*.c")}
        self.assertGreater(sum("weft_accept_next(" in text for text in files.values()), 3)
        by_hand = {name for name, text in files.items() if "weft_accept(" in text}
        self.assertEqual(by_hand, {"line_server",  # one connection, and an error is shown
                                   "replicated_store"})  # ends by a cancel alone

    def test_every_example_of_the_table_is_there(self):
        patterns = (ROOT / "docs" / "patterns.md").read_text(encoding="utf-8")
        shown = set(re.findall(r"\.\./examples/(\w+)\.c", patterns))
        self.assertGreater(len(shown), 30)
        for name in shown:
            self.assertTrue((ROOT / "examples" / f"{name}.c").exists(), name)


if __name__ == "__main__":
    unittest.main()
