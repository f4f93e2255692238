# SPDX-License-Identifier: MIT
"""The mutants must follow the sources, also where nobody takes the time to run them."""
import importlib.util
import pathlib
import re
import sys
import unittest

import run

sys.path.append(str(pathlib.Path(__file__).resolve().parents[1] / "model"))
import mutants  # noqa: E402


class Table(unittest.TestCase):
    def test_every_text_is_there_once(self):
        for mutant in run.MUTANTS:
            with self.subTest(mutant.name):
                text = (run.ROOT / mutant.path).read_text(encoding="utf-8")
                self.assertNotEqual(run.mutated(mutant, text), text)

    def test_every_text_that_simulation_finds_is_there_once(self):
        path = run.ROOT / "tests" / "sim" / "mutants.py"
        spec = importlib.util.spec_from_file_location("simulation_mutants", path)
        simulation = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(simulation)
        for name, source, *edits in simulation.MUTANTS:
            text = (run.ROOT / source).read_text(encoding="utf-8")
            with self.subTest(name):
                self.assertNotEqual(simulation.mutated(source, text, edits), text)

    def test_a_text_that_has_gone_is_an_error(self):
        mutant = run.MUTANTS[0]
        with self.assertRaises(run.Stale):
            run.mutated(mutant, "int other;\n")

    def test_every_test_program_is_there(self):
        for mutant in run.MUTANTS:
            folder, name = mutant.program.split("_", 1)
            source = run.ROOT / "tests" / folder / f"{name}.c"
            with self.subTest(mutant.name):
                self.assertTrue(source.exists(), source)
                if mutant.case != "*":
                    suite, case = mutant.case.split("/")
                    self.assertRegex(source.read_text(encoding="utf-8"),
                                     rf"\({suite},\s*{re.escape(case)}\b")

    def test_names_differ(self):
        names = [mutant.name for mutant in run.MUTANTS]
        self.assertEqual(len(names), len(set(names)))

    def test_mistakes_for_models_have_their_place_and_change_it(self):
        for mutant in mutants.ALL_MUTANTS:
            with self.subTest(mutant=mutant.name):
                text = (run.ROOT / mutant.path).read_text(encoding="utf-8")
                self.assertEqual(text.count(mutant.before), 1)
                self.assertNotEqual(mutant.before, mutant.after)
        names = [mutant.name for mutant in mutants.ALL_MUTANTS]
        self.assertEqual(len(names), len(set(names)))

    def test_every_bug_of_the_table_has_mutants(self):
        document = (run.ROOT / "docs" / "testing.md").read_text(encoding="utf-8")
        rows = re.findall(r"^\| (\d+) \|.*\|([^|]*)\|$", document, re.MULTILINE)
        self.assertEqual([row[0] for row in rows], [str(number) for number in range(1, 16)])
        names = {mutant.name for mutant in [*run.MUTANTS, *mutants.ALL_MUTANTS]}
        for bug, cell in rows:
            named = re.findall(r"`([^`]+)`", cell)
            self.assertTrue(named, f"bug {bug} has none")
            for name in named:
                self.assertIn(name, names)


if __name__ == "__main__":
    unittest.main()
