/* SPDX-License-Identifier: MIT */
/*
 * A request that fans out into a tree of requests.  Each inner one has a scope, so whatever ends it
 * ends all below it, and nothing of it runs on: a deadline in one branch, which does without the
 * answer; then a failure, which ends the whole.
 */
#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <weft.h>

enum { BRANCHES = 3, LEAVES = 4 };
enum behaviour { ANSWERS, HANGS, FAILS };

struct leaf {
    enum behaviour behaviour;
    int answer;
};

struct branch {
    struct leaf leaves[LEAVES];
    weft_time timeout; /* ns; 0: none of its own */
    int sum;
};

static atomic_int running;

static int ask_leaf(void *arg)
{
    struct leaf *leaf = arg;
    int error = 0;

    running++;
    if (leaf->behaviour == HANGS)
        error = weft_sleep_until(WEFT_FOREVER); /* only its scopes can end it */
    else if (leaf->behaviour == FAILS)
        error = -EIO;
    else
        leaf->answer = 1;
    running--;
    return error;
}

/* Fan-out over the leaves, fan-in at the close. */
static int ask_branch(void *arg)
{
    struct branch *branch = arg;
    weft_scope scope = WEFT_SCOPE_INIT;
    int error = 0;

    weft_scope_open(&scope, branch->timeout > 0 ? weft_after(branch->timeout) : WEFT_FOREVER);
    for (int i = 0; i < LEAVES && error == 0; i++)
        error = weft_scope_spawn(&scope, ask_leaf, &branch->leaves[i]);
    error = weft_scope_close(&scope, error);
    if (error == -ETIMEDOUT)
        printf("a branch was too slow: its answers so far must do\n");
    else if (error != 0)
        return error;
    for (int i = 0; i < LEAVES; i++)
        branch->sum += branch->leaves[i].answer;
    return 0;
}

static int ask(struct branch *branches, weft_time timeout)
{
    weft_scope scope = WEFT_SCOPE_INIT;
    int error = 0;
    int sum = 0;

    weft_scope_open(&scope, weft_after(timeout));
    for (int i = 0; i < BRANCHES && error == 0; i++)
        error = weft_scope_spawn(&scope, ask_branch, &branches[i]);
    error = weft_scope_close(&scope, error);
    for (int i = 0; i < BRANCHES; i++)
        sum += branches[i].sum;
    return error != 0 ? error : sum;
}

static int app(void *arg)
{
    static struct branch slow[BRANCHES];
    static struct branch broken[BRANCHES];
    int answer;

    (void)arg;
    slow[1].timeout = 20 * WEFT_MILLISECOND;
    slow[1].leaves[0].behaviour = HANGS;
    answer = ask(slow, 60 * WEFT_SECOND);
    printf("the answer is %d, and %d requests still run\n", answer, running);
    if (answer < (BRANCHES - 1) * LEAVES || running != 0)
        return -EIO;

    broken[0].leaves[0].behaviour = HANGS;
    broken[2].leaves[LEAVES - 1].behaviour = FAILS;
    answer = ask(broken, 60 * WEFT_SECOND);
    printf("the failure is %d, and %d requests still run\n", answer, running);
    return answer == -EIO && running == 0 ? 0 : -EIO;
}

int main(void)
{
    return weft_run(NULL, app, NULL) < 0;
}
