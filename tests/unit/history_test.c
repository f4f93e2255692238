/* SPDX-License-Identifier: MIT */
/* The judge of tests/stress/linearizability_test.c: it accepts what can be explained, and rejects a
 * wrong history of each object. */
#include "../support/fixture.h"
#include "../support/history_models.h"

#define OPS(...)                \
    (const struct history_op[]) \
    {                           \
        __VA_ARGS__,            \
        {                       \
            0, 0, 0, 0, 0       \
        }                       \
    }

/* Each operation: called, returned, kind, actor, value; up to one that returned at 0. */
static enum history_verdict judge(history_model *model, int first_word,
                                  const struct history_op *ops)
{
    struct history history = {0};
    struct history_state initial = {{first_word}};

    for (; ops->returned != 0; ops++)
        history_add_part(&history, ops->called, ops->returned, ops->kind, ops->actor, ops->value);
    return history_check(&history, &initial, model);
}

#define EXPECT_RIGHT(model, first_word, ...) \
    cr_expect_eq(judge(model, first_word, OPS(__VA_ARGS__)), HISTORY_EXPLAINED)
#define EXPECT_WRONG(model, first_word, ...) \
    cr_expect_eq(judge(model, first_word, OPS(__VA_ARGS__)), HISTORY_WRONG)

Test(history, nothing_needs_no_explanation, .timeout = TEST_TIMEOUT_S)
{
    cr_expect_eq(judge(model_mutex, 0, OPS({0, 0, 0, 0, 0})), HISTORY_EXPLAINED);
}

Test(history, a_mutex_has_one_holder, .timeout = TEST_TIMEOUT_S)
{
    EXPECT_RIGHT(model_mutex, 0, {0, 9, MUTEX_LOCK, 1, 0}, {1, 2, MUTEX_LOCK, 2, 0},
                 {3, 4, MUTEX_BUSY, 3, 0}, {5, 6, MUTEX_UNLOCK, 2, 0});
    /* The second lock returned before the first unlock was called. */
    EXPECT_WRONG(model_mutex, 0, {0, 2, MUTEX_LOCK, 1, 0}, {1, 3, MUTEX_LOCK, 2, 0},
                 {4, 5, MUTEX_UNLOCK, 1, 0}, {6, 7, MUTEX_UNLOCK, 2, 0});
    EXPECT_WRONG(model_mutex, 0, {0, 1, MUTEX_LOCK, 1, 0}, {2, 3, MUTEX_UNLOCK, 1, 0},
                 {4, 5, MUTEX_BUSY, 2, 0});
    EXPECT_WRONG(model_mutex, 0, {0, 1, MUTEX_LOCK, 1, 0}, {2, 3, MUTEX_UNLOCK, 2, 0});
}

Test(history, a_semaphore_gives_what_it_has, .timeout = TEST_TIMEOUT_S)
{
    EXPECT_RIGHT(model_semaphore, 3, {0, 1, SEMAPHORE_TAKE, 1, 2}, {2, 9, SEMAPHORE_TAKE, 2, 2},
                 {3, 4, SEMAPHORE_AVAILABLE, 3, 1}, {5, 6, SEMAPHORE_RELEASE, 1, 2},
                 {7, 8, SEMAPHORE_AVAILABLE, 3, 1});
    EXPECT_WRONG(model_semaphore, 3, {0, 1, SEMAPHORE_TAKE, 1, 2}, {2, 4, SEMAPHORE_TAKE, 2, 2},
                 {5, 6, SEMAPHORE_RELEASE, 1, 2});
    EXPECT_WRONG(model_semaphore, 3, {0, 1, SEMAPHORE_TAKE, 1, 2}, {2, 3, SEMAPHORE_RELEASE, 1, 2},
                 {4, 5, SEMAPHORE_AVAILABLE, 2, 2});
}

Test(history, of_a_semaphore_a_call_fails_if_others_wait, .timeout = TEST_TIMEOUT_S)
{
    EXPECT_RIGHT(model_semaphore, 1, {0, 5, SEMAPHORE_ASK, 1, 2}, {0, 5, SEMAPHORE_LEAVE, 1, 2},
                 {1, 2, SEMAPHORE_BUSY, 2, 1}, {3, 4, SEMAPHORE_TAKE, 2, 1});
    EXPECT_RIGHT(model_semaphore, 1, {0, 7, SEMAPHORE_ASK, 1, 2}, {0, 7, SEMAPHORE_ACQUIRE, 1, 2},
                 {1, 2, SEMAPHORE_BUSY, 2, 1}, {3, 4, SEMAPHORE_RELEASE, 2, 1},
                 {5, 6, SEMAPHORE_BUSY, 2, 1});
    /* The one that wants more does not wait, or has left. */
    EXPECT_WRONG(model_semaphore, 1, {0, 3, SEMAPHORE_BUSY, 1, 2}, {1, 2, SEMAPHORE_BUSY, 2, 1});
    EXPECT_WRONG(model_semaphore, 1, {0, 1, SEMAPHORE_ASK, 1, 2}, {0, 1, SEMAPHORE_LEAVE, 1, 2},
                 {2, 3, SEMAPHORE_BUSY, 2, 1});
    /* Neither a wait nor its end without permits is for one that finds them. */
    EXPECT_WRONG(model_semaphore, 1, {0, 1, SEMAPHORE_ASK, 1, 1}, {0, 1, SEMAPHORE_LEAVE, 1, 1});
    EXPECT_WRONG(model_semaphore, 1, {0, 1, SEMAPHORE_ASK, 1, 2}, {0, 1, SEMAPHORE_ACQUIRE, 1, 2});
    EXPECT_WRONG(model_semaphore, 1, {0, 5, SEMAPHORE_ASK, 1, 2}, {0, 5, SEMAPHORE_ACQUIRE, 1, 2},
                 {1, 2, SEMAPHORE_BUSY, 2, 1}, {3, 4, SEMAPHORE_TAKE, 2, 1},
                 {6, 7, SEMAPHORE_RELEASE, 2, 1});
}

Test(history, a_writer_is_alone, .timeout = TEST_TIMEOUT_S)
{
    EXPECT_RIGHT(model_rwlock, 0, {0, 2, RWLOCK_READ, 1, 0}, {1, 3, RWLOCK_READ, 2, 0},
                 {4, 9, RWLOCK_WRITE, 3, 0}, {5, 6, RWLOCK_UNLOCK_READER, 1, 0},
                 {7, 10, RWLOCK_UNLOCK_READER, 2, 0}, {11, 12, RWLOCK_DOWNGRADE, 3, 0},
                 {13, 14, RWLOCK_READ, 1, 0});
    EXPECT_WRONG(model_rwlock, 0, {0, 1, RWLOCK_READ, 1, 0}, {2, 3, RWLOCK_WRITE, 2, 0},
                 {4, 5, RWLOCK_UNLOCK_READER, 1, 0});
    EXPECT_WRONG(model_rwlock, 0, {0, 1, RWLOCK_WRITE, 1, 0}, {2, 3, RWLOCK_READ, 2, 0},
                 {4, 5, RWLOCK_UNLOCK_WRITER, 1, 0});
    /* Another writer between the downgrade and the unlock. */
    EXPECT_WRONG(model_rwlock, 0, {0, 1, RWLOCK_WRITE, 1, 0}, {2, 3, RWLOCK_DOWNGRADE, 1, 0},
                 {4, 5, RWLOCK_WRITE, 2, 0}, {6, 7, RWLOCK_UNLOCK_READER, 1, 0});
}

Test(history, a_channel_is_a_bounded_queue, .timeout = TEST_TIMEOUT_S)
{
    EXPECT_RIGHT(model_channel, 1, {0, 1, CHANNEL_SEND, 1, 101}, {2, 3, CHANNEL_FULL, 2, 0},
                 {4, 9, CHANNEL_SEND, 2, 201}, {5, 6, CHANNEL_RECEIVE, 3, 101},
                 {7, 8, CHANNEL_RECEIVE, 3, 201}, {10, 11, CHANNEL_EMPTY, 3, 0},
                 {12, 13, CHANNEL_CLOSE, 1, 0}, {14, 15, CHANNEL_END, 3, 0},
                 {16, 17, CHANNEL_BROKEN, 2, 0});
    /* In the wrong order, though the sends came one after the other. */
    EXPECT_WRONG(model_channel, 2, {0, 1, CHANNEL_SEND, 1, 101}, {2, 3, CHANNEL_SEND, 2, 201},
                 {4, 5, CHANNEL_RECEIVE, 3, 201}, {6, 7, CHANNEL_RECEIVE, 3, 101});
    /* Twice. */
    EXPECT_WRONG(model_channel, 2, {0, 1, CHANNEL_SEND, 1, 101}, {2, 3, CHANNEL_RECEIVE, 2, 101},
                 {4, 5, CHANNEL_RECEIVE, 3, 101});
    /* Before it was sent. */
    EXPECT_WRONG(model_channel, 2, {0, 1, CHANNEL_RECEIVE, 2, 101}, {2, 3, CHANNEL_SEND, 1, 101});
    /* Lost. */
    EXPECT_WRONG(model_channel, 2, {0, 1, CHANNEL_SEND, 1, 101}, {2, 3, CHANNEL_EMPTY, 2, 0});
    /* More than there is room for. */
    EXPECT_WRONG(model_channel, 1, {0, 1, CHANNEL_SEND, 1, 101}, {2, 3, CHANNEL_SEND, 2, 201},
                 {4, 5, CHANNEL_RECEIVE, 3, 101});
    EXPECT_WRONG(model_channel, 1, {0, 1, CHANNEL_CLOSE, 1, 0}, {2, 3, CHANNEL_SEND, 2, 201});
    EXPECT_WRONG(model_channel, 1, {0, 1, CHANNEL_SEND, 1, 101}, {2, 3, CHANNEL_CLOSE, 1, 0},
                 {4, 5, CHANNEL_END, 2, 0});
}

Test(history, without_a_buffer_a_send_ends_with_its_receive, .timeout = TEST_TIMEOUT_S)
{
    EXPECT_RIGHT(model_channel, 0, {0, 3, CHANNEL_OFFER, 1, 101}, {0, 3, CHANNEL_TAKEN, 1, 101},
                 {1, 2, CHANNEL_RECEIVE, 2, 101}, {4, 7, CHANNEL_RECEIVE, 2, 102},
                 {5, 6, CHANNEL_OFFER, 1, 102}, {5, 6, CHANNEL_TAKEN, 1, 102});
    EXPECT_WRONG(model_channel, 0, {0, 1, CHANNEL_OFFER, 1, 101}, {0, 1, CHANNEL_TAKEN, 1, 101},
                 {2, 3, CHANNEL_RECEIVE, 2, 101});
    EXPECT_WRONG(model_channel, 0, {0, 1, CHANNEL_OFFER, 1, 101}, {0, 1, CHANNEL_TAKEN, 1, 101});
}

Test(history, a_signal_lets_one_go_and_a_broadcast_all, .timeout = TEST_TIMEOUT_S)
{
#define WAIT(called, returned, actor) \
    {called, returned, CONDITION_BEGIN, actor, 0}, {called, returned, CONDITION_GO_ON, actor, 0}
#define LOCK(at, actor)                      \
    {                                        \
        at, at + 1, CONDITION_LOCK, actor, 0 \
    }
#define UNLOCK(at, actor)                      \
    {                                          \
        at, at + 1, CONDITION_UNLOCK, actor, 0 \
    }

    EXPECT_RIGHT(model_condition, 0, LOCK(0, 1), WAIT(2, 20, 1), LOCK(3, 2), WAIT(5, 30, 2),
                 {10, 11, CONDITION_BROADCAST, 3, 0}, UNLOCK(21, 1), UNLOCK(31, 2));
    EXPECT_RIGHT(model_condition, 0, LOCK(0, 1), {2, 20, CONDITION_BEGIN, 1, 0},
                 {2, 20, CONDITION_LEAVE, 1, 0}, {2, 20, CONDITION_GO_ON, 1, 0}, UNLOCK(21, 1));
    /* Nobody has signalled. */
    EXPECT_WRONG(model_condition, 0, LOCK(0, 1), WAIT(2, 20, 1), UNLOCK(21, 1));
    /* One signal for two. */
    EXPECT_WRONG(model_condition, 0, LOCK(0, 1), WAIT(2, 20, 1), LOCK(3, 2), WAIT(5, 30, 2),
                 {10, 11, CONDITION_SIGNAL, 3, 0}, UNLOCK(21, 1), UNLOCK(31, 2));
    /* A signal before the wait. */
    EXPECT_WRONG(model_condition, 0, LOCK(0, 1), {2, 3, CONDITION_SIGNAL, 3, 0}, WAIT(4, 20, 1),
                 UNLOCK(21, 1));
    /* Back without the mutex. */
    EXPECT_WRONG(model_condition, 0, LOCK(0, 1), WAIT(2, 8, 1), LOCK(3, 2),
                 {5, 6, CONDITION_SIGNAL, 2, 0}, UNLOCK(9, 2), UNLOCK(11, 1));
}
