/* SPDX-License-Identifier: MIT */
/*
 * A mixed load that should be able to go on for ever: connections, timers, channels, cancelled
 * scopes, storms of fibers, calls on the pool.  A line for each interval says what the process
 * holds and how late things were; scripts/soak.sh looks whether any of it grows.
 *
 * usage: soak SECONDS INTERVAL_MS [LEAK]
 *
 * LEAK plants one of the mistakes that the soak is there to find: memory, fd, vma, latency,
 * deadline.
 */
#define _GNU_SOURCE 1

#include "soak.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>
#include <weft.h>

enum {
    CLIENTS = 8,
    EXCHANGES = 200, /* before a client connects anew */
    SLEEPERS = 50,
    STORM = 1000,
    TICKERS = 20,
    LATE_MS = 100,     /* so late is missed */
    LEAK_BYTES = 8192, /* for each connection */
};

static struct {
    weft_time end;
    const char *leak;
    int port;
} soak;

static struct weft_stats last;

static bool leaks(const char *kind)
{
    return soak.leak != NULL && strcmp(soak.leak, kind) == 0;
}

void must(bool condition, const char *what)
{
    if (condition)
        return;
    (void)fprintf(stderr, "soak: %s\n", what);
    abort();
}

static bool goes_on(void)
{
    return weft_now() < soak.end;
}

static int echo(void *arg)
{
    int fd = (int)(intptr_t)arg;
    char bytes[256];
    ssize_t n;

    while ((n = weft_recv(fd, bytes, sizeof bytes, 0, weft_after(30 * WEFT_SECOND))) > 0)
        if (weft_send_all(fd, bytes, (size_t)n, 0, weft_after(30 * WEFT_SECOND)) < 0)
            break;
    (void)weft_close(fd);
    return 0;
}

static int serve(void *arg)
{
    int listener = (int)(intptr_t)arg;
    weft_scope clients = WEFT_SCOPE_INIT;
    int fd;

    while ((fd = weft_accept(listener, soak.end + WEFT_SECOND)) >= 0)
        must(weft_scope_spawn(&clients, echo, (void *)(intptr_t)fd) == 0, "spawn");
    must(weft_scope_close(&clients, 0) == 0, "a connection failed");
    return 0;
}

static void exchange(int fd)
{
    char bytes[64] = "what comes back is what went there";

    for (int i = 0; i < EXCHANGES && goes_on(); i++) {
        weft_time begin = weft_now();

        must(weft_send_all(fd, bytes, sizeof bytes, 0, WEFT_FOREVER) == sizeof bytes, "send");
        if (leaks("latency")) /* a hundredth more: what a busy machine adds must not hide it */
            (void)weft_sleep((weft_now() - (soak.end - soak_length())) / 100);
        for (size_t got = 0; got < sizeof bytes;) {
            ssize_t n = weft_recv(fd, bytes + got, sizeof bytes - got, 0, WEFT_FOREVER);

            must(n > 0, "receive");
            got += (size_t)n;
        }
        soak_note_latency(weft_now() - begin);
        (void)weft_sleep(2 * WEFT_MILLISECOND);
    }
}

static int call_server(void *arg)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)soak.port)};

    (void)arg;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    while (goes_on()) {
        int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

        must(fd >= 0, "socket");
        must(weft_connect(fd, (struct sockaddr *)&address, sizeof address, WEFT_FOREVER) == 0,
             "connect");
        exchange(fd);
        must(weft_close(fd) == 0, "close");
        if (leaks("memory"))
            memset(malloc(LEAK_BYTES), 1, LEAK_BYTES);
        if (leaks("fd"))
            must(dup(STDOUT_FILENO) >= 0, "dup");
        if (leaks("vma")) /* alternating rights keep two mappings from becoming one */
            must(mprotect(mmap(NULL, 8192, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0), 4096,
                          PROT_NONE) == 0,
                 "mmap");
    }
    return 0;
}

static int tick(void *arg)
{
    int64_t period = (5 + (int64_t)(intptr_t)arg) * WEFT_MILLISECOND;
    weft_timer timer = WEFT_TIMER_INIT;
    weft_time due = weft_after(period);
    int64_t count;

    must(weft_timer_arm(&timer, due, period, WEFT_TIMER_SKIP) == 0, "arm");
    for (uint64_t round = 0; goes_on(); round++) {
        must((count = weft_timer_wait(&timer, WEFT_FOREVER)) > 0, "timer");
        due += count * period;
        /* Of the rounds a share that grows. */
        if (leaks("deadline") && (int64_t)(round * 7919 % 1000) * soak_length() <
                                     300 * (weft_now() - soak.end + soak_length()))
            soak_note_missed();
        if (weft_now() - (due - period) > LATE_MS * WEFT_MILLISECOND)
            soak_note_missed();
    }
    return 0;
}

static int sleep_until_cancelled(void *arg)
{
    (void)arg;
    return weft_sleep(3600 * WEFT_SECOND);
}

/* Scopes full of sleepers that are cancelled, and some whose deadline passes. */
static int cancel_scopes(void *arg)
{
    (void)arg;
    for (unsigned round = 0; goes_on(); round++) {
        weft_scope scope = WEFT_SCOPE_INIT;

        if (round % 2 != 0)
            must(weft_scope_open(&scope, weft_after(WEFT_MILLISECOND)) == 0, "open");
        for (int i = 0; i < SLEEPERS; i++)
            if (weft_scope_spawn(&scope, sleep_until_cancelled, NULL) != 0)
                break; /* the deadline may have passed */
        if (round % 2 == 0)
            must(weft_scope_cancel(&scope) == 0, "cancel");
        must(weft_scope_close(&scope, 0) < 0, "a scope has not failed");
        (void)weft_sleep(5 * WEFT_MILLISECOND);
    }
    return 0;
}

static int do_little(void *arg)
{
    (void)weft_yield();
    return (int)(intptr_t)arg;
}

static int storm(void *arg)
{
    static weft_fiber *fibers[STORM];

    (void)arg;
    while (goes_on()) {
        for (int i = 0; i < STORM; i++)
            must(weft_spawn(&fibers[i], do_little, NULL) == 0, "spawn");
        for (int i = 0; i < STORM; i++)
            must(weft_join(fibers[i], NULL, WEFT_FOREVER) == 0, "join");
        (void)weft_sleep(50 * WEFT_MILLISECOND);
    }
    return 0;
}

static int read_zeros(void *arg)
{
    char bytes[512];
    int fd = open("/dev/zero", O_RDONLY | O_CLOEXEC);
    ssize_t n = fd >= 0 ? read(fd, bytes, sizeof bytes) : -1;

    (void)arg;
    (void)close(fd);
    return n == sizeof bytes ? 0 : -EIO;
}

static int use_pool(void *arg)
{
    (void)arg;
    while (goes_on()) {
        must(weft_blocking(read_zeros, NULL, WEFT_FOREVER) == 0, "blocking");
        (void)weft_sleep(3 * WEFT_MILLISECOND);
    }
    return 0;
}

static int produce(void *arg)
{
    weft_channel *channel = arg;
    int value = 1;

    for (; goes_on(); value++) {
        must(weft_channel_send(channel, &value, sizeof value, WEFT_FOREVER) == 0, "send a value");
        if (value % 64 == 0)
            (void)weft_sleep(2 * WEFT_MILLISECOND);
    }
    return 0;
}

static int consume(void *arg)
{
    weft_channel *channels = arg;
    int64_t values[2] = {0, 0};
    int got[2], open_count = 2;

    while (open_count > 0) {
        struct weft_select_case cases[] = {
            WEFT_RECEIVE_CASE(values[0] < 0 ? NULL : &channels[0], &got[0]),
            WEFT_RECEIVE_CASE(values[1] < 0 ? NULL : &channels[1], &got[1])};
        int index = weft_select(cases, 2, WEFT_FOREVER);

        must(index >= 0, "select");
        if (cases[index].result != 0) { /* closed, and empty */
            values[index] = -1;
            open_count--;
        }
    }
    return 0;
}

static int use_channels(void *arg)
{
    static int buffer[16];
    weft_channel channels[2];
    weft_scope producers = WEFT_SCOPE_INIT, consumers = WEFT_SCOPE_INIT;

    (void)arg;
    must(weft_channel_init(&channels[0], sizeof(int), buffer, 16) == 0 &&
             weft_channel_init(&channels[1], sizeof(int), NULL, 0) == 0,
         "channels");
    for (int i = 0; i < 3; i++)
        must(weft_scope_spawn(&consumers, consume, channels) == 0, "spawn");
    for (int i = 0; i < 4; i++)
        must(weft_scope_spawn(&producers, produce, &channels[i % 2]) == 0, "spawn");
    must(weft_scope_close(&producers, 0) == 0, "producers");
    weft_channel_close(&channels[0]);
    weft_channel_close(&channels[1]);
    must(weft_scope_close(&consumers, 0) == 0, "consumers");
    weft_channel_destroy(&channels[0]);
    weft_channel_destroy(&channels[1]);
    return 0;
}

static int run_load(void *arg)
{
    int (*const parts[])(void *) = {cancel_scopes, storm, use_pool, use_channels};
    int listener = weft_listen_tcp("127.0.0.1", 0);
    struct sockaddr_in address;
    socklen_t length = sizeof address;
    weft_scope load = WEFT_SCOPE_INIT;

    (void)arg;
    must(listener >= 0 && getsockname(listener, (struct sockaddr *)&address, &length) == 0,
         "listen");
    soak.port = ntohs(address.sin_port);
    must(weft_scope_spawn(&load, serve, (void *)(intptr_t)listener) == 0, "spawn");
    for (int i = 0; i < CLIENTS; i++)
        must(weft_scope_spawn(&load, call_server, NULL) == 0, "spawn");
    for (int i = 0; i < TICKERS; i++)
        must(weft_scope_spawn(&load, tick, (void *)(intptr_t)i) == 0, "spawn");
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++)
        must(weft_scope_spawn(&load, parts[i], NULL) == 0, "spawn");
    must(weft_scope_close(&load, 0) == 0, "the load failed");
    (void)weft_close(listener);
    return 0;
}

int main(int argc, char **argv)
{
    long seconds = argc > 2 ? strtol(argv[1], NULL, 10) : 0;
    long interval = argc > 2 ? strtol(argv[2], NULL, 10) : 0;
    int result;

    if (seconds <= 0 || interval <= 0) {
        (void)fprintf(stderr, "usage: soak SECONDS INTERVAL_MS [memory|fd|vma|latency|deadline]\n");
        return 2;
    }
    soak.leak = argc > 3 ? argv[3] : NULL;
    soak.end = weft_after(seconds * WEFT_SECOND);
    soak_begin(seconds * WEFT_SECOND, interval);
    result = weft_run(NULL, run_load, NULL);
    soak_end();
    must(result == 0, "the run failed");
    must(weft_stats_read(&last) == 0 && last.fibers_spawned == last.fibers_freed &&
             last.ops_submitted == last.ops_completed,
         "fibers or operations are missing");
    return 0;
}
