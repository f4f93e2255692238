/* SPDX-License-Identifier: MIT */
/* The report of a deadlock says for each fiber what it waits for. */
#define _GNU_SOURCE 1

#include "../support/child.h"
#include "../support/fixture.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

static weft_mutex mutex = WEFT_MUTEX_INIT;
static weft_mutex other_mutex = WEFT_MUTEX_INIT;
static weft_condition condition = WEFT_CONDITION_INIT;
static weft_semaphore semaphore = WEFT_SEMAPHORE_INIT(0);
static weft_rwlock rwlock = WEFT_RWLOCK_INIT;
static weft_event event = WEFT_EVENT_INIT;
static weft_barrier barrier = WEFT_BARRIER_INIT(2);
static weft_latch latch = WEFT_LATCH_INIT(1);
static weft_wait_group group = WEFT_WAIT_GROUP_INIT;
static weft_once once = WEFT_ONCE_INIT;
static weft_channel channels[2] = {WEFT_CHANNEL_INIT(int, NULL, 0),
                                   WEFT_CHANNEL_INIT(int, NULL, 0)};
static weft_future future = WEFT_FUTURE_INIT;
static uint32_t value;
static weft_scope scope = WEFT_SCOPE_INIT;

static int wait_for_mutex(void *arg)
{
    (void)arg;
    return weft_mutex_lock(&mutex, WEFT_FOREVER);
}

static int wait_for_condition(void *arg)
{
    (void)arg;
    CHECK_EQ(weft_mutex_lock(&other_mutex, WEFT_FOREVER), 0);
    return weft_condition_wait(&condition, &other_mutex, WEFT_FOREVER);
}

static int wait_for_semaphore(void *arg)
{
    (void)arg;
    return weft_semaphore_acquire(&semaphore, 1, WEFT_FOREVER);
}

static int wait_to_read(void *arg)
{
    (void)arg;
    return weft_rwlock_read_lock(&rwlock, WEFT_FOREVER);
}

static int wait_for_event(void *arg)
{
    (void)arg;
    return weft_event_wait(&event, WEFT_FOREVER);
}

static int wait_at_barrier(void *arg)
{
    (void)arg;
    return weft_barrier_wait(&barrier, WEFT_FOREVER);
}

static int wait_for_latch(void *arg)
{
    (void)arg;
    return weft_latch_wait(&latch, WEFT_FOREVER);
}

static int wait_for_group(void *arg)
{
    (void)arg;
    return weft_wait_group_wait(&group, WEFT_FOREVER);
}

/* The first runs it, and waits in it. */
static int wait_for_once(void *arg)
{
    return weft_once_run(&once, wait_for_event, arg, WEFT_FOREVER);
}

static int wait_to_send(void *arg)
{
    int one = 1;

    (void)arg;
    return weft_channel_send(&channels[0], &one, sizeof one, WEFT_FOREVER);
}

static int wait_to_receive(void *arg)
{
    int item;

    (void)arg;
    return weft_channel_receive(&channels[1], &item, sizeof item, WEFT_FOREVER);
}

static int wait_in_select(void *arg)
{
    static int item;
    static struct weft_select_case cases[] = {WEFT_RECEIVE_CASE(&channels[1], &item)};

    (void)arg;
    fprintf(stderr, "expect: waits for a select over the cases at %p\n", (void *)cases);
    return weft_select(cases, 1, WEFT_FOREVER);
}

static int wait_for_future(void *arg)
{
    (void)arg;
    return weft_future_await(&future, NULL, WEFT_FOREVER);
}

static int wait_for_value(void *arg)
{
    (void)arg;
    return weft_wait_on(&value, 0, sizeof value, WEFT_FOREVER);
}

static int wait_for_join(void *arg)
{
    weft_fiber *fiber = must_spawn(wait_for_event, arg);

    fprintf(stderr, "expect: waits for the end of fiber %lu \n",
            (unsigned long)weft_fiber_id(fiber));
    return weft_join(fiber, NULL, WEFT_FOREVER);
}

static int sleep_for_ever(void *arg)
{
    (void)arg;
    return weft_sleep_until(WEFT_FOREVER);
}

static const struct {
    int (*fn)(void *);
    const char *kind; /* NULL: it prints that itself */
    const void *object;
} waits[] = {
    {wait_for_mutex, "a mutex", &mutex},
    {wait_for_condition, "a condition", &condition},
    {wait_for_semaphore, "a semaphore", &semaphore},
    {wait_to_read, "a readers-writer lock", &rwlock},
    {wait_for_event, "an event", &event},
    {wait_at_barrier, "a barrier", &barrier},
    {wait_for_latch, "a latch", &latch},
    {wait_for_group, "a wait group", &group},
    {wait_for_once, "an event", &event},
    {wait_for_once, "the end of a once", &once},
    {wait_to_send, "to send on the channel", &channels[0]},
    {wait_to_receive, "to receive from the channel", &channels[1]},
    {wait_in_select, NULL, NULL},
    {wait_for_future, "a future", &future},
    {wait_for_value, "a value", &value},
    {wait_for_join, NULL, NULL},
    {sleep_for_ever, "the end of a sleep", NULL},
};

enum { WAITS = sizeof waits / sizeof *waits, HALF = WAITS / 2 };

/* Half of them, since a report has its length. */
static int wait_in_all_ways(void *arg)
{
    unsigned first = *(unsigned *)arg * HALF;
    unsigned end = first == 0 ? HALF : WAITS;

    CHECK_EQ(weft_mutex_lock(&mutex, WEFT_FOREVER), 0);
    CHECK_EQ(weft_rwlock_write_lock(&rwlock, WEFT_FOREVER), 0);
    weft_wait_group_add(&group, 1);
    for (unsigned i = first; i < end; i++) {
        if (waits[i].object != NULL)
            fprintf(stderr, "expect: waits for %s at %p\n", waits[i].kind, waits[i].object);
        else if (waits[i].kind != NULL)
            fprintf(stderr, "expect: waits for %s\n", waits[i].kind);
        CHECK_EQ(weft_scope_spawn(&scope, waits[i].fn, NULL), 0);
    }
    fprintf(stderr, "expect: waits for the members of the scope at %p\n", (void *)&scope);
    (void)weft_scope_close(&scope, 0);
    weft_rwlock_unlock(&rwlock);
    weft_mutex_unlock(&mutex);
    return 0;
}

CHILD(wait_in_half_the_ways)
{
    struct weft_config config = {.workers = 2};

    return weft_run(&config, wait_in_all_ways, &parameter) == -EDEADLK ? 0 : 1;
}

/* Every line that the child expects stands in the report as well. */
static void expect_lines(char *output)
{
    static const char mark[] = "expect: ";
    char *report = strstr(output, "weft: deadlock: ");
    char *line = output;

    cr_assert_not_null(report, "%s", output);
    while ((line = strstr(line, mark)) != NULL && line < report) {
        char words[200];
        size_t length;

        line += sizeof mark - 1;
        length = strcspn(line, "\n");
        cr_assert_lt(length, sizeof words);
        memcpy(words, line, length);
        words[length] = '\0';
        cr_expect_not_null(strstr(report, words), "%s: %s", words, report);
    }
}

/* Names and stacks alone leave it open which of a thousand locks it is. */
Test(deadlock_report, names_kinds_and_objects, .timeout = TEST_TIMEOUT_S)
{
    struct child_end end;

    if (TEST_IS_TSAN)
        cr_skip_test("the sanitizer has a thread of its own, which might wake somebody");
    for (unsigned half = 0; half < 2; half++) {
        run_child("wait_in_half_the_ways", half, NULL, &end);
        cr_expect_eq(end.exit_status, 0, "%d: %s", end.exit_status, end.output);
        expect_lines(end.output);
    }
}

static weft_condition late = WEFT_CONDITION_INIT;
static unsigned waiting; /* under the mutex */

static int wait_on(weft_condition *waited, weft_time deadline)
{
    int error;

    CHECK_EQ(weft_mutex_lock(&mutex, WEFT_FOREVER), 0);
    waiting++;
    error = weft_condition_wait(waited, &mutex, deadline);
    weft_mutex_unlock(&mutex);
    return error;
}

static int wait_for_signal(void *arg)
{
    (void)arg;
    return wait_on(&condition, WEFT_FOREVER);
}

static int wait_until_deadline(void *arg)
{
    (void)arg;
    return wait_on(&late, weft_after(WEFT_MILLISECOND));
}

/* Both want the mutex back, one by a signal, which sends it on to the mutex, the other one too late
 * for its own. */
static int keep_the_mutex(void *arg)
{
    CHECK_EQ(weft_scope_spawn(&scope, wait_for_signal, arg), 0);
    CHECK_EQ(weft_scope_spawn(&scope, wait_until_deadline, arg), 0);
    CHECK_EQ(weft_mutex_lock(&mutex, WEFT_FOREVER), 0);
    while (waiting < 2) {
        weft_mutex_unlock(&mutex);
        CHECK_EQ(weft_yield(), 0);
        CHECK_EQ(weft_mutex_lock(&mutex, WEFT_FOREVER), 0);
    }
    weft_condition_signal(&condition);
    fprintf(stderr, "expect: waits for a mutex at %p\n", (void *)&mutex);
    (void)weft_sleep_until(WEFT_FOREVER); /* until the report, which cancels all but these two */
    weft_mutex_unlock(&mutex);
    return weft_scope_close(&scope, 0);
}

CHILD(keep_the_mutex_from_two)
{
    struct weft_config config = {.workers = parameter};

    return weft_run(&config, keep_the_mutex, NULL) == -EDEADLK ? 0 : 1;
}

/* Whoever looks for a missing signal there does not find it: the mutex is what is missing. */
Test(deadlock_report, names_the_mutex_that_is_wanted_back, .timeout = TEST_TIMEOUT_S)
{
    if (TEST_IS_TSAN)
        cr_skip_test("as above");
    for (unsigned workers = 1; workers <= 2; workers++) {
        static const char words[] = "\" waits for a mutex at ";
        struct child_end end;
        const char *first;

        run_child("keep_the_mutex_from_two", workers, NULL, &end);
        cr_expect_eq(end.exit_status, 0, "%d: %s", end.exit_status, end.output);
        expect_lines(end.output);
        cr_assert_not_null(first = strstr(end.output, words), "%s", end.output);
        cr_expect_not_null(strstr(first + 1, words), "both of them: %s", end.output);
        cr_expect_null(strstr(end.output, "a condition"), "%s", end.output);
    }
}
