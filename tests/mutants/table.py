# SPDX-License-Identifier: MIT
"""The mistakes of run.py: each replaces texts that occur exactly once in their file.

A name begins with the number of the bug of docs/testing.md that it repeats, or with the module.
"""
import collections

Mutant = collections.namedtuple(
    "Mutant", "name path changes program case environment preset tries",
    defaults=("*", {}, "release", 1))

TWO = {"WEFT_WORKERS": "2"}
FOUR = {"WEFT_WORKERS": "4"}
CHAOS = {"WEFT_WORKERS": "16", "WEFT_CHAOS": "7"}


SWITCH_MUTANTS = [
    Mutant("1/parks-before-the-registers-are-saved", "runtime/worker.c",
           [("    fiber->request = request;\n    if (WF_UNLIKELY(self->thread_locks",
             "    fiber->request = request;\n    if (request == WF_REQUEST_WAIT)\n"
             "        wf_wait_park(self, fiber);\n    if (WF_UNLIKELY(self->thread_locks"),
            ("    case WF_REQUEST_WAIT:\n        wf_wait_park(self, fiber);\n",
             "    case WF_REQUEST_WAIT:\n")],
           "stress_mutex_stress_test", "*", FOUR, tries=8),
    Mutant("1/yields-before-the-registers-are-saved", "runtime/worker.c",
           [("    make_ready_again(fiber);\n    return wf_ready_push_if_room(&self->ready, fiber);",
             "    return true;"),
            ("    self = leave(self, WF_REQUEST_YIELD);",
             "    make_ready_again(fiber);\n"
             "    wf_worker_push_ready(self, fiber);\n"
             "    self = leave(self, WF_REQUEST_YIELD);"),
            ("        make_ready_again(fiber);\n        wf_worker_push_ready(self, fiber);\n"
             "        break;", "        break;")],
           "api_switch_test", "*", FOUR, tries=3),
    Mutant("2/keeps-the-worker-of-before-the-wait", "runtime/wait_internal.h",
           [("    self = wf_worker_wait(self);",
             "    if (wf_worker_wait(self) == NULL)\n        return NULL;")],
           "api_migrate_test"),
    Mutant("2/lets-the-compiler-keep-the-worker", "arch/tls.h",
           [("void *wf_tls_get(void);", "__attribute__((const)) void *wf_tls_get(void);")],
           "api_migrate_test"),
    Mutant("2/resumes-with-the-worker-that-was-left", "runtime/worker.c",
           [("    land(self, &fiber->san);\n    return self;",
             "    land(self, &fiber->san);\n"
             "    return fiber->request == WF_REQUEST_WAIT ? fiber->waiter.home : self;")],
           "api_migrate_test"),
    Mutant("switch/forgets-the-rounding-mode", "arch/x86_64/context_switch.h",
           [("        __asm__ volatile(\"ldmxcsr %0\" : : \"m\"(to->mxcsr));\n", "")],
           "api_switch_test"),
    Mutant("switch/forgets-a-register", "arch/x86_64/context_switch.h",
           [(""""r14", """, "")],
           "api_switch_test"),
    Mutant("switch/hands-over-without-a-register", "arch/x86_64/context.S",
           [("    mov R14(%rsi), %r14\n", "")],
           "unit_context_test"),
]

SCHEDULER_MUTANTS = [
    Mutant("4/sleeps-without-a-look-at-the-injector", "runtime/worker.c",
           [("    wf_park_announce(park, &self->parker);\n    fiber = take_injected(self);",
             "    wf_park_announce(park, &self->parker);\n    fiber = NULL;")],
           "api_outside_test", "outside/every_spawn_wakes_a_worker", {}, tries=5),
    Mutant("5/fills-the-next-slot-blindly", "runtime/worker.c",
           [("    if (old == NULL) {\n        /* NX.1 release",
             "    if (old == NULL || old != fiber) {\n        /* NX.1 release")],
           "api_channel_test"),
    Mutant("6/searchers-are-not-counted", "runtime/park.c",
           [("        return false;\n    /* relaxed: as above. */\n"
             "    atomic_fetch_add_explicit(&park->searching, 1, memory_order_relaxed);\n"
             "    return true;", "        return false;\n    return true;")],
           "unit_park_test", "*", {}, "debug"),
    Mutant("7/a-pair-keeps-the-next-slot", "runtime/worker.c",
           [("    NEXT_RUNS_MAX = 3,", "    NEXT_RUNS_MAX = 1 << 30,")],
           "unit_next_slot_test"),
    Mutant("7/every-push-wakes-a-worker", "runtime/balance.c",
           [("    if (!wf_park_wants_helper(&self->runtime->park) ||",
             "    wf_balance_wake(self, self->index);\n"
             "    if (!wf_park_wants_helper(&self->runtime->park) ||")],
           "api_wake_test", "*", TWO),
    Mutant("7/the-oldest-never-has-its-turn", "runtime/worker.c",
           [("    if (WF_UNLIKELY(++self->tick >= self->fair_tick))\n        return NULL;",
             "    self->tick++;")],
           "api_fairness_test"),
    Mutant("8/nobody-is-ever-stuck", "runtime/monitor.c",
           [("            mark(runtime, worker, true);",
             "            mark(runtime, worker, false);")],
           "api_monitor_test", "monitor/computations_on_every_worker_stop_nobody", {}),
    Mutant("8/no-spare-is-called", "runtime/monitor.c",
           [("        wf_spare_call(runtime);", "        (void)runtime;")],
           "api_monitor_test", "monitor/blocking_calls_on_every_worker_stop_nobody", {}),
    Mutant("8/the-stuck-are-not-served", "runtime/balance.c",
           [("            rescued += wf_worker_serve(self, worker);", "            rescued += 0;")],
           "api_monitor_test", "monitor/waits_end_while_workers_compute", {}),
    Mutant("12/notifies-and-does-not-interrupt", "runtime/worker.c",
           [("    wf_poller_interrupt(worker->poller);\n    return true;", "    return true;")],
           "api_outside_test", "outside/every_spawn_wakes_a_worker", {}),
    Mutant("12/sleeps-past-its-next-timer", "runtime/worker.c",
           [("wf_poller_poll(self->poller, self, wf_wheel_next(&self->wheel));",
             "wf_poller_poll(self->poller, self, INT64_MAX);")],
           "api_sleep_test"),
    Mutant("15/a-full-queue-drops", "runtime/worker.c",
           [("    if (!wf_ready_push(&self->ready, fiber))\n        spill_fiber(self, fiber);",
             "    (void)wf_ready_push(&self->ready, fiber);")],
           "api_allocator_test", "allocator/a_full_queue_without_memory_loses_nobody", {}),
    Mutant("scheduler/keeps-one-of-the-fibers-it-steals", "runtime/balance.c",
           [("    if (count > 0) {\n        begin_trial(self, victim);",
             "    if (count > 0) {\n        count = 1;\n        begin_trial(self, victim);")],
           "api_monitor_test", "monitor/ready_fibers_do_not_wait_behind_a_computation"),
    Mutant("scheduler/the-end-cancels-nobody", "runtime/end.c",
           [("    wf_stack_visit(&runtime->depot, cancel_visited, self);",
             "    (void)self;\n    (void)runtime;\n    (void)cancel_visited;")],
           "api_run_end_test"),
    Mutant("scheduler/the-end-waits-for-nobody", "runtime/end.c",
           [("    return finished == spawned;", "    return finished <= spawned;")],
           "api_run_end_test"),
    Mutant("monitor/a-deadlock-goes-unseen", "runtime/monitor.c",
           [("    wf_deadlock_look(runtime);", "")],
           "api_deadlock_test"),
    Mutant("monitor/a-late-waiter-is-not-heard", "runtime/start.c",
           [("    wf_monitor_rouse(&runtime->monitor);\n    if (!await_done",
             "    if (!await_done")],
           "api_deadlock_test", "deadlock/is_found_when_the_last_thread_waits", TWO),
    Mutant("fiber/counts-one-too-many", "runtime/fiber.c",
           [("    if (atomic_fetch_add_explicit(&runtime->live, 1, memory_order_relaxed) <\n",
             "    if (atomic_fetch_add_explicit(&runtime->live, 1, memory_order_relaxed) <=\n")],
           "api_limits_test", "limits/max_fibers_is_exact_and_recovers", {}),
    Mutant("fiber/a-joiner-that-gives-up-stays", "runtime/fiber.c",
           [("    return atomic_compare_exchange_strong_explicit(&fiber->joiner, &expected, NULL,\n"
             "                                                   memory_order_relaxed, "
             "memory_order_relaxed);", "    (void)fiber;\n    (void)expected;\n    return true;")],
           "api_join_test"),
]

RING_MUTANTS = [
    Mutant("9/returns-before-the-completion", "io/op.c",
           [("self, waiter->place, reason);\n    return false;",
             "self, waiter->place, reason);\n    return true;")],
           "api_io_deadline_test"),
    Mutant("9/frees-a-blocking-call-that-has-begun", "runtime/offload.c",
           [("    return is_queued;", "    return true;")],
           "api_blocking_test"),
    Mutant("10/cancels-what-it-does-not-mean", "io/backend.c",
           [("    if (op->reason == 0)\n        op->reason = reason;",
             "    if (op->reason == 0)\n        op->reason = reason;\n    op->tag++;")],
           "api_io_deadline_test"),
    Mutant("10/an-answer-is-for-whoever-waits-there-now", "io/epoll.c",
           [("    if (!op->is_listed)\n        return false;\n", "")],
           "stress_io_stress_test", "*", {"WEFT_BACKEND": "epoll"}, "asan", 8),
    Mutant("11/does-not-count-an-overflow", "io/ring.c",
           [("        wf_count(&ring->counters->cq_overflows, 1);", "        (void)ring;")],
           "api_ring_fault_test"),
    Mutant("11/a-busy-kernel-is-fatal", "io/ring.c",
           [(" && result != -EBUSY && result != -EAGAIN)", " && result != -EAGAIN)")],
           "api_ring_fault_test"),
    Mutant("11/a-kernel-without-memory-is-fatal", "io/ring.c",
           [(" && result != -EBUSY && result != -EAGAIN)", " && result != -EBUSY)")],
           "api_ring_fault_test"),
    Mutant("ring/a-fatal-signal-in-the-wait", "io/ring.c",
           [("result != -EINTR && result != -ETIME", "result != -ETIME")],
           "api_ring_fault_test"),
    Mutant("ring/forgets-to-wait-for-interrupts-again", "io/ring.c",
           [("    if (is_owner && !ring->event_is_armed)\n        arm_event(ring);",
             "    (void)is_owner;")],
           "api_monitor_test", "monitor/idle_runtime_makes_no_system_call"),
    Mutant("ring/reports-the-cancel-of-what-succeeded", "io/op.c",
           [("    if (op->reason != 0 && (op->result == -ECANCELED || op->result == -EINTR))",
             "    if (op->reason != 0)")],
           "stress_io_stress_test", "*", FOUR, tries=8),
    Mutant("ring/a-short-send-is-a-whole-one", "io/socket.c",
           [("        left -= (size_t)n;\n    }\n    return (ssize_t)len;",
             "        left = 0;\n    }\n    return (ssize_t)len;")],
           "api_io_stream_test"),
    Mutant("ring/takes-completions-that-the-owner-waits-for", "io/ring.c",
           [("    if (ring->owner_waits)\n        return 0;\n", "")],
           "unit_serve_test"),
    Mutant("epoll/forgets-those-who-wait-for-something-else", "io/epoll.c",
           [("    if (!is_awaited || arm(instance, watch, fd) == 0)",
             "    if (!is_awaited || fd >= 0)")],
           "api_io_epoll_test"),
    Mutant("epoll/trusts-what-it-told-the-kernel", "io/epoll.c",
           [("        ((errno != ENOENT && errno != EEXIST) ||\n"
             "         epoll_ctl(instance->epoll, second, fd, &event) != 0))",
             "        second != 0)")],
           "api_io_epoll_test"),
    Mutant("epoll/wakes-whoever-waits-for-the-number", "io/epoll.c",
           [("        if (mine == 0)", "        if (false)")],
           "api_io_poll_test", "*", {"WEFT_BACKEND": "epoll"}),
    Mutant("epoll/the-end-of-a-wait-is-left-in-place", "io/epoll.c",
           [("            if (is_owner)\n                wf_os_event_reset(instance->event);",
             "            (void)is_owner;")],
           "api_monitor_test", "monitor/idle_runtime_makes_no_system_call",
           {"WEFT_BACKEND": "epoll"}),
]

CLOSE_MUTANTS = [
    Mutant("close/looks-like-a-cancel", "io/close.c",
           [("        op->reason = -EBADF;", "        op->reason = -ECANCELED;")],
           "api_io_close_test"),
    Mutant("close/the-rest-is-for-whoever-has-the-number", "io/pending.c",
           [("    return (op->epoch & 1) == 0 && now == op->epoch;", "    return now != 0;")],
           "api_io_close_test", "io_close/the_rest_of_a_call_ends_with_the_descriptor"),
    Mutant("close/forgets-when-a-call-began", "io/pending.c",
           [("        op->epoch = wf_epoch_now(op->fd);", "        op->epoch = 0;")],
           "api_sim_close_test", "sim_close/what_is_tried_again_is_not_on_the_next_file"),
    Mutant("close/does-not-wait", "io/close.c",
           [("memory_order_acq_rel) != 1) {", "memory_order_acq_rel) == 0) {")],
           "stress_close_stress_test", "*", FOUR, "asan", 3),
]

TIMER_MUTANTS = [
    Mutant("timer/rounds-down", "runtime/timer.c",
           [("    return ((uint64_t)deadline + (1u << WF_WHEEL_TICK_SHIFT) - 1) >>",
             "    return (uint64_t)deadline >>")],
           "unit_timer_test"),
    Mutant("timer/forgets-a-slot-that-others-are-in", "runtime/timer.c",
           [("    if (timer->level < WF_WHEEL_LEVELS && wheel->slots[timer->level]"
             "[timer->slot] == NULL)",
             "    if (timer->level < WF_WHEEL_LEVELS)")],
           "unit_timer_test"),
    Mutant("timer/cancels-the-count-twice", "runtime/timer.c",
           [("        unlink_timer(wheel, timer);\n        add_count(wheel, -1);\n    }",
             "        unlink_timer(wheel, timer);\n    }\n    add_count(wheel, -1);")],
           "unit_timer_test"),
    Mutant("timer/files-by-the-level-above", "runtime/timer.c",
           [("    *slot = (unsigned)__builtin_ctzll(wheel->occupied[l]);".replace("    *",
             "        *"),
             "        *slot = 63u - (unsigned)__builtin_clzll(wheel->occupied[l]);")],
           "unit_timer_test"),
    Mutant("timer/comes-back-at-once", "runtime/timer.c",
           [("                timer->tick = passed + 1;", "                timer->tick = passed;")],
           "unit_timer_test"),
    Mutant("timer/next-is-one-tick-late", "runtime/timer.c",
           [("    return tick < (UINT64_MAX >> 1 >> WF_WHEEL_TICK_SHIFT) ? (int64_t)(tick <<",
             "    return tick < (UINT64_MAX >> 1 >> WF_WHEEL_TICK_SHIFT) ? "
             "(int64_t)((tick + 1) <<")],
           "unit_timer_test"),
]

SYNC_MUTANTS = [
    Mutant("13/reads-an-entry-after-its-wake", "sync/wait_queue.c",
           [("        list = entry->previous;\n        wf_wake_later(self, entry->waiter, result);",
             "        wf_wake_later(self, entry->waiter, result);\n"
             "        list = entry->previous;")],
           "stress_sync_stress_test", "*", FOUR, "asan", 8),
    Mutant("13/unlocks-what-the-woken-one-may-have-freed", "sync/event.c",
           [("    wf_lock_release(&event->lock);\n    if (list != NULL)\n"
             "        wf_wait_queue_wake_list(wf_self(), list, 0);",
             "    if (list != NULL)\n        wf_wait_queue_wake_list(wf_self(), list, 0);\n"
             "    wf_lock_release(&event->lock);")],
           "api_event_test", "event/who_came_through_may_free_it", CHAOS, "asan", 10),
    Mutant("14/a-cancelled-request-blocks-those-behind-it", "sync/semaphore.c",
           [("    list = grant(semaphore);\n    wf_lock_release(&semaphore->lock);\n"
             "    wf_wait_queue_wake_list(wf_self(), list, 0);\n    return error;",
             "    list = NULL;\n    wf_lock_release(&semaphore->lock);\n"
             "    wf_wait_queue_wake_list(wf_self(), list, 0);\n    return error;")],
           "api_semaphore_test"),
    Mutant("14/a-cancel-ends-what-was-granted", "sync/wait_queue.c",
           [("    return was_there;", "    (void)was_there;\n    return true;")],
           "stress_sync_stress_test", "*", FOUR, tries=8),
    Mutant("14/a-wake-after-the-cancel-is-lost", "runtime/wait.c",
           [("    if (waiter->interrupt == NULL || !waiter->interrupt(self, waiter, reason))\n"
             "        return unpin(self, waiter);",
             "    if (waiter->interrupt == NULL)\n        return unpin(self, waiter);\n"
             "    (void)waiter->interrupt(self, waiter, reason);")],
           "api_io_deadline_test"),
]

STACK_MUTANTS = [
    Mutant("15/takes-mappings-without-end", "runtime/stack.c",
           [("            depot->mapping_quota--;\n", "")],
           "unit_stack_test"),
    Mutant("15/goes-on-without-a-guard-unsaid", "runtime/stack.c",
           [("    depot->unguarded += guard == WF_GUARD_CANARY;", "    (void)guard;")],
           "unit_stack_test"),
    Mutant("15/a-marker-that-is-refused-counts", "runtime/stack.c",
           [("        if (wf_os_guard_marker(base, depot->page_size) == 0)\n"
             "            return WF_GUARD_MARKER;",
             "        return WF_GUARD_MARKER;")],
           "unit_stack_test"),
    Mutant("15/markers-made-ahead-are-one-stack-off", "runtime/stack.c",
           [("wf_os_guard_markers(base + stride,", "wf_os_guard_markers(base,")],
           "unit_stack_test"),
    Mutant("15/counts-a-marker-more-than-it-made", "arch/linux/os.c",
           [("        done += (unsigned)((size_t)bytes / size);",
             "        done += number + 1;")],
           "unit_stack_test"),
    Mutant("stack/the-oldest-is-used-first", "runtime/stack.c",
           [("    stack->next = *list;\n    *list = stack;",
             "    while (*list != NULL)\n        list = &(*list)->next;\n"
             "    stack->next = NULL;\n    *list = stack;")],
           "unit_stack_test"),
    Mutant("stack/memory-is-never-given-back", "runtime/stack.c",
           [("            for (; wf_shelf_trim(depot, i, size_class); limit--)",
             "            for (; limit == 0 && wf_shelf_trim(depot, i, size_class); limit--)")],
           "api_stack_memory_test"),
]

MUTANTS = (SWITCH_MUTANTS + SCHEDULER_MUTANTS + RING_MUTANTS + CLOSE_MUTANTS + TIMER_MUTANTS +
           SYNC_MUTANTS + STACK_MUTANTS)
