/* SPDX-License-Identifier: MIT */
/* arch/tls.c: one variable per thread, read anew by each call. */
#include "arch/tls.h"

#include "arch/context.h"
#include "arch/sanitizer.h"
#include "check.h"

#include <criterion/criterion.h>
#include <pthread.h>

enum { TIMEOUT_S = 60, STACK_BYTES = 256 * 1024 };

static void *see_and_set(void *arg)
{
    CHECK(wf_tls_get() == NULL);
    wf_tls_set(arg);
    CHECK(wf_tls_get() == arg);
    return NULL;
}

/* A value that leaked into another thread would make it run another worker's fibers. */
Test(tls, each_thread_has_its_own, .timeout = TIMEOUT_S)
{
    int mine, theirs;
    pthread_t thread;

    wf_tls_set(&mine);
    cr_assert_eq(pthread_create(&thread, NULL, see_and_set, &theirs), 0);
    cr_assert_eq(pthread_join(thread, NULL), 0);
    cr_expect_eq(wf_tls_get(), &mine);
}

static char stack[STACK_BYTES] __attribute__((aligned(16)));
static struct wf_context outside, inside;
static struct wf_san outside_san, inside_san;
static void *seen_first, *seen_then;

static void leave(bool dies)
{
    wf_san_switch(&inside_san, &outside_san, dies);
    (void)wf_context_switch(&inside, &outside, NULL);
    if (!dies)
        wf_san_switched(&inside_san, &outside_san);
}

static void read_on_two_threads(void *arg, void *passed)
{
    (void)arg, (void)passed;
    wf_san_switched(&inside_san, &outside_san);
    seen_first = wf_tls_get();
    leave(false);
    seen_then = wf_tls_get();
    leave(true);
}

static void enter(void)
{
    wf_san_thread(&outside_san);
    wf_san_switch(&outside_san, &inside_san, false);
    (void)wf_context_switch(&outside, &inside, NULL);
    wf_san_switched(&outside_san, &inside_san);
}

static void *continue_elsewhere(void *arg)
{
    wf_tls_set(arg);
    enter();
    return NULL;
}

/* A context that moves reads the variable of the thread it is on now.  With the address kept in a
 * register over the switch, it would see, and write, that of the thread it came from. */
Test(tls, a_context_that_moved_reads_its_new_thread, .timeout = TIMEOUT_S)
{
    int mine, theirs;
    pthread_t thread;

    wf_tls_set(&mine);
    wf_san_fiber(&inside_san, stack, sizeof stack);
    wf_context_init(&inside, stack + sizeof stack, read_on_two_threads, NULL, NULL);
    enter();
    cr_assert_eq(pthread_create(&thread, NULL, continue_elsewhere, &theirs), 0);
    cr_assert_eq(pthread_join(thread, NULL), 0);
    wf_san_fiber_end(&inside_san);
    cr_expect_eq(seen_first, &mine);
    cr_expect_eq(seen_then, &theirs);
}
