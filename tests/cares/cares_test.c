/* SPDX-License-Identifier: MIT */
/* weft_cares.h, against a name server on loopback that the test runs itself, on fibers. */
#define _GNU_SOURCE 1

#include "../support/fixture.h"
#include "../support/net.h"

#include <ares.h>
#include <arpa/inet.h>
#include <dlfcn.h>
#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <weft_cares.h>

enum { HEADER = 12, MESSAGE_MAX = 512, LOOKUPS = 50, TYPE_A = 1, TYPE_AAAA = 28 };
enum { NO_ERROR = 0, SERVER_FAILED = 2, NO_SUCH_NAME = 3, REFUSED = 5 };

struct server {
    int udp, tcp;
    char where[32]; /* as weft_cares_options wants it */
    weft_scope scope;
    _Atomic(int) slow_queries, second_queries, tcp_queries;
};

/* The name in a question, with dots.  Returns its length in the message, or 0. */
static size_t read_name(const unsigned char *message, size_t length, char *name, size_t size)
{
    size_t at = HEADER, out = 0;

    while (at < length && message[at] != 0) {
        size_t part = message[at++];

        if (part > 63 || at + part >= length || out + part + 2 > size)
            return 0;
        memcpy(name + out, message + at, part);
        out += part;
        name[out++] = '.';
        at += part;
    }
    name[out > 0 ? out - 1 : 0] = '\0';
    return at + 1 - HEADER;
}

/* What the server knows. */
struct answer {
    unsigned char code;
    bool is_cut; /* to be asked again by TCP */
    unsigned count;
    uint32_t addresses[2];
};

static bool find_answer(struct server *server, const char *name, bool by_tcp, struct answer *answer)
{
    unsigned number;

    *answer = (struct answer){.code = NO_ERROR};
    if (strcmp(name, "two.test") == 0)
        *answer = (struct answer){.count = 2, .addresses = {0x0a000001, 0x0a000002}};
    else if (strcmp(name, "none.test") == 0)
        answer->code = NO_SUCH_NAME;
    else if (strcmp(name, "failed.test") == 0)
        answer->code = SERVER_FAILED;
    else if (strcmp(name, "refused.test") == 0)
        answer->code = REFUSED;
    else if (strcmp(name, "long.test") == 0)
        *answer = (struct answer){.is_cut = !by_tcp, .count = by_tcp, .addresses = {0x0a000009}};
    else if (strcmp(name, "second.test") == 0 && atomic_fetch_add(&server->second_queries, 1) > 0)
        *answer = (struct answer){.count = 1, .addresses = {0x0a000005}};
    else if (sscanf(name, "n%u.test", &number) == 1)
        *answer = (struct answer){.count = 1, .addresses = {0x0a010000 + number}};
    else {
        atomic_fetch_add(&server->slow_queries, 1);
        return false; /* it says nothing at all */
    }
    return true;
}

/* Turns a query into its answer.  Returns the length, 0 for none. */
static size_t answer_query(struct server *server, unsigned char *message, size_t length,
                           bool by_tcp)
{
    char name[256];
    size_t name_length = length > HEADER ? read_name(message, length, name, sizeof name) : 0;
    size_t end = HEADER + name_length + 4;
    struct answer answer;
    unsigned type;

    if (name_length == 0 || end > length || !find_answer(server, name, by_tcp, &answer))
        return 0;
    type = (unsigned)message[end - 4] << 8 | message[end - 3];
    if (type != TYPE_A)
        answer.count = 0;
    message[2] = (unsigned char)(0x84 | (answer.is_cut ? 2 : 0));
    message[3] = answer.code;
    memset(message + 6, 0, HEADER - 6);
    message[7] = (unsigned char)answer.count;
    for (unsigned i = 0; i < answer.count; i++) {
        static const unsigned char record[12] = {0xc0, HEADER, 0, TYPE_A, 0, 1, 0, 0, 0, 60, 0, 4};
        uint32_t address = htonl(answer.addresses[i]);

        memcpy(message + end, record, sizeof record);
        memcpy(message + end + sizeof record, &address, sizeof address);
        end += sizeof record + sizeof address;
    }
    return end;
}

static int serve_udp(void *arg)
{
    struct server *server = arg;
    unsigned char message[MESSAGE_MAX + 64];

    for (;;) {
        struct sockaddr_in from;
        socklen_t from_length = sizeof from;
        ssize_t n = weft_recvfrom(server->udp, message, MESSAGE_MAX, 0, (struct sockaddr *)&from,
                                  &from_length, WEFT_FOREVER);
        size_t length = n > 0 ? answer_query(server, message, (size_t)n, false) : 0;

        if (n < 0)
            return 0;
        if (length > 0)
            n = weft_sendto(server->udp, message, length, 0, (struct sockaddr *)&from, from_length,
                            WEFT_FOREVER);
        CHECK(n > 0 || n == -ECANCELED); /* a cancelled lookup may have left a question behind */
    }
}

static int serve_tcp(void *arg)
{
    struct server *server = arg;
    unsigned char message[MESSAGE_MAX + 64];
    int fd;

    while ((fd = weft_accept(server->tcp, WEFT_FOREVER)) >= 0) {
        unsigned char prefix[2];

        while (weft_read_exact(fd, prefix, 2, WEFT_FOREVER) == 2) {
            size_t length = (size_t)prefix[0] << 8 | prefix[1];

            if (length > MESSAGE_MAX ||
                weft_read_exact(fd, message, length, WEFT_FOREVER) != (ssize_t)length)
                break;
            (void)atomic_fetch_add(&server->tcp_queries, 1);
            length = answer_query(server, message, length, true);
            prefix[0] = (unsigned char)(length >> 8);
            prefix[1] = (unsigned char)length;
            if (weft_send_all(fd, prefix, 2, 0, WEFT_FOREVER) < 0 ||
                weft_send_all(fd, message, length, 0, WEFT_FOREVER) < 0)
                break;
        }
        (void)weft_close(fd);
    }
    return 0;
}

/* One port for both kinds: of ports that are free for the one, the first that is for the other. */
static void open_server(struct server *server)
{
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_addr = {.s_addr = htonl(INADDR_LOOPBACK)}};

    memset(server, 0, sizeof *server);
    for (server->udp = -1; server->udp < 0;) {
        server->tcp = weft_listen_tcp("127.0.0.1", 0);
        CHECK(server->tcp >= 0);
        address.sin_port = local_address(server->tcp).sin_port;
        server->udp = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
        CHECK(server->udp >= 0);
        if (bind(server->udp, (struct sockaddr *)&address, sizeof address) != 0) {
            CHECK_EQ(weft_close(server->tcp), 0);
            CHECK_EQ(weft_close(server->udp), 0);
            server->udp = -1;
        }
    }
    (void)snprintf(server->where, sizeof server->where, "127.0.0.1:%u", ntohs(address.sin_port));
    CHECK_EQ(weft_scope_spawn(&server->scope, serve_udp, server), 0);
    CHECK_EQ(weft_scope_spawn(&server->scope, serve_tcp, server), 0);
}

static void close_server(struct server *server)
{
    CHECK_EQ(weft_scope_cancel(&server->scope), 0);
    (void)weft_scope_close(&server->scope, 0);
    CHECK_EQ(weft_close(server->udp), 0);
    CHECK_EQ(weft_close(server->tcp), 0);
}

static weft_cares *make_resolver(const struct server *server, uint32_t timeout_ms, uint32_t tries)
{
    struct weft_cares_options options = WEFT_CARES_OPTIONS_INIT;
    weft_cares *dns = NULL;

    options.servers = server->where;
    options.no_files = 1;
    options.timeout_ms = timeout_ms;
    options.tries = tries;
    CHECK_EQ(weft_cares_create(&dns, &options), 0);
    return dns;
}

static int look_up(weft_cares *dns, const char *name, int family, uint32_t *first)
{
    struct weft_cares_address found[4];
    int count = weft_cares_lookup(dns, name, 53, family, found, 4, WEFT_FOREVER);

    if (count > 0) {
        const struct sockaddr_in *address = (const struct sockaddr_in *)&found[0].address;

        CHECK_EQ(found[0].length, sizeof *address);
        CHECK_EQ(ntohs(address->sin_port), 53);
        *first = ntohl(address->sin_addr.s_addr);
    }
    return count;
}

/* What a test does with a server, and with one who asks it. */
typedef void ask_fn(struct server *server, weft_cares *dns);

static int run_beside_server(void *arg)
{
    ask_fn **ask = arg;
    struct server server;
    weft_cares *dns;

    open_server(&server);
    dns = make_resolver(&server, 0, 0);
    (*ask)(&server, dns);
    weft_cares_destroy(dns);
    close_server(&server);
    return 0;
}

static void run_on_both(unsigned workers, ask_fn *ask)
{
    static const uint32_t backends[] = {WEFT_BACKEND_AUTO, WEFT_BACKEND_EPOLL};

    for (size_t i = 0; i < sizeof backends / sizeof *backends; i++) {
        struct weft_config config = {.workers = workers, .backend = backends[i]};

        cr_assert_eq(run_config(&config, run_beside_server, &ask), 0);
    }
}

/* Versions of c-ares differ in it. */
static bool is_refusal(int error)
{
    return error == -EIO || error == -ECONNREFUSED;
}

static void ask_for_answers(struct server *server, weft_cares *dns)
{
    struct weft_cares_address found[1];
    uint32_t first = 0;

    (void)server;
    CHECK_EQ(look_up(dns, "two.test", AF_INET, &first), 2);
    CHECK(first == 0x0a000001 || first == 0x0a000002);
    CHECK_EQ(look_up(dns, "two.test", AF_UNSPEC, &first), 2);
    CHECK_EQ(weft_cares_lookup(dns, "two.test", 1, AF_INET, found, 1, WEFT_FOREVER), 1);
    CHECK_EQ(look_up(dns, "two.test", AF_INET6, &first), -ENOENT);
    CHECK_EQ(look_up(dns, "none.test", AF_INET, &first), -ENOENT);
    CHECK_EQ(look_up(dns, "none.test", AF_UNSPEC, &first), -ENOENT);
    CHECK(is_refusal(look_up(dns, "refused.test", AF_INET, &first)));
    CHECK(is_refusal(look_up(dns, "failed.test", AF_INET, &first)));
    /* An address is no name to be asked for. */
    CHECK_EQ(look_up(dns, "10.1.2.3", AF_INET, &first), 1);
    CHECK_EQ(first, 0x0a010203);
}

/* What the server says is what comes back, with a code for each way to say no. */
WORKER_TEST(cares, answers_come_back, TEST_TIMEOUT_S)
{
    run_on_both(*workers, ask_for_answers);
}

static void ask_for_long_answers(struct server *server, weft_cares *dns)
{
    uint32_t first = 0;

    CHECK_EQ(look_up(dns, "long.test", AF_INET, &first), 1);
    CHECK_EQ(first, 0x0a000009);
    CHECK_EQ(atomic_load(&server->tcp_queries), 1);
}

/* An answer that does not fit into a datagram is fetched by TCP. */
WORKER_TEST(cares, long_answers_come_by_tcp, TEST_TIMEOUT_S)
{
    run_on_both(*workers, ask_for_long_answers);
}

struct numbered {
    weft_cares *dns;
    unsigned number;
};

static int look_number_up(void *arg)
{
    const struct numbered *numbered = arg;
    uint32_t first = 0;
    char name[32];

    (void)snprintf(name, sizeof name, "n%u.test", numbered->number);
    CHECK_EQ(look_up(numbered->dns, name, AF_INET, &first), 1);
    CHECK_EQ(first, 0x0a010000 + numbered->number);
    return 0;
}

static void ask_at_once(struct server *server, weft_cares *dns)
{
    struct numbered numbered[LOOKUPS];
    weft_scope scope = WEFT_SCOPE_INIT;

    (void)server;
    for (unsigned i = 0; i < LOOKUPS; i++) {
        numbered[i] = (struct numbered){dns, i};
        CHECK_EQ(weft_scope_spawn(&scope, look_number_up, &numbered[i]), 0);
    }
    CHECK_EQ(weft_scope_close(&scope, 0), 0);
}

/* Lookups by one resolver share nothing that is written: each gets its own answer. */
WORKER_TEST(cares, lookups_at_once_get_their_own_answers, TEST_TIMEOUT_S)
{
    run_on_both(*workers, ask_at_once);
}

static void wait_for_silence(struct server *server, weft_cares *dns)
{
    struct weft_cares_address found[1];
    weft_time deadline = weft_after(5 * WEFT_MILLISECOND);
    weft_cares *impatient;
    uint32_t first = 0;

    CHECK_EQ(weft_cares_lookup(dns, "slow.test", 0, AF_INET, found, 1, deadline), -ETIMEDOUT);
    CHECK(weft_now() >= deadline);
    CHECK_EQ(weft_cares_lookup(dns, "slow.test", 0, AF_INET, found, 1, 0), -ETIMEDOUT);

    impatient = make_resolver(server, 10, 2);
    CHECK_EQ(look_up(impatient, "slow.test", AF_INET, &first), -EAGAIN);
    weft_cares_destroy(impatient);
    /* The first query gets no answer; those after it do. */
    impatient = make_resolver(server, 20, 10);
    CHECK_EQ(look_up(impatient, "second.test", AF_INET, &first), 1);
    CHECK_EQ(first, 0x0a000005);
    CHECK(atomic_load(&server->second_queries) > 1);
    weft_cares_destroy(impatient);
}

/* The deadline ends a lookup, and so does the resolver's own patience, after its tries. */
WORKER_TEST(cares, silence_ends_by_deadline_or_after_tries, TEST_TIMEOUT_S)
{
    run_on_both(*workers, wait_for_silence);
}

static int look_up_slowly(void *arg)
{
    uint32_t first;

    CHECK_EQ(look_up(arg, "slow.test", AF_INET, &first), -ECANCELED);
    CHECK_EQ(look_up(arg, "two.test", AF_INET, &first), -ECANCELED);
    return 0;
}

static void cancel_lookups(struct server *server, weft_cares *dns)
{
    for (int i = 0; i < 20; i++) {
        int before = atomic_load(&server->slow_queries);
        weft_fiber *fiber = must_spawn(look_up_slowly, dns);

        /* At any moment, and when the server has been asked. */
        while (i % 2 == 0 && atomic_load(&server->slow_queries) == before)
            CHECK_EQ(weft_yield(), 0);
        weft_cancel(fiber);
        CHECK_EQ(must_join(fiber), 0);
    }
}

/* A cancelled lookup returns at once and leaves no socket behind, which the fixture counts. */
WORKER_TEST(cares, a_cancel_ends_a_lookup, TEST_TIMEOUT_S)
{
    run_on_both(*workers, cancel_lookups);
}

static void use_badly(struct server *server, weft_cares *dns)
{
    struct weft_cares_options options = WEFT_CARES_OPTIONS_INIT;
    struct weft_cares_address found[1];
    weft_cares *none = NULL;

    (void)server;
    options.reserved[3] = 1;
    CHECK_EQ(weft_cares_create(&none, &options), -EINVAL);
    options.reserved[3] = 0;
    options.no_files = 2;
    CHECK_EQ(weft_cares_create(&none, &options), -EINVAL);
    options.no_files = 1;
    options.servers = "no address";
    CHECK_EQ(weft_cares_create(&none, &options), -EINVAL);
    CHECK(none == NULL);
    weft_cares_destroy(none);
    CHECK_EQ(weft_cares_lookup(dns, NULL, 0, AF_INET, found, 1, WEFT_FOREVER), -EINVAL);
    CHECK_EQ(weft_cares_lookup(dns, "two.test", 0, AF_INET, found, 0, WEFT_FOREVER), -EINVAL);
    CHECK_EQ(weft_cares_lookup(dns, "two.test", 0, AF_UNIX, found, 1, WEFT_FOREVER), -EINVAL);
    CHECK(weft_cares_lookup(dns, "two..test", 0, AF_INET, found, 1, WEFT_FOREVER) < 0);
}

/* In the place of the library's own, which they call. */
static _Atomic(int) library_users;

int ares_library_init(int flags)
{
    int (*own)(int) = (int (*)(int))(uintptr_t)dlsym(RTLD_NEXT, "ares_library_init");

    atomic_fetch_add(&library_users, 1);
    return own(flags);
}

void ares_library_cleanup(void)
{
    void (*own)(void) = (void (*)(void))(uintptr_t)dlsym(RTLD_NEXT, "ares_library_cleanup");

    atomic_fetch_sub(&library_users, 1);
    own();
}

static int make_and_destroy(void *arg)
{
    struct weft_cares_options options = WEFT_CARES_OPTIONS_INIT;
    weft_cares *dns[2], *none = NULL;

    (void)arg;
    weft_cancel(weft_self()); /* what was begun is ended all the same */
    for (int i = 0; i < 2; i++)
        CHECK_EQ(weft_cares_create(&dns[i], &options), 0);
    options.servers = "no address";
    CHECK_EQ(weft_cares_create(&none, &options), -EINVAL);
    for (int i = 0; i < 2; i++)
        weft_cares_destroy(dns[i]);
    return 0;
}

static int make_many(void *arg)
{
    weft_fiber *fibers[20];

    for (int i = 0; i < 20; i++)
        fibers[i] = must_spawn(make_and_destroy, arg);
    for (int i = 0; i < 20; i++)
        CHECK_EQ(must_join(fibers[i]), 0);
    return 0;
}

/* c-ares counts who has begun to use it, and would keep what it has for ever. */
WORKER_TEST(cares, the_library_is_given_back, TEST_TIMEOUT_S)
{
    cr_expect_eq(run_workers(*workers, make_many, NULL), 0);
    cr_expect_eq(atomic_load(&library_users), 0);
}

/* Bad input is refused before anybody is asked. */
WORKER_TEST(cares, bad_input_is_refused, TEST_TIMEOUT_S)
{
    run_on_both(*workers, use_badly);
}

static void look_in_files(struct server *server, weft_cares *dns)
{
    struct weft_cares_address found[4];
    weft_cares *defaults;

    (void)server;
    (void)dns;
    CHECK_EQ(weft_cares_create(&defaults, NULL), 0);
    CHECK(weft_cares_lookup(defaults, "localhost", 80, AF_INET, found, 4, 0) >= 1);
    weft_cares_destroy(defaults);
}

/* /etc/hosts comes first, and needs no wait. */
WORKER_TEST(cares, files_come_first, TEST_TIMEOUT_S)
{
    run_on_both(*workers, look_in_files);
}

/* A plain thread has no fiber that could wait. */
Test(cares, plain_threads_are_refused, .timeout = TEST_TIMEOUT_S)
{
    struct weft_cares_address found[1];
    weft_cares *dns;

    cr_assert_eq(weft_cares_create(&dns, NULL), 0);
    cr_expect_eq(weft_cares_lookup(dns, "localhost", 0, AF_INET, found, 1, 0), -EPERM);
    weft_cares_destroy(dns);
}
