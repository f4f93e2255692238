# SPDX-License-Identifier: MIT
"""Tests of the report: it is parsed, and what it says is looked up in it."""

import os
import sys
import tempfile
import unittest
import xml.dom.minidom

import sample_rows

import chart
import page
import questions
import results
import sections

ROOT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../..")


def text_of(node):
    if node.nodeType == node.TEXT_NODE:
        return node.data
    return "".join(text_of(child) for child in node.childNodes)


def parse(html):
    """A page that is well-formed XML as well has no tag left open and nothing unescaped."""
    return xml.dom.minidom.parseString(html)


def with_class(document, tag, css):
    return [node for node in document.getElementsByTagName(tag)
            if css in node.getAttribute("class").split()]


class NotFirst(unittest.TestCase):
    OURS = sample_rows.row("a/b", "ns_per_op", "weft", [10, 11, 15], "lower")

    def found(self, **peers):
        rows = [self.OURS, *(sample_rows.row("a/b", "ns_per_op", impl.replace("_", "-"), values,
                                             "lower") for impl, values in peers.items())]
        return [(theirs["impl"], verdict) for _, theirs, verdict in sections.not_first(rows)]

    def test_who_is_far_from_a_floor_is_told_though_the_intervals_overlap(self):
        self.assertEqual(self.found(epoll_floor=[9, 10, 11]), [("epoll-floor", "level")])
        self.assertEqual(self.found(uring_loop=[9, 10, 11]), [("uring-loop", "level")])

    def test_so_is_one_where_a_side_was_disturbed(self):
        floor = {**sample_rows.row("a/b", "ns_per_op", "epoll-floor", [9, 10, 11]), "disturbed": 1}
        self.assertEqual(sections.not_first([self.OURS, floor]), [(self.OURS, floor, "level*")])

    def test_a_floor_that_is_near_and_a_peer_that_is_level_are_not(self):
        self.assertEqual(self.found(epoll_floor=[10, 10.6, 11]), [])
        self.assertEqual(self.found(go=[9, 10, 11]), [])

    def test_who_is_ahead_comes_before_a_floor_that_is_level(self):
        self.assertEqual(self.found(uring_floor=[5, 6, 16], go=[8, 8.1, 8.2], tokio=[7, 7.1, 7.2]),
                         [("tokio", "behind")])


class Page(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.html = page.render(sample_rows.report())
        cls.document = parse(cls.html)

    def section(self, name):
        return next(node for node in self.document.getElementsByTagName("section")
                    if node.getAttribute("id") == name)

    def lines(self, name):
        return [[text_of(cell) for cell in line.childNodes]
                for line in self.section(name).getElementsByTagName("tr")]

    def test_every_section_is_there_and_linked(self):
        names = [node.getAttribute("id") for node in self.document.getElementsByTagName("section")]
        self.assertEqual(names, [name for name, _, _ in page._SECTIONS])
        links = [node.getAttribute("href") for node in self.document.getElementsByTagName("a")]
        self.assertEqual(links, [f"#{name}" for name in names])

    def test_it_runs_nothing_and_loads_nothing(self):
        for tag in ("script", "link", "img", "iframe", "object"):
            self.assertEqual(list(self.document.getElementsByTagName(tag)), [], tag)
        for text in ("@import", "url(", "http://www.w3.org/1999", "onload"):
            self.assertNotIn(text, self.html)

    def test_each_row_has_a_bar_in_the_section_of_all_results(self):
        rows = sample_rows.rows()
        self.assertEqual(len(with_class(self.section("bars"), "rect", "bar")), len(rows))

    def test_verdicts_are_counted_for_each_peer(self):
        counts = {line[0]: line[2:] for line in self.lines("summary")[1:]}
        self.assertEqual(counts["tbb"], ["2", "1", "0", "0", "1"])
        self.assertEqual(counts["tokio"], ["0", "0", "1", "0", "0"])
        # Of two processes.
        self.assertEqual(counts["nginx"], ["0", "0", "0", "1", "0"])

    def test_where_weft_is_behind_the_reason_is_told(self):
        lines = self.lines("not-first")[1:]
        self.assertEqual(len(lines), 1)
        self.assertEqual(lines[0][0], "memory/parked/n=10000")
        self.assertIn("0.1", lines[0][4])
        self.assertIn("behind", lines[0][4])
        self.assertEqual(lines[0][5], "a task has no stack & needs none")

    def test_what_has_no_reason_says_so(self):
        report = sample_rows.report()
        report.reasons = []
        self.assertIn("not explained yet", page.render(report))

    def test_ratios_say_how_many_times_as_good_weft_is(self):
        text = text_of(self.section("ratios"))
        self.assertIn("2.20× ahead", text)  # 11 against 5 nanoseconds
        self.assertIn("2.48× ahead?", text)  # 100 against 40 requests, of two samples

    def test_there_are_curves_for_workers_and_for_parameters(self):
        titles = [text_of(node) for node in self.section("scaling").getElementsByTagName("title")]
        self.assertEqual(titles, ["forkjoin/fib/n=32/workers=*"])
        self.assertEqual(len(with_class(self.section("scaling"), "path", "ideal")), 1)
        section = self.section("parameters")
        titles = [text_of(node) for node in section.getElementsByTagName("title")]
        self.assertEqual(titles, ["barrier/cross/parties=*"])
        self.assertEqual(len(with_class(section, "path", "curve")), 3)

    def test_latencies_are_plotted_over_their_percentiles(self):
        section = self.section("latency")
        text = text_of(section)
        for mark in ("50 %", "99 %", "99.9 %", "go<&>"):
            self.assertIn(mark, text)
        self.assertEqual(len(section.getElementsByTagName("circle")), 2 * 3 + 2)

    def test_disturbed_rows_are_marked_and_told(self):
        self.assertRegex(text_of(with_class(self.document, "p", "behind")[0]),
                         r"^1 of \d+ rows were disturbed \(by: stolen time in 1\) .*do not quote")
        self.assertIn("50% stolen time", text_of(self.section("figures")))
        self.assertIn("*", text_of(self.section("bars")))

    def test_machine_failures_questions_and_command_are_told(self):
        text = text_of(self.document.documentElement)
        for part in ("one <of> many & more", "libuv", "go: a/b: <no> luck", "scripts/bench.sh",
                     "What does a task cost?"):
            self.assertIn(part, text)

    def test_a_report_of_weft_alone_is_whole(self):
        report = page.Report(rows=[sample_rows.row("a/b", "s", "weft", [1.0])], facts=[])
        document = parse(page.render(report))
        self.assertIn("No peer was measured", text_of(document.documentElement))

    def test_a_report_of_nothing_is_whole(self):
        parse(page.render(page.Report(rows=[], facts=[])))

    def test_zeros_break_nothing(self):
        rows = [sample_rows.row(f"a/b/n={n}", metric, impl, [0.0])
                for metric in ("s", "p50_us", "p99_us") for n in (1, 2, 3)
                for impl in ("weft", "go")]
        parse(page.render(page.Report(rows=rows, facts=[])))


class Charts(unittest.TestCase):
    @staticmethod
    def widths(rows):
        document = parse(chart.bar_charts(rows))
        return [float(node.getAttribute("width")) for node in with_class(document, "rect", "bar")]

    def test_a_chart_alone_is_well_formed_with_a_bar_for_each_row(self):
        rows = sample_rows.rows()
        self.assertEqual(len(self.widths(rows)), len(rows))

    def test_bars_are_as_long_as_their_medians(self):
        rows = [sample_rows.row("b", "s", impl, [value])
                for impl, value in (("weft", 1.0), ("go", 4.0))]
        widths = self.widths(rows)
        self.assertAlmostEqual(widths[1] / widths[0], 4, delta=0.01)

    def test_only_a_bar_far_too_long_is_cut_off(self):
        def cuts(value, better):
            rows = [sample_rows.row("b", "s", impl, [v], better)
                    for impl, v in (("weft", 1.0), ("pthread", value))]
            return len(with_class(parse(chart.bar_charts(rows)), "path", "cut"))
        self.assertEqual([cuts(11, "lower"), cuts(13, "lower"), cuts(1000, "higher")], [0, 1, 0])

    def test_marks_of_axes_are_round_and_inside(self):
        for low, high, is_log in ((0, 7, False), (3, 3, False), (1, 9e6, True), (80, 120, True),
                                  (0.001, 0.002, True), (5, 5, True)):
            axis = chart.Axis([low, high], 0, 100, is_log)
            with self.subTest((low, high, is_log)):
                places = [axis.place(mark) for mark in axis.marks()]
                self.assertTrue(places)
                self.assertTrue(all(-0.01 <= place <= 100.01 for place in places), places)


class Reasons(unittest.TestCase):
    def test_the_project_s_own_can_be_read_and_found(self):
        reasons = sections.read_reasons(os.path.join(ROOT, "benchmarks/reasons.txt"))
        theirs = sample_rows.row("memory/parked/n=100000", "bytes_per_fiber", "tokio", [1])
        self.assertIn("stack", sections.reason(reasons, theirs))
        self.assertIsNone(sections.reason(reasons, {**theirs, "bench": "x/y"}))

    def test_a_line_that_is_none_is_refused_with_its_number(self):
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "reasons.txt")
            for line in ("a | b | c", "a | b | | d", "a b c d"):
                with open(path, "w", encoding="utf-8") as file:
                    file.write(f"# first\n{line}\n")
                with self.assertRaisesRegex(ValueError, "reasons.txt:2"):
                    sections.read_reasons(path)


class Questions(unittest.TestCase):
    def test_those_of_the_sources_are_found(self):
        found = questions.read(os.path.join(ROOT, "benchmarks"))
        self.assertEqual(questions.find(found, "forkjoin/queens/n=13/workers=2"),
                         "What is left of the cost of tasks when each has some real work?")
        self.assertEqual(questions.find(found, "no/such"), "")

    def test_a_question_ends_where_the_method_begins(self):
        text = "/*\n * a/b/n=1\n *\n * Question  Why,\n *           and how?\n * Method    so.\n */"
        self.assertEqual(questions.read_text(text), {"a/b": "Why, and how?"})


class Series(unittest.TestCase):
    def test_families_differ_in_one_parameter_only(self):
        rows = [sample_rows.row(f"a/b/size={size}/workers={workers}", "s", "weft", [1])
                for size in (1, 2) for workers in (1, 2)]
        keys = [key[:2] for key in sections.families(rows)]
        self.assertCountEqual(keys, [("a/b/size=*/workers=1", "size"),
                                     ("a/b/size=*/workers=2", "size"),
                                     ("a/b/size=1/workers=*", "workers"),
                                     ("a/b/size=2/workers=*", "workers")])

    def test_speeds_are_relative_to_weft_with_the_fewest_workers(self):
        lines = {"weft": [(1, sample_rows.row("a", "s", "weft", [10])),
                          (2, sample_rows.row("a", "s", "weft", [5]))],
                 "go": [(2, sample_rows.row("a", "s", "go", [20]))]}
        speeds = sections.speeds(lines)
        self.assertEqual([point[:2] for point in speeds["weft"]], [(1, 1), (2, 2)])
        self.assertEqual(speeds["go"][0][:2], (2, 0.5))

    def test_an_advantage_is_more_than_one_when_weft_is_better(self):
        low, high = (results.make_row("a", "s", impl, 1, "lower", [value])
                     for impl, value in (("weft", 1), ("go", 4)))
        self.assertEqual(sections.advantage(low, high), 4)
        self.assertEqual(sections.advantage({**low, "better": "higher"}, high), 0.25)


if __name__ == "__main__":
    sys.exit(unittest.main())
