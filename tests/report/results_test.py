# SPDX-License-Identifier: MIT
"""Tests of scripts/report/results.py: parsing, merging, ratios, tables."""

import json
import os
import sys
import tempfile
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../scripts/report"))

import results  # noqa: E402

LINE = ('{"bench":"switch/raw","metric":"ns_per_op","impl":"weft","workers":1,"better":"lower",'
        '"median":2,"min":1,"max":3,"n":3,"samples":[3,1,2]}')


def row(impl, samples, better="lower", bench="a/b"):
    return results.make_row(bench, "ns_per_op", impl, 1, better, samples)


class ParseLine(unittest.TestCase):
    def test_a_good_line_keeps_its_samples(self):
        self.assertEqual(results.parse_line(LINE)["samples"], [3, 1, 2])

    def test_bad_lines_are_refused_with_a_reason(self):
        good = json.loads(LINE)
        bad = {
            "not JSON": "hello",
            "not an object": "[1]",
            "median": json.dumps({k: v for k, v in good.items() if k != "median"}),
            "better": json.dumps({**good, "better": "faster"}),
            "no usable samples": json.dumps({**good, "samples": []}),
            "usable": json.dumps({**good, "samples": [1, "2"]}),
            "samples in": json.dumps({**good, "samples": [True]}),
            "no usable": LINE.replace("[3,1,2]", "[NaN]"),
        }
        for reason, line in bad.items():
            with self.subTest(reason), self.assertRaisesRegex(results.BadResult, reason):
                results.parse_line(line)


class Merge(unittest.TestCase):
    def test_each_process_counts_once_however_many_samples_it_took(self):
        first = {**json.loads(LINE), "samples": [1, 1, 1, 10]}
        second = {**json.loads(LINE), "samples": [20, 30]}
        merged = results.merge([first, second])
        self.assertEqual(len(merged), 1)
        self.assertEqual([merged[0][key] for key in ("median", "low", "high", "n")],
                         [13, 1, 25, 2])
        self.assertEqual([merged[0][key] for key in ("min", "max", "sample_count")], [1, 30, 6])

    def test_samples_that_are_alike_do_not_narrow_the_interval_of_processes_that_are_not(self):
        lines = [{**json.loads(LINE), "samples": [value] * 5} for value in (72, 250, 75)]
        merged = results.merge(lines)[0]
        self.assertEqual((merged["low"], merged["high"]), (72, 250))

    def test_implementations_and_benchmarks_stay_apart_in_order(self):
        lines = [{**json.loads(LINE), "bench": bench, "impl": impl}
                 for bench, impl in (("b", "weft"), ("b", "go"), ("a", "weft"), ("b", "weft"))]
        merged = results.merge(lines)
        self.assertEqual([(r["bench"], r["impl"], r["n"]) for r in merged],
                         [("b", "weft", 2), ("b", "go", 1), ("a", "weft", 1)])

    def test_a_row_without_samples_is_a_bug(self):
        with self.assertRaises(ValueError):
            row("weft", [])


class Disturbed(unittest.TestCase):
    """Processes, each with the ratio of its probe."""

    @staticmethod
    def merge(*processes):
        return results.merge([{**json.loads(LINE), "samples": [value], "probe": probe}
                              for value, probe in processes], best=1.0)[0]

    def test_while_fewer_than_half_are_disturbed_the_row_is_not(self):
        row = self.merge((10, 1.0), (20, 1.5), (12, 1.02))
        self.assertEqual((row["median"], row["max"], row["n"]), (12, 20, 3))
        self.assertNotIn("disturbed", row)

    def test_from_half_on_the_row_says_so(self):
        row = self.merge((10, 1.0), (20, 1.5), (30, 1.5))
        self.assertEqual((row["median"], row["n"], row["disturbed"]), (20, 3, 0.667))
        self.assertEqual(row["causes"], ["busy sibling"])
        self.assertEqual(self.merge((10, 1.0), (20, 1.5))["disturbed"], 0.5)

    def test_a_row_all_of_whose_processes_were_is_marked(self):
        self.assertEqual(self.merge((10, 1.2), (20, 1.5), (30, 1.5))["disturbed"], 1)

    def test_memory_does_not_depend_on_neighbours(self):
        line = {**json.loads(LINE), "metric": "pss_bytes", "probe": 2, "causes": ["stolen time"]}
        self.assertNotIn("disturbed", results.merge([line], 1.0)[0])

    def test_without_a_probe_nobody_was_seen(self):
        self.assertNotIn("disturbed", results.merge([json.loads(LINE)])[0])

    def test_what_the_machine_did_is_a_cause_too(self):
        quiet = json.loads(LINE)
        busy = {**json.loads(LINE), "samples": [50, 60], "causes": ["stolen time"]}
        self.assertNotIn("disturbed", results.merge([quiet, quiet, busy])[0])
        merged = results.merge([quiet, busy, {**busy, "probe": 1.5}], 1.0)[0]
        self.assertEqual((merged["n"], merged["disturbed"], merged["causes"]),
                         (3, 0.667, ["busy sibling", "stolen time"]))

    def test_cpu_time_and_memory_are_medians_of_the_processes(self):
        lines = [{**json.loads(LINE), "cpus": cpus, "peak_rss_bytes": 1000 * cpus}
                 for cpus in (1, 2, 6)]
        merged = results.merge(lines)[0]
        self.assertEqual((merged["cpus"], merged["peak_rss_bytes"]), (2, 2000))

    def test_the_file_and_the_table_tell(self):
        row = self.merge((10, 1.0), (20, 1.5), (30, 1.5))
        self.assertIn("67% disturbed", results.bench_table([row]))
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "out.json")
            results.write_json([row], path)
            with open(path, encoding="utf-8") as file:
                self.assertEqual(json.load(file)[0]["disturbed"], 0.667)


class Join(unittest.TestCase):
    def lines(self):
        return [{**json.loads(LINE), "samples": samples, "probe": probe, "cpus": cpus}
                for samples, probe, cpus in (([3, 1, 2], 1.0, 1), ([9, 7, 30], 1.5, 2),
                                             ([4, 4, 4], 1.5, 6))]

    def test_two_runs_are_as_one_of_all_their_processes(self):
        first, *others = self.lines()
        runs = results.merge([first], 1.0) + results.merge(others, 1.0)
        self.assertEqual(results.join(runs), results.merge(self.lines(), 1.0))

    def test_so_are_three_put_together_one_after_another_through_files(self):
        joined = []
        for line in self.lines():
            joined = results.join(joined + results.merge([line], 1.0))
            with tempfile.TemporaryDirectory() as folder:
                path = os.path.join(folder, "out.json")
                results.write_json(joined, path)
                joined = results.read_json(path)
        self.assertEqual(joined, results.merge(self.lines(), 1.0))

    def test_a_run_that_was_disturbed_all_the_time_is_found_out_by_the_others(self):
        lines = [{**json.loads(LINE), "probe": probe} for probe in (1.2, 1.21)]
        disturbed = results.merge(lines, 1.2)
        self.assertNotIn("disturbed", disturbed[0])
        quiet = results.merge([{**json.loads(LINE), "probe": 1.0}], 1.0)
        for runs in (disturbed + quiet, quiet + disturbed):
            joined = results.join(runs)[0]
            self.assertEqual((joined["n"], joined["disturbed"], joined["causes"]),
                             (3, 0.667, ["busy sibling"]))

    def test_what_is_in_one_run_stays_as_it_is(self):
        rows = [row("weft", [1, 2]), row("go", [3])]
        self.assertEqual(results.join(rows), rows)

    def test_what_does_not_tell_of_its_processes_is_refused(self):
        rows = results.merge(self.lines()) + [row("weft", [1], bench="switch/raw")]
        with self.assertRaisesRegex(ValueError, "switch/raw of weft is in more than one file"):
            results.join(rows)


class Ratio(unittest.TestCase):
    def test_it_is_ours_over_theirs_by_median(self):
        self.assertEqual(results.ratio(row("weft", [1, 2, 9]), row("go", [8])), 0.25)

    def test_it_is_none_when_it_would_say_nothing(self):
        self.assertIsNone(results.ratio(None, row("go", [1])))
        self.assertIsNone(results.ratio(row("weft", [1]), None))
        self.assertIsNone(results.ratio(row("weft", [1]), row("go", [0])))

    def verdict(self, ours, theirs, better="lower"):
        return results.verdict(row("weft", ours, better), row("go", theirs, better))

    def test_the_verdict_follows_the_direction_of_the_metric(self):
        low, high = [10, 11, 12], [20, 21, 22]
        self.assertEqual(self.verdict(low, high), "ahead")
        self.assertEqual(self.verdict(high, low), "behind")
        self.assertEqual(self.verdict(high, low, "higher"), "ahead")
        self.assertEqual(self.verdict(low, high, "higher"), "behind")

    def test_intervals_that_overlap_are_level_however_far_apart_the_medians_are(self):
        self.assertEqual(self.verdict([10, 11, 30], [20, 29, 31]), "level")

    def test_two_per_cent_are_level_however_narrow_the_intervals_are(self):
        self.assertEqual(self.verdict([100, 100, 100], [101, 101, 101]), "level")
        self.assertEqual(self.verdict([100, 100, 100], [103, 103, 103]), "ahead")

    def test_the_extremes_of_many_samples_do_not_count(self):
        ours = [10] * 14 + [90]
        self.assertEqual(self.verdict(ours, [20] * 14 + [5]), "ahead")

    def test_fewer_than_three_processes_leave_a_doubt(self):
        self.assertEqual(self.verdict([1, 1], [2, 2, 2]), "ahead?")
        self.assertEqual(self.verdict([1, 1, 1], [1]), "level?")
        many = results.merge([{**json.loads(LINE), "samples": [9] * 15}] * 2)[0]
        self.assertEqual(results.verdict(many, row("go", [2, 2, 2])), "behind?")

    def test_who_has_lost_processes_leaves_a_doubt_as_well(self):
        self.assertEqual(self.verdict([1] * 6, [2] * 3), "ahead?")
        self.assertEqual(self.verdict([1] * 3, [2] * 6), "ahead?")

    def test_a_disturbed_side_is_marked(self):
        quiet, busy = row("go", [2] * 3), {**row("go", [2] * 3), "disturbed": 0.5}
        self.assertEqual(results.verdict(row("weft", [1] * 3), busy), "ahead*")
        ours = {**row("weft", [3] * 3), "disturbed": 1}
        self.assertEqual(results.verdict(ours, quiet), "behind*")
        self.assertEqual(results.verdict(row("weft", [1] * 2), busy), "ahead?")
        self.assertEqual([results.plain(text) for text in ("ahead*", "level?", "behind")],
                         ["ahead", "level", "behind"])

    def test_without_a_ratio_there_is_no_verdict(self):
        self.assertIsNone(results.verdict(None, row("go", [1])))

    def test_rows_of_older_files_are_judged_by_their_extremes_and_in_doubt(self):
        ours, theirs = row("weft", [1, 2, 3]), row("go", [2, 4, 5])
        for old in (ours, theirs):
            del old["low"], old["high"], old["sample_count"]
        self.assertEqual(results.verdict(ours, theirs), "level?")


class Output(unittest.TestCase):
    def test_the_file_is_an_array_with_the_common_fields_and_the_interval(self):
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "out.json")
            results.write_json([results.parse_line(LINE), row("go", [1])], path)
            rows = results.read_json(path)
        self.assertEqual([tuple(r) for r in rows],
                         [results.FIELDS, results.FIELDS + ("low", "high", "sample_count")])

    def test_a_file_of_something_else_is_refused(self):
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "in.json")
            for text in ("{}", "[1]", '[{"bench": "a"}]', "not JSON"):
                with open(path, "w", encoding="utf-8") as file:
                    file.write(text)
                with self.subTest(text), self.assertRaises(ValueError):
                    results.read_json(path)

    def test_what_may_be_written_is_found_out_without_a_trace(self):
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "out.json")
            results.check_writable(path)
            self.assertEqual(os.listdir(folder), [])
            results.write_json([], path)
            results.check_writable(path)
            self.assertEqual(results.read_json(path), [])
            self.assertEqual(os.listdir(folder), ["out.json"])
            with self.assertRaises(OSError):
                results.check_writable(os.path.join(folder, "no", "out.json"))

    def test_a_device_stays_one_and_a_link_stays_a_link(self):
        with tempfile.TemporaryDirectory() as folder:
            link, null = (os.path.join(folder, name) for name in ("link", "null"))
            os.symlink("real.json", link)
            os.symlink("/dev/null", null)
            for path in (link, null):
                results.write_json([], path)
                self.assertTrue(os.path.islink(path))
            self.assertEqual(results.read_json(os.path.join(folder, "real.json")), [])

    def test_an_empty_result_is_an_empty_array(self):
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "out.json")
            results.write_json([], path)
            with open(path, encoding="utf-8") as file:
                self.assertEqual(json.load(file), [])

    def test_numbers_keep_four_digits(self):
        numbers = {0: "0", 2.3456: "2.346", 23.456: "23.46", 234.56: "234.6", 23456.7: "23,457",
                   None: "-"}
        for number, text in numbers.items():
            self.assertEqual(results.format_number(number), text)

    def test_small_ratios_do_not_become_zero(self):
        ratios = {1.5: "1.50", 0.25: "0.25", 0.0123: "0.012", 0.000456: "0.00046"}
        for value, text in ratios.items():
            self.assertEqual(results.format_ratio(value), text)

    def test_the_table_puts_weft_against_each_peer(self):
        table = results.bench_table([row("weft", [10] * 3), row("go", [40] * 3),
                                     row("tokio", [5] * 3)])
        lines = table.splitlines()
        self.assertRegex(lines[3], r"go .* 0\.25 ahead$")
        self.assertRegex(lines[4], r"tokio .* 2\.00 behind$")
        self.assertNotIn("ahead", lines[2])


if __name__ == "__main__":
    unittest.main()
