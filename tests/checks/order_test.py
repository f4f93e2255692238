# SPDX-License-Identifier: MIT
import unittest

import checks_path  # noqa: F401
import order

HEAD = """/*
 * Purpose.
 *
 *   Edge   From                To                  Promises
 *   AA.1   push: tail release  take: tail acquire  the item
 *                                                  is visible
 */
"""
PUSH = """void push(struct q *q)
{
    /* AA.1 release: the item first. */
    atomic_store_explicit(&q->tail, 1, memory_order_release);
}
"""
TAKE = """int take(struct q *q)
{
    /* AA.1 acquire: then the item. */
    return atomic_load_explicit(&q->tail, memory_order_acquire);
}
"""


class Order(unittest.TestCase):
    def problems(self, text, head=HEAD):
        return order.analyse({"runtime/q.c": head + text}).problems

    def assert_one(self, problems, words):
        self.assertEqual(len(problems), 1, problems)
        self.assertIn(words, problems[0])

    def test_a_complete_file_passes(self):
        self.assertEqual(self.problems(PUSH + TAKE), [])

    def test_a_missing_comment_is_found(self):
        text = "void f(struct q *q)\n{\n    int a;\n\n\n    a = 1;\n" \
               "    atomic_store_explicit(&q->n, a, memory_order_relaxed);\n}\n"
        self.assert_one(self.problems(PUSH + TAKE + text), "no comment")

    def test_a_comment_more_than_three_lines_above_does_not_count(self):
        text = "void f(struct q *q)\n{\n    /* relaxed: a hint. */\n" \
               "    int a;\n    int b;\n    int c;\n" \
               "    atomic_store_explicit(&q->n, 1, memory_order_relaxed);\n}\n"
        self.assert_one(self.problems(PUSH + TAKE + text), "no comment")

    def test_a_comment_covers_its_whole_statement(self):
        text = "void f(struct q *q)\n{\n    /* relaxed: a hint. */\n" \
               "    if (a &&\n        b &&\n        c &&\n" \
               "        d &&\n        atomic_load_explicit(&q->n,\n" \
               "                             memory_order_relaxed))\n        g();\n}\n"
        self.assertEqual(self.problems(PUSH + TAKE + text), [])

    def test_a_trailing_comment_counts(self):
        text = "void f(struct q *q)\n{\n" \
               "    atomic_store_explicit(&q->n, 1, memory_order_relaxed); /* relaxed: x. */\n}\n"
        self.assertEqual(self.problems(PUSH + TAKE + text), [])

    def test_the_comment_of_an_earlier_function_does_not_count(self):
        text = "/* relaxed: this is about f. */\nvoid f(void)\n{\n}\n\nvoid g(struct q *q)\n{\n" \
               "    atomic_store_explicit(&q->n, 1, memory_order_relaxed);\n}\n"
        self.assert_one(self.problems(PUSH + TAKE + text), "no comment")

    def test_comment_and_code_must_agree(self):
        wrong = TAKE.replace("memory_order_acquire", "memory_order_relaxed")
        self.assert_one(self.problems(PUSH + wrong),
                        "the comment says acquire, the code says relaxed")

    def test_relaxed_does_not_explain_a_stronger_order(self):
        text = "void f(struct q *q)\n{\n    /* relaxed: on failure nothing is used. */\n" \
               "    atomic_compare_exchange_strong_explicit(&q->n, &e, 1, memory_order_release,\n" \
               "                                            memory_order_relaxed);\n}\n"
        self.assert_one(self.problems(PUSH + TAKE + text), "explains relaxed, but not release")

    def test_public_headers_say_it_for_the_builtins_of_the_compiler(self):
        header = "include/weft/q.h"
        push = ("static inline void weft_push(weft_q *q)\n{\n{comment}"
                "    __atomic_store_n(&q->tail, 1, __ATOMIC_RELEASE);\n}\n")
        said = push.replace("{comment}", "    /* AA.1 release: the item first. */\n")

        def problems(text):
            return order.analyse({"runtime/q.c": HEAD + PUSH + TAKE, header: text}).problems

        self.assertEqual(problems(said), [])
        self.assert_one(problems(push.replace("{comment}", "")), "no comment")
        self.assert_one(problems(said.replace("RELEASE", "ACQUIRE")),
                        "the comment says release, the code says acquire")
        self.assert_one(problems(said.replace("AA.1 release", "release")), "names no edge")
        model = order.analyse({"runtime/q.c": HEAD + PUSH + TAKE, header: said})
        self.assertIn((header, "weft_push", "release"), model.edges["AA.1"].ends)
        # In the sources themselves they stay refused.
        self.assertTrue(order.analyse({"runtime/q.c": HEAD + PUSH + TAKE + said}).problems)

    def test_the_public_headers_are_looked_at(self):
        self.assertIn("include/weft/mutex.h", order.source.files(".h", under=order.FOLDERS))

    def test_an_order_needs_an_edge(self):
        text = PUSH.replace("push", "again").replace("AA.1 release:", "release:")
        self.assert_one(self.problems(PUSH + TAKE + text), "names no edge")

    def test_an_edge_must_be_in_a_table(self):
        text = PUSH.replace("push", "again").replace("AA.1", "AA.2")
        self.assert_one(self.problems(PUSH + TAKE + text), "AA.2 is in no table")

    def test_an_edge_needs_both_ends(self):
        self.assert_one(self.problems(PUSH), "needs a place that releases and one that acquires")
        self.assert_one(self.problems(PUSH + PUSH.replace("push", "again")), "one that acquires")

    def test_an_edge_is_declared_once(self):
        problems = order.analyse({"runtime/a.c": HEAD + PUSH + TAKE, "runtime/b.c": HEAD}).problems
        self.assert_one(problems, "in another table already")

    def test_an_implicit_operation_is_refused(self):
        text = "void f(struct q *q)\n{\n    atomic_store(&q->n, 1);\n}\n"
        self.assert_one(self.problems(PUSH + TAKE + text), "_explicit")

    def test_bare_uses_of_an_atomic_member_are_refused(self):
        declaration = "struct q {\n    WF_ATOMIC(int) count;\n};\n"
        for use in ("q->count++;", "q->count = 1;", "a = q->count;", "if (q->list[3].count > 2)",
                    "++q->count;", "pool.q.count += 2;"):
            with self.subTest(use):
                text = declaration + "void f(struct q *q)\n{\n    " + use + "\n}\n"
                self.assert_one(self.problems(PUSH + TAKE + text), "the atomic count")

    def test_addresses_and_sizes_of_an_atomic_member_are_fine(self):
        text = "struct q {\n    WF_ATOMIC(int) count;\n};\nvoid f(struct q *q)\n{\n" \
               "    futex(&q->count, sizeof q->count);\n    g(&(q->list[1].count));\n}\n"
        self.assertEqual(self.problems(PUSH + TAKE + text), [])

    def test_a_name_that_is_plain_elsewhere_is_left_alone(self):
        text = "struct q {\n    WF_ATOMIC(int) size;\n};\nstruct p {\n    int size;\n};\n" \
               "void f(struct p *p)\n{\n    p->size++;\n}\n"
        self.assertEqual(self.problems(PUSH + TAKE + text), [])

    def test_builtin_atomics_are_refused(self):
        text = "void f(void)\n{\n    __atomic_load_n(&a, 0);\n}\n"
        self.assert_one(self.problems(PUSH + TAKE + text), "WF_ATOMIC")

    def test_several_edges_in_one_comment(self):
        words = "A1.1 release, A1.2 and A1.3 acquire: why"
        notes = order.notes_in(order.source.Comment(1, 1, words))
        self.assertEqual([(n.edges, n.order) for n in notes],
                         [(["A1.1"], "release"), (["A1.2", "A1.3"], "acquire")])
        notes = order.notes_in(order.source.Comment(1, 1, "DQ.3 seq_cst, DQ.5: why"))
        self.assertEqual([(n.edges, n.order) for n in notes], [(["DQ.3", "DQ.5"], "seq_cst")])

    def test_release_and_acquire_together_explain_acq_rel(self):
        text = "void f(struct q *q)\n{\n    /* AA.1 release: one; AA.1 acquire: other. */\n" \
               "    atomic_exchange_explicit(&q->n, 1, memory_order_acq_rel);\n}\n"
        self.assertEqual(self.problems(text), [])
        text = text.replace("; AA.1 acquire: other", "")
        self.assert_one(self.problems(PUSH + TAKE + text), "says release, the code says acq_rel")

    def test_the_order_on_failure_has_its_own_reason(self):
        words = "WT.2 seq_cst: saved, and WT.3: before; WT.1 acquire on failure: it came first"
        notes = order.notes_in(order.source.Comment(1, 1, words))
        self.assertEqual([(n.edges, n.order, n.on_failure) for n in notes],
                         [(["WT.2"], "seq_cst", False), (["WT.3"], "seq_cst", False),
                          (["WT.1"], "acquire", True)])

    def test_continued_cells_stay_in_their_column(self):
        model = order.analyse({"runtime/q.c": HEAD + PUSH + TAKE})
        self.assertEqual(model.edges["AA.1"].cells,
                         ["push: tail release", "take: tail acquire", "the item is visible"])
        self.assertIn("| AA.1 | push: tail release | take: tail acquire | the item is visible | "
                      "`push` release, `take` acquire |", order.document(model))


if __name__ == "__main__":
    unittest.main()
