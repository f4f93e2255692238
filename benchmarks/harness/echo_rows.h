/* SPDX-License-Identifier: MIT */
/* The rows of the echo servers, the same in every C program that has one. */
#ifndef WEFT_BENCH_ECHO_ROWS_H
#define WEFT_BENCH_ECHO_ROWS_H

#include <stdint.h>

enum {
    BENCH_ECHO_BYTES = 64,       /* of a message, where a row says nothing else */
    BENCH_ECHO_COUNTS = 1 << 20, /* more than there are connections in any row */
    BENCH_ECHO_OPEN_CONNECTIONS = 64,
    BENCH_ECHO_WINDOW_MS = 1000,
    BENCH_ECHO_WINDOW_MS_QUICK = 500,
    /* Of the load generator: a rate above is a part of what the server can do, in per cent. */
    BENCH_ECHO_PART_OF_CAPACITY = 1000000,
};

#define BENCH_ECHO_TCP(count, host)                                                     \
    {                                                                                   \
        "echo/tcp/connections=" #count, BENCH_REPORT, 2, 1, count, bench_echo_tcp, host \
    }

/* With messages of so many bytes. */
#define BENCH_ECHO_TCP_OF(bytes, count, host)                                    \
    {                                                                            \
        "echo/tcp/connections=" #count "/size=" #bytes, BENCH_REPORT, 2, 1,      \
            bytes *UINT64_C(1) * BENCH_ECHO_COUNTS + count, bench_echo_tcp, host \
    }

#define BENCH_ECHO_OPEN(rate, host)                                                      \
    {                                                                                    \
        "echo/open/rate=" #rate, BENCH_REPORT, 2, 1, rate / BENCH_ECHO_OPEN_CONNECTIONS, \
            bench_echo_open, host                                                        \
    }

#define BENCH_ECHO_LOAD(percent, host)                                                         \
    {                                                                                          \
        "echo/open/load=" #percent, BENCH_REPORT, 2, 1, BENCH_ECHO_PART_OF_CAPACITY + percent, \
            bench_echo_open, host                                                              \
    }

#define BENCH_ECHO_TCPS(host)                                                    \
    BENCH_ECHO_TCP(1, host), BENCH_ECHO_TCP(16, host), BENCH_ECHO_TCP(64, host), \
        BENCH_ECHO_TCP(1000, host), BENCH_ECHO_TCP(10000, host),                 \
        BENCH_ECHO_TCP_OF(65536, 64, host)

#define BENCH_ECHO_OPENS(host)                                                                 \
    BENCH_ECHO_OPEN(6400, host), BENCH_ECHO_OPEN(19200, host), BENCH_ECHO_OPEN(38400, host),   \
        BENCH_ECHO_OPEN(57600, host), BENCH_ECHO_OPEN(76800, host), BENCH_ECHO_LOAD(10, host), \
        BENCH_ECHO_LOAD(25, host), BENCH_ECHO_LOAD(50, host), BENCH_ECHO_LOAD(75, host),       \
        BENCH_ECHO_LOAD(90, host), BENCH_ECHO_LOAD(95, host)

#define BENCH_ECHO(host) BENCH_ECHO_TCPS(host), BENCH_ECHO_OPENS(host)

/* And with as many connections as only some can keep: a thread's stack and its guard take two of
 * the kernel's 65,530 mappings for a process. */
#define BENCH_ECHO_MANY(host) \
    BENCH_ECHO_TCPS(host), BENCH_ECHO_TCP(50000, host), BENCH_ECHO_OPENS(host)

/* What a row of echo/tcp asks for. */
static inline unsigned bench_echo_connections(uint64_t parameter)
{
    return (unsigned)(parameter % BENCH_ECHO_COUNTS);
}

static inline unsigned bench_echo_bytes(uint64_t parameter)
{
    unsigned bytes = (unsigned)(parameter / BENCH_ECHO_COUNTS);

    return bytes > 0 ? bytes : BENCH_ECHO_BYTES;
}

/* A server's buffer: with room for more than a message, so that a read also says that there is no
 * more. */
static inline unsigned bench_echo_buffer(unsigned bytes)
{
    return 4 * bytes;
}

#endif
