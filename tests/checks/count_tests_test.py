# SPDX-License-Identifier: MIT
import pathlib
import sys
import tempfile
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "scripts"))
import count_tests  # noqa: E402

SYNTHESIS = "[====] Synthesis: Tested: 6 | Passing: 3 | Failing: 3 | Crashing: 1 \n"
CLEAN = "[SKIP] a::b: no kernel\n" \
        "[====] Synthesis: Tested: 4 | Passing: 4 | Failing: 0 | Crashing: 0 \n"


class Count(unittest.TestCase):
    def test_a_plain_program_is_one_test(self):
        self.assertEqual(count_tests.count_program("run", "anything"), (1, 0, 0))
        self.assertEqual(count_tests.count_program("fail", "anything"), (0, 1, 0))
        self.assertEqual(count_tests.count_program("notrun", ""), (0, 0, 1))

    def test_a_criterion_program_counts_its_cases(self):
        self.assertEqual(count_tests.count_program("fail", SYNTHESIS), (3, 3, 0))
        self.assertEqual(count_tests.count_program("run", CLEAN), (4, 0, 1))

    def test_a_failure_after_the_last_case_counts(self):
        self.assertEqual(count_tests.count_program("fail", CLEAN), (4, 1, 1))

    def test_a_contradiction_is_an_error(self):
        with self.assertRaises(ValueError):
            count_tests.count_program("run", SYNTHESIS)

    def test_a_program_that_could_not_start_is_a_failure(self):
        cases = [("notrun", '<skipped message="Unable to find executable"/>', [0, 1, 0]),
                 ("notrun", '<skipped message="SKIP_RETURN_CODE=77"/>', [0, 0, 1]),
                 ("run", "", [1, 0, 0])]
        for status, body, expected in cases:
            with self.subTest(body), tempfile.TemporaryDirectory() as folder:
                path = pathlib.Path(folder) / "a.xml"
                path.write_text(f'<testsuite><testcase name="x" status="{status}">{body}'
                                "<system-out>text</system-out></testcase></testsuite>",
                                encoding="utf-8")
                self.assertEqual(count_tests.count_file(path), expected)


if __name__ == "__main__":
    unittest.main()
