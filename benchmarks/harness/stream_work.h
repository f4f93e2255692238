/* SPDX-License-Identifier: MIT */
/* What the stream/... benchmarks of weft and its peers have in common: all but the sending. */
#ifndef WEFT_BENCH_STREAM_WORK_H
#define WEFT_BENCH_STREAM_WORK_H

#include "harness/bench.h"

#include <netinet/in.h>
#include <pthread.h>
#include <sched.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { STREAM_CHUNK = 1 << 18, STREAM_MIB = 1024, STREAM_MIB_QUICK = 256, STREAM_PAGE = 4096 };

struct stream {
    int out, in; /* two ends of a connection over loopback */
    uint64_t length, received, wrong;
    pthread_t receiver;
    uint64_t receiver_cpu_ns;
    uint64_t began_ns, began_cpu_ns;
    char *chunk; /* what is sent, again and again */
};

/* Where it comes to a page's first byte it looks whether that is the right page. */
static inline void *stream_receive(void *arg)
{
    struct stream *stream = arg;
    static char buffer[STREAM_CHUNK];
    struct timespec used;
    cpu_set_t cpus;
    ssize_t n;

    /* Whoever started us may have been pinned; the CPUs of the process are its first thread's. */
    if (sched_getaffinity(getpid(), sizeof cpus, &cpus) == 0)
        (void)sched_setaffinity(0, sizeof cpus, &cpus);
    while (stream->received < stream->length &&
           (n = recv(stream->in, buffer, sizeof buffer, 0)) > 0) {
        uint64_t at = -stream->received % STREAM_PAGE;

        for (; at < (uint64_t)n; at += STREAM_PAGE)
            stream->wrong += buffer[at] !=
                             (char)((stream->received + at) % STREAM_CHUNK / STREAM_PAGE);
        stream->received += (uint64_t)n;
    }
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &used);
    stream->receiver_cpu_ns = (uint64_t)used.tv_sec * 1000000000u + (uint64_t)used.tv_nsec;
    return NULL;
}

static inline int stream_connect(struct stream *stream)
{
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_addr = {.s_addr = htonl(INADDR_LOOPBACK)}};
    socklen_t length = sizeof address;
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    stream->out = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (bind(listener, (struct sockaddr *)&address, length) != 0 || listen(listener, 1) != 0 ||
        getsockname(listener, (struct sockaddr *)&address, &length) != 0 ||
        connect(stream->out, (struct sockaddr *)&address, length) != 0)
        return -1;
    stream->in = accept(listener, NULL, NULL);
    close(listener);
    return stream->in < 0 ? -1 : 0;
}

/* Returns whether there is a connection with a receiver at its end. */
static inline int stream_begin(struct bench *b, struct stream *stream)
{
    static char chunk[STREAM_CHUNK];

    memset(stream, 0, sizeof *stream);
    for (size_t i = 0; i < sizeof chunk; i++)
        chunk[i] = (char)(i / STREAM_PAGE);
    stream->chunk = chunk;
    stream->length = (uint64_t)(b->is_quick ? STREAM_MIB_QUICK : STREAM_MIB) << 20;
    if (stream_connect(stream) == 0 &&
        pthread_create(&stream->receiver, NULL, stream_receive, stream) == 0) {
        stream->began_cpu_ns = bench_cpu_ns();
        stream->began_ns = bench_now_ns();
        return 1;
    }
    bench_fail(b, "no connection");
    return 0;
}

/* The time ends when all has come.  The receiver's CPU time is not the sender's. */
static inline void stream_end(struct bench *b, struct stream *stream, uint64_t sent)
{
    double ns, cpu_ns, megabytes = (double)stream->length / 1e6;

    (void)shutdown(stream->out, SHUT_WR);
    pthread_join(stream->receiver, NULL);
    ns = (double)(bench_now_ns() - stream->began_ns);
    cpu_ns = (double)(bench_cpu_ns() - stream->began_cpu_ns - stream->receiver_cpu_ns);
    close(stream->out);
    close(stream->in);
    if (sent != stream->length || stream->received != stream->length || stream->wrong != 0)
        bench_fail(b, "%llu bytes were sent, %llu received, %llu pages were wrong",
                   (unsigned long long)sent, (unsigned long long)stream->received,
                   (unsigned long long)stream->wrong);
    bench_report(b, "mb_per_s", 1, megabytes / (ns / 1e9));
    bench_report(b, "cpu_us_per_mb", 0, cpu_ns / 1e3 / megabytes);
}

/* Sends some or all of it; returns how much. */
typedef ssize_t stream_send_fn(int fd, const char *bytes, size_t length);

static inline void stream_measure(struct bench *b, stream_send_fn *send_some)
{
    struct stream stream;
    uint64_t sent = 0;

    if (!stream_begin(b, &stream))
        return;
    while (sent < stream.length) {
        size_t at = sent % STREAM_CHUNK;
        ssize_t n = send_some(stream.out, stream.chunk + at, STREAM_CHUNK - at);

        if (n <= 0)
            break;
        sent += (uint64_t)n;
    }
    stream_end(b, &stream, sent);
}

#endif
