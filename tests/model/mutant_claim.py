# SPDX-License-Identifier: MIT
"""Mistakes in waits with a claim, after which the object may be freed: see mutant_table.py."""
from mutant_table import Mutant

SOURCE = "sync/wait_queue.c"
CLAIM = """\
    entry->claim = &claim;
    return sleep_in(self, &place, deadline, false, turn_back_or_take_out);
"""
NO_CLAIM = """\
    entry->claim = NULL;
    return sleep_in(self, &place, deadline, false, take_out);
"""
CLAIM_FIRST = """\
    if (!wf_wait_claim_take(claim, WF_WAIT_LEAVING))
        return false;
"""


def claim(name, before, after, model="wait_queue", path=SOURCE):
    prefix = "wait-queue" if model == "wait_queue" else model
    return Mutant(model, f"{prefix}/{name}", path, before, after)


CLAIM_MUTANTS = [
    # Without the claim at all: in each model of an object that can be freed.
    *(claim("waits-without-a-claim", CLAIM, NO_CLAIM, model)
      for model in ("wait_queue", "channel", "barrier")),
    claim("interrupts-what-a-waker-has", CLAIM_FIRST,
          CLAIM_FIRST.replace("return false", "(void)0")),
    claim("lost-claim-still-comes-to-the-lock", CLAIM_FIRST, """\
    if (!wf_wait_claim_take(claim, WF_WAIT_LEAVING)) {
        wf_lock_acquire(place->lock);
        wf_lock_release(place->lock);
        return false;
    }
""", "channel"),
    claim("waker-does-not-await-the-interrupter", "    wf_lock_acquire(&is_coming);\n", ""),
    claim("waker-does-not-tell-the-interrupter",
          "        wf_wait_claim_lost(entry->claim);\n", "", path="sync/wait_queue.h"),
    claim("interrupter-does-not-turn-back", "        if (news != WF_WAIT_LEAVING) {",
          "        if (news == NULL) {"),
    claim("turns-back-and-tells-nobody",
          "            wf_lock_release((struct wf_lock *)(void *)news);\n", ""),
    claim("turns-back-and-looks-again", """\
            wf_lock_release((struct wf_lock *)(void *)news);
            return true;
""", """\
            wf_lock_release((struct wf_lock *)(void *)news);
            (void)wf_lock_try(place->lock);
            return true;
"""),
    claim("turns-back-without-acquire",
          "atomic_load_explicit(&claim->winner, memory_order_acquire)",
          "atomic_load_explicit(&claim->winner, memory_order_relaxed)"),
    claim("drops-without-release", """\
    atomic_store_explicit(&claim->winner, (struct wf_wait_entry *)(void *)&is_coming,
                          memory_order_release);
""", """\
    atomic_store_explicit(&claim->winner, (struct wf_wait_entry *)(void *)&is_coming,
                          memory_order_relaxed);
"""),
    claim("drops-every-lost-claim",
          "memory_order_relaxed) != WF_WAIT_LEAVING)\n", "memory_order_relaxed) == NULL)\n"),
    claim("interrupter-leaves-it-queued", """\
    was_there = wf_wait_queue_remove(place->queue, place->entry);
    WF_ASSERT(was_there);
""", """\
    was_there = true;
"""),
    Mutant("barrier", "barrier/crosses-without-those-that-left", "sync/barrier.c",
           "if (WF_UNLIKELY(present != barrier->parties))", "if (false)"),
    Mutant("barrier", "barrier/wakes-before-it-unlocks", "sync/barrier.c", """\
    wf_lock_release(&barrier->lock);
    wf_wait_queue_wake_list(wf_self(), list, result);
""", """\
    wf_wait_queue_wake_list(wf_self(), list, result);
    rl::yield(20, $);
    wf_lock_release(&barrier->lock);
"""),
]
