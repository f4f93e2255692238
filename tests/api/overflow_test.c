/* SPDX-License-Identifier: MIT */
/* A stack that overflows is reported with the fiber's name; other faults are the program's. */
#define _GNU_SOURCE 1

#include "../support/child.h"
#include "../support/fixture.h"

#include <alloca.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { STACK_KIB = 64, HANDLED = 42, GUARD_CANARY = 3 };

/* What the compiler must neither know nor remove. */
static volatile int depth_max = 1 << 24;
static volatile size_t large = 8 << 20;
static volatile char sink;

/* The compiler must not know where it points, or it would find fault with what follows. */
__attribute__((noinline)) static char *here(void)
{
    char *volatile frame = __builtin_frame_address(0);

    return frame;
}

static int recurse(int depth);
static int (*volatile recurse_again)(int) = recurse;

__attribute__((noinline)) static int recurse(int depth)
{
    volatile char frame[64];

    frame[0] = (char)depth;
    if (depth >= depth_max)
        return 0;
    return recurse_again(depth + 1) + frame[0];
}

static int overflow_by_recursion(void *arg)
{
    (void)arg;
    return recurse(0);
}

/* One frame, larger than the stack and its guard: the compiler's probes touch each page. */
__attribute__((noinline)) static int overflow_by_one_frame(void *arg)
{
    char *frame = alloca(large);

    (void)arg;
    __asm__ volatile("" : : "r"(frame) : "memory");
    frame[0] = 1;
    return frame[0];
}

static int compare_by_recursion(const void *a, const void *b)
{
    return recurse(0) + *(const int *)a - *(const int *)b;
}

/* The calls between are the C library's, which is built without frame pointers. */
static int overflow_below_a_library(void *arg)
{
    int numbers[] = {3, 1, 2};

    (void)arg;
    qsort(numbers, 3, sizeof *numbers, compare_by_recursion);
    return numbers[0];
}

/* Calls `fn` where the stack is about to end. */
__attribute__((noinline)) static int call_at(const char *limit, int (*fn)(void))
{
    volatile char frame[64];
    int result;

    frame[0] = 1;
    result = (const char *)frame < limit ? fn() : call_at(limit, fn);
    return result + frame[0];
}

/* The record takes half a kilobyte to one and a half at the top of the stack. */
static int call_near_the_end(int (*fn)(void))
{
    return call_at(here() - STACK_KIB * 1024 + 1600, fn);
}

static int print_a_number(void)
{
    char text[64];

    return snprintf(text, sizeof text, "%.20f %d", 0.1 * depth_max, depth_max);
}

static int overflow_in_a_library(void *arg)
{
    (void)arg;
    return call_near_the_end(print_a_number);
}

static void handle_by_recursion(int number)
{
    sink = (char)recurse(number);
}

static int overflow_in_a_handler(void *arg)
{
    struct sigaction action = {.sa_handler = handle_by_recursion};

    (void)arg;
    CHECK_EQ(sigaction(SIGUSR1, &action, NULL), 0);
    CHECK_EQ(raise(SIGUSR1), 0);
    return 0;
}

static struct {
    long process, thread;
} receiver;

/* Not by raise(): what that puts on the stack may be too much itself. */
static int send_signal(void)
{
    return (int)syscall(SYS_tgkill, receiver.process, receiver.thread, SIGUSR1);
}

/* Less is left than a signal's frame needs: the kernel cannot deliver. */
static int overflow_by_a_signal(void *arg)
{
    struct sigaction action = {.sa_handler = handle_by_recursion};

    (void)arg;
    receiver.process = getpid();
    /* With this the function's address is known: to look for it takes much of a stack. */
    receiver.thread = syscall(SYS_gettid);
    CHECK_EQ(sigaction(SIGUSR1, &action, NULL), 0);
    return call_near_the_end(send_signal);
}

static int (*const overflows[])(void *) = {
    overflow_by_recursion, overflow_by_one_frame, overflow_in_a_library,
    overflow_in_a_handler, overflow_by_a_signal,  overflow_below_a_library,
};

enum { OVERFLOWS = sizeof overflows / sizeof *overflows, BY_A_SIGNAL = 4 };

static int tell_number(void *arg)
{
    (void)fprintf(stderr, "number %lu\n", (unsigned long)weft_fiber_id(weft_self()));
    return (*(int (**)(void *))arg)(NULL);
}

static int run_named(void *arg)
{
    struct weft_fiber_attr attr = {.name = "deep", .stack_size_kib = STACK_KIB};
    weft_fiber *fiber;

    CHECK_EQ(weft_spawn_with(&attr, &fiber, tell_number, arg), 0);
    return must_join(fiber);
}

CHILD(overflow)
{
    struct weft_config config = {.workers = parameter / OVERFLOWS};
    int (*fn)(void *) = overflows[parameter % OVERFLOWS];

    return weft_run(&config, run_named, (void *)&fn);
}

static void expect_report(const struct child_end *end)
{
    const char *number = strstr(end->output, "number ");
    char report[128];

    cr_assert_not_null(number, "status %d, signal %d: %s", end->exit_status, end->signal,
                       end->output);
    (void)snprintf(report, sizeof report, "weft: fiber %lu \"deep\" overflowed its stack of %d KiB",
                   strtoul(number + 7, NULL, 10), STACK_KIB);
    cr_expect_eq(end->signal, SIGSEGV, "status %d, signal %d: %s", end->exit_status, end->signal,
                 end->output);
    cr_expect_not_null(strstr(end->output, report), "%s", end->output);
    cr_expect_not_null(strstr(end->output, "spawned at: 0x"), "%s", end->output);
    cr_expect_not_null(strstr(end->output, "#1 "), "%s", end->output);
}

static void expect_overflow(unsigned workers, unsigned which)
{
    struct child_end end;

    run_child("overflow", workers * OVERFLOWS + which, NULL, &end);
    expect_report(&end);
    /* Which of the ways it was: that one is said. */
    cr_expect_eq(strstr(end.output, "no room for a signal's frame") != NULL, which == BY_A_SIGNAL,
                 "%s", end.output);
}

/* Whoever reads the report must learn which fiber it was, and the process must die of SIGSEGV, as
 * it would have without weft: whatever supervises it looks at that. */
WORKER_TEST(overflow, by_recursion_is_reported, TEST_TIMEOUT_S)
{
    expect_overflow(*workers, 0);
}

/* The probes find the guard, which one access at the end of the frame would step over. */
WORKER_TEST(overflow, by_a_frame_larger_than_the_guard_is_reported, TEST_TIMEOUT_S)
{
    expect_overflow(*workers, 1);
}

WORKER_TEST(overflow, in_a_library_is_reported, TEST_TIMEOUT_S)
{
    expect_overflow(*workers, 2);
}

WORKER_TEST(overflow, below_a_library_is_reported, TEST_TIMEOUT_S)
{
    expect_overflow(*workers, 5);
}

/* A handler without an alternate stack runs on the fiber's. */
WORKER_TEST(overflow, in_a_signal_handler_is_reported, TEST_TIMEOUT_S)
{
    if (TEST_IS_TSAN)
        cr_skip_test("ThreadSanitizer runs handlers with SIGSEGV blocked");
    expect_overflow(*workers, 3);
}

/* Not the program steps into the guard then, but the kernel would have to.  No instruction faults
 * once more after the report: a process that went on would do so on a stack that was too small. */
WORKER_TEST(overflow, for_lack_of_room_for_a_signal_is_reported, TEST_TIMEOUT_S)
{
    expect_overflow(*workers, BY_A_SIGNAL);
}

/* A recursion is one line, and above it stands who began it, through code without frame pointers:
 * qsort, whose name is known. */
Test(overflow, the_report_shows_the_calls, .timeout = TEST_TIMEOUT_S)
{
    struct child_end end;
    char *qsort_line;

    run_child("overflow", OVERFLOWS + 5, NULL, &end);
    cr_expect_not_null(strstr(end.output, "#0 0x"), "%s", end.output);
    cr_expect_not_null(strstr(end.output, " to #"), "%s", end.output);
    if (TEST_IS_SANITIZED)
        cr_skip_test("a sanitizer sorts by a function of its own");
    qsort_line = strstr(end.output, "qsort");
    cr_assert_not_null(qsort_line, "%s", end.output);
    cr_expect_gt(qsort_line, strstr(end.output, " to #"), "%s", end.output);
}

static char *volatile nothing; /* a null pointer that the compiler does not know */

static int read_from_nothing(void)
{
    return *(volatile char *)nothing;
}

static int fault_near_the_end(void *arg)
{
    (void)arg;
    return call_near_the_end(read_from_nothing);
}

CHILD(fault_deep_in_the_stack)
{
    struct weft_config config = {.workers = parameter};
    int (*fn)(void *) = fault_near_the_end;

    return weft_run(&config, run_named, (void *)&fn);
}

/* A null pointer is the address that was accessed, and not one that the kernel does not tell. */
Test(overflow, a_null_pointer_near_the_end_is_none, .timeout = TEST_TIMEOUT_S)
{
    struct child_end end;

    if (TEST_IS_SANITIZED)
        cr_skip_test("a sanitizer looks at the pointer itself, and needs room for that");
    run_child("fault_deep_in_the_stack", 1, NULL, &end);
    cr_expect_null(strstr(end.output, "overflowed"), "%s", end.output);
    cr_expect_eq(end.signal, SIGSEGV, "status %d: %s", end.exit_status, end.output);
}

/* Not inline, and not left by a jump: the report shall name it. */
__attribute__((noinline)) static int leave_the_worker(void)
{
    int result = weft_yield() + weft_sleep(WEFT_MILLISECOND);

    __asm__ volatile("" ::: "memory");
    return result;
}

static int overwrite_the_canary(void *arg)
{
    /* Begins in the page below the stack, which is nobody's, and ends above the canary. */
    char *end = here() - STACK_KIB * 1024;

    (void)arg;
    for (int i = 0; i < 8192; i++)
        *(volatile char *)(end + i) = 1;
    (void)fprintf(stderr, "leaves in: %p\n", (void *)(uintptr_t)leave_the_worker);
    (void)leave_the_worker();
    (void)fprintf(stderr, "it went on\n");
    return 0;
}

CHILD(smash_the_canary)
{
    struct weft_config config = {.workers = parameter, .guard = GUARD_CANARY};
    int (*fn)(void *) = overwrite_the_canary;

    return weft_run(&config, run_named, (void *)&fn);
}

/* Whether one of the calls that the report shows was made in the function that begins there. */
static bool shows_call_in(const char *output, unsigned long function)
{
    for (const char *at = output; (at = strstr(at, "weft:   #")) != NULL; at++) {
        const char *place = strstr(at, "0x");
        unsigned long address = place != NULL ? strtoul(place, NULL, 16) : 0;

        if (address > function && address < function + 256)
            return true;
    }
    return false;
}

/* Without a guard page the neighbour is overwritten already: the program must not run on.  Where it
 * left its worker tells where to look for what came before. */
WORKER_TEST(overflow, a_smashed_canary_is_reported_at_the_next_switch, TEST_TIMEOUT_S)
{
    struct child_end end;
    const char *leaves;

    if (TEST_IS_SANITIZED)
        cr_skip_test("a sanitizer's frames are larger, and its checks forbid the write");
    run_child("smash_the_canary", *workers, NULL, &end);
    cr_expect_eq(end.signal, SIGABRT, "status %d, signal %d: %s", end.exit_status, end.signal,
                 end.output);
    cr_expect_not_null(strstr(end.output, "\"deep\" overflowed its stack of 64 KiB"), "%s",
                       end.output);
    cr_expect_not_null(strstr(end.output, "canary, and perhaps over the memory below its stack, "
                                          "some time before the switch whose calls follow\n"),
                       "%s", end.output);
    cr_expect_null(strstr(end.output, "it went on"), "%s", end.output);
    cr_expect_not_null(strstr(end.output, "spawned at: 0x"), "%s", end.output);
    leaves = strstr(end.output, "leaves in: ");
    cr_assert_not_null(leaves, "%s", end.output);
    cr_expect(shows_call_in(end.output, strtoul(leaves + strlen("leaves in: "), NULL, 16)), "%s",
              end.output);
}

CHILD(overflow_unreported)
{
    struct weft_config config = {.workers = 2, .overflow_report = parameter};
    int (*fn)(void *) = overflow_by_recursion;

    return weft_run(&config, run_named, (void *)&fn);
}

/* Whoever wants the signals for himself says so. */
Test(overflow, is_not_reported_when_off, .timeout = TEST_TIMEOUT_S)
{
    struct child_end end;

    if (TEST_IS_SANITIZED)
        cr_skip_test("a sanitizer has a handler of its own");
    run_child("overflow_unreported", 2, NULL, &end);
    cr_expect_eq(end.signal, SIGSEGV, "status %d: %s", end.exit_status, end.output);
    cr_expect_null(strstr(end.output, "overflowed"), "%s", end.output);
}

static char *_Atomic guard_of_sleeper;

static int show_guard_and_sleep(void *arg)
{
    (void)arg;
    atomic_store(&guard_of_sleeper, here() - STACK_KIB * 1024);
    return weft_sleep_until(WEFT_FOREVER);
}

static int touch_the_guard(void *arg)
{
    struct weft_fiber_attr attr = {.name = "sleeper", .stack_size_kib = STACK_KIB};
    weft_runtime *other = arg;

    CHECK_EQ(weft_spawn_on(other, &attr, NULL, show_guard_and_sleep, NULL), 0);
    while (atomic_load(&guard_of_sleeper) == NULL)
        CHECK_EQ(weft_sleep(WEFT_MILLISECOND), 0);
    sink = *(volatile char *)atomic_load(&guard_of_sleeper);
    return 0;
}

CHILD(stray_into_a_guard)
{
    struct weft_config config = {.workers = 1};
    weft_runtime *first = must_start(1, NULL, NULL), *second = must_start(1, NULL, NULL);

    CHECK_EQ(weft_stop(parameter == 0 ? first : second), 0);
    (void)must_end(parameter == 0 ? first : second);
    return weft_run(&config, touch_the_guard, parameter == 0 ? second : first);
}

/* A pointer gone astray can come to any stack, also of another runtime; whichever of several ended
 * before. */
Test(overflow, a_stray_access_names_both_fibers, .timeout = TEST_TIMEOUT_S)
{
    for (unsigned which = 0; which < 2; which++) {
        struct child_end end;

        run_child("stray_into_a_guard", which, NULL, &end);
        cr_expect_eq(end.signal, SIGSEGV, "status %d: %s", end.exit_status, end.output);
        cr_expect_not_null(strstr(end.output, "\"main\" touched the guard of the stack of fiber"),
                           "%s", end.output);
        cr_expect_not_null(strstr(end.output, "\"sleeper\", of 64 KiB"), "%s", end.output);
    }
}
