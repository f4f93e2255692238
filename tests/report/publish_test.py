# SPDX-License-Identifier: MIT
"""Tests of what a run writes into the repository, and of the comparison of two runs."""

import os
import tempfile
import unittest
import xml.dom.minidom

import sample_rows

import agree
import publish
import results

README = """# weft

before
<!-- MEASURED: begin.  By hand. -->
old figures
<!-- MEASURED: end. -->
after
"""


class Publish(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.root = folder.name
        os.mkdir(os.path.join(self.root, "docs"))
        self.write("README.md", README)
        self.report = sample_rows.report()
        for impl, value in (("weft", 16.6), ("go", 77)):
            self.report.rows.append(sample_rows.row("switch/yield", "ns_per_op", impl, [value] * 3))
        self.report.rows.append(sample_rows.row("http/plaintext/connections=64",
                                                "cpu_us_per_request", "weft", [4] * 3))
        self.report.rows.append(sample_rows.row("http/plaintext/connections=64",
                                                "cpu_us_per_request", "nginx", [8] * 3))

    def write(self, name, text):
        with open(os.path.join(self.root, name), "w", encoding="utf-8") as file:
            file.write(text)

    def read(self, name):
        with open(os.path.join(self.root, name), encoding="utf-8") as file:
            return file.read()

    def test_the_readme_gets_new_figures_in_the_place_of_the_old(self):
        publish.write(self.report, self.root)
        text = self.read("README.md")
        self.assertTrue(text.startswith("# weft\n\nbefore\n"), text)
        self.assertTrue(text.endswith("\nafter\n"), text)
        self.assertNotIn("old figures", text)
        self.assertIn("| nanoseconds | weft | Go |", text)
        self.assertIn("| yield between two | 16.60 | 77.00 |", text)
        self.assertIn("| `plaintext/connections=64` | nginx |  | 0.50 |  |  |", text)
        self.assertIn("| fib(32), ns a task, 1 worker |", text)

    def test_doubtful_verdicts_are_no_others(self):
        publish.write(self.report, self.root)
        for name in ("README.md", "docs/benchmarks.md"):
            text = self.read(name)
            self.assertIn("| peer | weft ahead | level | weft behind | doubtful |", text)
            # That of http/plaintext has two processes.
            self.assertIn("| nginx | 1 | 0 | 0 | 1 |", text)

    def test_how_much_was_disturbed_is_told_in_both_with_its_causes(self):
        self.report.rows[0]["causes"] = ["busy sibling", "stolen time"]
        publish.write(self.report, self.root)
        for name in ("README.md", "docs/benchmarks.md"):
            text = " ".join(self.read(name).split())
            self.assertIn(f"1 of {len(self.report.rows)} rows were disturbed (by: busy sibling in "
                          "1, stolen time in 1) and carry a star, as do verdicts on them: do not "
                          "quote them.", text)
            # One of the three has a disturbed side.
            self.assertIn("| doubtful | disturbed of these |", text)
            self.assertIn("| oneTBB | 2 | 1 | 0 | 0 | 1 |", text)
        for row in self.report.rows:
            row.pop("disturbed", None)
        publish.write(self.report, self.root)
        for name in ("README.md", "docs/benchmarks.md"):
            self.assertNotIn("do not quote", self.read(name))

    def test_what_failed_is_told(self):
        self.report.failures *= 2
        publish.write(self.report, self.root)
        self.assertIn("\nFailed, and left out of the figures:\n\n"
                      "- go: a/b: &lt;no&gt; luck (2 times)\n", self.read("docs/benchmarks.md"))
        self.assertIn("2 processes failed and are left out", self.read("README.md"))
        self.report.failures = []
        publish.write(self.report, self.root)
        for name in ("README.md", "docs/benchmarks.md"):
            self.assertNotIn("ailed", self.read(name))

    def test_the_document_says_how_many_processes_the_figures_are_of(self):
        publish.write(self.report, self.root)
        self.assertIn("\nMedians over 2 to 7 processes each; a star",
                      self.read("docs/benchmarks.md"))

    def test_how_many_runs_it_is_of_is_told_and_their_revision(self):
        self.report.facts.append(("revision", "1234567"))
        publish.write(self.report, self.root)
        self.assertIn("from one run of `scripts/bench.sh` at revision 1234567;",
                      self.read("docs/benchmarks.md"))
        self.assertIn("\nRepeat it with `scripts/bench.sh`.", self.read("README.md"))
        self.report.calls = 3
        publish.write(self.report, self.root)
        self.assertIn("from 3 runs, put together, of `scripts/bench.sh` at revision 1234567;",
                      self.read("docs/benchmarks.md"))
        self.assertIn("\n3 runs put together; repeat them with", self.read("README.md"))

    def test_twice_is_as_good_as_once(self):
        publish.write(self.report, self.root)
        once = self.read("README.md"), self.read("docs/benchmarks.md")
        publish.write(self.report, self.root)
        self.assertEqual((self.read("README.md"), self.read("docs/benchmarks.md")), once)

    def test_a_readme_without_its_marks_is_left_alone(self):
        self.write("README.md", "nothing")
        with self.assertRaises(ValueError):
            publish.write(self.report, self.root)
        self.assertEqual(self.read("README.md"), "nothing")

    def test_the_document_tells_why_weft_is_behind_and_has_all_rows(self):
        publish.write(self.report, self.root)
        text = self.read("docs/benchmarks.md")
        self.assertIn("a task has no stack & needs none", text)
        self.assertIn("processor: one <of> many & more", text)
        for row in self.report.rows:
            self.assertIn(f"`{row['bench']}`", text)

    def test_pictures_are_whole_and_those_of_an_earlier_run_are_gone(self):
        os.mkdir(os.path.join(self.root, "docs/benchmarks"))
        self.write("docs/benchmarks/old.svg", "old")
        written = publish.write(self.report, self.root)
        self.assertFalse(os.path.exists(os.path.join(self.root, "docs/benchmarks/old.svg")))
        pictures = [name for name in written if name.endswith(".svg")]
        self.assertIn("docs/benchmarks/latency-1.svg", pictures)
        document = self.read("docs/benchmarks.md")
        for name in pictures:
            text = self.read(name)
            root = xml.dom.minidom.parseString(text).documentElement
            self.assertEqual(root.tagName, "svg")
            self.assertIn("prefers-color-scheme", text)
            self.assertIn(os.path.relpath(name, "docs"), document)


def run_of(ours, theirs, metric="ns_per_op", better="lower"):
    return [sample_rows.row("a/b", metric, "weft", ours, better),
            sample_rows.row("a/b", metric, "go", theirs, better)]


class Agree(unittest.TestCase):
    AHEAD = run_of([1, 1.01, 1.02], [2, 2.1, 2.2])
    LEVEL = run_of([1, 1.5, 2], [1, 1.4, 2.2])
    BEHIND = run_of([3, 3.1, 3.2], [2, 2.1, 2.2])

    def test_the_same_verdict_with_other_figures_agrees(self):
        text, is_same = agree.text(self.AHEAD, run_of([10, 10.1, 10.2], [11, 11.1, 11.2]))
        self.assertTrue(is_same)
        self.assertIn("1 verdicts are in both runs: 1 the same", text)

    def test_ahead_and_behind_contradict_each_other(self):
        for first, second in ((self.AHEAD, self.BEHIND), (self.BEHIND, self.AHEAD)):
            text, is_same = agree.text(first, second)
            self.assertFalse(is_same)
            self.assertIn("contradictions:\n  a/b ns_per_op, weft against go", text)

    def test_level_in_one_run_is_told_but_is_no_contradiction(self):
        text, is_same = agree.text(self.AHEAD, self.LEVEL)
        self.assertTrue(is_same)
        self.assertIn("level in one run:\n  a/b", text)

    def test_too_few_processes_say_nothing_and_are_counted(self):
        few = run_of([3, 3.1], [2, 2.1])
        self.assertEqual(agree.compare(self.AHEAD, few), (0, 1, [], []))
        self.assertEqual(agree.compare(few, self.AHEAD), (0, 1, [], []))
        self.assertIn("\n1 more cannot be compared", agree.text(self.AHEAD, few)[0])
        self.assertNotIn("compared", agree.text(self.AHEAD, self.BEHIND)[0])

    def test_nothing_in_common_is_no_agreement(self):
        other = run_of([1, 1.01, 1.02], [2, 2.1, 2.2], "s")
        self.assertFalse(agree.text(self.AHEAD, other)[1])

    def test_more_is_better_where_it_is(self):
        more = run_of([3, 3.1, 3.2], [2, 2.1, 2.2], better="higher")
        less = run_of([1, 1.1, 1.2], [2, 2.1, 2.2], better="higher")
        self.assertEqual(len(agree.compare(more, less)[2]), 1)

    def test_what_was_disturbed_is_compared_like_the_others(self):
        busy = [{**row, "disturbed": 1} for row in self.AHEAD]
        self.assertEqual(agree.compare(self.AHEAD, busy), (1, 0, [], []))
        self.assertFalse(agree.text(busy, self.BEHIND)[1])


class Notes(unittest.TestCase):
    def test_what_is_known_of_a_run_lies_beside_its_rows(self):
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "out.json")
            self.assertEqual(results.read_notes(path), {})
            results.write_notes({"facts": [["kernel", "6.1"]]}, path)
            self.assertEqual(results.read_notes(path), {"facts": [["kernel", "6.1"]]})


if __name__ == "__main__":
    unittest.main()
