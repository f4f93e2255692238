/* SPDX-License-Identifier: MIT */
/*
 * A pipeline of stages: numbers are made, several fibers factor them side by side, and the answers
 * come out in the order of the questions.
 */
#include <errno.h>
#include <stdio.h>
#include <weft.h>

enum { FIRST = 1000001, NUMBERS = 200, FACTORERS = 4, CAPACITY = 16 };

struct answer {
    int number;
    int smallest_factor;
};

WEFT_CHANNEL_DEFINE(questions, int)
WEFT_CHANNEL_DEFINE(answers, struct answer)

static questions asked = {WEFT_CHANNEL_INIT(int, NULL, 0)};
static struct answer buffer[CAPACITY];
static answers answered = {WEFT_CHANNEL_INIT(struct answer, buffer, CAPACITY)};

static int make(void *arg)
{
    int error = 0;

    (void)arg;
    for (int i = 0; i < NUMBERS && error == 0; i++)
        error = questions_send(&asked, FIRST + i, WEFT_FOREVER);
    questions_close(&asked); /* ends the stage, and that closes its results */
    return error;
}

static int factor(void *arg, void *item, void *result)
{
    struct answer *answer = result;
    int factor = 2;

    (void)arg;
    answer->number = *(int *)item;
    if (answer->number % 2 == 0)
        return WEFT_PIPELINE_DROP; /* not interesting */
    while (factor * factor <= answer->number && answer->number % factor != 0)
        factor++;
    answer->smallest_factor = factor * factor > answer->number ? answer->number : factor;
    return 0;
}

static int app(void *arg)
{
    struct weft_pipeline_stage stage = WEFT_PIPELINE_STAGE_INIT(factor, NULL, &asked.base,
                                                                &answered.base);
    weft_scope scope = WEFT_SCOPE_INIT;
    struct answer answer;
    int previous = 0;
    int primes = 0;
    int error;

    (void)arg;
    stage.fibers = FACTORERS;
    stage.is_ordered = true;
    error = weft_pipeline_spawn(&scope, &stage);
    if (error == 0)
        error = weft_scope_spawn(&scope, make, NULL);
    while (error == 0 && answers_receive(&answered, &answer, WEFT_FOREVER) == 0) {
        if (answer.number <= previous)
            error = -EIO;
        previous = answer.number;
        primes += answer.smallest_factor == answer.number;
    }
    error = weft_scope_close(&scope, error); /* the first failure of all, if there was one */
    printf("%d primes from %d to %d\n", primes, FIRST, FIRST + NUMBERS - 1);
    return error != 0 ? error : primes == 16 ? 0 : -EIO;
}

int main(void)
{
    return weft_run(NULL, app, NULL) < 0;
}
