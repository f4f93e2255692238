# SPDX-License-Identifier: MIT
import unittest

import checks_path  # noqa: F401
import source


class Blank(unittest.TestCase):
    def test_comments_and_literals_become_spaces_but_lines_stay(self):
        text = 'int a; /* x\n y */ char *s = "/* no */"; // end\nint b;\n'
        blanked = source.blank(text)
        self.assertEqual(len(blanked), len(text))
        self.assertEqual(blanked.count("\n"), text.count("\n"))
        self.assertNotIn("no", blanked)
        self.assertNotIn("end", blanked)
        self.assertIn("int b;", blanked)

    def test_a_quote_inside_a_comment_opens_no_string(self):
        self.assertIn("int b;", source.blank("/* don't */ int b; /* \" */ int c;"))

    def test_an_escaped_quote_does_not_close_a_string(self):
        self.assertIn("int b;", source.blank(r'char *s = "\""; int b;'))


class Comments(unittest.TestCase):
    def test_lines_and_words(self):
        found = source.comments("int a;\n/* one\n * two */\nint b; // three\n// four\n")
        self.assertEqual([(c.first, c.last) for c in found], [(2, 3), (4, 5)])
        self.assertEqual(found[0].words.split(), ["one", "two"])
        self.assertEqual(found[1].words.split(), ["three", "four"])


class Functions(unittest.TestCase):
    def names(self, text):
        return [(f.name, f.first, f.last) for f in source.functions(text)]

    def test_a_function_spans_signature_to_brace(self):
        text = "static int f(int a,\n             int b)\n{\n    return a;\n}\n"
        self.assertEqual(self.names(text), [("f", 1, 5)])

    def test_structs_enums_and_initialisers_are_none(self):
        self.assertEqual(self.names("struct s {\n int a;\n};\nenum { A };\nint t[] = {1};\n"
                                    "int (*p)(void) = {0};\n"), [])

    def test_linkage_blocks_and_directives_are_seen_through(self):
        text = '#define M(x) { x\nextern "C" {\nint f(void)\n{\n    if (1) {\n    }\n}\n}\n'
        self.assertEqual(self.names(text), [("f", 3, 7)])

    def test_a_test_macro_is_a_function(self):
        self.assertEqual(self.names("Test(suite, name)\n{\n}\n"), [("Test", 1, 3)])


if __name__ == "__main__":
    unittest.main()
