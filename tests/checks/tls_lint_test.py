# SPDX-License-Identifier: MIT
"""scripts/tls-lint on small programs, each compiled by every compiler that is there."""
import pathlib
import platform
import re
import runpy
import shutil
import subprocess
import sys
import tempfile
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]
LINT = ROOT / "scripts" / "tls-lint"
HEADERS = ROOT / "include" / "weft"
COMPILERS = [name for name in ("gcc", "clang") if shutil.which(name)]

BEGIN = """
#include <errno.h>
int weft_yield(void);
int weft_now(void);
int weft_select(void *, int, long);
int weft_reader_line(void *, void *, long);
void use(int *), see(int);
extern _Thread_local int variable;
"""


class TlsLint(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)

    def lint(self, text, *options, levels=("-O0", "-O2")):
        """What is said of the text, for each compiler and level, which must all be the same."""
        said = set()
        for compiler in COMPILERS:
            for level in levels:
                source = self.folder / "it.c"
                source.write_text(BEGIN + text, encoding="utf-8")
                subprocess.run([compiler, level, "-fPIC", "-c", "-o", self.folder / "it.o", source],
                               check=True)
                result = self.run_lint(*options, self.folder / "it.o")
                functions = {line.split()[1] for line in result.stdout.splitlines()
                             if " touches " in line}
                self.assertEqual(result.returncode, 1 if functions else 0, result.stderr)
                said.add(" ".join(sorted(functions)))
        self.assertEqual(len(said), 1, said)
        return said.pop()

    def run_lint(self, *arguments):
        return subprocess.run([sys.executable, LINT, *map(str, arguments)], capture_output=True,
                              text=True, check=False)

    def test_errno_before_a_suspension(self):
        self.assertEqual(self.lint("void f(void) { errno = 0; weft_yield(); see(errno); }"), "f")

    def test_a_variable_before_a_suspension(self):
        self.assertEqual(self.lint("void f(void) { variable++; weft_yield(); variable++; }"), "f")

    def test_in_a_loop_afterwards_is_before(self):
        self.assertEqual(self.lint("void f(void) { for (;;) { weft_yield(); use(&variable); } }"),
                         "f")

    def test_afterwards_only(self):
        self.assertEqual(self.lint("void f(void) { weft_yield(); see(errno); }"), "")

    def test_on_another_way(self):
        self.assertEqual(self.lint(
            "int f(int a) { if (a) { use(&errno); return 1; } weft_yield(); return 0; }"), "")

    def test_through_other_functions(self):
        self.assertEqual(self.lint(
            "__attribute__((noinline)) static void g(void) { weft_yield(); see(1); }\n"
            "__attribute__((noinline)) static void h(void) { g(); see(2); }\n"
            "void f(void) { use(&variable); h(); see(3); }"), "f")

    @unittest.skipUnless(platform.machine() == "x86_64", "how x86-64 reads such a variable")
    def test_a_read_that_leaves_no_address(self):
        read = ("void f(void) {{ void *p;\n"
                "__asm__ volatile(\"mov variable@gottpoff(%%rip), %%{0}\\n\\t\"\n"
                "\"mov %%fs:{1}, %%{2}\" : \"=r\"(p) : : \"r13\", \"rcx\", \"rdx\");\n"
                "weft_yield(); see(1); }}")
        self.assertEqual(self.lint(read.format("r13", "(,%%r13,1)", "r13")), "")
        self.assertEqual(self.lint(read.format("rdx", "(,%%rdx,1)", "rdx")), "")
        self.assertEqual(self.lint(read.format("rdx", "(,%%rdx,1)", "rcx")), "f")
        # As compilers write it for anybody's variable.
        self.assertEqual(self.lint(read.format("rdx", "(%%rdx)", "rdx")), "f")
        self.assertEqual(self.lint(read.format("r13", "(%%r13)", "r13")), "f")

    def test_what_switches_at_times(self):
        """Their declarations say "if it has to wait" and the like, not "yes"."""
        for call in ("weft_select(0, 1, 0)", "weft_reader_line(0, 0, 0)"):
            self.assertEqual(self.lint(f"void f(void) {{ errno = 0; {call}; see(errno); }}"), "f")

    def test_every_declaration_that_does_not_say_never(self):
        """Whatever a header's words are, the script must not overlook the function."""
        said = re.compile(r"\* Switches +(\S+)(?:(?!\*/).)*\*/\s*WEFT_API\b[^;{(]*?\b(\w+)\s*\(",
                          re.DOTALL)
        text = "".join(header.read_text(encoding="utf-8") for header in HEADERS.glob("*.h"))
        all_of_them = said.findall(text)
        self.assertGreater(len(all_of_them), 200)
        lint = runpy.run_path(str(LINT))
        self.assertEqual(lint["declared_suspensions"](),
                         {name for word, name in all_of_them if not word.startswith("never")})

    def test_the_switch_of_simulated_threads(self):
        text = ("void wf_context_switch(void);\n"
                "__attribute__((noinline)) {} void {}(void)\n"
                "{{ see(errno); wf_context_switch(); see(errno); }}\n"
                "void f(void) {{ {}(); see(1); }}")
        self.assertEqual(self.lint(text.format("", "other", "other")), "other")
        self.assertEqual(self.lint(text.format("static", *["switch_simulated"] * 2)), "")

    def test_what_does_not_switch(self):
        self.assertEqual(self.lint("void f(void) { errno = 0; weft_now(); see(errno); }"), "")

    def test_names_of_ones_own(self):
        text = "void wait_here(void); void f(void) { use(&errno); wait_here(); see(1); }"
        self.assertEqual(self.lint(text), "")
        self.assertEqual(self.lint(text, "--suspends", "wait_here"), "f")

    def test_pointers_on_request(self):
        text = "void f(void (*fn)(void)) { use(&errno); fn(); see(1); }"
        self.assertEqual(self.lint(text), "")
        self.assertEqual(self.lint(text, "--indirect"), "f")

    def test_static_functions_of_one_name(self):
        objects = []
        for number, body in enumerate(("weft_yield(); see(1);", "see(1); see(2);")):
            source = self.folder / f"{number}.c"
            source.write_text(BEGIN + f"""
__attribute__((noinline)) static void same(void) {{ {body} }}
void f{number}(void) {{ use(&errno); same(); see(3); }}""", encoding="utf-8")
            objects.append(source.with_suffix(".o"))
            subprocess.run([COMPILERS[0], "-O2", "-c", "-o", objects[-1], source], check=True)
        result = self.run_lint(*objects)
        self.assertIn("f0 touches", result.stdout)
        self.assertNotIn("f1 touches", result.stdout)

    def test_allowed_ones_need_a_reason_and_must_exist(self):
        text = "void f(void) { errno = 0; weft_yield(); see(errno); }"
        allowed = self.folder / "allowed"
        allowed.write_text("f # is only called on plain threads\n", encoding="utf-8")
        self.assertEqual(self.lint(text, "--allow", allowed), "")
        allowed.write_text("f\n", encoding="utf-8")
        self.assertEqual(self.run_lint("--allow", allowed, self.folder / "it.o").returncode, 2)
        allowed.write_text("f # why\ng # why\n", encoding="utf-8")
        result = self.run_lint("--allow", allowed, self.folder / "it.o")
        self.assertEqual(result.returncode, 1)
        self.assertIn("there is no function g", result.stdout)

    def test_a_file_that_is_none(self):
        for name, data in (("none", None), ("text", b"text"), ("empty", b"")):
            path = self.folder / name
            if data is not None:
                path.write_bytes(data)
            self.assertEqual(self.run_lint(path).returncode, 2, name)


if __name__ == "__main__":
    unittest.main()
