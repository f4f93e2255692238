/* SPDX-License-Identifier: MIT */
/* generator.h */
#include "../support/child.h"
#include "../support/fixture.h"

#include <errno.h>
#include <fenv.h>
#include <pthread.h>

static weft_generator *must_create(int (*fn)(weft_generator *, void *), void *arg)
{
    weft_generator *generator = NULL;

    CHECK_EQ(weft_generator_create(&generator, fn, arg, 0), 0);
    return generator;
}

static int next_int(weft_generator *generator)
{
    void *value = NULL;

    CHECK_EQ(weft_generator_next(generator, &value), 0);
    return *(int *)value;
}

static int count_to(weft_generator *self, void *arg)
{
    int limit = *(int *)arg;

    for (int i = 1; i <= limit; i++) {
        int error = weft_generator_yield(self, &i, NULL);

        if (error != 0)
            return error;
    }
    return 77;
}

static int walk_through(void *arg)
{
    int limit = 100;
    int seen = 0;
    void *value = NULL;
    weft_generator *generator = must_create(count_to, &limit);

    (void)arg;
    CHECK_EQ(weft_generator_result(generator), -EBUSY);
    WEFT_GENERATOR_EACH(value, generator)
    CHECK_EQ(*(int *)value, ++seen);
    CHECK_EQ(seen, limit);
    value = &seen;
    CHECK_EQ(weft_generator_next(generator, &value), -ENODATA);
    CHECK_EQ(weft_generator_send(generator, NULL, &value), -ENODATA);
    CHECK(value == &seen);
    CHECK_EQ(weft_generator_result(generator), 77);
    weft_generator_free(generator);
    weft_generator_free(NULL);
    generator = must_create(count_to, &limit);
    CHECK_EQ(weft_generator_next(generator, NULL), 0); /* the value is of no interest */
    CHECK_EQ(next_int(generator), 2);
    weft_generator_free(generator);
    return 0;
}

/* All values in order, then the end, again and again, and the result of the function. */
WORKER_TEST(generator, gives_its_values_and_ends, TEST_TIMEOUT_S)
{
    cr_expect_eq(run_workers(*workers, walk_through, NULL), 0);
    cr_expect_eq(walk_through(NULL), 0, "on a plain thread");
}

static int add_up(weft_generator *self, void *arg)
{
    int *sum = arg;
    void *sent = NULL;
    int error;

    while ((error = weft_generator_yield(self, sum, &sent)) == 0)
        *sum += sent != NULL ? *(int *)sent : 1000;
    return error;
}

static int send_in(void *arg)
{
    int sum = 0;
    int five = 5;
    void *value = NULL;
    weft_generator *generator = must_create(add_up, &sum);

    (void)arg;
    CHECK_EQ(weft_generator_send(generator, &five, &value), -EINVAL); /* nobody would take it */
    CHECK_EQ(next_int(generator), 0);
    for (int i = 1; i <= 3; i++) {
        CHECK_EQ(weft_generator_send(generator, &five, &value), 0);
        CHECK_EQ(*(int *)value, 5 * i);
    }
    CHECK_EQ(next_int(generator), 1015); /* next sends NULL, not what was sent last */
    CHECK_EQ(weft_generator_close(generator), 0);
    CHECK_EQ(weft_generator_send(generator, &five, &value), -ENODATA);
    weft_generator_free(generator);
    return 0;
}

/* What is sent arrives at the yield that the generator stands at, and before the first there is
 * none. */
WORKER_TEST(generator, takes_what_is_sent, TEST_TIMEOUT_S)
{
    cr_expect_eq(run_workers(*workers, send_in, NULL), 0);
}

static int handle_errors(weft_generator *self, void *arg)
{
    int *handled = arg;

    for (;;) {
        int error = weft_generator_yield(self, handled, NULL);

        if (error == -EIO)
            ++*handled;
        else if (error != 0)
            return error;
    }
}

static int throw_in(void *arg)
{
    int handled = 0;
    void *value = NULL;
    weft_generator *generator = must_create(handle_errors, &handled);

    (void)arg;
    CHECK_EQ(weft_generator_throw(generator, -EIO, &value), -EIO); /* it has not begun: it ends */
    CHECK_EQ(weft_generator_next(generator, &value), -ENODATA);
    CHECK_EQ(weft_generator_result(generator), -EIO);
    CHECK_EQ(handled, 0);
    weft_generator_free(generator);
    generator = must_create(handle_errors, &handled);
    CHECK_EQ(next_int(generator), 0);
    CHECK_EQ(weft_generator_throw(generator, -EIO, &value), 0);
    CHECK_EQ(*(int *)value, 1);
    CHECK_EQ(weft_generator_throw(generator, -ENOSPC, &value), -ENOSPC);
    CHECK_EQ(weft_generator_next(generator, &value), -ENODATA);
    CHECK_EQ(weft_generator_throw(generator, -EIO, &value), -EIO); /* it has ended */
    CHECK_EQ(weft_generator_result(generator), -ENOSPC);
    CHECK_EQ(weft_generator_close(generator), 0);
    weft_generator_free(generator);
    return 0;
}

/* A yield can handle what is thrown, or let it out; before the first yield and after the end it
 * comes straight back. */
WORKER_TEST(generator, handles_what_is_thrown, TEST_TIMEOUT_S)
{
    cr_expect_eq(run_workers(*workers, throw_in, NULL), 0);
}

struct cleanup {
    int begun, cleaned;
    int result;
};

static int clean_up(weft_generator *self, void *arg)
{
    struct cleanup *cleanup = arg;
    int error;

    cleanup->begun++;
    do
        error = weft_generator_yield(self, cleanup, NULL);
    while (error == 0);
    CHECK_EQ(error, -ECANCELED);
    CHECK_EQ(weft_generator_yield(self, cleanup, NULL), -ECANCELED); /* again and again */
    cleanup->cleaned++;
    return cleanup->result != 0 ? cleanup->result : error;
}

static int close_it(void *arg)
{
    struct cleanup cleanup = {0};
    weft_generator *generator = must_create(clean_up, &cleanup);

    (void)arg;
    CHECK_EQ(weft_generator_close(generator), 0); /* it has not begun: nothing to clean up */
    CHECK_EQ(weft_generator_close(generator), 0);
    CHECK_EQ(cleanup.begun, 0);
    CHECK_EQ(weft_generator_result(generator), -ECANCELED);
    weft_generator_free(generator);
    generator = must_create(clean_up, &cleanup);
    CHECK_EQ(weft_generator_next(generator, NULL), 0);
    CHECK_EQ(weft_generator_close(generator), 0);
    CHECK_EQ(weft_generator_close(generator), 0);
    CHECK_EQ(cleanup.cleaned, 1);
    CHECK_EQ(weft_generator_next(generator, NULL), -ENODATA);
    weft_generator_free(generator);
    cleanup.result = -EIO;
    generator = must_create(clean_up, &cleanup);
    CHECK_EQ(weft_generator_next(generator, NULL), 0);
    CHECK_EQ(weft_generator_close(generator), -EIO);
    weft_generator_free(generator);
    generator = must_create(clean_up, &cleanup);
    CHECK_EQ(weft_generator_next(generator, NULL), 0);
    weft_generator_free(generator); /* closes */
    CHECK_EQ(cleanup.cleaned, 3);
    return 0;
}

/* What the generator holds is given back, once, also when it is closed twice or only freed. */
WORKER_TEST(generator, cleans_up_when_closed, TEST_TIMEOUT_S)
{
    cr_expect_eq(run_workers(*workers, close_it, NULL), 0);
}

struct tree {
    struct tree *left, *right;
    int key;
};

static int walk_tree(weft_generator *self, void *arg)
{
    struct tree *tree = arg;
    struct tree *branches[2] = {tree->left, tree->right};

    for (int i = 0; i < 2; i++) {
        if (branches[i] != NULL) {
            weft_generator *inner = must_create(walk_tree, branches[i]);
            int error = weft_generator_delegate(self, inner);

            weft_generator_free(inner);
            if (error != 0)
                return error;
        }
        if (i == 0) {
            int error = weft_generator_yield(self, &tree->key, NULL);

            if (error != 0)
                return error;
        }
    }
    return 0;
}

static int walk_trees(void *arg)
{
    enum { NODES = 63 };
    static struct tree nodes[NODES + 1];
    weft_generator *generator;
    void *value = NULL;
    int last = 0;

    (void)arg;
    for (int i = 1; i <= NODES; i++) { /* a balanced tree of the numbers, by their lowest bit */
        int step = (i & -i) / 2;

        nodes[i] = (struct tree){step ? &nodes[i - step] : NULL, step ? &nodes[i + step] : NULL, i};
    }
    generator = must_create(walk_tree, &nodes[32]);
    WEFT_GENERATOR_EACH(value, generator)
    CHECK_EQ(*(int *)value, ++last);
    CHECK_EQ(last, NODES);
    weft_generator_free(generator);
    generator = must_create(walk_tree, &nodes[32]);
    for (int i = 1; i <= 5; i++)
        CHECK_EQ(next_int(generator), i);
    CHECK_EQ(weft_generator_throw(generator, -EIO, &value), -EIO); /* through all levels */
    weft_generator_free(generator);
    generator = must_create(walk_tree, &nodes[32]);
    CHECK_EQ(next_int(generator), 1);
    weft_generator_free(generator); /* all levels are closed, or their stacks are lost */
    return 0;
}

WORKER_TEST(generator, delegates_values_errors_and_close, TEST_TIMEOUT_S)
{
    cr_expect_eq(run_workers(*workers, walk_trees, NULL), 0);
}

static int delegate_to(weft_generator *self, void *arg)
{
    return weft_generator_delegate(self, arg);
}

static int send_through(void *arg)
{
    int sum = 0;
    int five = 5;
    void *value = NULL;
    weft_generator *inner = must_create(add_up, &sum);
    weft_generator *outer = must_create(delegate_to, inner);

    (void)arg;
    CHECK_EQ(next_int(outer), 0);
    CHECK_EQ(weft_generator_send(outer, &five, &value), 0);
    CHECK_EQ(*(int *)value, 5);
    CHECK_EQ(weft_generator_close(outer), 0);
    CHECK_EQ(weft_generator_next(inner, &value), -ENODATA);
    weft_generator_free(outer);
    weft_generator_free(inner);
    return 0;
}

WORKER_TEST(generator, delegates_what_is_sent, TEST_TIMEOUT_S)
{
    cr_expect_eq(run_workers(*workers, send_through, NULL), 0);
}

/* Sleeps and yields to other fibers between its values. */
static int wait_between(weft_generator *self, void *arg)
{
    int error = 0;

    for (int i = 1; error == 0; i++) {
        error = i % 4 ? weft_yield() : weft_sleep(100 * WEFT_MICROSECOND);
        if (error == 0)
            error = weft_generator_yield(self, &i, NULL);
    }
    *(int *)arg = error;
    return error;
}

static int wait_in_generators(void *arg)
{
    int error = 0;
    weft_generator *generator = must_create(wait_between, &error);

    (void)arg;
    for (int i = 1; i <= 50; i++) {
        CHECK_EQ(next_int(generator), i);
        CHECK_EQ(weft_yield(), 0);
    }
    weft_cancel(weft_self());
    CHECK_EQ(weft_generator_next(generator, NULL), -ECANCELED); /* from the call that waits */
    CHECK_EQ(error, -ECANCELED);
    weft_generator_free(generator);
    return 0;
}

static int spawn_many(void *arg)
{
    enum { FIBERS = 20 };
    weft_fiber *fibers[FIBERS];

    for (int i = 0; i < FIBERS; i++)
        fibers[i] = must_spawn(wait_in_generators, arg);
    for (int i = 0; i < FIBERS; i++)
        CHECK_EQ(must_join(fibers[i]), 0);
    return 0;
}

/* A call that waits makes the fiber wait, and the generator goes on wherever the fiber does. */
WORKER_TEST(generator, may_wait_in_a_fiber, TEST_TIMEOUT_S)
{
    cr_expect_eq(run_workers(*workers, spawn_many, NULL), 0);
}

static int ask_thrice(void *arg)
{
    for (int i = 0; i < 3; i++)
        CHECK_EQ(weft_generator_next(arg, NULL), 0);
    return 0;
}

static void *ask_in_thread(void *arg)
{
    (void)ask_thrice(arg);
    return NULL;
}

static int pass_on(void *arg)
{
    int limit = 100;
    pthread_t thread;
    weft_generator *generator = must_create(count_to, &limit);

    (void)arg;
    CHECK_EQ(next_int(generator), 1);
    CHECK_EQ(must_join(must_spawn(ask_thrice, generator)), 0);
    CHECK_EQ(pthread_create(&thread, NULL, ask_in_thread, generator), 0);
    CHECK_EQ(pthread_join(thread, NULL), 0);
    CHECK_EQ(next_int(generator), 8);
    weft_generator_free(generator);
    return 0;
}

/* Begun in one fiber, continued in another and in a thread: it belongs to none of them. */
WORKER_TEST(generator, may_be_passed_on, TEST_TIMEOUT_S)
{
    cr_expect_eq(run_workers(*workers, pass_on, NULL), 0);
}

static int round_up(weft_generator *self, void *arg)
{
    CHECK_EQ(fegetround(), FE_DOWNWARD);
    CHECK_EQ(fesetround(FE_UPWARD), 0);
    return weft_generator_yield(self, arg, NULL);
}

/* As with a function: the mode is that of both. */
Test(generator, shares_the_rounding_mode, .timeout = TEST_TIMEOUT_S)
{
    weft_generator *generator = must_create(round_up, NULL);

    cr_expect_eq(fesetround(FE_DOWNWARD), 0);
    cr_expect_eq(weft_generator_next(generator, NULL), 0);
    cr_expect_eq(fegetround(), FE_UPWARD);
    cr_expect_eq(fesetround(FE_TONEAREST), 0);
    weft_generator_free(generator);
}

/* More than are kept for reuse, of several sizes, and sizes that there are not. */
Test(generator, come_in_many_sizes, .timeout = TEST_TIMEOUT_S)
{
    enum { COUNT = 200 };
    const uint32_t sizes[] = {0, 16, 17, 64, 1000, 8192};
    weft_generator *generators[COUNT];
    int limit = 2;

    for (int round = 0; round < 2; round++) {
        for (int i = 0; i < COUNT; i++) {
            cr_assert_eq(weft_generator_create(&generators[i], count_to, &limit, sizes[i % 6]), 0);
            cr_assert_eq(next_int(generators[i]), 1);
        }
        for (int i = 0; i < COUNT; i++) {
            cr_assert_eq(next_int(generators[i]), 2);
            weft_generator_free(generators[i]);
        }
    }
    generators[0] = NULL;
    cr_expect_eq(weft_generator_create(&generators[0], count_to, &limit, 15), -EINVAL);
    cr_expect_eq(weft_generator_create(&generators[0], count_to, &limit, 8193), -EINVAL);
    cr_expect_eq(weft_generator_create(&generators[0], count_to, &limit, UINT32_MAX), -EINVAL);
    cr_expect_null(generators[0]);
}

static int ask_itself(weft_generator *self, void *arg)
{
    (void)arg;
    return weft_generator_next(self, NULL);
}

CHILD(break_a_rule)
{
    int limit = 2;
    weft_generator *generator = must_create(parameter == 0 ? ask_itself : count_to, &limit);

    if (parameter == 0)
        return weft_generator_next(generator, NULL);
    if (parameter == 1)
        return weft_generator_yield(generator, NULL, NULL);
    if (parameter == 2)
        return weft_generator_throw(generator, 5, NULL);
    weft_generator_free(generator);
    if (parameter == 3)
        return weft_generator_next(generator, NULL);
    if (parameter == 4)
        return weft_generator_result(generator);
    weft_generator_free(generator);
    return 0;
}

/* Each would run on a stack that is in use, or will be, or pretend a success. */
Test(generator, broken_rules_abort, .timeout = TEST_TIMEOUT_S)
{
    static const char *const words[] = {"runs already", "does not run", "no negative errno",
                                        "was freed",    "was freed",    "was freed"};

    for (unsigned i = 0; i < sizeof words / sizeof *words; i++)
        expect_abort("break_a_rule", i, words[i]);
}
