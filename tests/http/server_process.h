/* SPDX-License-Identifier: MIT */
/*
 * The server under test: a process of its own, started on a free port and always ended.
 *
 * The executable is the one that WEFT_HTTP_SERVER names.  Everything here succeeds or ends the
 * test with a message.
 */
#ifndef HTTP_TEST_SERVER_PROCESS_H
#define HTTP_TEST_SERVER_PROCESS_H

#include <criterion/criterion.h>
#include <criterion/parameterized.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

enum { HTTP_TEST_TIMEOUT_S = 120, SERVER_OUTPUT_MAX = 8192 };

/* How the server is run; the number of a variant is the parameter of a test. */
struct variant {
    const char *mode;
    unsigned workers; /* 0 in the thread modes */
};

const struct variant *variant(unsigned number);

/* All variants, or those of the mode in WEFT_HTTP_TEST_MODE when that is set. */
struct criterion_test_params variants(void);

/* A test that runs once per variant, with `unsigned *number` as its parameter. */
#define HTTP_TEST(suite, name)               \
    ParameterizedTestParameters(suite, name) \
    {                                        \
        return variants();                   \
    }                                        \
    ParameterizedTest(unsigned *number, suite, name, .timeout = HTTP_TEST_TIMEOUT_S)

/* What happens between fork and exec. */
struct launch {
    const char *const *arguments; /* beside mode, workers and port; up to NULL; may be NULL */
    uint16_t port;                /* 0: any */
    long refused_call;            /* a system call that the kernel refuses, if refused_errno */
    int refused_errno;            /* 0: none is refused */
};

struct server_process {
    pid_t pid;
    uint16_t port;
    int output; /* its standard output */
    int errors; /* its standard error */
};

/* What remains of a server. */
struct server_end {
    int exit_status; /* -1 if a signal ended it */
    char output[SERVER_OUTPUT_MAX];
    char errors[SERVER_OUTPUT_MAX];
};

/* Starts a server and waits until it listens. */
void server_start(struct server_process *server, unsigned number, const struct launch *launch);

/* The same with arguments only: server_start_with(&server, number, "--root", path, NULL). */
void server_start_with(struct server_process *server, unsigned number, ...)
    __attribute__((sentinel));

/* Starts a server that is expected to end by itself, and waits for that. */
void server_run(unsigned number, const struct launch *launch, struct server_end *end);

/* Sends `signal`, waits for the end, and collects what there was to read. */
void server_end(struct server_process *server, int signal, struct server_end *end);

/* SIGTERM; asserts exit status 0 and that nothing was said on standard error. */
void server_stop(struct server_process *server);

/* Servers that are started later call no spare workers: these have descriptors of their own, and it
 * is chance whether they are called.  For tests that count descriptors. */
void servers_have_no_spares(void);

/* From /proc: descriptors in use, user and system time so far, resident memory, threads. */
unsigned server_descriptor_count(const struct server_process *server);
unsigned server_descriptor_highest(const struct server_process *server);
int64_t server_cpu_ms(const struct server_process *server);
int64_t server_resident_kib(const struct server_process *server);
unsigned server_thread_count(const struct server_process *server);

void sleep_ms(int64_t ms);
int64_t now_ms(void);

#endif
