# SPDX-License-Identifier: MIT
"""The mistakes of mutants.py in the gate before a worker's queues.

Not here is what only hardware can do that delays a load or a store past a later operation of its
thread, which Relacy does not.  Nor is what something else stands in for: the heavy barrier for the
release of wf_gate_shut()'s first step; and of the acquire in wf_gate_open() and that in
wf_gate_pass(), which reads what the former wrote, one does for the other.
"""
from mutant_table import Mutant


def gate(name, before, after, path="runtime/gate.h"):
    return Mutant("gate", "gate/" + name, path, before, after)


LIGHT = "    wf_barrier_light();\n"
HEAVY = "    if (!wf_os_barrier()) {\n"
REFUSE = HEAVY + "        wf_gate_refuse(gate);\n        return false;\n    }\n"
AWAITED = """\
    if (!wf_gate_await_leave(gate)) {
        wf_gate_withdraw(gate);
        return false;
    }
"""
GIVE_UP = "    atomic_fetch_or_explicit(&gate->thieves, WF_GATE_SHUT, memory_order_release);\n"
PASS = "    if (WF_LIKELY(thieves == 0))\n"
LEAVE = "    atomic_store_explicit(&gate->inside, 0, memory_order_release);\n"
AWAIT = "        if (atomic_load_explicit(&gate->inside, memory_order_acquire) == 0)\n"
WITHDRAW = \
    "    atomic_fetch_sub_explicit(&gate->thieves, WF_GATE_THIEF, memory_order_release);\n"
OPEN = """\
    if (atomic_compare_exchange_strong_explicit(&gate->thieves, &shut, 0, memory_order_acquire,
                                                memory_order_relaxed))
"""
COME = """\
    uint32_t before = atomic_fetch_add_explicit(&gate->thieves, WF_GATE_THIEF,
                                                memory_order_acq_rel);
"""
SHUT = "    atomic_fetch_or_explicit(&gate->thieves, WF_GATE_SHUT, memory_order_acq_rel);\n"
FOUND_SHUT = "    if ((before & WF_GATE_SHUT) != 0)\n"

GATE_MUTANTS = [
    # GT.1: one of the two sees the other.
    gate("the-owner-looks-before-it-says-so", LIGHT, ""),
    gate("the-thief-looks-before-it-says-so", REFUSE, ""),
    gate("goes-on-where-the-barrier-has-failed", HEAVY,
         "    if (wf_os_barrier(), false) {\n"),
    gate("does-not-wait-for-the-owner", AWAITED, ""),
    gate("loses-its-patience-and-claims", AWAITED, "    (void)wf_gate_await_leave(gate);\n"),
    gate("passes-before-thieves", PASS,
         "    if (thieves != 77)\n"),
    gate("passes-a-gate-that-is-not-yet-shut", PASS, "    if ((thieves & 1) == 0)\n"),
    gate("never-comes-out", LEAVE, ""),
    gate("stays-inside-where-it-may-not", "    /* relaxed: nothing was taken. */\n"
         "    atomic_store_explicit(&gate->inside, 0, memory_order_relaxed);\n", ""),
    # GT.2: what the owner took.
    gate("leaves-without-what-it-took", LEAVE, LEAVE.replace("release", "relaxed")),
    gate("awaits-without-what-was-taken", AWAIT, AWAIT.replace("acquire", "relaxed")),
    # GT.3: the same to those who find it shut.
    gate("finds-it-shut-without-what-was-taken", COME, COME.replace("acq_rel", "release")),
    gate("shuts-without-what-was-taken", SHUT, SHUT.replace("acq_rel", "acquire")),
    gate("shuts-before-it-waits", AWAITED, SHUT + AWAITED),
    gate("gives-up-without-what-it-took", GIVE_UP, GIVE_UP.replace("release", "relaxed")),
    gate("takes-a-thief-for-a-shut-gate", FOUND_SHUT, "    if (before != 0)\n"),
    # GT.4: what the thieves claimed.
    gate("withdraws-without-its-claims", WITHDRAW, WITHDRAW.replace("release", "relaxed")),
    gate("opens-while-a-thief-is-there", OPEN,
         "    shut = 0;\n"
         "    atomic_exchange_explicit(&gate->thieves, shut, memory_order_acquire);\n"),
    gate("opens-and-forgets-who-came", OPEN,
         "    if (atomic_load_explicit(&gate->thieves, memory_order_acquire) == shut)\n"
         "        atomic_store_explicit(&gate->thieves, 0, memory_order_relaxed);\n"),
    gate("opens-without-the-heavy-barrier", "has_barrier ? 0 : WF_GATE_SHUT | WF_GATE_REFUSED,",
         "has_barrier ? 0 : WF_GATE_SHUT,"),
    gate("is-there-no-more-when-it-claims",
         "            count = queue.steal(stolen);\n            wf_gate_withdraw(&gate);\n",
         "            wf_gate_withdraw(&gate);\n            count = queue.steal(stolen);\n",
         "tests/model/gate_model.cpp"),
    # What is taken without a claim.
    gate("leaves-before-it-takes",
         "        item *got = queue.take(is_alone);\n\n"
         "        if (is_alone)\n            wf_gate_leave(&gate);\n",
         "        item *got;\n\n"
         "        if (is_alone)\n            wf_gate_leave(&gate);\n"
         "        got = queue.take(is_alone);\n", "tests/model/gate_model.cpp"),
    gate("takes-alone-at-a-shut-gate", "queue.take(is_alone);", "queue.take(true);",
         "tests/model/gate_model.cpp"),
    gate("leaves-the-ready-item-there",
         "    atomic_store_explicit(&queue->top, head + 1, memory_order_relaxed);\n", "",
         "runtime/ready.h"),
    gate("takes-alone-the-item-after-the-head",
         "(atomic_load_explicit(&queue->buffer, memory_order_relaxed), head),",
         "(atomic_load_explicit(&queue->buffer, memory_order_relaxed), head + 1),",
         "runtime/ready.h"),
    gate("leaves-the-fresh-item-there",
         "    /* relaxed: the gate tells thieves. */\n"
         "    atomic_store_explicit(&deque->bottom, bottom, memory_order_relaxed);\n", "",
         "runtime/deque.h"),
    gate("pops-what-is-stolen",
         "    if (atomic_load_explicit(&deque->top, memory_order_relaxed) > bottom)\n",
         "    if (atomic_load_explicit(&deque->top, memory_order_relaxed) > bottom + 1)\n",
         "runtime/deque.h"),
    gate("leaves-the-next-fiber-there",
         "        atomic_store_explicit(next, NULL, memory_order_relaxed);\n",
         "        (void)0;\n", "runtime/next.h"),
]
