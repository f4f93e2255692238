# SPDX-License-Identifier: MIT
"""The mistakes of mutants.py in locks: as in mutant_table.py."""
from mutant_table import Mutant


def mutants_of(model, path=None):
    """Returns what makes the mutants of sync/MODEL.c, or of another file."""
    def make(name, before, after):
        return Mutant(model, f"{model}/{name}", path or f"sync/{model}.c", before, after)
    return make


mutex, condition, semaphore, once, rwlock, address, timer = map(
    mutants_of, ("mutex", "condition", "semaphore", "once", "rwlock", "address", "timer"))
rwlock_word = mutants_of("rwlock", "sync/rwlock_word.h")

LOCK_MUTANTS = [
    timer("moves-what-was-cancelled", "        if (change(timer, &old, when))\n",
          "        if (exchange(timer, when) >= 0)\n"),
    timer("reports-what-was-moved", "    } while (!change(timer, &when, next));",
          "    } while (exchange(timer, next) < 0);"),
    timer("makes-earlier-without-the-lock", "    while (old != NOT_ARMED && old <= when)\n",
          "    while (old != NOT_ARMED)\n"),
    timer("wakes-nobody-for-an-earlier-time", "    if (old > when)\n", "    if (false)\n"),
    timer("arms-and-wakes-nobody", "    if (exchange(timer, point_of(when)) > when)\n",
          "    if (exchange(timer, point_of(when)) < 0)\n"),
    timer("cancels-and-wakes-nobody", """\
    was_armed = exchange(timer, NOT_ARMED) != NOT_ARMED;
    list = wf_wait_queue_take_all(&timer->queue);""", """\
    was_armed = exchange(timer, NOT_ARMED) != NOT_ARMED;
    list = NULL;"""),
    timer("uses-what-was-freed", """\
    if (list != NULL)
        wf_wait_queue_wake_list(wf_self(), list, 0);
    return old != NOT_ARMED ? 0 : -ENODATA;""", """\
    if (list != NULL)
        wf_wait_queue_wake_list(wf_self(), list, 0);
    return wf_alarm_when(timer) != NOT_ARMED || old != NOT_ARMED ? 0 : -ENODATA;"""),
    mutex("lock-is-relaxed", """(word | LOCKED) & ~mine,
                                                  memory_order_acquire, memory_order_relaxed))""",
          """(word | LOCKED) & ~mine,
                                                  memory_order_relaxed, memory_order_relaxed))"""),
    mutex("unlock-is-relaxed", """memory_order_release, memory_order_relaxed)))
        unlock_slow""", """memory_order_relaxed, memory_order_relaxed)))
        unlock_slow"""),
    mutex("slow-unlock-is-relaxed", """&word, target, memory_order_release,
                                                  memory_order_relaxed))
            return;""", """&word, target, memory_order_relaxed,
                                                  memory_order_relaxed))
            return;"""),
    mutex("wakes-after-it-is-free", """\
    /* The mutex is still there: the waiter will look at it, or holds it. */
    wf_lock_release(&mutex->queue_lock);
    wf_wake(wf_self(), entry->waiter, is_fair ? WF_MUTEX_HANDED_OVER : WF_MUTEX_LOOK_AGAIN);
""", """\
    wf_wake(wf_self(), entry->waiter, is_fair ? WF_MUTEX_HANDED_OVER : WF_MUTEX_LOOK_AGAIN);
    rl::yield(20, $);
    wf_lock_release(&mutex->queue_lock);
"""),
    mutex("woken-one-sleeps-with-its-mark",
          "target = (target & ~(uint32_t)WOKEN) + BYPASSES_PER_LOSS * BYPASS;",
          "target = target + BYPASSES_PER_LOSS * BYPASS;"),
    mutex("woken-one-leaves-with-its-mark", "        rest = word & ~(uint32_t)WOKEN;\n",
          "        rest = word;\n"),
    mutex("gives-up-what-it-was-given",
          "        if ((word & LOCKED) == 0 || (word & GIVEN) != 0)\n            return false;\n"
          "        rest", "        rest"),
    mutex("sleeps-though-it-is-free",
          "        if ((word & LOCKED) == 0 || (is_woken && (word & GIVEN) != 0))\n"
          "            return false;\n", ""),
    mutex("sleeps-on-what-it-was-given",
          "if ((word & LOCKED) == 0 || (is_woken && (word & GIVEN) != 0))\n"
          "            return false;\n        target",
          "if ((word & LOCKED) == 0)\n            return false;\n        target"),
    mutex("frees-what-it-gives", "target + BYPASS : target | LOCKED | GIVEN;",
          "target + BYPASS : target | GIVEN;"),
    mutex("retracts-though-others-wait",
          "    if (!wf_wait_queue_is_empty(&mutex->queue))\n        return;\n", ""),
    mutex("leaves-the-queue-announced", "        rest = word & ~(uint32_t)QUEUED;\n",
          "        rest = word;\n"),
    mutex("unlock-forgets-those-who-wait",
          "        if ((word & (QUEUED | WOKEN)) == QUEUED) {",
          "        if (word == (LOCKED | QUEUED) && rl::rand(4) != 0) {"),
    mutex("frees-what-it-hands-over",
          "is_fair ? word & ~BYPASSES : (word & ~(uint32_t)LOCKED) | WOKEN;",
          "is_fair ? word & ~(BYPASSES | LOCKED) : (word & ~(uint32_t)LOCKED) | WOKEN;"),
    mutex("cancel-ends-a-lock-that-none-may-end",
          "(void)lock_slow(mutex, leave_there, INT64_MAX, result",
          "(void)lock_slow(mutex, take_out, INT64_MAX, result"),
    condition("unlocks-before-it-is-queued", """\
    wf_lock_acquire(&wait->condition->lock);
    wf_wait_queue_push(""", """\
    wf_mutex_unlock(wait->mutex);
    wf_lock_acquire(&wait->condition->lock);
    wf_mutex_lock_after(wait->mutex, WF_MUTEX_ASK);
    wf_wait_queue_push("""),
    condition("comes-back-without-the-mutex",
              "    wf_mutex_lock_after(wait.mutex, result);\n", ""),
    condition("unlocks-after-the-signal", """\
    entry = wf_wait_queue_take(&condition->queue);
    wf_lock_release(&condition->lock);
    if (entry != NULL)
        pass_on(wf_self(), entry);
""", """\
    entry = wf_wait_queue_take(&condition->queue);
    if (entry != NULL)
        pass_on(wf_self(), entry);
    rl::yield(20, $);
    wf_lock_release(&condition->lock);
"""),
    condition("cancel-ends-what-was-signalled",
              "    return wf_wait_claim_take(&wait->claim, WF_WAIT_INTERRUPTED);",
              "    (void)wf_wait_claim_take(&wait->claim, WF_WAIT_INTERRUPTED);\n    return true;"),
    semaphore("gives-what-is-not-there",
              "        if (count > permits)\n            break;\n", ""),
    semaphore("counts-no-grant", "        permits -= count;\n        (void)", "        (void)"),
    semaphore("forgets-those-behind-a-cancelled-one",
              "    (void)grant(semaphore, 0, &list);\n", "    list = NULL;\n"),
    semaphore("take-is-relaxed", "&word, word - count, memory_order_acquire,",
              "&word, word - count, memory_order_relaxed,"),
    semaphore("release-is-relaxed", "&word, word + count, memory_order_release,",
              "&word, word + count, memory_order_relaxed,"),
    semaphore("grant-looks-relaxed",
              "atomic_load_explicit(&semaphore->permits, memory_order_acquire)",
              "atomic_load_explicit(&semaphore->permits, memory_order_relaxed)"),
    semaphore("grant-is-relaxed", "&semaphore->permits, permits, memory_order_release)",
              "&semaphore->permits, permits, memory_order_relaxed)"),
    semaphore("takes-past-those-who-wait", "(word & QUEUED) != 0 || word < count",
              "(word & ~QUEUED) < count"),
    semaphore("gives-past-those-who-wait",
              "        if (WF_UNLIKELY((word & QUEUED) != 0))\n            return false;\n", ""),
    semaphore("leaves-the-queue-announced",
              "    if (!wf_wait_queue_is_empty(&semaphore->queue))\n        permits |= QUEUED;\n",
              "    permits |= QUEUED;\n"),
    semaphore("retracts-though-others-wait", """\
    if (!wf_wait_queue_is_empty(&semaphore->queue))
        permits |= QUEUED;
""", ""),
    semaphore("waits-unannounced", "&semaphore->permits, &word, word | QUEUED,",
              "&semaphore->permits, &word, word,"),
    once("looks-relaxed", "atomic_load_explicit(&once->state, memory_order_acquire)",
         "atomic_load_explicit(&once->state, memory_order_relaxed)"),
    once("done-is-relaxed", "&once->state, DONE, memory_order_release)",
         "&once->state, DONE, memory_order_relaxed)"),
    once("says-done-before-it-is", "    int result = fn(arg);\n",
         "    atomic_store_explicit(&once->state, DONE, memory_order_release);\n"
         "    int result = fn(arg);\n"),
    once("two-run-it-at-once", "    if (state == RUNNING) {\n        if (WF_UNLIKELY(",
         "    if (state == RUNNING && rl::rand(2) == 0) {\n        if (WF_UNLIKELY("),
    once("hands-over-what-is-free", "        list->previous = NULL; /* a list of one */\n",
         "        list->previous = NULL;\n"
         "        atomic_store_explicit(&once->state, IDLE, memory_order_relaxed);\n"),
    once("failure-wakes-nobody",
         "} else if ((list = wf_wait_queue_take(&once->queue)) != NULL) {\n",
         "} else if ((list = NULL) != NULL) {\n"),
    once("failure-leaves-it-running",
         "        atomic_store_explicit(&once->state, IDLE, memory_order_relaxed);\n", ""),
    once("success-wakes-one", "        list = wf_wait_queue_take_all(&once->queue);\n",
         "        list = wf_wait_queue_take(&once->queue);\n"
         "        if (list != NULL)\n            list->previous = NULL;\n"),
    once("success-tells-them-to-try", "list, result >= 0 ? 0 : YOUR_TURN);",
         "list, YOUR_TURN);"),
    rwlock("lock-is-relaxed", "&lock->word, &word, target, memory_order_acquire,",
           "&lock->word, &word, target, memory_order_relaxed,"),
    rwlock("unlock-of-a-writer-is-relaxed", """word & ~WRITER,
                                                  memory_order_release,""", """word & ~WRITER,
                                                  memory_order_relaxed,"""),
    rwlock("unlock-of-a-reader-is-relaxed", """\
    word = atomic_fetch_sub_explicit(&lock->word, READER, memory_order_release);
    if (WF_UNLIKELY(""", """\
    word = atomic_fetch_sub_explicit(&lock->word, READER, memory_order_relaxed);
    if (WF_UNLIKELY("""),
    rwlock("hands-over-without-the-other-readers",
           "atomic_load_explicit(&lock->word, memory_order_acquire) & ~WRITER;",
           "atomic_load_explicit(&lock->word, memory_order_relaxed) & ~WRITER;"),
    rwlock("hand-over-is-relaxed",
           "atomic_store_explicit(&lock->word, word, memory_order_release);\n    return list;",
           "atomic_store_explicit(&lock->word, word, memory_order_relaxed);\n    return list;"),
    rwlock("downgrade-is-relaxed", "READER - WRITER, memory_order_release);",
           "READER - WRITER, memory_order_relaxed);"),
    rwlock("lets-readers-in-without-the-writers-before", """word + READER,
                                                    memory_order_acquire,""", """word + READER,
                                                    memory_order_relaxed,"""),
    rwlock_word("writer-joins-readers", """\
    if ((word & (WRITER | DEAD)) != 0 || word >= READER)
        return 0;""", """\
    if ((word & (WRITER | DEAD)) != 0)
        return 0;"""),
    rwlock_word("reader-joins-a-writer", "if (WF_UNLIKELY((word & (WRITER | DEAD)) != 0 ||",
                "if (WF_UNLIKELY((word & DEAD) != 0 ||"),
    rwlock_word("reader-takes-what-is-handed-over",
                "    if (word < READER && (word & WOKEN) == 0)\n        return 0;",
                "    if (false)\n        return 0;"),
    rwlock_word("writer-takes-what-is-handed-over",
                "return (word & WOKEN) != 0 && (word & BYPASSES) != 0 ?",
                "return (word & BYPASSES) != 0 ?"),
    rwlock_word("is-here-and-stays-on-its-way", "allow_behind((word & ~WOKEN) | WRITER, 1)",
                "allow_behind(word | WRITER, 1)"),
    rwlock("lets-all-in-but-counts-one-less", "        *readers += READER;\n",
           "        *readers += list == entry ? READER : 0;\n"),
    rwlock("forgets-the-writer-it-hands-over-to", "allow_behind(word | WRITER, 1);",
           "allow_behind(word, 1);"),
    rwlock("leaves-the-queue-announced", "        word &= ~QUEUED;\n", ""),
    rwlock("wakes-a-second-one-on-its-way",
           "(word & (QUEUED | WOKEN)) != QUEUED)\n            return;",
           "(word & QUEUED) == 0)\n            return;"),
    rwlock("sleeps-again-and-stays-on-its-way", "            target &= ~WOKEN;\n", ""),
    rwlock("gives-up-on-its-way", "if (error == 0 && !wait.is_woken)", "if (error == 0)"),
    rwlock("gives-up-and-stays-announced", "    retract_if_last(lock);\n    return list;",
           "    return list;"),
    rwlock("retracts-what-is-handed-over",
           "        if (word < READER && (word & (WRITER | WOKEN)) == 0)\n"
           "            return;\n", ""),
    rwlock("joins-readers-that-have-gone", "(word & WRITER) != 0 || word < READER ||",
           "(word & WRITER) != 0 ||"),
    rwlock("gives-up-with-readers-behind-it", """\
    list = let_readers_in(lock);
    wf_lock_release(&lock->queue_lock);
    wake(list, 0);
    return false;""", """\
    list = NULL;
    retract_if_last(lock);
    wf_lock_release(&lock->queue_lock);
    wake(list, 0);
    return false;"""),
    rwlock("downgrades-for-itself-alone", "    if ((word & QUEUED) == 0)\n        return;\n",
           "    return;\n"),
    rwlock("leaves-readers-to-the-writer-on-its-way",
           "(word & QUEUED) != 0 && prefers_readers(lock)", "false"),
    rwlock("lets-readers-in-and-stays", """\
            word = atomic_fetch_sub_explicit(&lock->word, READER, memory_order_release);
            unlock_reader_rest(lock, word);
            return;""", "            return;"),
    rwlock("unlocks-under-the-queue-lock", "checked | (is_writer ? WRITER : READER),\n"
           "                              memory_order_relaxed);\n"
           "        wf_lock_release(&lock->queue_lock);\n        return false;",
           "0, memory_order_release);\n        rl::yield(20, $);\n"
           "        wf_lock_release(&lock->queue_lock);\n        return true;"),
    rwlock("wakes-before-it-has-done", """\
    list = hand_over(lock, &result);
    wf_lock_release(&lock->queue_lock);
    wake(list, result);
""", """\
    list = hand_over(lock, &result);
    wake(list, result);
    rl::yield(20, $);
    wf_lock_release(&lock->queue_lock);
"""),
    rwlock("sleeps-though-it-is-to-be-had",
           "        if (with_one_more(lock, wait->is_writer, wait->is_woken, word) != 0)\n"
           "            return false;\n", ""),
    address("compares-before-it-has-the-lock", """    wf_lock_acquire(&bucket->lock);
    if (has_value(address, expected, size))
""", """    bool is_same = has_value(address, expected, size);
    wf_lock_acquire(&bucket->lock);
    if (is_same)
"""),
    address("looks-without-the-lock-whether-to-wake", """    wf_lock_acquire(&bucket->lock);
    taken = take(""", """    if (wf_wait_queue_is_empty(&bucket->queue))
        return 0;
    wf_lock_acquire(&bucket->lock);
    taken = take("""),
    address("wakes-others-too", "entry)->address == address) {", "entry)->address != nullptr) {"),
    address("wakes-more-than-it-says", "    while (taken < count && !is_last) {",
            "    while (taken <= count && !is_last) {"),
    address("stops-at-the-first-other", "        entry = next;\n",
            "        else\n            break;\n        entry = next;\n"),
]
