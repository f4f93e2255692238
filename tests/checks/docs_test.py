# SPDX-License-Identifier: MIT
import unittest

import checks_path  # noqa: F401
import docs

GOOD = """/*
 * Read.
 *
 * Returns   bytes, or a negative errno.
 * Deadline  absolute.
 * Context   fiber.
 * Switches  yes.
 * Cancel    -ECANCELED.
 * Errors    -ETIMEDOUT.
 */
WEFT_API WEFT_MUST_USE int weft_read(int fd, void *buf,
                                     weft_time deadline);
"""


def without(label):
    return "".join(line for line in GOOD.splitlines(True) if label not in line)


class Labels(unittest.TestCase):
    def test_a_complete_declaration_passes(self):
        self.assertEqual(docs.check_header("h", GOOD), [])

    def test_each_label_is_missed(self):
        for label in docs.LABELS:
            with self.subTest(label):
                text = without(label)
                if label == "Returns":  # which is what asked for Errors
                    text = text.replace("-ETIMEDOUT", "a negative errno")
                self.assertIn(label, docs.check_header("h", text)[0])

    def test_order_matters(self):
        text = GOOD.replace("Context ", "Switches").replace("Switches  yes", "Context   yes")
        self.assertIn("order", "\n".join(docs.check_header("h", text)))

    def test_a_comment_must_be_right_above(self):
        self.assertIn("no comment", docs.check_header("h", GOOD.replace(" */\n", " */\n\n"))[0])


class Words(unittest.TestCase):
    def check(self, text):
        return docs.check_words("docs/a.md", text, {"wf_there", "WEFT_THERE"},
                                lambda path: path in {"runtime", "runtime/park.c", "docs"})

    def test_what_exists_passes(self):
        text = "`wf_there()`, `WEFT_THERE`, `runtime/park.c:12`, `a/b`, `/x/y`\n"
        self.assertEqual(self.check(text), [])

    def test_what_does_not_exist_is_found(self):
        for word in ("wf_gone()", "WEFT_GONE", "runtime/gone.c", "call wf_gone now"):
            with self.subTest(word):
                self.assertEqual(len(self.check(f"see `{word}`\n")), 1)

    def test_code_blocks_are_read_for_names(self):
        self.assertEqual(len(self.check("```c\nwf_gone();\n```\n")), 1)


class Links(unittest.TestCase):
    documents = {"docs/a.md": "# One Two\n", "docs/b.md": ""}

    def check(self, text):
        return docs.check_links("docs/b.md", text, self.documents,
                                lambda path: path in self.documents)

    def test_links(self):
        self.assertEqual(self.check("[x](a.md) [y](a.md#one-two) [z](https://example.org/q)\n"), [])
        self.assertEqual(len(self.check("[x](gone.md)\n")), 1)
        self.assertEqual(len(self.check("[x](a.md#three)\n")), 1)

    def test_citations(self):
        self.assertEqual(docs.check_citations("a.c", "/* docs/a.md#one-two */", self.documents), [])
        self.assertEqual(len(docs.check_citations("a.c", "/* docs/a.md#two */", self.documents)), 1)
        self.assertEqual(len(docs.check_citations("a.c", "/* docs/c.md */", self.documents)), 1)

    def test_left_out(self):
        cases = {"/".join(case) for case in docs.CASE.findall(
            "Test(wheel, turns, .timeout = 5)\n"
            "ParameterizedTest(unsigned *workers, wheel,\n                  stops)\n"
            "WORKER_TEST(wheel, breaks, 60)\n")}
        self.assertEqual(cases, {"wheel/turns", "wheel/stops", "wheel/breaks"})
        text = "No test/case is named here.\n\nwheel/turns # slow\nwheel/turned # gone\n"
        self.assertEqual(docs.check_left_out("left_out.txt", text, cases),
                         ["left_out.txt:4: there is no test wheel/turned"])


if __name__ == "__main__":
    unittest.main()
