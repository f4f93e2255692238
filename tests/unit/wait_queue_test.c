/* SPDX-License-Identifier: MIT */
/* sync/wait_queue.h: its order, claims, waits of fibers and threads in one queue, and what happens
 * to them when it is freed; tests/model has the interleavings. */
#include "sync/wait_queue.h"

#include "../support/fixture.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/mman.h>

enum { ENTRIES = 5, WOKEN = 3, PAGE = 4096 };

/* Entries in their places; no waits. */
struct row {
    struct wf_wait_queue queue;
    struct wf_wait_entry entries[ENTRIES];
};

static void fill(struct row *row)
{
    *row = (struct row){0};
    for (int i = 0; i < ENTRIES; i++)
        wf_wait_queue_push(&row->queue, &row->entries[i]);
}

/* The longest wait ends first, whichever of the others have left before. */
Test(wait_queue, keeps_its_order_when_entries_leave, .timeout = TEST_TIMEOUT_S)
{
    for (unsigned leaving = 0; leaving < 1u << ENTRIES; leaving++) {
        struct row row;

        fill(&row);
        for (unsigned i = 0; i < ENTRIES; i++)
            if (leaving >> i & 1)
                cr_assert(wf_wait_queue_remove(&row.queue, &row.entries[i]));
        for (unsigned i = 0; i < ENTRIES; i++)
            if ((leaving >> i & 1) == 0)
                cr_assert_eq(wf_wait_queue_take(&row.queue), &row.entries[i]);
        cr_assert_null(wf_wait_queue_take(&row.queue));
        cr_assert(wf_wait_queue_is_empty(&row.queue));
        for (unsigned i = 0; i < ENTRIES; i++)
            cr_assert(!wf_wait_queue_remove(&row.queue, &row.entries[i]), "it is in no queue");
    }
}

/* An entry whose wait has ended in another place is passed over, and the others are not. */
Test(wait_queue, passes_over_waits_that_ended_elsewhere, .timeout = TEST_TIMEOUT_S)
{
    struct wf_wait_claim open = {NULL};
    struct wf_wait_claim ended = {NULL};
    struct row row;

    fill(&row);
    row.entries[0].claim = &ended;
    row.entries[2].claim = &open;
    row.entries[3].claim = &ended;
    cr_assert(wf_wait_claim_take(&ended, WF_WAIT_INTERRUPTED));
    cr_expect_eq(wf_wait_queue_take(&row.queue), &row.entries[1]);
    cr_expect_eq(wf_wait_queue_take(&row.queue), &row.entries[2]);
    cr_expect_eq(atomic_load(&open.winner), &row.entries[2]);
    cr_expect_eq(wf_wait_queue_take(&row.queue), &row.entries[4]);
    cr_expect_null(wf_wait_queue_take(&row.queue));
    cr_expect_eq(atomic_load(&ended.winner), WF_WAIT_INTERRUPTED);
}

/* Both entries of one wait in one queue: it is woken once. */
Test(wait_queue, takes_all_once, .timeout = TEST_TIMEOUT_S)
{
    struct wf_wait_claim claim = {NULL};
    struct wf_wait_entry *list;
    struct row row;

    fill(&row);
    row.entries[1].claim = &claim;
    row.entries[3].claim = &claim;
    list = wf_wait_queue_take_all(&row.queue);
    cr_expect(wf_wait_queue_is_empty(&row.queue));
    for (int i = 0; i < ENTRIES; i++) {
        cr_expect_null(row.entries[i].next, "a deadline would take it for queued");
        if (i == 3)
            continue;
        cr_assert_eq(list, &row.entries[i]);
        list = list->previous;
    }
    cr_expect_null(list);
}

struct gate {
    struct wf_lock lock;
    struct wf_wait_queue queue;
    _Atomic(int) waiting;
    _Atomic(int) through;
};

static int pass_gate(struct gate *gate, int64_t deadline)
{
    static const struct wf_wait_kind kind = {"a gate", offsetof(struct gate, lock), 0};
    struct wf_wait_entry entry = {0};
    int result;

    wf_lock_acquire(&gate->lock);
    atomic_fetch_add(&gate->waiting, 1);
    result = wf_wait_queue_sleep(wf_self(), &gate->queue, &gate->lock, &entry, deadline, &kind);
    CHECK(entry.next == NULL);
    return result;
}

static int pass_and_count(void *arg)
{
    struct gate *gate = arg;

    CHECK_EQ(pass_gate(gate, WEFT_FOREVER), WOKEN);
    atomic_fetch_add(&gate->through, 1);
    return 0;
}

static void *pass_in_thread(void *arg)
{
    (void)pass_and_count(arg);
    return NULL;
}

static void open_for_one(struct gate *gate)
{
    struct wf_wait_entry *entry;

    wf_lock_acquire(&gate->lock);
    entry = wf_wait_queue_take(&gate->queue);
    wf_lock_release(&gate->lock);
    CHECK(entry != NULL);
    wf_wake(wf_self(), entry->waiter, WOKEN);
}

static int open_for_crowd(void *arg)
{
    enum { FIBERS = 20, THREADS = 3, CROWD = FIBERS + THREADS };
    weft_fiber *fibers[FIBERS];
    pthread_t threads[THREADS];
    struct gate gate = {0};
    struct wf_wait_entry *list;

    (void)arg;
    for (int i = 0; i < FIBERS; i++)
        fibers[i] = must_spawn(pass_and_count, &gate);
    for (int i = 0; i < THREADS; i++)
        CHECK_EQ(pthread_create(&threads[i], NULL, pass_in_thread, &gate), 0);
    while (atomic_load(&gate.waiting) < CROWD)
        CHECK_EQ(weft_yield(), 0);
    for (int i = 1; i <= CROWD / 2; i++) {
        open_for_one(&gate);
        while (atomic_load(&gate.through) < i)
            CHECK_EQ(weft_yield(), 0);
    }
    CHECK_EQ(atomic_load(&gate.through), CROWD / 2);
    wf_lock_acquire(&gate.lock);
    list = wf_wait_queue_take_all(&gate.queue);
    wf_lock_release(&gate.lock);
    wf_wait_queue_wake_list(wf_self(), list, WOKEN);
    for (int i = 0; i < FIBERS; i++)
        CHECK_EQ(must_join(fibers[i]), 0);
    for (int i = 0; i < THREADS; i++)
        CHECK_EQ(pthread_join(threads[i], NULL), 0);
    CHECK(wf_wait_queue_is_empty(&gate.queue));
    return 0;
}

/* Fibers and threads stand in one queue, and one wake lets exactly one through. */
WORKER_TEST(wait_queue, lets_fibers_and_threads_through, TEST_TIMEOUT_S)
{
    cr_expect_eq(run_workers(*workers, open_for_crowd, NULL), 0);
}

static int wait_until_cancelled(void *arg)
{
    CHECK_EQ(pass_gate(arg, WEFT_FOREVER), -ECANCELED);
    CHECK_EQ(pass_gate(arg, WEFT_FOREVER), -ECANCELED);
    return 0;
}

static int leave_early(void *arg)
{
    struct gate gate = {0};
    weft_fiber *fiber = must_spawn(wait_until_cancelled, &gate);
    weft_time deadline = weft_after(WEFT_MILLISECOND);

    (void)arg;
    CHECK_EQ(pass_gate(&gate, 0), -ETIMEDOUT);
    CHECK_EQ(pass_gate(&gate, deadline), -ETIMEDOUT);
    CHECK(weft_now() >= deadline);
    await_flag(&gate.waiting);
    weft_cancel(fiber);
    CHECK_EQ(must_join(fiber), 0);
    CHECK(wf_wait_queue_is_empty(&gate.queue));
    return 0;
}

/* One that gave up stands in the queue no more: a wake would be lost on it, and its frame is gone.
 */
WORKER_TEST(wait_queue, deadline_and_cancel_leave_no_entry, TEST_TIMEOUT_S)
{
    cr_expect_eq(run_workers(*workers, leave_early, NULL), 0);
}

/* A plain thread looks at its deadline itself. */
Test(wait_queue, a_thread_gives_up_at_its_deadline, .timeout = TEST_TIMEOUT_S)
{
    struct gate gate = {0};
    weft_time deadline = weft_after(2 * WEFT_MILLISECOND);

    cr_expect_eq(pass_gate(&gate, -1), -ETIMEDOUT);
    cr_expect_eq(pass_gate(&gate, deadline), -ETIMEDOUT);
    cr_expect_geq(weft_now(), deadline);
    cr_expect(wf_wait_queue_is_empty(&gate.queue));
}

/* A gate in a page of its own: a look at it after it has been freed is a fault. */
struct claimed {
    struct gate *gate;
    int64_t deadline;
    int result;
};

static void begin_claimed(struct claimed *claimed)
{
    claimed->gate = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK(claimed->gate != MAP_FAILED);
    claimed->deadline = weft_after(10 * WEFT_MILLISECOND);
}

static void *pass_claimed(void *arg)
{
    static const struct wf_wait_kind kind = {"a gate", offsetof(struct gate, lock), 0};
    struct claimed *claimed = arg;
    struct wf_wait_entry entry = {0};

    wf_lock_acquire(&claimed->gate->lock);
    claimed->result = wf_wait_queue_sleep_claimed(
        wf_self(), &claimed->gate->queue, &claimed->gate->lock, &entry, claimed->deadline, &kind);
    return NULL;
}

static int pass_claimed_on_fiber(void *arg)
{
    (void)pass_claimed(arg);
    return 0;
}

/* Returns with the lock held and somebody in the queue; NULL: its deadline has passed already. */
static struct wf_wait_entry *find_first(struct gate *gate, int64_t deadline)
{
    for (;;) {
        wf_lock_acquire(&gate->lock);
        if (gate->queue.first != NULL || weft_now() > deadline)
            return gate->queue.first;
        wf_lock_release(&gate->lock);
    }
}

/* The lock is held until the interrupter is on its way to it.  A waker drops the entry then, and
 * frees the gate as soon as it has released the lock.  False: there was nobody in time. */
static bool drop_one(struct claimed *claimed)
{
    struct gate *gate = claimed->gate;
    struct wf_wait_entry *first = find_first(gate, claimed->deadline);

    if (first != NULL) {
        while (atomic_load(&first->claim->winner) != WF_WAIT_LEAVING)
            continue;
        CHECK(wf_wait_queue_take(&gate->queue) == NULL);
        CHECK(wf_wait_queue_is_empty(&gate->queue));
    }
    wf_lock_release(&gate->lock);
    if (first != NULL)
        CHECK_EQ(munmap(gate, PAGE), 0);
    return first != NULL;
}

/* A waker takes the entry out, and the gate is gone before the deadline passes, and before the
 * wake comes. */
static bool wake_late(struct claimed *claimed)
{
    struct gate *gate = claimed->gate;
    struct wf_wait_entry *entry;

    (void)find_first(gate, claimed->deadline);
    entry = wf_wait_queue_take(&gate->queue);
    wf_lock_release(&gate->lock);
    if (entry == NULL)
        return false;
    CHECK_EQ(munmap(gate, PAGE), 0);
    while (weft_now() < claimed->deadline + 5 * WEFT_MILLISECOND)
        continue;
    wf_wake(wf_self(), entry->waiter, WOKEN);
    return true;
}

static void end_claimed(const struct claimed *claimed, bool is_freed, int result)
{
    CHECK_EQ(claimed->result, is_freed ? result : -ETIMEDOUT);
    if (!is_freed)
        CHECK_EQ(munmap(claimed->gate, PAGE), 0);
}

static void end_beside_thread(bool (*end)(struct claimed *), int result)
{
    for (int round = 0; round < 5; round++) {
        struct claimed claimed;
        pthread_t thread;
        bool is_freed;

        begin_claimed(&claimed);
        CHECK_EQ(pthread_create(&thread, NULL, pass_claimed, &claimed), 0);
        is_freed = end(&claimed);
        CHECK_EQ(pthread_join(thread, NULL), 0);
        end_claimed(&claimed, is_freed, result);
    }
}

Test(wait_queue, a_dropped_thread_does_not_look_at_what_was_freed, .timeout = TEST_TIMEOUT_S)
{
    end_beside_thread(drop_one, -ETIMEDOUT);
}

Test(wait_queue, a_woken_thread_does_not_look_at_what_was_freed, .timeout = TEST_TIMEOUT_S)
{
    end_beside_thread(wake_late, WOKEN);
}

struct waker {
    struct claimed *claimed;
    bool (*end)(struct claimed *);
    bool is_freed;
};

static void *run_waker(void *arg)
{
    struct waker *waker = arg;

    waker->is_freed = waker->end(waker->claimed);
    return NULL;
}

static void end_beside_fiber(bool (*end)(struct claimed *), int result)
{
    for (int round = 0; round < 5; round++) {
        struct claimed claimed;
        struct waker waker = {&claimed, end, false};
        weft_fiber *fiber;
        pthread_t thread;

        begin_claimed(&claimed);
        fiber = must_spawn(pass_claimed_on_fiber, &claimed);
        CHECK_EQ(pthread_create(&thread, NULL, run_waker, &waker), 0);
        CHECK_EQ(must_join(fiber), 0);
        CHECK_EQ(pthread_join(thread, NULL), 0);
        end_claimed(&claimed, waker.is_freed, result);
    }
}

static int end_claimed_fibers(void *arg)
{
    (void)arg;
    end_beside_fiber(drop_one, -ETIMEDOUT);
    end_beside_fiber(wake_late, WOKEN);
    return 0;
}

WORKER_TEST(wait_queue, an_interrupter_does_not_look_at_what_was_freed, TEST_TIMEOUT_S)
{
    cr_expect_eq(run_workers(*workers, end_claimed_fibers, NULL), 0);
}
