/* SPDX-License-Identifier: MIT */
/* rwlock.h: a program that breaks a rule is stopped with the rule's name. */
#define WEFT_LOCK_CHECKS 1

#include "../support/child.h"
#include "../support/fixture.h"

#include <errno.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/resource.h>

static weft_rwlock lock = WEFT_RWLOCK_INIT;

static int unlock_free(void)
{
    weft_rwlock_unlock(&lock);
    return 0;
}

static int unlock_twice(void)
{
    CHECK_EQ(weft_rwlock_read_lock(&lock, 0), 0);
    weft_rwlock_unlock(&lock);
    weft_rwlock_unlock(&lock);
    return 0;
}

static int downgrade_free(void)
{
    weft_rwlock_downgrade(&lock);
    return 0;
}

static int downgrade_reader(void)
{
    CHECK_EQ(weft_rwlock_read_lock(&lock, 0), 0);
    weft_rwlock_downgrade(&lock);
    return 0;
}

static int destroy_held(void)
{
    CHECK_EQ(weft_rwlock_read_lock(&lock, 0), 0);
    weft_rwlock_destroy(&lock);
    return 0;
}

static int destroy_twice(void)
{
    weft_rwlock_destroy(&lock);
    weft_rwlock_destroy(&lock);
    return 0;
}

static int read_destroyed(void)
{
    weft_rwlock_destroy(&lock);
    return weft_rwlock_read_lock(&lock, 0);
}

static int write_destroyed(void)
{
    weft_rwlock_destroy(&lock);
    return weft_rwlock_write_lock(&lock, 0);
}

static int try_destroyed(void)
{
    weft_rwlock_destroy(&lock);
    return weft_rwlock_try_read_lock(&lock);
}

static int try_to_write_destroyed(void)
{
    weft_rwlock_destroy(&lock);
    return weft_rwlock_try_write_lock(&lock);
}

static int unlock_destroyed(void)
{
    weft_rwlock_destroy(&lock);
    weft_rwlock_unlock(&lock);
    return 0;
}

static int read_and_write(void)
{
    CHECK_EQ(weft_rwlock_read_lock(&lock, WEFT_FOREVER), 0);
    return weft_rwlock_write_lock(&lock, WEFT_FOREVER);
}

static int write_and_read(void)
{
    CHECK_EQ(weft_rwlock_write_lock(&lock, 0), 0);
    return weft_rwlock_read_lock(&lock, weft_after(WEFT_SECOND));
}

static int hold_for_reading(void *arg)
{
    (void)arg;
    CHECK_EQ(weft_rwlock_read_lock(&lock, WEFT_FOREVER), 0);
    return 0;
}

static int hold_for_writing(void *arg)
{
    (void)arg;
    CHECK_EQ(weft_rwlock_write_lock(&lock, WEFT_FOREVER), 0);
    return 0;
}

/* Joined later: the record of the fiber could become that of another one. */
static int unlock_of(void *arg)
{
    weft_fiber *fiber = must_spawn(*(int (**)(void *))arg, NULL);

    while (weft_rwlock_try_write_lock(&lock) == 0) {
        weft_rwlock_unlock(&lock);
        (void)weft_yield();
    }
    weft_rwlock_unlock(&lock);
    return must_join(fiber);
}

static int unlock_of_a_reader(void)
{
    int (*fn)(void *) = hold_for_reading;

    return weft_run(NULL, unlock_of, &fn);
}

static int unlock_of_a_writer(void)
{
    int (*fn)(void *) = hold_for_writing;

    return weft_run(NULL, unlock_of, &fn);
}

/* With another reader there, nothing but the record tells. */
static int unlock_twice_beside_another(void *arg)
{
    weft_fiber *fiber = must_spawn(hold_for_reading, arg);

    CHECK_EQ(weft_rwlock_read_lock(&lock, WEFT_FOREVER), 0);
    while (__atomic_load_n(&lock.word, __ATOMIC_RELAXED) < 2 * WEFT_RWLOCK_READER)
        (void)weft_yield();
    weft_rwlock_unlock(&lock);
    weft_rwlock_unlock(&lock);
    return must_join(fiber);
}

static int unlock_twice_as_one_of_two(void)
{
    return weft_run(NULL, unlock_twice_beside_another, NULL);
}

static const struct {
    int (*fn)(void);
    const char *message;
} mistakes[] = {
    {read_and_write, "weft_rwlock_write_lock: the caller has locked the lock"},
    {write_and_read, "weft_rwlock_read_lock: the caller has locked the lock"},
    {unlock_of_a_reader, "was locked by another"},
    {unlock_of_a_writer, "was locked by another"},
    {unlock_twice_as_one_of_two, "was locked by another"},
    {unlock_free, "weft_rwlock_unlock: nobody holds the lock"},
    {unlock_twice, "weft_rwlock_unlock: nobody holds the lock"},
    {downgrade_free, "weft_rwlock_downgrade: nobody holds the lock"},
    {downgrade_reader, "weft_rwlock_downgrade: nobody holds the lock"},
    {destroy_held, "weft_rwlock_destroy: the lock"},
    {destroy_twice, "was destroyed before"},
    {read_destroyed, "weft_rwlock_read_lock: the lock"},
    {write_destroyed, "weft_rwlock_write_lock: the lock"},
    {try_destroyed, "weft_rwlock_try_read_lock: the lock"},
    {try_to_write_destroyed, "weft_rwlock_try_write_lock: the lock"},
    {unlock_destroyed, "which was destroyed"},
};

CHILD(break_rwlock_rule)
{
    struct rlimit no_core = {0, 0};

    CHECK_EQ(setrlimit(RLIMIT_CORE, &no_core), 0);
    return mistakes[parameter].fn();
}

Test(rwlock_rules, breaking_one_aborts, .timeout = TEST_TIMEOUT_S)
{
    struct child_end end;

    for (unsigned i = 0; i < sizeof mistakes / sizeof *mistakes; i++) {
        run_child("break_rwlock_rule", i, NULL, &end);
        cr_expect_eq(end.signal, SIGABRT, "%s", mistakes[i].message);
        cr_expect_not_null(strstr(end.output, mistakes[i].message), "\"%s\" in \"%s\"",
                           mistakes[i].message, end.output);
    }
}

/* As many readers as fit; the fields say so, for nobody can wait for so many locks. */
Test(rwlock_rules, one_reader_too_many_is_refused, .timeout = TEST_TIMEOUT_S)
{
    weft_rwlock full = WEFT_RWLOCK_INIT;

    full.word = UINT64_C(1) << 63;
    cr_expect_eq(weft_rwlock_read_lock(&full, WEFT_FOREVER), -EAGAIN);
    cr_expect_eq(weft_rwlock_try_read_lock(&full), -EAGAIN);
    cr_expect_eq(weft_rwlock_try_write_lock(&full), -EBUSY);
    cr_expect_eq(weft_rwlock_write_lock(&full, 0), -ETIMEDOUT);
    weft_rwlock_unlock(&full);
    cr_expect_eq(weft_rwlock_try_read_lock(&full), 0);
    cr_expect_eq(weft_rwlock_try_read_lock(&full), -EAGAIN);
}

static int unlock_an_unchecked_one(void *arg)
{
    weft_fiber *fiber = must_spawn(hold_for_reading, arg);

    CHECK_EQ((weft_rwlock_read_lock)(&lock, WEFT_FOREVER), 0);
    CHECK_EQ(must_join(fiber), 0);
    weft_rwlock_unlock(&lock);
    CHECK_EQ(__atomic_load_n(&lock.word, __ATOMIC_RELAXED) / WEFT_RWLOCK_READER, 1);
    return 0;
}

/* A part of the program that is compiled without checks, beside one that is not. */
Test(rwlock_rules, a_lock_that_was_not_checked_is_unlocked, .timeout = TEST_TIMEOUT_S)
{
    cr_expect_eq(weft_run(NULL, unlock_an_unchecked_one, NULL), 0);
}

enum { READERS = 60 };

static _Atomic(int) gone; /* of the readers */

static int read_until_its_turn(void *arg)
{
    int turn = *(const int *)arg;

    CHECK_EQ(weft_rwlock_read_lock(&lock, WEFT_FOREVER), 0);
    while (atomic_load(&gone) != turn)
        (void)weft_yield();
    weft_rwlock_unlock(&lock);
    (void)atomic_fetch_add(&gone, 1);
    return 0;
}

static int leave_in_another_order(void *arg)
{
    weft_fiber *fibers[READERS];
    int turns[READERS];

    (void)arg;
    for (int i = 0; i < READERS; i++) {
        turns[i] = (i * 7 + 3) % READERS; /* each once */
        fibers[i] = must_spawn(read_until_its_turn, &turns[i]);
    }
    for (int i = 0; i < READERS; i++)
        CHECK_EQ(must_join(fibers[i]), 0);
    CHECK_EQ(weft_rwlock_write_lock(&lock, 0), 0);
    weft_rwlock_unlock(&lock);
    return 0;
}

/* Each finds its own record among theirs, and leaves those of the others. */
Test(rwlock_rules, readers_leave_in_any_order, .timeout = TEST_TIMEOUT_S)
{
    cr_expect_eq(weft_run(NULL, leave_in_another_order, NULL), 0);
    weft_rwlock_destroy(&lock);
}

static int lock_another_there(void *arg)
{
    weft_fiber *fiber;

    CHECK_EQ(weft_rwlock_read_lock(&lock, WEFT_FOREVER), 0);
    lock = (weft_rwlock)WEFT_RWLOCK_INIT;
    fiber = must_spawn(hold_for_reading, arg);
    CHECK_EQ(must_join(fiber), 0);
    return weft_rwlock_write_lock(&lock, weft_after(WEFT_MILLISECOND));
}

/* One that was freed while it was held leaves nothing to the next one at its address. */
Test(rwlock_rules, what_was_there_before_is_forgotten, .timeout = TEST_TIMEOUT_S)
{
    cr_expect_eq(weft_run(NULL, lock_another_there, NULL), -ETIMEDOUT);
}

/* A lock in use again after weft_rwlock_destroy(). */
Test(rwlock_rules, a_destroyed_lock_can_be_initialised_anew, .timeout = TEST_TIMEOUT_S)
{
    weft_rwlock again = WEFT_RWLOCK_INIT_PREFER_READERS;

    weft_rwlock_destroy(&again);
    again = (weft_rwlock)WEFT_RWLOCK_INIT;
    cr_expect_eq(weft_rwlock_write_lock(&again, 0), 0);
    weft_rwlock_unlock(&again);
    weft_rwlock_destroy(&again);
}
