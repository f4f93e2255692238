/* SPDX-License-Identifier: MIT */
/*
 * Fork-join: tasks that cost a few nanoseconds, and loops on top of them.
 *
 *   WEFT_TASK(fib, uint64_t, int)                 a task: uint64_t fib(weft_team, int)
 *
 *   static uint64_t fib(weft_team team, int n)
 *   {
 *       struct fib_task left;
 *       uint64_t right;
 *
 *       if (n < 2)
 *           return (uint64_t)n;
 *       fib_fork(&team, &left, n - 1);            others may take it from here on
 *       right = fib(team, n - 2);                 a plain call
 *       return fib_join(&team, &left) + right;    runs it here unless someone has taken it
 *   }
 *
 *   ... fib_call(40) ...                          from a fiber, or from anywhere else
 *
 * WEFT_TASK(name, result, argument) declares the function `name`, which the program then defines,
 * the type `struct name_task`, and three functions:
 *
 *   void   name_fork(weft_team *team, struct name_task *task, argument value)
 *   result name_join(weft_team *team, struct name_task *task)
 *   result name_call(argument value)
 *
 * WEFT_TASK_VOID(name, argument) is the same for a function that returns nothing.  Argument and
 * result can be of any type that can be assigned, a struct for instance; in C++ only of trivial
 * types, and a task must not throw.
 *
 * A forked task is a record in the frame of the function that forked it.  Joining it runs it right
 * there, as a call, unless a worker without work has taken it meanwhile and runs it in a fiber of
 * its own; then the joiner waits for that.  Nothing is allocated, and tasks nest as deep as the
 * stack allows.
 *
 * Rules, of which each that is seen to be broken aborts the program:
 *   - Each function joins what it has forked before it returns, the youngest first.
 *   - `team` is the parameter of the function that forks; calls of other tasks get it by value.
 *   - A task that another has forked may run before, beside or after what follows the fork.
 *
 * A task may block.  Where it runs in place, it blocks the fiber that joins it; meanwhile all
 * that this fiber has forked can be taken by others.  Between a fork and its join a fiber may wake
 * on another worker, as after any call that suspends.
 *
 * Floating-point modes: a task that was taken starts with the rounding mode and the exception masks
 * that its fiber had when it called name_call() or weft_parallel_for().  Whoever changes them while
 * it runs a task, and wants them in what it forks, makes such a call again.
 *
 * Cancel: forks and joins are never refused.  A task that was taken is cancelled with the fiber
 * that forked it, by the same error: if that is cancelled when the task is taken, or when it waits
 * in the join.  The join still waits for the task to end.  A shield (weft/scope.h) that the fiber
 * is in when the task is taken covers the task, and the scopes that are opened in it.
 *
 * On a plain thread, and where there is no memory, every task runs in place.
 */
#ifndef WEFT_TASK_H
#define WEFT_TASK_H

#include "base.h"

#include <stdbool.h>

#ifdef __cplusplus
extern "C" {
#endif

struct weft_task;
struct weft_task_deque;

/* What a task forks and joins with.  The fields are the library's. */
typedef struct weft_team {
    struct weft_task_deque *deque;
    struct weft_task **head; /* where the next task goes */
} weft_team;

/* The part of a task that does not depend on its types.  The fields are the library's. */
struct weft_task {
    void (*run)(weft_team team, struct weft_task *task);
    void *state;
    void *runner;
};

/* Where a fiber's tasks are; more follows in the library.  The fields are the library's. */
struct weft_task_deque {
    struct weft_task **limit; /* a fork at or above it calls the library */
};

/*
 * The functions below are what the macros are made of; programs do not call them.
 *
 * weft_team_begin() gives the calling fiber a deque, or finds the one that it has.
 *
 * Returns   what the first task gets; never fails.
 * Context   any.
 * Switches  never.
 */
WEFT_API weft_team weft_team_begin(void);

/*
 * Gives the deque back that weft_team_begin() gave.
 *
 * Returns   nothing; aborts if a task was forked and not joined.
 * Context   the caller of weft_team_begin().
 * Switches  never.
 */
WEFT_API void weft_team_end(weft_team team);

/*
 * A fork when the deque is full or someone wants tasks.
 *
 * Returns   the new head.
 * Context   any.
 * Switches  never.
 */
WEFT_API struct weft_task **weft_task_fork_slow(struct weft_task_deque *deque,
                                                struct weft_task **head, struct weft_task *task);

/*
 * A join of a task that others can see, or that the deque had no room for.
 *
 * Returns   the team to go on with; its `deque` is null if the task has run elsewhere.
 * Context   any.
 * Switches  yes, if the task was taken and is not done.
 * Cancel    waits all the same.
 */
WEFT_API weft_team weft_task_join_slow(struct weft_task_deque *deque, struct weft_task **head,
                                       struct weft_task *task);

#define WEFT_TASK_INLINE static inline __attribute__((always_inline, unused))

WEFT_TASK_INLINE void weft_task_push(weft_team *team, struct weft_task *task)
{
    struct weft_task **head = team->head;

    /* relaxed: a word that thieves set to null to ask for tasks.  The library publishes them. */
    if (__builtin_expect((uintptr_t)head <
                             (uintptr_t)__atomic_load_n(&team->deque->limit, __ATOMIC_RELAXED),
                         1)) {
        *head = task;
        team->head = head + 1;
    } else {
        team->head = weft_task_fork_slow(team->deque, head, task);
    }
}

/* Returns true if the caller is to run the task, false if it has been run. */
WEFT_TASK_INLINE bool weft_task_pop(weft_team *team, struct weft_task *task)
{
    struct weft_task **head = team->head - 1;
    weft_team after;

    /* A slot that others can see holds something else, and so does that of another task. */
    if (__builtin_expect(*head == task, 1)) {
        *head = NULL;
        team->head = head;
        return true;
    }
    after = weft_task_join_slow(team->deque, team->head, task);
    team->head = after.head;
    return after.deque != NULL;
}

#define WEFT_TASK(name, result_type, argument_type)                                     \
    static result_type name(weft_team team, argument_type argument);                    \
    struct name##_task {                                                                \
        struct weft_task base;                                                          \
        union {                                                                         \
            argument_type argument;                                                     \
            result_type result;                                                         \
        } value;                                                                        \
    };                                                                                  \
    static inline void name##_run(weft_team team, struct weft_task *base)               \
    {                                                                                   \
        struct name##_task *task = (struct name##_task *)(void *)base;                  \
        task->value.result = name(team, task->value.argument);                          \
    }                                                                                   \
    WEFT_TASK_FORK(name, argument_type)                                                 \
    WEFT_TASK_INLINE result_type name##_join(weft_team *team, struct name##_task *task) \
    {                                                                                   \
        if (!weft_task_pop(team, &task->base))                                          \
            return task->value.result;                                                  \
        return name(*team, task->value.argument);                                       \
    }                                                                                   \
    WEFT_TASK_INLINE result_type name##_call(argument_type argument)                    \
    {                                                                                   \
        weft_team team = weft_team_begin();                                             \
        result_type result = name(team, argument);                                      \
        weft_team_end(team);                                                            \
        return result;                                                                  \
    }

#define WEFT_TASK_VOID(name, argument_type)                                      \
    static void name(weft_team team, argument_type argument);                    \
    struct name##_task {                                                         \
        struct weft_task base;                                                   \
        struct {                                                                 \
            argument_type argument;                                              \
        } value;                                                                 \
    };                                                                           \
    static inline void name##_run(weft_team team, struct weft_task *base)        \
    {                                                                            \
        struct name##_task *task = (struct name##_task *)(void *)base;           \
        name(team, task->value.argument);                                        \
    }                                                                            \
    WEFT_TASK_FORK(name, argument_type)                                          \
    WEFT_TASK_INLINE void name##_join(weft_team *team, struct name##_task *task) \
    {                                                                            \
        if (weft_task_pop(team, &task->base))                                    \
            name(*team, task->value.argument);                                   \
    }                                                                            \
    WEFT_TASK_INLINE void name##_call(argument_type argument)                    \
    {                                                                            \
        weft_team team = weft_team_begin();                                      \
        name(team, argument);                                                    \
        weft_team_end(team);                                                     \
    }

#define WEFT_TASK_FORK(name, argument_type)                                      \
    WEFT_TASK_INLINE void name##_fork(weft_team *team, struct name##_task *task, \
                                      argument_type argument)                    \
    {                                                                            \
        task->base.run = name##_run;                                             \
        task->value.argument = argument;                                         \
        weft_task_push(team, &task->base);                                       \
    }

/*
 * Call `fn(begin, end, arg)` for pieces that together make up the range from `begin` to `end`, on
 * as many workers as want to take part.  `grain` is the most that `fn` is given at once; 0 leaves
 * that to the library, which gives large pieces first and small ones last.  A range is divided only
 * when a worker asks for a part of it.
 *
 * Returns   nothing, when every call has returned; never fails.
 * Context   any; on a plain thread all calls are made in place.
 * Switches  yes.
 * Cancel    the whole range is gone through all the same; `fn` may ask weft_is_cancelled().
 */
WEFT_API void weft_parallel_for(size_t begin, size_t end, size_t grain,
                                void (*fn)(size_t begin, size_t end, void *arg), void *arg);

#define WEFT_REDUCE_SIZE_MAX 1024

/* How a reduction is made.  Values are of any type, told by its size. */
struct weft_reduction {
    size_t size;          /* bytes of a value, 1 to WEFT_REDUCE_SIZE_MAX */
    const void *identity; /* what every partial value starts from */
    /* Adds the elements from `begin` to `end` to `*value`. */
    void (*fold)(void *value, size_t begin, size_t end, void *arg);
    /* Adds `*right` to `*left`; must be associative.  Elements of `left` come before. */
    void (*combine)(void *left, const void *right, void *arg);
    void *arg;
};

/*
 * Fold the range from `begin` to `end` into one value, like weft_parallel_for().  `*result` becomes
 * the identity with every element added, in order if `combine` is associative but not commutative.
 * `how->identity` may be `result` itself.
 *
 * Returns   0, or a negative errno with nothing called.
 * Context   any; on a plain thread everything is done in place.
 * Switches  yes.
 * Cancel    the whole range is gone through all the same.
 * Errors    -EINVAL (size out of range).
 */
WEFT_API WEFT_MUST_USE int weft_parallel_reduce(size_t begin, size_t end, size_t grain,
                                                const struct weft_reduction *how, void *result);

#ifdef __cplusplus
}
#endif

#endif
