/* SPDX-License-Identifier: MIT */
/* What the mode with a pool of threads promises and no other does. */
#include "fixture.h"
#include "http_client.h"
#include "server_process.h"

#include <criterion/criterion.h>
#include <string.h>

static bool has_pool(unsigned number)
{
    return strcmp(variant(number)->mode, "thread-pool") == 0;
}

/* The connections that come to it are more than its threads, and all are served. */
HTTP_TEST(pool, has_as_many_threads_as_it_was_told)
{
    enum { POOL = 3, CLIENTS = 40, ROUNDS = 3 };
    struct client clients[CLIENTS];
    struct server_process server;

    if (!has_pool(*number))
        return;
    server_start_with(&server, *number, "--pool=3", NULL);
    for (int i = 0; i < CLIENTS; i++)
        client_open(&clients[i], &server);
    for (int round = 0; round < ROUNDS; round++) {
        for (int i = 0; i < CLIENTS; i++)
            client_send_text(&clients[i], "GET /delay/1 HTTP/1.1\r\nHost: test\r\n\r\n");
        for (int i = 0; i < CLIENTS; i++)
            client_expect(&clients[i], 200);
    }
    /* One more watches; sanitizers have threads of their own. */
    if (!TEST_IS_SANITIZED)
        cr_expect_eq(server_thread_count(&server), POOL + 1);
    for (int i = 0; i < CLIENTS; i++)
        client_close(&clients[i]);
    server_stop(&server);
}

/* A thread that waits for a backend serves nobody else meanwhile: the others' requests wait. */
HTTP_TEST(pool, request_that_waits_keeps_its_thread)
{
    struct server_process server;
    struct client slow, other;

    if (!has_pool(*number))
        return;
    server_start_with(&server, *number, "--pool=1", NULL);
    /* They are accepted in this order, and what was ready first is served first. */
    client_open(&slow, &server);
    client_open(&other, &server);
    client_send_text(&slow, "GET /delay/300 HTTP/1.1\r\nHost: test\r\n\r\n");
    client_send_text(&other, "GET /plaintext HTTP/1.1\r\nHost: test\r\n\r\n");
    client_expect(&other, 200);
    cr_expect(client_is_readable(&slow, 0), "it came first and must have been answered first");
    client_expect(&slow, 200);

    /* Between two requests a connection has no thread. */
    client_send_text(&other, "GET /plaintext HTTP/1.1\r\nHost: test\r\n\r\n");
    client_expect(&other, 200);
    client_close(&slow);
    client_close(&other);
    server_stop(&server);
}
