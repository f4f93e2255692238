# SPDX-License-Identifier: MIT
"""The mistakes of mutants.py that concern the end of a fiber and who joins it."""
from mutant_table import Mutant


def join(name, before, after, path="runtime/join.h"):
    return Mutant("join", "join/" + name, path, before, after)


FROM_OUTSIDE = """\
    atomic_store_explicit(&fiber->joined_outside, 1, memory_order_relaxed);
"""
PUT = """\
        (void)atomic_compare_exchange_strong_explicit(&fiber->joiner, &found, waiter,
                                                      memory_order_acq_rel, memory_order_acquire);
"""
DETACH = """\
    if (atomic_compare_exchange_strong_explicit(&fiber->joiner, &expected, WF_JOINER_DETACHED,
                                                memory_order_acq_rel, memory_order_acquire))
"""
TAKE_OUT = """\
    return atomic_compare_exchange_strong_explicit(&fiber->joiner, &expected, NULL,
                                                   memory_order_relaxed, memory_order_relaxed);"""
END = """\
        joiner = atomic_exchange_explicit(&fiber->joiner, WF_JOINER_DONE, memory_order_acq_rel);
"""
TAKE = """\
    struct wf_waiter *joiner = atomic_load_explicit(&fiber->joiner, memory_order_acquire);

    if (!wf_join_is_waiter(joiner)"""
SAYS_BEFORE = """\
    wf_join_from_outside(joins->child);
    if (!wf_join_is_done(joins->child)) {
        wf_waiter *waiter = static_cast<wf_waiter *>(model_alloc(sizeof *waiter));

        atomic_init(&waiter->state, WF_WAIT_READY);
        wf_wait_begin_thread(waiter, wf_fiber_interrupt_join, joins->child);
        if (wf_join_put(joins->child, waiter, false))
"""
SAYS_AFTER = SAYS_BEFORE.replace("    wf_join_from_outside(joins->child);\n", "", 1).replace(
    "waiter, false)", "waiter, false) && (wf_join_from_outside(joins->child), true)")

JOIN_MUTANTS = [
    # JN.1: the result.
    join("finds-it-done-without-the-result",
         "return atomic_load_explicit(&fiber->joiner, memory_order_acquire) == WF_JOINER_DONE;",
         "return atomic_load_explicit(&fiber->joiner, memory_order_relaxed) == WF_JOINER_DONE;"),
    join("comes-late-without-the-result", PUT,
         PUT.replace("memory_order_acquire)", "memory_order_relaxed)")),
    join("frees-what-has-ended-without-its-end", DETACH,
         DETACH.replace("memory_order_acquire)", "memory_order_relaxed)")),
    join("ends-without-the-result", END, END.replace("acq_rel", "acquire")),
    # JN.2: the waiter's fields, and whatever else the joiner has done with the record.
    join("ends-without-the-waiter", END, END.replace("acq_rel", "release")),
    join("puts-a-waiter-without-its-fields", PUT, PUT.replace("acq_rel", "acquire")),
    join("detaches-before-it-has-read", DETACH, DETACH.replace("acq_rel", "acquire")),
    join("looks-for-a-waiter-relaxed", TAKE, TAKE.replace("acquire", "relaxed")),
    # Who comes from outside.
    join("takes-who-came-from-outside",
         "atomic_load_explicit(&fiber->joined_outside, memory_order_relaxed) != 0", "false"),
    join("does-not-say-that-it-is-from-outside", FROM_OUTSIDE, ""),
    join("says-so-when-its-waiter-is-there", SAYS_BEFORE, SAYS_AFTER, "tests/model/join_model.cpp"),
    # One of both has the waiter.
    join("ends-with-a-blind-store", END,
         "    {\n        joiner = atomic_load_explicit(&fiber->joiner, memory_order_acquire);\n"
         "        atomic_store_explicit(&fiber->joiner, WF_JOINER_DONE, memory_order_release);\n"
         "    }\n"),
    join("ends-by-what-it-saw-first", "    if (joiner != WF_JOINER_DONE)\n",
         "    if (joiner == NULL)\n"),
    join("takes-out-with-a-blind-store", TAKE_OUT,
         "    atomic_store_explicit(&fiber->joiner, NULL, memory_order_release);\n"
         "    return expected == waiter;"),
    join("takes-out-what-the-end-has", "memory_order_relaxed, memory_order_relaxed);\n}",
         "memory_order_relaxed, memory_order_relaxed) || true;\n}"),
    join("puts-with-a-blind-store", "    if (is_held) {\n", "    if (true) {\n"),
    join("holds-whatever-it-leaves-for", "wf_join_put(fiber, waiter, next == fiber)",
         "wf_join_put(fiber, waiter, next != NULL)"),
    join("forgets-to-put-into-what-it-holds",
         "        atomic_store_explicit(&fiber->joiner, waiter, memory_order_relaxed);\n", ""),
    join("detaches-with-a-blind-store", DETACH,
         "    expected = atomic_load_explicit(&fiber->joiner, memory_order_acquire);\n"
         "    if (expected == NULL)\n"
         "        atomic_store_explicit(&fiber->joiner, WF_JOINER_DETACHED, "
         "memory_order_release);\n"
         "    if (expected == NULL)\n"),
    join("wakes-whoever-was-taken",
         "    if (joiner != WF_JOINER_DONE)\n        /* JN.1 and",
         "    if (wf_join_is_waiter(joiner))\n        wf_wake(self, joiner, 0);\n"
         "    if (joiner != WF_JOINER_DONE)\n        /* JN.1 and"),
    join("takes-whatever-is-there", "    if (!wf_join_is_waiter(joiner) ||",
         "    if (joiner == NULL ||"),
    join("takes-and-leaves-itself-to-be-woken",
         "    atomic_store_explicit(place, left_behind, memory_order_release);\n", "",
         "runtime/wait.c"),
    # Each of both does its part.
    join("wakes-nobody", "        wf_wake(self, joiner, 0);\n", "        (void)self;\n"),
    join("ends-and-leaves-what-is-detached",
         "    if (joiner == WF_JOINER_DETACHED)\n        return true;\n", ""),
    join("detaches-and-frees", "        return true;\n    if (expected",
         "        return false;\n    if (expected"),
    join("forgets-whom-it-found-instead",
         "    if (next != NULL)\n        self = wf_worker_leave(self, WF_REQUEST_YIELD, next);\n",
         ""),
    join("leaves-its-timer-armed", "        wf_wait_disarm(joiner, deadline);\n", ""),
]
