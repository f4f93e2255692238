/* SPDX-License-Identifier: MIT */
/* resolve.h: names that need no network, and lookups that nobody waits for any more. */
#define _GNU_SOURCE 1

#include "../support/fixture.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdatomic.h>
#include <unistd.h>

static const struct addrinfo numeric = {
    .ai_family = AF_INET, .ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICHOST | AI_NUMERICSERV};

static int find_addresses(void *arg)
{
    struct addrinfo strange = {.ai_family = 12345};
    struct addrinfo *found = NULL;

    (void)arg;
    CHECK_EQ(weft_resolve("127.0.0.1", "80", &numeric, &found, WEFT_FOREVER), 0);
    CHECK(found != NULL && found->ai_family == AF_INET);
    CHECK_EQ(ntohs(((struct sockaddr_in *)(void *)found->ai_addr)->sin_port), 80);
    freeaddrinfo(found);
    CHECK_EQ(weft_resolve("localhost", NULL, NULL, &found, WEFT_FOREVER), 0);
    freeaddrinfo(found);
    found = NULL;
    CHECK_EQ(weft_resolve("not.numeric", "80", &numeric, &found, WEFT_FOREVER), -ENOENT);
    CHECK_EQ(weft_resolve("127.0.0.1", "no-such-service", NULL, &found, WEFT_FOREVER), -ENOENT);
    CHECK_EQ(weft_resolve(NULL, NULL, NULL, &found, WEFT_FOREVER), -ENOENT);
    CHECK_EQ(weft_resolve("127.0.0.1", NULL, &strange, &found, WEFT_FOREVER), -EINVAL);
    CHECK(found == NULL);
    return 0;
}

WORKER_TEST(resolve, finds_what_needs_no_server, TEST_TIMEOUT_S)
{
    cr_expect_eq(run_workers(*workers, find_addresses, NULL), 0);
}

Test(resolve, plain_threads_may_ask, .timeout = TEST_TIMEOUT_S)
{
    cr_expect_eq(find_addresses(NULL), 0);
}

static int hold_the_pool(void *arg)
{
    _Atomic(int) *may_end = arg;

    while (!atomic_load(may_end))
        (void)usleep(1000);
    return 0;
}

static int hold_it(void *arg)
{
    return weft_blocking(hold_the_pool, arg, WEFT_FOREVER);
}

static int ask(void *arg)
{
    struct addrinfo *found = NULL;
    int error = weft_resolve("127.0.0.1", "80", &numeric, &found, *(weft_time *)arg);

    if (error == 0)
        freeaddrinfo(found);
    return error;
}

static int give_up(void *arg)
{
    static _Atomic(int) may_end;
    weft_time soon = weft_after(5 * WEFT_MILLISECOND), never = WEFT_FOREVER;
    weft_fiber *holder = must_spawn(hold_it, &may_end), *fiber;

    (void)arg;
    CHECK_EQ(weft_sleep(10 * WEFT_MILLISECOND), 0);
    CHECK_EQ(ask(&soon), -ETIMEDOUT);
    fiber = must_spawn(ask, &never);
    CHECK_EQ(weft_sleep(WEFT_MILLISECOND), 0);
    weft_cancel(fiber);
    CHECK_EQ(must_join(fiber), -ECANCELED);
    atomic_store(&may_end, 1);
    CHECK_EQ(must_join(holder), 0);
    return ask(&never);
}

/* The only thread is busy, as with a name server that does not answer.  Whoever asks gets away all
 * the same, and what was asked is finished, and freed, by nobody's leave. */
Test(resolve, a_deadline_leaves_the_lookup_behind, .timeout = TEST_TIMEOUT_S)
{
    struct weft_config config = {.workers = 2, .blocking_threads = 1};

    cr_expect_eq(run_config(&config, give_up, NULL), 0);
}

static int race_with_deadlines(void *arg)
{
    enum { ROUNDS = 300 };
    int found = 0, late = 0;

    (void)arg;
    for (int i = 0; i < ROUNDS; i++) {
        weft_time deadline = weft_after(i % 30 * 5 * WEFT_MICROSECOND);
        int error = ask(&deadline);

        CHECK(error == 0 || error == -ETIMEDOUT);
        found += error == 0;
        late += error != 0;
    }
    CHECK_EQ(found + late, ROUNDS);
    return 0;
}

/* Either who asks or the lookup goes last; the last one frees, once. */
WORKER_TEST(resolve, answers_race_with_deadlines, TEST_TIMEOUT_S)
{
    cr_expect_eq(run_workers(*workers, race_with_deadlines, NULL), 0);
}
