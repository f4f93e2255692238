# SPDX-License-Identifier: MIT
"""The mistakes of mutants.py: each replaces a text that occurs exactly once in its file."""
import collections

from mutant_scope import SCOPE_MUTANTS

Mutant = collections.namedtuple("Mutant", "model name path before after")


def deque(name, before, after):
    return Mutant("deque", "deque/" + name, "runtime/deque.h", before, after)


def ready(name, before, after, path="runtime/ready.h"):
    return Mutant("ready", "ready/" + name, path, before, after)


def park(name, before, after):
    return Mutant("park", "park/" + name, "runtime/park.c", before, after)


def worker(name, before, after):
    return Mutant("park", "park/" + name, "tests/model/park_model.cpp", before, after)


def injector(name, before, after):
    return Mutant("park", "inject/" + name, "runtime/inject.c", before, after)


def lock(name, before, after, path="runtime/lock.h"):
    return Mutant("lock", "lock/" + name, path, before, after)


def wait(name, before, after, path="runtime/wait.c"):
    return Mutant("wait", "wait/" + name, path, before, after)


def task(name, before, after):
    return Mutant("task", "task/" + name, "runtime/split.h", before, after)


def queue(name, before, after, path="sync/wait_queue.h"):
    return Mutant("wait_queue", "wait-queue/" + name, path, before, after)


def channel(name, before, after, path="sync/channel.h"):
    return Mutant("channel", "channel/" + name, path, before, after)


def select(name, before, after, path="sync/select.c"):
    return Mutant("select", "select/" + name, path, before, after)


DEQUE_H = "runtime/deque.h"
RETIRE = """\
    old->retired = deque->retired;
    deque->retired = old;
"""
FREE_AT_ONCE = "    wf_free_pages(old, wf_deque_buffer_size(old->mask + 1));\n"
CLAIM = """\
    return atomic_compare_exchange_strong_explicit(&deque->top, &top, top + 1, memory_order_seq_cst,
                                                   memory_order_relaxed);"""
STEAL_END = """\
    item = atomic_load_explicit(wf_deque_slot(buffer, top), memory_order_relaxed);
    return wf_deque_claim(deque, top) ? item : NULL;"""
TAKE_CLAIM = """    if (!atomic_compare_exchange_strong_explicit(&queue->top, &head, head + count,
                                                 memory_order_release, memory_order_relaxed))
        return 0;"""
TAKE_READ = """    for (int64_t i = 0; i < count; i++) {
        /* relaxed: DQ.1 made it visible; if it is being reused, the claim fails. */
        items[i] = atomic_load_explicit(wf_deque_slot(buffer, head + i), memory_order_relaxed);
    }
    /* DQ.5 release: our reads come before the owner's reuse; relaxed on failure: nothing used. */
"""
NOTIFY = """\
    if (!atomic_compare_exchange_strong_explicit(&parker->state, &expected, WF_PARKER_NOTIFIED,
                                                 memory_order_seq_cst, memory_order_seq_cst)) {
        wf_park_end_search(park);
        return false;
    }"""

MAKE_READY = """        if (atomic_compare_exchange_weak_explicit(&waiter->state, &state, target,
                                                  memory_order_acq_rel, memory_order_relaxed))"""
SHARE = """\
    atomic_fetch_add_explicit(&split->shared, (uint64_t)count << 32, memory_order_seq_cst);"""
TASK_CLAIM = """\
        if (atomic_compare_exchange_weak_explicit(&split->shared, &shared, shared + 1,
                                                  memory_order_acquire, memory_order_relaxed))
            return wf_split_unmark(split->first[wf_split_tail(shared)]);"""
TAKE_BACK = """\
    } while (!atomic_compare_exchange_weak_explicit(&split->shared, &shared,
                                                    wf_split_pack(wf_split_tail(shared), new_end),
                                                    memory_order_relaxed, memory_order_relaxed));"""
COMPLETE = """\
    return atomic_exchange_explicit(&task->state, WF_TASK_DONE, memory_order_acq_rel);"""
AWAIT = """    return atomic_compare_exchange_strong_explicit(&task->state, &expected, waiter,
                                                   memory_order_acq_rel, memory_order_acquire);"""
WITHDRAW = """    return atomic_compare_exchange_strong_explicit(&task->state, &expected, NULL,
                                                   memory_order_relaxed, memory_order_relaxed);"""
UNPIN = """\
    if (atomic_compare_exchange_strong_explicit(&waiter->state, &expected, WF_WAIT_WAITING,
                                                memory_order_seq_cst, memory_order_acquire))
        return false;
"""
PARK = """\
    if (!atomic_compare_exchange_strong_explicit(&fiber->waiter.state, &expected, WF_WAIT_WAITING,
                                                 memory_order_seq_cst, memory_order_acquire)) {"""
PIN = """    (void)atomic_compare_exchange_strong_explicit(&waiter->state, &state, WF_WAIT_BUSY,
                                                  memory_order_seq_cst, memory_order_seq_cst);"""

MUTANTS = [
    # DQ.1: the item behind the slot.
    deque("push-publishes-relaxed",
          "atomic_store_explicit(&deque->bottom, bottom + 1, memory_order_release);",
          "atomic_store_explicit(&deque->bottom, bottom + 1, memory_order_relaxed);"),
    deque("push-publishes-before-filling",
          "    /* relaxed: DQ.1 publishes it. */\n"
          "    atomic_store_explicit(wf_deque_slot(buffer, bottom",
          "    atomic_store_explicit(&deque->bottom, bottom + 1, memory_order_release);\n"
          "    atomic_store_explicit(wf_deque_slot(buffer, bottom"),
    deque("steal-reads-bottom-relaxed",
          "int64_t bottom = atomic_load_explicit(&deque->bottom, memory_order_seq_cst);",
          "int64_t bottom = atomic_load_explicit(&deque->bottom, memory_order_relaxed);"),
    # DQ.2 and DQ.3: the last items.
    deque("pop-claims-with-release",
          "atomic_store_explicit(&deque->bottom, bottom, memory_order_seq_cst);",
          "atomic_store_explicit(&deque->bottom, bottom, memory_order_release);"),
    deque("pop-looks-at-top-with-acquire",
          "top = atomic_load_explicit(&deque->top, memory_order_seq_cst);\n    if (top < bottom)",
          "top = atomic_load_explicit(&deque->top, memory_order_acquire);\n    if (top < bottom)"),
    deque("pop-does-not-look-at-top-again",
          "    top = atomic_load_explicit(&deque->top, memory_order_seq_cst);\n"
          "    if (top < bottom)",
          "    if (top < bottom)"),
    deque("pop-keeps-the-item-a-thief-may-want", "    if (top < bottom)\n        return item;",
          "    if (top <= bottom)\n        return item;"),
    deque("pop-takes-the-last-item-unclaimed", "if (top > bottom || !wf_deque_claim(deque, top))",
          "if (top > bottom)"),
    deque("pop-takes-the-only-item-unclaimed",
          "        return wf_deque_claim(deque, top) ? item : NULL;\n\n",
          "        return atomic_store_explicit(&deque->top, top + 1, "
          "memory_order_seq_cst), item;\n"),
    deque("pop-leaves-bottom-too-low",
          "    atomic_store_explicit(&deque->bottom, bottom + 1, memory_order_relaxed);\n"
          "    return item;", "    return item;"),
    deque("steal-looks-with-acquire",
          "int64_t bottom = atomic_load_explicit(&deque->bottom, memory_order_seq_cst);",
          "int64_t bottom = atomic_load_explicit(&deque->bottom, memory_order_acquire);"),
    deque("steal-takes-one-too-many", "    if (top >= bottom)\n        return NULL;",
          "    if (top > bottom)\n        return NULL;"),
    deque("steal-does-not-claim", STEAL_END, STEAL_END.replace(
        "wf_deque_claim(deque, top)",
        "(atomic_store_explicit(&deque->top, top + 1, memory_order_seq_cst), true)")),
    deque("steal-reads-after-its-claim", STEAL_END, """    if (!wf_deque_claim(deque, top))
        return NULL;
    item = atomic_load_explicit(wf_deque_slot(buffer, top), memory_order_relaxed);
    return item;"""),
    deque("claim-is-relaxed", CLAIM, CLAIM.replace("memory_order_seq_cst", "memory_order_relaxed")),
    # DQ.4: growth.
    deque("grow-publishes-relaxed",
          "atomic_store_explicit(&deque->buffer, buffer, memory_order_seq_cst);",
          "atomic_store_explicit(&deque->buffer, buffer, memory_order_relaxed);"),
    deque("grow-forgets-the-oldest", "for (int64_t i = top; i < bottom; i++)",
          "for (int64_t i = top + 1; i < bottom; i++)"),
    deque("grow-copies-by-the-new-capacity",
          "atomic_load_explicit(wf_deque_slot(old, i),",
          "atomic_load_explicit(wf_deque_slot(old, i + 1),"),
    deque("grow-frees-the-old-buffer", RETIRE, FREE_AT_ONCE),
    # DQ.6 and DQ.7: when buffers are freed.
    deque("frees-under-a-thief", "    if (may)\n        wf_deque_free_retired(deque);",
          "    wf_deque_free_retired(deque);"),
    deque("enters-with-release",
          "atomic_store_explicit(&thief->looks, 1, memory_order_seq_cst);",
          "atomic_store_explicit(&thief->looks, 1, memory_order_release);"),
    deque("looks-for-thieves-with-acquire",
          "return atomic_load_explicit(&thief->looks, memory_order_seq_cst) != 0;",
          "return atomic_load_explicit(&thief->looks, memory_order_acquire) != 0;"),
    ready("frees-under-a-thief", "    if (may)\n        wf_deque_free_retired(deque);",
          "    wf_deque_free_retired(deque);", DEQUE_H),
    ready("enters-with-release",
          "atomic_store_explicit(&thief->looks, 1, memory_order_seq_cst);",
          "atomic_store_explicit(&thief->looks, 1, memory_order_release);", DEQUE_H),
    deque("push-grows-too-late", "bottom - top > buffer->mask",
          "bottom - top > buffer->mask + 1"),
    # DQ.1, DQ.4 and DQ.5 as the ready queue uses them.
    ready("push-publishes-relaxed",
          "atomic_store_explicit(&deque->bottom, bottom + 1, memory_order_release);",
          "atomic_store_explicit(&deque->bottom, bottom + 1, memory_order_relaxed);", DEQUE_H),
    ready("push-fills-one-too-many", "bottom - top > buffer->mask",
          "bottom - top > buffer->mask + 1", DEQUE_H),
    ready("grow-publishes-relaxed",
          "atomic_store_explicit(&deque->buffer, buffer, memory_order_seq_cst);",
          "atomic_store_explicit(&deque->buffer, buffer, memory_order_relaxed);", DEQUE_H),
    ready("grow-frees-the-old-buffer", RETIRE, FREE_AT_ONCE, DEQUE_H),
    ready("take-reads-tail-relaxed",
          "int64_t tail = atomic_load_explicit(&queue->bottom, memory_order_acquire);",
          "int64_t tail = atomic_load_explicit(&queue->bottom, memory_order_relaxed);"),
    ready("take-does-not-claim", TAKE_CLAIM,
          "    atomic_store_explicit(&queue->top, head + count, memory_order_release);"),
    ready("take-reads-after-its-claim", TAKE_READ + TAKE_CLAIM, TAKE_CLAIM + "\n" + TAKE_READ),
    ready("take-claims-one-too-few", "&queue->top, &head, head + count,",
          "&queue->top, &head, head + count / 2 + 1 - count % 2,"),
    ready("take-reads-one-slot-further", "wf_deque_slot(buffer, head + i)",
          "wf_deque_slot(buffer, head + i + 1)"),
    ready("pop-does-not-claim",
          "        if (atomic_compare_exchange_weak_explicit(&queue->top, &head, head + 1,\n"
          "                                                  memory_order_relaxed,"
          " memory_order_relaxed))\n            return item;",
          "        atomic_store_explicit(&queue->top, head + 1, memory_order_relaxed);\n"
          "        return item;"),
    ready("pop-takes-the-youngest", "wf_deque_slot(buffer, head)",
          "wf_deque_slot(buffer, tail - 1)"),
    # PK.1, PK.2, PK.3, IJ.1 and the counts.
    park("announces-its-count-relaxed",
         "atomic_fetch_add_explicit(&park->sleeping, 1, memory_order_seq_cst);",
         "atomic_fetch_add_explicit(&park->sleeping, 1, memory_order_relaxed);"),
    park("announces-its-state-with-release",
         "atomic_store_explicit(&parker->state, WF_PARKER_SLEEPING, memory_order_seq_cst);",
         "atomic_store_explicit(&parker->state, WF_PARKER_SLEEPING, memory_order_release);"),
    park("looks-for-sleepers-relaxed",
         "return atomic_load_explicit(&park->sleeping, memory_order_seq_cst) >= park->worker_count",
         "return atomic_load_explicit(&park->sleeping, memory_order_relaxed) >= "
         "park->worker_count"),
    park("looks-whether-it-sleeps-relaxed",
         "if (atomic_load_explicit(&parker->state, memory_order_seq_cst) != WF_PARKER_SLEEPING)",
         "if (atomic_load_explicit(&parker->state, memory_order_relaxed) != WF_PARKER_SLEEPING)"),
    park("notifies-relaxed", NOTIFY, NOTIFY.replace("memory_order_seq_cst",
                                                    "memory_order_relaxed")),
    park("notifies-without-compare-and-swap", NOTIFY,
         "    (void)expected;\n"
         "    atomic_store_explicit(&parker->state, WF_PARKER_NOTIFIED, memory_order_seq_cst);"),
    park("counts-the-search-too-late",
         "    atomic_fetch_add_explicit(&park->searching, 1, memory_order_relaxed);\n    /* PK.2",
         "    /* PK.2"),
    park("keeps-counting-the-sleeper",
         "    atomic_fetch_sub_explicit(&park->sleeping, 1, memory_order_relaxed);\n"
         "    return true;",
         "    return true;"),
    park("forgets-that-it-lost", "        wf_park_end_search(park);\n        return false;",
         "        return false;"),
    park("retracts-with-a-blind-store",
         "atomic_exchange_explicit(&parker->state, WF_PARKER_AWAKE, memory_order_seq_cst);",
         "atomic_load_explicit(&parker->state, memory_order_seq_cst);\n"
         "    atomic_store_explicit(&parker->state, WF_PARKER_AWAKE, memory_order_seq_cst);"),
    park("retracts-relaxed",
         "atomic_exchange_explicit(&parker->state, WF_PARKER_AWAKE, memory_order_seq_cst);",
         "atomic_exchange_explicit(&parker->state, WF_PARKER_AWAKE, memory_order_relaxed);"),
    Mutant("park", "watcher/dozes-with-release", "runtime/watcher.h",
           "atomic_store_explicit(&watcher->state, WF_WATCHER_DOZING, memory_order_seq_cst);",
           "atomic_store_explicit(&watcher->state, WF_WATCHER_DOZING, memory_order_release);"),
    Mutant("park", "watcher/looks-at-workers-relaxed", "runtime/watcher.h",
           "atomic_load_explicit(&parker->state, memory_order_seq_cst) != WF_PARKER_AWAKE",
           "atomic_load_explicit(&parker->state, memory_order_relaxed) != WF_PARKER_AWAKE"),
    Mutant("park", "watcher/looks-for-the-monitor-relaxed", "runtime/watcher.h",
           "atomic_load_explicit(&watcher->state, memory_order_seq_cst) == WF_WATCHER_DOZING",
           "atomic_load_explicit(&watcher->state, memory_order_relaxed) == WF_WATCHER_DOZING"),
    Mutant("park", "watcher/does-not-wake-the-monitor", "tests/model/park_model.cpp",
           "if (wf_watcher_is_dozing(&watcher) && wf_watcher_end_sleep(&watcher))",
           "if (!wf_watcher_is_dozing(&watcher) && wf_watcher_end_sleep(&watcher))"),
    Mutant("park", "park/pushes-its-count-relaxed", "runtime/inject.c",
           "atomic_fetch_add_explicit(&inject->count, count, memory_order_seq_cst);",
           "atomic_fetch_add_explicit(&inject->count, count, memory_order_relaxed);"),
    Mutant("park", "park/looks-at-the-injector-relaxed", "runtime/inject.h",
           "return atomic_load_explicit(&inject->count, memory_order_seq_cst);",
           "return atomic_load_explicit(&inject->count, memory_order_relaxed);"),
    Mutant("park", "park/push-does-not-link", "runtime/inject.c",
           "        inject->tail->next = first;", "        ;"),
    injector("take-forgets-the-rest", "        inject->head = last->next;\n",
             "        inject->head = NULL;\n"),
    injector("take-keeps-the-rest-linked",
             "        inject->head = last->next;\n        last->next = NULL;\n",
             "        inject->head = last->next;\n"),
    injector("take-leaves-what-it-takes", "        inject->head = last->next;\n", ""),
    injector("take-counts-one-for-all",
             "atomic_fetch_sub_explicit(&inject->count, count, memory_order_relaxed);",
             "atomic_fetch_sub_explicit(&inject->count, 1, memory_order_relaxed);"),
    injector("takes-without-the-lock",
             "    wf_lock_acquire(&inject->lock);\n    first = last = inject->head;\n",
             "    first = last = inject->head;\n"),
    injector("pushes-without-the-lock",
             "    last->next = NULL;\n    wf_lock_acquire(&inject->lock);\n",
             "    last->next = NULL;\n"),
    worker("sleeps-without-another-look", "        *found = take_injected(self);\n", ""),
    worker("sleeps-without-a-look-for-the-end", "*found == nullptr && !is_done()",
           "*found == nullptr"),
    # LK.1 and the naps.
    lock("releases-relaxed", "&lock->word, WF_LOCK_FREE, memory_order_release)",
         "&lock->word, WF_LOCK_FREE, memory_order_relaxed)"),
    lock("acquires-relaxed",
         "&lock->word, &expected, WF_LOCK_HELD, memory_order_acquire, memory_order_relaxed)",
         "&lock->word, &expected, WF_LOCK_HELD, memory_order_relaxed, memory_order_relaxed)"),
    lock("acquires-slowly-and-relaxed",
         "memory_order_acquire, memory_order_relaxed))",
         "memory_order_relaxed, memory_order_relaxed))", path="runtime/lock.c"),
    lock("sleeps-until-it-is-woken", "wf_os_now() + NAP_US * INT64_C(1000)", "INT64_MAX",
         path="runtime/lock.c"),
    lock("has-it-after-the-nap", "    while (!wf_lock_try(lock));\n",
         "    while (!wf_lock_try(lock) && tries <= WF_LOCK_SPINS + 1);\n", path="runtime/lock.c"),
    # WT.1 to WT.4.
    wait("wakes-without-release", MAKE_READY, MAKE_READY.replace("acq_rel", "acquire")),
    wait("wakes-without-acquire", MAKE_READY, MAKE_READY.replace("acq_rel", "release")),
    wait("wakes-a-pinned-fiber", "uint32_t target = state == WF_WAIT_WAITING   ? WF_WAIT_READY",
         "uint32_t target = state == WF_WAIT_WAITING || state == WF_WAIT_BUSY ? WF_WAIT_READY"),
    wait("wakes-a-running-fiber", "state == WF_WAIT_RUNNING ? WF_WAIT_NOTIFIED",
         "state == WF_WAIT_RUNNING ? WF_WAIT_READY"),
    wait("parks-without-the-registers", PARK, PARK.replace("seq_cst", "acquire")),
    wait("parks-over-a-wake-it-does-not-see", PARK,
         PARK.replace("memory_order_acquire)", "memory_order_relaxed)")),
    wait("parks-without-a-look-at-the-flag",
         "        wf_wait_cancel(self, &fiber->waiter);\n}\n\n/* Pins",
         "        (void)0;\n}\n\n/* Pins"),
    wait("pins-relaxed", PIN, PIN.replace("seq_cst", "relaxed")),
    wait("pins-a-fiber-that-runs", "    uint32_t state = WF_WAIT_WAITING;\n\n    /* WT.2",
         "    uint32_t state = WF_WAIT_RUNNING;\n\n    /* WT.2"),
    wait("leaves-a-stale-cancel-without-another-look",
         "while (pin(waiter) == WF_WAIT_WAITING) {\n",
         "for (int i = 0; i < 1 && pin(waiter) == WF_WAIT_WAITING; i++) {\n"),
    wait("unpins-with-a-blind-store", UNPIN,
         "    (void)expected;\n    atomic_store_explicit(&waiter->state, WF_WAIT_WAITING,"
         " memory_order_release);\n    return false;\n"),
    wait("unpins-over-a-wake-it-does-not-see", UNPIN,
         UNPIN.replace("memory_order_acquire)", "memory_order_relaxed)")),
    wait("keeps-a-refused-fiber-pinned",
         "        return unpin(self, waiter);\n    enqueue(",
         "        return false;\n    enqueue("),
    wait("drops-the-timer-of-a-fiber-that-has-not-left",
         "    case WF_WAIT_RUNNING: /* it has not left", "        /* it has not left"),
    wait("asks-in-a-sleeping-ring-without-submitting",
         "                wf_poller_submit(home->poller, self);\n",
         "                (void)home;\n"),
    wait("takes-a-fiber-that-is-not-pinned",
         "    if (pin(waiter) != WF_WAIT_WAITING)\n        return NULL;\n",
         "    if (atomic_load_explicit(&waiter->state, memory_order_acquire) != WF_WAIT_WAITING)\n"
         "        return NULL;\n"),
    wait("takes-without-another-look",
         "if (atomic_load_explicit(place, memory_order_relaxed) != waiter)", "if (false)"),
    wait("keeps-what-it-may-not-take-pinned",
         "        (void)unpin(self, waiter);\n        return NULL;", "        return NULL;"),
    wait("takes-and-leaves-the-place-full",
         "    atomic_store_explicit(place, left_behind, memory_order_release);\n", ""),
    wait("cancels-relaxed",
         "atomic_store_explicit(&state->fiber.cancelled, 1, memory_order_seq_cst);",
         "atomic_store_explicit(&state->fiber.cancelled, 1, memory_order_relaxed);",
         path="tests/model/wait_model.cpp"),
    wait("goes-on-with-its-timer-armed",
         "            wf_timer_cancel(&state->fiber.waiter.timer);\n", "",
         path="tests/model/wait_model.cpp"),
    wait("cancels-a-timer-without-the-lock",
         "    wf_lock_acquire(&wheel->lock);\n    if (timer->link != NULL) {",
         "    if (timer->link != NULL) {", path="runtime/timer.c"),
    task("shares-relaxed", SHARE, SHARE.replace("seq_cst", "relaxed")),
    task("shares-without-an-order-to-the-sleepers", SHARE, SHARE.replace("seq_cst", "release")),
    task("looks-for-tasks-without-an-order-to-its-sleep",
         "atomic_load_explicit(&split->shared, memory_order_seq_cst);",
         "atomic_load_explicit(&split->shared, memory_order_acquire);"),
    task("shares-slots-that-are-not-marked-yet",
         "    for (uint32_t i = 0; i < count; i++) {\n        struct wf_task *task = slot[i];",
         SHARE + "\n    for (uint32_t i = 0; i < count; i++) {\n"
         "        struct wf_task *task = slot[i];\n"
         "        if (i + 1 == count)\n            shared = 0;"),
    task("claims-relaxed", TASK_CLAIM, TASK_CLAIM.replace("acquire", "relaxed")),
    task("reads-the-slot-before-the-claim", TASK_CLAIM,
         "        struct wf_task *early = split->first[wf_split_tail(shared)];\n"
         + TASK_CLAIM.replace("split->first[wf_split_tail(shared)]", "early")),
    task("claims-with-a-blind-store", TASK_CLAIM,
         "        atomic_store_explicit(&split->shared, shared + 1, memory_order_release);\n"
         "        return wf_split_unmark(split->first[wf_split_tail(shared)]);"),
    task("takes-back-with-a-blind-store", TAKE_BACK,
         "        atomic_store_explicit(&split->shared,\n"
         "            wf_split_pack(wf_split_tail(shared), new_end), memory_order_release);\n"
         "    } while (false);"),
    task("takes-back-what-was-claimed-meanwhile", TAKE_BACK,
         TAKE_BACK.replace("wf_split_tail(shared), new_end", "new_end, new_end")),
    task("forgets-without-a-word",
         "    atomic_store_explicit(&split->shared, wf_split_pack(index, index), "
         "memory_order_relaxed);\n", ""),
    task("leaves-a-joined-slot", "    split->first[index] = NULL;\n", ""),
    task("completes-without-the-result", COMPLETE, COMPLETE.replace("acq_rel", "acquire")),
    task("completes-without-the-waiter", COMPLETE, COMPLETE.replace("acq_rel", "release")),
    task("completes-with-a-blind-store", COMPLETE,
         "    void *waiter = atomic_load_explicit(&task->state, memory_order_acquire);\n"
         "    atomic_store_explicit(&task->state, WF_TASK_DONE, memory_order_release);\n"
         "    return waiter;"),
    task("awaits-without-its-fields", AWAIT, AWAIT.replace("acq_rel", "acquire")),
    task("joins-without-the-result-when-late", AWAIT,
         AWAIT.replace("acq_rel, memory_order_acquire", "acq_rel, memory_order_relaxed")),
    task("joins-without-the-result-when-done",
         "atomic_load_explicit(&task->state, memory_order_acquire)",
         "atomic_load_explicit(&task->state, memory_order_relaxed)"),
    task("withdraws-with-a-blind-store", WITHDRAW,
         "    if (atomic_load_explicit(&task->state, memory_order_relaxed) != expected)\n"
         "        return false;\n"
         "    atomic_store_explicit(&task->state, NULL, memory_order_relaxed);\n"
         "    return true;"),
    task("withdraws-and-leaves-the-waiter", WITHDRAW,
         "    return atomic_load_explicit(&task->state, memory_order_relaxed) == expected;"),
    task("withdraws-what-the-thief-has", WITHDRAW,
         WITHDRAW.replace(";", ", true;").replace("return ", "return (void)")),
    task("withdraws-as-if-it-were-done", WITHDRAW, WITHDRAW.replace("NULL", "WF_TASK_DONE")),
    queue("any-claim-wins", "memory_order_relaxed, memory_order_relaxed);",
          "memory_order_relaxed, memory_order_relaxed) || true;"),
    queue("take-claims-nothing",
          "if (entry->claim == NULL || WF_LIKELY(wf_wait_claim_take(entry->claim, entry)))",
          "if (true)"),
    queue("take-leaves-it-in-place",
          "        (void)wf_wait_queue_remove(queue, entry);\n        if", "        if"),
    queue("removed-looks-queued", "    entry->next = NULL;\n    return true;", "    return true;"),
    queue("interrupt-always-succeeds", "    return was_there;", "    return true;",
          "sync/wait_queue.c"),
    queue("interrupt-takes-no-lock", "    wf_lock_acquire(place->lock);\n", "",
          "sync/wait_queue.c"),
    queue("leaves-while-a-waker-looks", """\
            wf_lock_acquire(&places[i].lock);
            (void)wf_wait_queue_remove(&places[i].queue, &own->entries[i]);
            wf_lock_release(&places[i].lock);""", """\
            if (own->entries[i].next == nullptr)
                continue;
            wf_lock_acquire(&places[i].lock);
            (void)wf_wait_queue_remove(&places[i].queue, &own->entries[i]);
            wf_lock_release(&places[i].lock);""", "tests/model/wait_queue_model.cpp"),
    channel("sends-past-a-receiver",
            "    receiver = wf_wait_queue_take(&channel->receivers);", "    receiver = NULL;"),
    channel("sends-when-closed",
            "    if (WF_UNLIKELY(channel->is_closed))\n        return -EPIPE;\n", ""),
    channel("forgets-the-sender-behind-the-buffer", """\
            wf_channel_copy(oldest, wf_channel_entry_of(sender)->item, size);
        else
            channel->count--;""", """\
            channel->count--;
        else
            channel->count--;"""),
    channel("ends-before-it-is-empty", "    if (channel->count > 0) {",
            "    if (channel->count > 0 && !channel->is_closed) {"),
    channel("wakes-no-sender", """\
    if (sender != NULL)
        wf_wake(self, sender->waiter, 0);
    return result;
}

int weft_channel_try_send""", """\
    return result;
}

int weft_channel_try_send""", "sync/channel.c"),
    channel("close-leaves-the-senders", "    senders = wf_wait_queue_take_all(&ch->senders);",
            "    senders = NULL;", "sync/channel.c"),
    channel("close-leaves-the-receivers",
            "    receivers = wf_wait_queue_take_all(&ch->receivers);", "    receivers = NULL;",
            "sync/channel.c"),
    channel("unlocks-after-the-answer", """\
    wf_lock_release(&ch->lock);
    if (receiver != NULL)
        wf_wake(self, receiver->waiter, 0);
""", """\
    if (receiver != NULL)
        wf_wake(self, receiver->waiter, 0);
    rl::yield(20, $);
    wf_lock_release(&ch->lock);
""", "sync/channel.c"),
    channel("receives-without-the-lock", """\
    wf_lock_acquire(&ch->lock);
    result = wf_channel_accept(ch, item, &sender);
    if""", """\
    result = wf_channel_accept(ch, item, &sender);
    if""", "sync/channel.c"),
    select("locks-in-the-order-of-the-cases",
           "(uintptr_t)(*place)->channel < (uintptr_t)each->channel", "true"),
    select("waits-without-another-look",
           "        if (!has_lock(each) || (each->result",
           "        if (true || !has_lock(each) || (each->result"),
    select("interrupts-what-is-decided",
           "waiter->place, WF_WAIT_INTERRUPTED);", "waiter->place, WF_WAIT_INTERRUPTED) || true;"),
    select("leaves-its-entries",
           "        (void)wf_wait_queue_remove(queue_of(each), &each->entry.wait);\n", ""),
    select("leaves-while-others-look",
           "        if (&each->entry.wait == winner)",
           "        if (&each->entry.wait == winner || each->entry.wait.next == NULL)"),
    select("takes-an-earlier-time-for-an-expiration",
           "    if (won->kind == WEFT_SELECT_TIMER && result == 0)\n", "    if (false)\n"),
    select("unlocks-before-it-stands-there", """\
    queue_all(selection, waiter);
    unlock_all(selection);
    if""", """\
    unlock_all(selection);
    queue_all(selection, waiter);
    if"""),
    select("returns-before-the-last-report", "    if (polls->pending > 0) {", "    if (false) {",
           "sync/polls.c"),
    select("reports-what-was-decided",
           "has_won = wf_wait_claim_take(polls->claim, poll->entry);",
           "has_won = wf_wait_claim_take(polls->claim, poll->entry) || true;", "sync/polls.c"),
    select("does-not-tell-of-the-last-report", "        stopped = polls->stopped;", "        {}",
           "sync/polls.c"),
]
MUTANTS += [Mutant("scope", "scope/" + mutant["name"], mutant["path"], mutant["before"],
                   mutant["after"]) for mutant in SCOPE_MUTANTS]
