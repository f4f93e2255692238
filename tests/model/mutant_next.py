# SPDX-License-Identifier: MIT
"""The mistakes of mutants.py in the next slot of a worker."""
from mutant_table import Mutant


def slot(name, before, after, path="runtime/next.h"):
    return Mutant("next", "next/" + name, path, before, after)


DISPLACE = "    return atomic_exchange_explicit(next, fiber, memory_order_acq_rel);\n"
TAKE = "    return atomic_exchange_explicit(next, NULL, memory_order_acq_rel);\n"

NEXT_MUTANTS = [
    # NX.1: the fiber's fields.
    slot("fills-without-the-fields", "atomic_store_explicit(next, fiber, memory_order_release);",
         "atomic_store_explicit(next, fiber, memory_order_relaxed);"),
    slot("displaces-without-the-fields", DISPLACE, DISPLACE.replace("acq_rel", "acquire")),
    slot("takes-without-the-fields", TAKE, TAKE.replace("acq_rel", "release")),
    # One of both has the fiber.
    slot("fills-blindly",
         "    if (atomic_load_explicit(next, memory_order_relaxed) == NULL) {\n",
         "    if (true) {\n"),
    slot("displaces-with-a-blind-store", DISPLACE,
         "    struct weft_fiber *old = atomic_load_explicit(next, memory_order_acquire);\n"
         "    atomic_store_explicit(next, fiber, memory_order_release);\n"
         "    return old;\n"),
    slot("displaces-whom-it-saw-first",
         "    if (atomic_load_explicit(next, memory_order_relaxed) == NULL) {\n",
         "    struct weft_fiber *old = atomic_load_explicit(next, memory_order_relaxed);\n"
         "    if (old != NULL) {\n"
         "        (void)atomic_exchange_explicit(next, fiber, memory_order_acq_rel);\n"
         "        return old;\n"
         "    }\n"
         "    if (old == NULL) {\n"),
    slot("forgets-whom-it-displaces", DISPLACE,
         "    (void)atomic_exchange_explicit(next, fiber, memory_order_acq_rel);\n"
         "    return NULL;\n"),
    slot("takes-with-a-blind-store", TAKE,
         "    struct weft_fiber *taken = atomic_load_explicit(next, memory_order_acquire);\n"
         "    atomic_store_explicit(next, NULL, memory_order_release);\n"
         "    return taken;\n"),
    slot("takes-and-leaves-it-there", TAKE,
         "    return atomic_load_explicit(next, memory_order_acquire);\n"),
    slot("wakes-and-forgets-whom-it-displaces",
         "    if (old != nullptr)\n        wf_worker_push_ready(self, old);\n", "",
         "tests/model/next_model.cpp"),
    slot("is-woken-while-it-is-cancelled",
         "        return unpin(self, waiter);\n    enqueue(", "        return false;\n    enqueue(",
         "runtime/wait.c"),
]
