/* SPDX-License-Identifier: MIT */
/* Buffered lines, beside those of the C library; and child processes and signals. */
#include "operations.h"

#include <fcntl.h>
#include <spawn.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

/* The C library's stream on a copy of `fd`, with a buffer as large as weft's. */
static bool open_stdio(struct place *p, int fd, const char *mode)
{
    int copy = fcntl(fd, F_DUPFD_CLOEXEC, 0);

    p->stdio = copy >= 0 ? fdopen(copy, mode) : NULL;
    return p->stdio != NULL && setvbuf(p->stdio, NULL, _IOFBF, OPERATION_BLOCK) == 0;
}

static bool set_up_reader(struct place *p)
{
    if (!place_pipe(p) || !open_stdio(p, p->in, "re"))
        return false;
    weft_reader_init(&p->reader, p->in, p->buffer, sizeof p->buffer);
    memset(p->blocks[0], 'w', OPERATION_BLOCK);
    for (unsigned i = 1; i <= OPERATION_MANY; i++)
        p->blocks[0][i * OPERATION_LINE - 1] = '\n';
    return true;
}

static bool put_lines(struct place *p, unsigned count)
{
    return place_put(p, count * OPERATION_LINE);
}

static const struct scene lines = {
    .set_up = set_up_reader, .prepare = put_lines, .is_for_one = true};

static bool plain_line(struct place *p)
{
    char line[OPERATION_LINE + 1];

    return fgets(line, sizeof line, p->stdio) != NULL && line[OPERATION_LINE - 1] == '\n';
}

static bool next_line(struct place *p)
{
    char *line;

    return weft_reader_line(&p->reader, &line, WEFT_FOREVER) == OPERATION_LINE;
}

static bool next_until(struct place *p)
{
    char *text;

    return weft_reader_until(&p->reader, '\n', &text, WEFT_FOREVER) == OPERATION_LINE;
}

OPERATION(reader_line, lines, 256, plain_line(p), next_line(p));
OPERATION(reader_until, lines, 256, plain_line(p), next_until(p));
OPERATION(reader_read, lines, 256,
          fread(p->blocks[1], 1, OPERATION_LINE, p->stdio) == OPERATION_LINE,
          weft_reader_read(&p->reader, p->blocks[1], OPERATION_LINE, WEFT_FOREVER) ==
              OPERATION_LINE);
OPERATION(reader_read_exact, lines, 256,
          fread(p->blocks[1], 1, OPERATION_LINE, p->stdio) == OPERATION_LINE,
          weft_reader_read_exact(&p->reader, p->blocks[1], OPERATION_LINE, WEFT_FOREVER) ==
              OPERATION_LINE);

static bool set_up_writer(struct place *p)
{
    if (!place_pipe(p) || !open_stdio(p, p->out, "we"))
        return false;
    weft_writer_init(&p->writer, p->out, p->buffer, sizeof p->buffer);
    return true;
}

static bool take_lines(struct place *p, unsigned count)
{
    return fflush(p->stdio) == 0 && weft_writer_flush(&p->writer, WEFT_FOREVER) == 0 &&
           place_take(p, count * OPERATION_LINE);
}

static const struct scene paper = {
    .set_up = set_up_writer, .clean = take_lines, .is_for_one = true};

static bool plain_put(struct place *p)
{
    return fwrite(p->blocks[1], 1, OPERATION_LINE, p->stdio) == OPERATION_LINE;
}

static bool put(struct place *p)
{
    return weft_writer_write(&p->writer, p->blocks[1], OPERATION_LINE, WEFT_FOREVER) ==
           OPERATION_LINE;
}

OPERATION(writer_write, paper, 256, plain_put(p), put(p));
OPERATION(writer_printf, paper, 256, fprintf(p->stdio, "%15u\n", i) == OPERATION_LINE,
          weft_writer_printf(&p->writer, WEFT_FOREVER, "%15u\n", i) == OPERATION_LINE);
OPERATION(writer_flush, paper, 256, plain_put(p) && fflush(p->stdio) == 0,
          put(p) && weft_writer_flush(&p->writer, WEFT_FOREVER) == 0);

static char *const nothing[] = {"true", NULL};

static bool start_plain(struct place *p, unsigned i)
{
    return posix_spawnp(&p->pids[i], nothing[0], NULL, NULL, nothing, environ) == 0;
}

/* They have ended, but nobody has asked. */
static bool start_all(struct place *p, unsigned count)
{
    siginfo_t info;
    bool is_ok = true;

    for (unsigned i = 0; i < count; i++)
        is_ok = is_ok && start_plain(p, i);
    for (unsigned i = 0; i < count && is_ok; i++)
        is_ok = waitid(P_PID, (id_t)p->pids[i], &info, WEXITED | WNOWAIT) == 0;
    return is_ok;
}

static bool wait_plain(struct place *p, unsigned i)
{
    return waitpid(p->pids[i], NULL, 0) == p->pids[i];
}

static bool wait_all(struct place *p, unsigned count)
{
    bool is_ok = true;

    for (unsigned i = 0; i < count; i++)
        is_ok &= wait_plain(p, i);
    return is_ok;
}

static const struct scene children = {.clean = wait_all};
static const struct scene zombies = {.prepare = start_all};

OPERATION(process_spawn, children, 4, start_plain(p, i),
          weft_process_spawn(&p->pids[i], nothing[0], NULL, NULL, nothing, environ, WEFT_FOREVER) ==
              0);
OPERATION(process_wait, zombies, 4, wait_plain(p, i),
          weft_process_wait(p->pids[i], NULL, WEFT_FOREVER) == 0);

static bool set_up_signals(struct place *p)
{
    sigemptyset(&p->signals);
    return sigaddset(&p->signals, SIGRTMIN) == 0;
}

/* To the process; whoever runs this has blocked it in all threads. */
static bool send_signals(struct place *p, unsigned count)
{
    bool is_ok = true;

    (void)p;
    for (unsigned i = 0; i < count; i++)
        is_ok &= sigqueue(getpid(), SIGRTMIN, (union sigval){.sival_int = (int)i}) == 0;
    return is_ok;
}

static bool take_signal(struct place *p)
{
    struct weft_signal got;

    return weft_signal_wait(&p->signals, &got, WEFT_FOREVER) == 0 && got.number == SIGRTMIN;
}

static const struct scene signals = {.set_up = set_up_signals, .prepare = send_signals};

OPERATION(signal_wait, signals, 16, sigwaitinfo(&p->signals, NULL) == SIGRTMIN, take_signal(p));
