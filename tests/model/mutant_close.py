# SPDX-License-Identifier: MIT
"""The mistakes of mutants.py in closing a descriptor: as in mutant_table.py."""
from mutant_table import Mutant


def pending(name, before, after):
    return Mutant("close", "close/" + name, "io/pending.c", before, after)


def closer(name, before, after):
    return Mutant("close", "close/" + name, "io/close.c", before, after)


CLOSE_MUTANTS = [
    pending("goes-on-whatever-was-closed",
            "    return (op->epoch & 1) == 0 && now == op->epoch;",
            "    return (op->epoch & 1) == 0 && now == now;"),
    pending("looks-before-it-is-listed", """\
    append(watch, op);
    op->watch = watch;
    op->poller = poller;
    if (WF_LIKELY(op->epoch == 0) || may_go_on(op))""", """\
    bool may = op->epoch == 0 || may_go_on(op);
    append(watch, op);
    op->watch = watch;
    op->poller = poller;
    if (may)"""),
    pending("changes-the-epoch-relaxed",
            "(atomic_fetch_or_explicit(epoch, 1, memory_order_acq_rel) & 1) == 0;",
            "(atomic_fetch_or_explicit(epoch, 1, memory_order_relaxed) & 1) == 0;"),
    pending("goes-on-relaxed",
            "    now = atomic_fetch_add_explicit(epoch, 0, memory_order_acq_rel) + EPOCH_BIAS;",
            "    now = atomic_fetch_add_explicit(epoch, 0, memory_order_relaxed) + EPOCH_BIAS;"),
    pending("lets-two-close-at-once",
            "(atomic_fetch_or_explicit(epoch, 1, memory_order_acq_rel) & 1) == 0;",
            "(atomic_fetch_or_explicit(epoch, 1, memory_order_acq_rel) & 1) <= 1;"),
    pending("leaves-relaxed",
            "    atomic_store_explicit(&watch->first, op, memory_order_release);",
            "    atomic_store_explicit(&watch->first, op, memory_order_relaxed);"),
    pending("looks-at-the-list-relaxed",
            "    return atomic_load_explicit(&watch->first, memory_order_acquire);",
            "    return atomic_load_explicit(&watch->first, memory_order_relaxed);"),
    pending("counts-down-relaxed",
            "    if (atomic_fetch_sub_explicit(&closing->pending, 1, memory_order_acq_rel) == 1)",
            "    if (atomic_fetch_sub_explicit(&closing->pending, 1, memory_order_relaxed) == 1)"),
    pending("does-not-tell-of-its-leave", """\
    if (closing != NULL)
        wf_closing_done(self, closing);
}

void wf_pending_move_last""", """\
}

void wf_pending_move_last"""),
    closer("looks-before-the-epoch-changes", """\
    if (!wf_epoch_begin(fd))
        return false;
    if (self != NULL)
        peers = end_at_peers(&closer);""", """\
    if (self != NULL)
        peers = end_at_peers(&closer);
    if (!wf_epoch_begin(fd))
        return false;"""),
    closer("does-not-wait",
           "fetch_sub_explicit(&closer.closing.pending, 1, memory_order_acq_rel) != 1) {",
           "fetch_sub_explicit(&closer.closing.pending, 1, memory_order_acq_rel) == 0) {"),
    closer("stops-nothing", "        if (poller->backend->stop(poller, peer, cause)) {",
           "        if (false) {"),
    closer("counts-nobody", """\
    (void)atomic_fetch_add_explicit(&closer->closing.pending, 1, memory_order_relaxed);
""", ""),
    closer("leaves-a-wait-beside-a-hold", "    return op->has_awaited ? op->awaited : op;",
           "    return op;"),
    Mutant("close", "close/waits-beside-what-was-closed", "io/hold.c",
           "    if (error != 0)\n        wf_backend_cancel(poller, self, op, error);\n", ""),
    Mutant("close", "close/ends-without-telling", "io/op.c", """\
    if (closing != NULL)
        wf_closing_done(self, closing);
}""", "}"),
]
