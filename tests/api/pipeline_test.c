/* SPDX-License-Identifier: MIT */
/* pipeline.h: stages of several fibers between two channels. */
#include "../support/fixture.h"
#include "../support/memory.h"
#include "../support/random.h"

#include <errno.h>
#include <stdatomic.h>
#include <string.h>

enum { ITEMS = TEST_IS_TSAN ? 300 : 2000, CAPACITY = 8, FIBERS = 5, FAILING = 77, ENOUGH = 20 };

WEFT_CHANNEL_DEFINE(ints, int)
WEFT_CHANNEL_DEFINE(squares, int64_t)

struct shared {
    ints in;
    squares out;
    squares last;
    int in_buffer[CAPACITY];
    int64_t out_buffer[CAPACITY];
    _Atomic(int) at_work;
    _Atomic(int) at_work_max;
    _Atomic(int) worked_on;
    _Atomic(bool) is_out_closed;
    int produced;    /* what ended the producer */
    int consumed;    /* and the consumer */
    int received;    /* by the consumer */
    int64_t sum;     /* of what it received */
    bool is_ordered; /* so it checks that */
    int step;        /* from one result to the next, if it is ordered */
    int enough;      /* results after which it closes the channel; 0: never */
    int failing;     /* item on which the stage fails, -1: none */
    uint64_t seed;
};

static void init(struct shared *shared, size_t capacity)
{
    *shared = (struct shared){.failing = -1, .step = 1, .seed = random_seed("pipeline")};
    CHECK_EQ(ints_init(&shared->in, shared->in_buffer, capacity), 0);
    CHECK_EQ(squares_init(&shared->out, shared->out_buffer, capacity), 0);
    CHECK_EQ(squares_init(&shared->last, NULL, 0), 0);
}

static int square(void *arg, void *item, void *result)
{
    struct shared *shared = arg;
    struct random random = random_stream(shared->seed, (uint64_t) * (int *)item);
    int number = *(int *)item;
    int others = atomic_fetch_add(&shared->at_work, 1);
    int most = atomic_load(&shared->at_work_max);

    while (others + 1 > most &&
           !atomic_compare_exchange_weak(&shared->at_work_max, &most, others + 1))
        ;
    CHECK_EQ((uintptr_t)item % _Alignof(max_align_t), 0);
    CHECK_EQ((uintptr_t)result % _Alignof(max_align_t), 0);
    for (unsigned i = random_below(&random, 4); i > 0; i--)
        (void)weft_yield();
    CHECK_EQ(*(int *)item, number); /* nobody else writes there */
    (void)atomic_fetch_sub(&shared->at_work, 1);
    (void)atomic_fetch_add(&shared->worked_on, 1);
    if (number == shared->failing)
        return -EXDEV;
    if (number % shared->step != 0)
        return WEFT_PIPELINE_DROP;
    *(int64_t *)result = (int64_t)number * number;
    return 0;
}

static int produce(void *arg)
{
    struct shared *shared = arg;
    int error = 0;

    for (int i = 0; i < ITEMS && error == 0; i++)
        error = ints_send(&shared->in, i, WEFT_FOREVER);
    shared->produced = error;
    ints_close(&shared->in);
    return error == -EPIPE ? 0 : error;
}

static void consume(struct shared *shared, squares *from)
{
    int64_t value;
    int64_t next = 0;

    while ((shared->consumed = squares_receive(from, &value, WEFT_FOREVER)) == 0) {
        if (shared->is_ordered)
            CHECK_EQ(value, next * next);
        next += shared->step;
        shared->sum += value;
        if (++shared->received == shared->enough)
            squares_close(from);
    }
}

static int consume_in_fiber(void *arg)
{
    struct shared *shared = arg;

    consume(shared, &shared->out);
    return 0;
}

static struct weft_pipeline_stage stage_of(struct shared *shared, uint32_t fibers)
{
    struct weft_pipeline_stage stage = WEFT_PIPELINE_STAGE_INIT(square, shared, &shared->in.base,
                                                                &shared->out.base);

    stage.fibers = fibers;
    stage.is_ordered = shared->is_ordered;
    return stage;
}

/* The sum of the squares of 0, step, 2 * step, ... below ITEMS. */
static int64_t sum_of_squares(int step)
{
    int64_t sum = 0;

    for (int64_t i = 0; i < ITEMS; i += step)
        sum += i * i;
    return sum;
}

static void run_one_stage(size_t capacity, uint32_t fibers, bool is_ordered, int step)
{
    struct shared shared;
    struct weft_pipeline_stage stage;
    weft_scope scope = WEFT_SCOPE_INIT;

    init(&shared, capacity);
    shared.is_ordered = is_ordered;
    shared.step = step;
    stage = stage_of(&shared, fibers);
    CHECK_EQ(weft_scope_spawn(&scope, produce, &shared), 0);
    CHECK_EQ(weft_pipeline_spawn(&scope, &stage), 0);
    memset(&stage, 0xee, sizeof stage); /* it was copied */
    consume(&shared, &shared.out);
    CHECK_EQ(weft_scope_close(&scope, 0), 0);
    CHECK_EQ(shared.consumed, -ENODATA);
    CHECK_EQ(shared.received, (ITEMS + step - 1) / step);
    CHECK_EQ(shared.sum, sum_of_squares(step));
    CHECK_EQ(shared.worked_on, ITEMS);
    CHECK(shared.at_work_max <= (int)(fibers > 0 ? fibers : 1));
}

static int run_stages(void *arg)
{
    bool is_ordered = *(bool *)arg;

    run_one_stage(CAPACITY, FIBERS, is_ordered, 1);
    run_one_stage(0, FIBERS, is_ordered, 1);
    run_one_stage(CAPACITY, 0, is_ordered, 1);
    run_one_stage(1, 3 * FIBERS, is_ordered, 7);
    return 0;
}

WORKER_TEST(pipeline, works_on_each_item_once, TEST_TIMEOUT_S)
{
    bool is_ordered = false;

    cr_expect_eq(run_workers(*workers, run_stages, &is_ordered), 0);
}

/* Those that are dropped must not hold up those behind them. */
WORKER_TEST(pipeline, an_ordered_stage_keeps_the_order, TEST_TIMEOUT_S)
{
    bool is_ordered = true;

    cr_expect_eq(run_workers(*workers, run_stages, &is_ordered), 0);
}

static int negate(void *arg, void *item, void *result)
{
    (void)arg;
    *(int64_t *)result = -*(int64_t *)item;
    return 0;
}

static int add_up(void *arg, void *item, void *result)
{
    CHECK(result == NULL);
    (void)atomic_fetch_add((_Atomic(int64_t) *)arg, *(int64_t *)item);
    return 0;
}

static int run_chain(void *arg)
{
    _Atomic(int64_t) sum = 0;
    struct shared shared;
    weft_scope scope = WEFT_SCOPE_INIT;
    struct weft_pipeline_stage stages[3];

    (void)arg;
    init(&shared, CAPACITY);
    stages[0] = stage_of(&shared, FIBERS);
    stages[1] = (struct weft_pipeline_stage)WEFT_PIPELINE_STAGE_INIT(negate, NULL, &shared.out.base,
                                                                     &shared.last.base);
    stages[2] = (struct weft_pipeline_stage)WEFT_PIPELINE_STAGE_INIT(add_up, &sum,
                                                                     &shared.last.base, NULL);
    stages[2].fibers = FIBERS;
    stages[2].is_ordered = true;
    for (int i = 0; i < 3; i++)
        CHECK_EQ(weft_pipeline_spawn(&scope, &stages[i]), 0);
    CHECK_EQ(weft_scope_spawn(&scope, produce, &shared), 0);
    CHECK_EQ(weft_scope_close(&scope, 0), 0);
    CHECK_EQ(atomic_load(&sum), -sum_of_squares(1));
    return 0;
}

WORKER_TEST(pipeline, the_end_of_one_stage_ends_the_next, TEST_TIMEOUT_S)
{
    cr_expect_eq(run_workers(*workers, run_chain, NULL), 0);
}

static int fail_in_the_middle(void *arg)
{
    bool is_ordered = *(bool *)arg;
    weft_scope scope = WEFT_SCOPE_INIT;
    weft_scope around = WEFT_SCOPE_INIT; /* not inside the one that fails */
    struct weft_pipeline_stage stage;
    struct shared shared;

    init(&shared, CAPACITY);
    shared.is_ordered = is_ordered;
    shared.failing = FAILING;
    stage = stage_of(&shared, FIBERS);
    CHECK_EQ(weft_scope_spawn(&around, consume_in_fiber, &shared), 0);
    CHECK_EQ(weft_pipeline_spawn(&scope, &stage), 0);
    CHECK_EQ(weft_scope_spawn(&scope, produce, &shared), 0);
    CHECK_EQ(weft_scope_close(&scope, 0), -EXDEV);
    CHECK_EQ(weft_scope_close(&around, 0), 0);
    CHECK_EQ(shared.consumed, -ENODATA);
    CHECK(shared.received < ITEMS);
    if (is_ordered) { /* the others wait behind the one that fails, so the stage gets no further */
        CHECK(shared.received <= FAILING);
        CHECK(shared.produced == -ECANCELED || shared.produced == -EPIPE);
    }
    return 0;
}

WORKER_TEST(pipeline, the_first_failure_ends_it, TEST_TIMEOUT_S)
{
    for (int is_ordered = 0; is_ordered <= 1; is_ordered++) {
        bool parameter = is_ordered == 1;

        cr_expect_eq(run_workers(*workers, fail_in_the_middle, &parameter), 0);
    }
}

static int want_no_more(void *arg)
{
    bool is_ordered = *(bool *)arg;
    weft_scope scope = WEFT_SCOPE_INIT;
    struct weft_pipeline_stage stage;
    struct shared shared;

    init(&shared, CAPACITY);
    shared.is_ordered = is_ordered;
    shared.enough = ENOUGH;
    stage = stage_of(&shared, FIBERS);
    CHECK_EQ(weft_pipeline_spawn(&scope, &stage), 0);
    CHECK_EQ(weft_scope_spawn(&scope, produce, &shared), 0);
    consume(&shared, &shared.out);
    CHECK_EQ(weft_scope_close(&scope, 0), 0);
    CHECK(shared.received >= ENOUGH && shared.received <= ENOUGH + CAPACITY);
    CHECK_EQ(shared.produced, -EPIPE);
    return 0;
}

/* Whether the rest is worked on is nobody's interest, but all must end, and without an error. */
WORKER_TEST(pipeline, closing_the_results_ends_it_without_a_failure, TEST_TIMEOUT_S)
{
    for (int is_ordered = 0; is_ordered <= 1; is_ordered++) {
        bool parameter = is_ordered == 1;

        cr_expect_eq(run_workers(*workers, want_no_more, &parameter), 0);
    }
}

static int produce_what_is_dropped(void *arg)
{
    struct shared *shared = arg;
    int error = ints_send(&shared->in, 0, WEFT_FOREVER);

    while (error == 0 && !atomic_load(&shared->is_out_closed))
        error = weft_yield();
    for (int i = 1; i < ITEMS && error == 0; i++)
        error = ints_send(&shared->in, i, WEFT_FOREVER);
    shared->produced = error;
    ints_close(&shared->in);
    return error == -EPIPE ? 0 : error;
}

static int want_one(void *arg)
{
    bool is_ordered = *(bool *)arg;
    weft_scope scope = WEFT_SCOPE_INIT;
    struct weft_pipeline_stage stage;
    struct shared shared;

    init(&shared, CAPACITY);
    shared.is_ordered = is_ordered;
    shared.enough = 1;
    shared.step = ITEMS; /* only the first has a result */
    stage = stage_of(&shared, FIBERS);
    CHECK_EQ(weft_pipeline_spawn(&scope, &stage), 0);
    CHECK_EQ(weft_scope_spawn(&scope, produce_what_is_dropped, &shared), 0);
    consume(&shared, &shared.out);
    atomic_store(&shared.is_out_closed, true);
    CHECK_EQ(weft_scope_close(&scope, 0), 0);
    CHECK_EQ(shared.received, 1);
    CHECK_EQ(shared.produced, -EPIPE);
    CHECK(shared.worked_on <= 1 + FIBERS); /* each notices by its next item */
    return 0;
}

/* It has nothing to send, and would go through all that there is. */
WORKER_TEST(pipeline, a_stage_that_drops_all_notices_that_the_results_are_closed, TEST_TIMEOUT_S)
{
    for (int is_ordered = 0; is_ordered <= 1; is_ordered++) {
        bool parameter = is_ordered == 1;

        cr_expect_eq(run_workers(*workers, want_one, &parameter), 0);
    }
}

static int wait_for_nothing(void *arg)
{
    struct shared shared;
    weft_scope scope = WEFT_SCOPE_INIT;
    struct weft_pipeline_stage stage;
    int64_t value;

    (void)arg;
    for (int i = 0; i < 3; i++) {
        init(&shared, 0);
        shared.is_ordered = i == 1;
        stage = stage_of(&shared, FIBERS);
        scope = (weft_scope)WEFT_SCOPE_INIT;
        CHECK_EQ(weft_scope_open(&scope, i == 2 ? weft_after(WEFT_MILLISECOND) : WEFT_FOREVER), 0);
        CHECK_EQ(weft_pipeline_spawn(&scope, &stage), 0);
        for (int j = 0; j < 20 * i; j++)
            (void)weft_yield();
        if (i < 2)
            CHECK_EQ(weft_scope_cancel(&scope), 0);
        CHECK_EQ(weft_scope_close(&scope, 0), i == 2 ? -ETIMEDOUT : -ECANCELED);
        CHECK_EQ(squares_try_receive(&shared.out, &value), -ENODATA);
        CHECK_EQ(ints_try_send(&shared.in, 1), -EPIPE);
    }
    return 0;
}

WORKER_TEST(pipeline, a_cancel_or_a_deadline_ends_its_waits, TEST_TIMEOUT_S)
{
    cr_expect_eq(run_workers(*workers, wait_for_nothing, NULL), 0);
}

static int start_with_little_room(void *arg)
{
    (void)arg;
    run_one_stage(CAPACITY, 1000, true, 1);
    return 0;
}

WORKER_TEST(pipeline, starts_as_many_fibers_as_there_is_room_for, TEST_TIMEOUT_S)
{
    struct weft_config config = WEFT_CONFIG_INIT;

    config.workers = *workers;
    config.max_fibers = 8;
    cr_expect_eq(run_config(&config, start_with_little_room, NULL), 0);
}

static int start_many_of_large_items(void *arg)
{
    enum { MEBIBYTES = 256, KIBIBYTES_PER_ITEM = 64 };
    weft_scope scope = WEFT_SCOPE_INIT;
    weft_channel *in;
    struct weft_pipeline_stage stage;
    unsigned long begin;

    (void)arg;
    CHECK_EQ(weft_channel_create(&in, KIBIBYTES_PER_ITEM * 1024, 0), 0);
    stage = (struct weft_pipeline_stage)WEFT_PIPELINE_STAGE_INIT(add_up, NULL, in, NULL);
    stage.fibers = MEBIBYTES * 1024 / KIBIBYTES_PER_ITEM;
    begin = memory_now().resident_kib;
    CHECK_EQ(weft_pipeline_spawn(&scope, &stage), 0);
    CHECK(memory_now().resident_kib < begin + MEBIBYTES * 1024 / 8);
    weft_channel_close(in);
    CHECK_EQ(weft_scope_close(&scope, 0), 0);
    weft_channel_free(in);
    return 0;
}

/* Room for the items of fibers that there is no room for, or that have none yet. */
Test(pipeline, memory_for_items_costs_what_is_used_of_it, .timeout = TEST_TIMEOUT_S)
{
    struct weft_config config = WEFT_CONFIG_INIT;

    if (TEST_IS_SANITIZED)
        cr_skip_test("a sanitizer writes down what is allocated");
    config.max_fibers = 8;
    cr_expect_eq(run_config(&config, start_many_of_large_items, NULL), 0);
}

static int refuse(void *arg)
{
    struct shared shared;
    weft_scope scope = WEFT_SCOPE_INIT;
    struct weft_pipeline_stage good;
    struct weft_pipeline_stage bad;
    weft_channel huge = WEFT_CHANNEL_INIT(int, NULL, 0);
    int64_t value;

    (void)arg;
    init(&shared, 0);
    good = stage_of(&shared, 1);
    bad = good;
    bad.fn = NULL;
    CHECK_EQ(weft_pipeline_spawn(&scope, &bad), -EINVAL);
    bad = good;
    bad.in = NULL;
    CHECK_EQ(weft_pipeline_spawn(&scope, &bad), -EINVAL);
    bad = good;
    bad.out = bad.in;
    CHECK_EQ(weft_pipeline_spawn(&scope, &bad), -EINVAL);
    bad = good;
    huge.item_size = UINT32_MAX;
    bad.in = &huge;
    bad.fibers = UINT32_MAX;
    CHECK_EQ(weft_pipeline_spawn(&scope, &bad), -ENOMEM);
    CHECK_EQ(weft_scope_cancel(&scope), 0);
    CHECK_EQ(weft_pipeline_spawn(&scope, &good), -ECANCELED);
    CHECK_EQ(squares_try_receive(&shared.out, &value), -EAGAIN); /* none started, none closed */
    CHECK_EQ(ints_try_send(&shared.in, 1), -EAGAIN);
    CHECK_EQ(weft_scope_close(&scope, 0), 0);
    return 0;
}

WORKER_TEST(pipeline, refuses_what_cannot_be_a_stage, TEST_TIMEOUT_S)
{
    struct shared shared;
    weft_scope scope = WEFT_SCOPE_INIT;
    struct weft_pipeline_stage stage;

    cr_expect_eq(run_workers(*workers, refuse, NULL), 0);
    init(&shared, 0);
    stage = stage_of(&shared, 1);
    cr_expect_eq(weft_pipeline_spawn(&scope, &stage), -EPERM, "a plain thread");
}
