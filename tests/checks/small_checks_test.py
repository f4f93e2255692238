# SPDX-License-Identifier: MIT
"""The checkers that fit on a page: size, words, shell, headers, symbols."""
import pathlib
import shutil
import tempfile
import unittest

import checks_path  # noqa: F401
import headers
import operations
import shell
import size
import symbols
import words


class Size(unittest.TestCase):
    def function(self, lines):
        return "int f(void)\n{\n" + "    g();\n" * (lines - 3) + "}\n"

    def test_limits_are_inclusive(self):
        self.assertEqual(size.check_text("a.c", self.function(60)), [])
        self.assertIn("f has 61 lines", size.check_text("a.c", self.function(61))[0])
        self.assertEqual(size.check_text("a.py", "x\n" * 500), [])
        self.assertIn("501 lines", size.check_text("a.py", "x\n" * 501)[0])
        self.assertEqual(size.check_text("a.h", "x" * 100), [])
        self.assertIn("101 columns", size.check_text("a.h", "x" * 101)[0])

    def test_a_port_counts_all_its_code_and_no_comments(self):
        port = {"arch/mips/context.S": "/*\n * why\n */\nnop\n\n" + "nop\n" * 99,
                "arch/mips/context.c": "x\n" * 100, "arch/linux/os.c": "x\n" * 300}
        self.assertEqual(size.check_ports(port), [])
        port["arch/mips/context_offsets.h"] = "x\n"
        self.assertIn("arch/mips: 201 lines", size.check_ports(port)[0])


class Words(unittest.TestCase):
    licence = "/* " + words.LICENCE + " */\n"

    def test_unfinished_words_are_found(self):
        self.assertEqual(words.check_text("a.c", self.licence + "int fixmeup;\n"), [])
        self.assertEqual(len(words.check_text("a.c", self.licence + "/* " + "TO" + "DO */\n")), 1)

    def test_the_licence_is_asked_of_sources_only(self):
        self.assertEqual(len(words.check_text("a.c", "int a;\n")), 1)
        self.assertEqual(words.check_text("a.md", "text\n"), [])


class Shell(unittest.TestCase):
    def test_shebangs(self):
        self.assertEqual(shell.shell_of("#!/bin/sh\n"), "sh")
        self.assertEqual(shell.shell_of("#!/usr/bin/env bash\n"), "bash")
        self.assertIsNone(shell.shell_of("#!/usr/bin/env python3\n"))
        self.assertIsNone(shell.shell_of("plain\n"))

    def test_a_script_that_does_not_parse_is_found(self):
        with tempfile.TemporaryDirectory() as folder:
            path = pathlib.Path(folder) / "a.sh"
            path.write_text("if true; then\n", encoding="utf-8")
            self.assertEqual(len(shell.run(["bash", "-n"], path)), 1)
            path.write_text("if true; then :; fi\n", encoding="utf-8")
            self.assertEqual(shell.run(["bash", "-n"], path), [])


@unittest.skipUnless(shutil.which("gcc"), "needs gcc")
class Headers(unittest.TestCase):
    def complaint(self, text, standard="c11", language="c"):
        compiler = "g++" if language == "c++" else "gcc"
        with tempfile.TemporaryDirectory() as folder:
            (pathlib.Path(folder) / "a.h").write_text(text, encoding="utf-8")
            return headers.compile_alone(compiler, standard, language, "a.h", folder)

    def test_a_complete_header_passes(self):
        text = "#ifndef A_H\n#define A_H\n#include <stddef.h>\nstruct a { size_t n; };\n#endif\n"
        self.assertEqual(self.complaint(text), "")

    def test_missing_includes_and_guards_are_found(self):
        self.assertIn("size_t", self.complaint("struct a;\nsize_t f(struct a *a);\n"))
        self.assertIn("redefinition", self.complaint("struct a { int n; };\n"))

    @unittest.skipUnless(shutil.which("g++"), "needs g++")
    def test_what_only_c_accepts_is_found(self):
        text = "struct a;\nint f(struct a *new);\n"
        self.assertEqual(self.complaint(text), "")
        self.assertNotEqual(self.complaint(text, "c++17", "c++"), "")


class Operations(unittest.TestCase):
    HEAD = "# Operations\n\n| call | on io_uring | one fiber | of sixteen |\n|---|---|---|---|\n"
    READ = "| `weft_read` | `READ` | 1.5 (1.1); 1.4 (1) | 1.2 (0.1); 1.3 (1) |\n"
    INIT = "| `weft_init` | no system call | - | - |\n"

    def check(self, text):
        return operations.check_table(text, {"weft_read", "weft_init"}, {"weft_read"})

    def test_a_complete_table_passes(self):
        self.assertEqual(self.check(self.HEAD + self.READ + self.INIT + "\n| call | x |\n"), [])

    def test_each_operation_needs_a_row(self):
        self.assertEqual(self.check(self.HEAD + self.READ), ["docs/io.md: no row for weft_init"])
        self.assertEqual(len(self.check(self.HEAD + self.READ * 2 + self.INIT)), 1)
        self.assertIn("no table", self.check("# Operations\n")[0])

    def test_what_is_measured_has_figures_and_nothing_else_has(self):
        for wrong in (self.READ.replace("1.5 (1.1); 1.4 (1)", "cheap"),
                      self.READ.replace("`weft_read`", "`weft_read`, `weft_pread`"),
                      self.READ.replace("`READ`", " ")):
            with self.subTest(wrong):
                self.assertEqual(len(self.check(self.HEAD + wrong + self.INIT)), 1)
        self.assertIn("nothing measures it", self.check(
            self.HEAD + self.READ + self.INIT.replace("| - | -", "| 1 (1); 1 (1) | -"))[0])


class Symbols(unittest.TestCase):
    def test_declarations(self):
        text = "/* WEFT_API int weft_not(void); */\nWEFT_API WEFT_MUST_USE int weft_one(int a);\n" \
               "WEFT_API const char *\nweft_two(void);\nstatic int weft_three(void);\n"
        self.assertEqual(symbols.declared([text]), {"weft_one", "weft_two"})

    def test_nm_output(self):
        output = "\na.o:\n0000 T weft_one@@WEFT_0.1\n0000 A WEFT_0.1\n0000 t hidden\n"
        self.assertEqual(symbols.defined(output), {"weft_one", "hidden"})

    def test_differences_both_ways(self):
        self.assertEqual(symbols.compare({"weft_a"}, {"weft_a"}, {"weft_a", "wf_b"}), [])
        problems = symbols.compare({"weft_a"}, {"weft_b"}, {"other", "weft_a"})
        self.assertEqual(len(problems), 3)


if __name__ == "__main__":
    unittest.main()
