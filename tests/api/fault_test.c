/* SPDX-License-Identifier: MIT */
/* SIGSEGV and SIGBUS that are none of the runtime's business go where they went without it. */
#define _GNU_SOURCE 1

#include "../support/child.h"
#include "../support/fixture.h"

#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static volatile char sink;

/* A page that faults until the program's handler lets it be read. */
static char *page;
static _Atomic(int) faults;
static _Atomic(int) mask_was_set;
static volatile size_t page_size;

static void make_page(void)
{
    page_size = (size_t)sysconf(_SC_PAGESIZE);
    page = mmap(NULL, page_size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK(page != MAP_FAILED);
}

static void open_page(int number, siginfo_t *info, void *context)
{
    sigset_t mask;

    (void)context;
    CHECK_EQ(number, SIGSEGV);
    CHECK(info->si_addr == page);
    CHECK_EQ(sigprocmask(SIG_BLOCK, NULL, &mask), 0);
    if (sigismember(&mask, SIGUSR2) == 1 && sigismember(&mask, SIGSEGV) == 1 &&
        sigismember(&mask, SIGBUS) == 0)
        atomic_fetch_add(&mask_was_set, 1);
    atomic_fetch_add(&faults, 1);
    CHECK_EQ(mprotect(page, page_size, PROT_READ | PROT_WRITE), 0);
}

static void install(void (*fn)(int, siginfo_t *, void *), int flags)
{
    struct sigaction action = {.sa_sigaction = fn, .sa_flags = SA_SIGINFO | flags};

    sigaddset(&action.sa_mask, SIGUSR2);
    CHECK_EQ(sigaction(SIGSEGV, &action, NULL), 0);
}

/* volatile: the load is what faults. */
static void touch_page(void)
{
    CHECK_EQ(mprotect(page, page_size, PROT_NONE), 0);
    sink = *(volatile char *)page;
}

static int touch_in_fiber(void *arg)
{
    (void)arg;
    touch_page();
    return 0;
}

static void *touch_in_thread(void *arg)
{
    touch_page();
    return arg;
}

static int touch_everywhere(void *arg)
{
    pthread_t thread;

    (void)arg;
    touch_page();
    CHECK_EQ(must_join(must_spawn(touch_in_fiber, NULL)), 0);
    CHECK_EQ(pthread_create(&thread, NULL, touch_in_thread, NULL), 0);
    CHECK_EQ(pthread_join(thread, NULL), 0);
    return 0;
}

CHILD(use_own_handler)
{
    struct weft_config config = {.workers = parameter};
    struct sigaction now;

    make_page();
    install(open_page, 0);
    CHECK_EQ(weft_run(&config, touch_everywhere, NULL), 0);
    CHECK_EQ(atomic_load(&faults), 3);
    CHECK_EQ(atomic_load(&mask_was_set), 3);
    CHECK_EQ(sigaction(SIGSEGV, NULL, &now), 0);
    CHECK(now.sa_sigaction == open_page);
    touch_page();
    CHECK_EQ(atomic_load(&faults), 4);
    return 0;
}

static void expect_exit(const char *name, unsigned parameter, const char *const *environment)
{
    struct child_end end;

    run_child(name, parameter, environment, &end);
    cr_expect_eq(end.exit_status, 0, "status %d, signal %d: %s", end.exit_status, end.signal,
                 end.output);
    cr_expect_null(strstr(end.output, "overflowed"), "%s", end.output);
}

/* Garbage collectors and emulators live by such handlers: each fault of theirs reaches them as if
 * weft were not there, in fibers and in threads, with the mask that they asked for. */
WORKER_TEST(fault, of_the_program_goes_to_its_handler, TEST_TIMEOUT_S)
{
    expect_exit("use_own_handler", *workers, NULL);
}

static sigjmp_buf escape;

static void jump_out(int number, siginfo_t *info, void *context)
{
    (void)number, (void)info, (void)context;
    siglongjmp(escape, 1);
}

static int fault_and_jump(void *arg)
{
    (void)arg;
    for (volatile int i = 0; i < 3; i++)
        if (sigsetjmp(escape, 1) == 0) {
            touch_page();
            return 1;
        }
    return 0;
}

CHILD(jump_out_of_handler)
{
    struct weft_config config = {.workers = parameter};

    make_page();
    install(jump_out, 0);
    return weft_run(&config, fault_and_jump, NULL);
}

/* What probes whether an address can be read never returns from its handler. */
WORKER_TEST(fault, handlers_may_jump_out, TEST_TIMEOUT_S)
{
    expect_exit("jump_out_of_handler", *workers, NULL);
}

static int fault_twice(void *arg)
{
    (void)arg;
    touch_page();
    touch_page();
    return 0;
}

CHILD(fault)
{
    struct weft_config config = {.workers = 2};

    make_page();
    if (parameter == 1)
        install(open_page, (int)SA_RESETHAND);
    return weft_run(&config, fault_twice, NULL);
}

static void expect_death(const char *name, unsigned parameter)
{
    struct child_end end;

    run_child(name, parameter, NULL, &end);
    cr_expect_eq(end.signal, SIGSEGV, "status %d, signal %d: %s", end.exit_status, end.signal,
                 end.output);
    cr_expect_null(strstr(end.output, "weft: fiber"), "%s", end.output);
}

/* A null pointer is no overflow. */
Test(fault, without_a_handler_ends_the_process, .timeout = TEST_TIMEOUT_S)
{
    if (TEST_IS_SANITIZED)
        cr_skip_test("a sanitizer has a handler of its own");
    expect_death("fault", 0);
}

/* A handler for one signal is for one signal. */
Test(fault, handlers_that_reset_run_once, .timeout = TEST_TIMEOUT_S)
{
    if (TEST_IS_SANITIZED)
        cr_skip_test("a sanitizer's sigaction does not know the flag");
    expect_death("fault", 1);
}

/* Another thread may take the signal, a moment later. */
static int send_signal(void *arg)
{
    CHECK_EQ(kill(getpid(), SIGSEGV), 0);
    return *(unsigned *)arg == 0 ? weft_sleep(TEST_TIMEOUT_S * WEFT_SECOND) : 0;
}

CHILD(send_fault)
{
    struct weft_config config = {.workers = 2};

    if (parameter == 1)
        CHECK(signal(SIGSEGV, SIG_IGN) != SIG_ERR);
    return weft_run(&config, send_signal, &parameter);
}

/* A signal that somebody sends is not raised again when the handler returns. */
Test(fault, signals_that_are_sent_end_the_process, .timeout = TEST_TIMEOUT_S)
{
    if (TEST_IS_SANITIZED)
        cr_skip_test("a sanitizer has a handler of its own");
    expect_death("send_fault", 0);
}

Test(fault, signals_that_are_sent_can_be_ignored, .timeout = TEST_TIMEOUT_S)
{
    expect_exit("send_fault", 1, NULL);
}

static int send_nothing(void *arg)
{
    (void)arg;
    return 0;
}

CHILD(restore_default)
{
    struct weft_config config = {.workers = 2};
    struct sigaction before, now;

    (void)parameter;
    CHECK_EQ(sigaction(SIGSEGV, NULL, &before), 0);
    for (int i = 0; i < 3; i++) {
        CHECK_EQ(weft_run(&config, send_nothing, NULL), 0);
        CHECK_EQ(sigaction(SIGSEGV, NULL, &now), 0);
        CHECK(now.sa_sigaction == before.sa_sigaction);
    }
    return 0;
}

/* After a run the signals are as they were, once and again. */
Test(fault, signals_are_given_back, .timeout = TEST_TIMEOUT_S)
{
    expect_exit("restore_default", 0, NULL);
}

static struct sigaction theirs;

static void call_the_one_before(int number, siginfo_t *info, void *context)
{
    atomic_fetch_add(&faults, 1);
    CHECK(atomic_load(&faults) < 100);
    if ((theirs.sa_flags & SA_SIGINFO) != 0)
        theirs.sa_sigaction(number, info, context);
}

static int take_the_signal(void *arg)
{
    struct sigaction action = {.sa_sigaction = call_the_one_before, .sa_flags = SA_SIGINFO};

    (void)arg;
    CHECK_EQ(sigaction(SIGSEGV, &action, &theirs), 0);
    return 0;
}

CHILD(take_and_call)
{
    struct weft_config config = {.workers = 2};
    struct sigaction now;

    (void)parameter;
    make_page();
    install(open_page, 0);
    CHECK_EQ(weft_run(&config, take_the_signal, NULL), 0);
    CHECK_EQ(sigaction(SIGSEGV, NULL, &now), 0);
    CHECK(now.sa_sigaction == call_the_one_before);
    CHECK_EQ(weft_run(&config, touch_in_fiber, NULL), 0);
    CHECK_EQ(atomic_load(&faults), 2);
    return 0;
}

/* A program that takes the signal during a run keeps it, and may call the handler that was there:
 * in the next run the two must not call each other for ever. */
Test(fault, a_handler_on_top_stays_and_may_call_ours, .timeout = TEST_TIMEOUT_S)
{
    expect_exit("take_and_call", 0, NULL);
}
