# SPDX-License-Identifier: MIT
"""The mistakes of mutant_table.py that concern scopes."""


def scope(name, before, after, path="runtime/scope.c"):
    return {"name": name, "before": before, "after": after, "path": path}


SCOPE_MUTANTS = [
    scope("fails-without-a-cancel", "if (wf_scope_cancelled(scope) == 0) {", "if (false) {"),
    scope("does-not-cancel-the-owner", "    poke(self, scope, scope->owner);\n", ""),
    scope("does-not-end-the-waits", "    wf_wait_cancel(self, &fiber->waiter);\n", ""),
    scope("pokes-relaxed",
          "atomic_fetch_or_explicit(&fiber->cancelled, bits_of(scope), memory_order_seq_cst);",
          "atomic_fetch_or_explicit(&fiber->cancelled, bits_of(scope), memory_order_relaxed);"),
    scope("pokes-who-is-behind-a-shield", "if (wf_scope_around(fiber) != scope)", "if (false)"),
    scope("goes-into-shields", "(scope->is_shield || wf_scope_cancelled(scope) != 0)",
          "(wf_scope_cancelled(scope) != 0)"),
    scope("does-not-go-into-nested-scopes", "first_to_mark(scope->nested)",
          "first_to_mark(NULL)"),
    scope("spawns-into-a-cancelled-scope-unseen",
          "atomic_store_explicit(&fiber->cancelled, bits_of(scope), memory_order_relaxed);",
          "atomic_store_explicit(&fiber->cancelled, 0, memory_order_relaxed);"),
    scope("expires-without-being-a-member",
          "    scope->members++;\n    scope->has_expired = true;",
          "    scope->has_expired = true;"),
    scope("closes-without-another-look-at-the-members", "WF_UNLIKELY(scope->members != 0)", "false",
          path="runtime/scope_owner.c"),
    scope("cancels-from-outside-without-being-a-member",
          "    if (is_needed)\n        scope->members++;\n", "", path="runtime/scope_owner.c"),
    scope("opens-without-a-look-at-the-outer-scope", """\
            atomic_store_explicit(&scope->cancelled, wf_scope_cancelled(outer),
                                  memory_order_relaxed);
""",
          "", path="runtime/scope_owner.c"),
    scope("opens-without-the-lock",
          "    if (outer != NULL) {\n        wf_lock_acquire(&outer->lock);",
          "    if (outer != NULL) {", path="runtime/scope_owner.c"),
    scope("takes-out-a-closer-that-is-gone", """    return wf_scope_cancelled(scope) == 0 &&
           atomic_compare_exchange_strong_explicit(&scope->closer, &expected, NULL,
                                                   memory_order_relaxed, memory_order_relaxed);""",
          """    atomic_store_explicit(&scope->closer, NULL, memory_order_relaxed);
    return wf_scope_cancelled(scope) == 0;""", path="runtime/scope_owner.c"),
    scope("waits-on-without-cancelling", "        if (waiter->result != 0)\n",
          "        if (false)\n", path="runtime/scope_owner.c"),
]
