/* SPDX-License-Identifier: MIT */
/* rwlock.h: a program that breaks a rule is stopped with the rule's name. */
#include "../support/child.h"
#include "../support/fixture.h"

#include <errno.h>
#include <signal.h>
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

static const struct {
    int (*fn)(void);
    const char *message;
} mistakes[] = {
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
