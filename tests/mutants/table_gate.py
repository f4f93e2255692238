# SPDX-License-Identifier: MIT
"""The mistakes of run.py in the gate before a worker's queues."""
from mutant import Mutant

SHUTS = "    bool is_shut = wf_gate_shut(&victim->gate, &barriers);\n"
BARRIER = "    if (!wf_os_barrier()) {"
REFUSED = "gate/is_shut_by_its_owner_if_the_barrier_fails"
CONTEST = "gate/threads_take_every_item_exactly_once"

GATE_MUTANTS = [
    Mutant("gate/a-thief-does-not-shut-it", "runtime/balance.c",
           [(SHUTS, "    bool is_shut = victim != NULL;\n")],
           "api_gate_test", "gate/opens_again_after_each_theft", {}),
    Mutant("gate/a-thief-does-not-withdraw", "runtime/balance.c",
           [("    wf_gate_withdraw(&victim->gate);\n    if (count > 0)\n", "    if (count > 0)\n")],
           "api_gate_test", "gate/opens_again_after_each_theft", {}),
    Mutant("gate/the-barriers-are-not-counted", "runtime/balance.c",
           [("    wf_count(&self->counters.barriers, barriers);",
             "    wf_count(&self->counters.barriers, 0 * barriers);")],
           "api_gate_test", "gate/opens_again_after_each_theft", {}),
    Mutant("gate/is-never-opened", "runtime/worker.c",
           [("    wf_gate_open(&self->gate, self->now);\n", "")],
           "api_gate_test", "gate/opens_again_after_each_theft", {}),
    Mutant("gate/is-open-without-membarrier", "arch/linux/thread.c",
           [("MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED, 0, 0) == 0",
             "MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED, 0, 0) != 1")],
           "api_gate_test", "gate/everything_is_claimed_where_membarrier_is_refused", {}),
    Mutant("gate/its-owner-never-leaves", "runtime/own.h",
           [("    if (is_alone)\n        wf_gate_leave(&self->gate);\n", "")],
           "api_gate_test", "gate/opens_again_after_each_theft", {}),
    Mutant("gate/opens-at-once", "runtime/gate.h",
           [("    if (now - gate->shut_since < WF_GATE_SHUT_NS)\n        return;\n", "")],
           "unit_gate_test", "gate/opens_when_it_has_been_shut_for_long", {}),
    Mutant("gate/counts-the-time-of-those-who-gave-up", "runtime/gate.h",
           [("memory_order_relaxed) & WF_GATE_SHUT) ==", "memory_order_relaxed)) ==")],
           "unit_gate_test", "gate/counts_its_time_from_when_it_was_shut", {}),
    Mutant("gate/a-thief-waits-for-nobody", "runtime/gate.h",
           [("    if (!wf_gate_await_leave(gate)) {", "    if (false) {")],
           "unit_gate_test", "gate/is_left_open_by_a_thief_that_gives_up", {}),
    Mutant("gate/goes-on-where-the-barrier-failed", "runtime/gate.h",
           [(BARRIER, "    (void)wf_os_barrier();\n    if (false) {")],
           "unit_gate_test", REFUSED, {}),
    Mutant("gate/nobody-asks-its-owner", "runtime/gate.h",
           [("    atomic_fetch_or_explicit(&gate->thieves, WF_GATE_REFUSED, memory_order_relaxed);",
             "")],
           "unit_gate_test", REFUSED, {}),
    Mutant("gate/its-owner-is-asked-for-nothing", "runtime/gate.h",
           [("        wf_gate_give_up(gate);\n", "        (void)gate;\n")],
           "unit_gate_test", REFUSED, {}),
    Mutant("gate/opens-again-without-the-barrier", "runtime/gate.h",
           [("    gate->opens = false;\n", ""),
            ("    if (atomic_compare_exchange_strong_explicit(&gate->thieves, &shut, 0,",
             "    shut = atomic_load(&gate->thieves);\n"
             "    if (atomic_compare_exchange_strong_explicit(&gate->thieves, &shut, 0,")],
           "unit_gate_test", REFUSED, {}),
    Mutant("gate/a-thief-has-no-barrier", "runtime/gate.h",
           [(BARRIER, "    if (false) {")],
           "unit_gate_test", CONTEST, {}, tries=20),
]
