/* SPDX-License-Identifier: MIT */
/*
 * Pipes: writers that share one for their records, and streams of bytes that either end, or a
 * third, closes at any time.
 *
 * What must hold whatever befalls them: a record that fits into PIPE_BUF is never mixed with those
 * of others, and those of one writer come in their order; what comes out of a stream went in, in
 * order, and by its end it is all of what was reported as written; an operation fails only with a
 * cause that it may have; and when the faults are over, all comes to its end.
 */
#include "scenario.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>

enum {
    STREAMS_MAX = 3,
    WRITERS_MAX = 4,
    RECORDS = 8, /* of each writer */
    PIECES = 12, /* that a producer writes */
    PIECE_MAX = 30000,
    PATIENCE_MAX_US = 20000,
};

struct world {
    enum scenario_bug bug;
    const char *failure;
};

/* The records of all writers, in one pipe. */
struct journal {
    struct world *world;
    int ends[2];
    unsigned writers;
    uint32_t seen[WRITERS_MAX]; /* records of each */
};

struct writer {
    struct journal *journal;
    uint32_t number;
};

struct record {
    uint32_t writer, number, length;
    char body[3 * PIPE_BUF];
};

struct stream {
    struct world *world;
    int ends[2];
    bool is_closed[2];
    size_t sent, received;
    bool has_ended; /* the consumer has seen the end */
};

static void require(struct world *world, bool holds, const char *rule)
{
    if (!holds && world->failure == NULL) {
        world->failure = rule;
        fprintf(stderr, "scenario: broken rule: %s\n", rule);
    }
}

static char byte_of(uint32_t of, size_t i)
{
    return (char)(of * 29 + i * 13 + (i >> 7));
}

/* Neither the pipe nor the operation has done anything. */
static bool is_to_repeat(ssize_t error)
{
    return error == -ENOBUFS || error == -ETIMEDOUT || error == -EMFILE || error == -ENOMEM;
}

static weft_time draw_deadline(void)
{
    return scenario_draw(3) == 0 ? weft_after(scenario_draw(PATIENCE_MAX_US) * WEFT_MICROSECOND)
                                 : WEFT_FOREVER;
}

static int make_pipe(int ends[2])
{
    int error;

    while ((error = weft_pipe(ends)) != 0 && is_to_repeat(error) &&
           weft_sleep(WEFT_MILLISECOND) == 0) {
    }
    return error;
}

/* A record in one piece: 0, or -errno. */
static ssize_t write_record(struct world *world, int fd, const struct record *record)
{
    size_t length = offsetof(struct record, body) + record->length;
    ssize_t n;

    if (length > PIPE_BUF)
        return weft_write_all(fd, record, length, WEFT_FOREVER);
    do
        n = weft_write(fd, record, length, draw_deadline());
    while (is_to_repeat(n));
    require(world, n < 0 || n == (ssize_t)length, "a short record is written in one piece");
    return n;
}

static int write_records(void *arg)
{
    struct writer *writer = arg;
    struct world *world = writer->journal->world;
    struct record *record = malloc(sizeof *record);
    unsigned limit = world->bug == BUG_LONG_RECORD ? sizeof record->body
                                                   : PIPE_BUF - offsetof(struct record, body) + 1;

    for (uint32_t i = 0; record != NULL && i < RECORDS && world->failure == NULL; i++) {
        ssize_t n;

        *record = (struct record){writer->number, i, scenario_draw(limit), ""};
        for (size_t j = 0; j < record->length; j++)
            record->body[j] = byte_of(writer->number + i, j);
        n = write_record(world, writer->journal->ends[1], record);
        require(world, n > 0 || is_to_repeat(n), "a record's write fails with a cause");
        if (scenario_draw(4) == 0)
            (void)weft_sleep(scenario_draw(3000) * WEFT_MICROSECOND);
    }
    free(record);
    return 0;
}

/* As weft_read_exact(), which gives up where there is no room in the kernel. */
static ssize_t read_all(int fd, void *buffer, size_t length)
{
    size_t done = 0;

    while (done < length) {
        ssize_t n = weft_read(fd, (char *)buffer + done, length - done, draw_deadline());

        if (n == 0)
            return done == 0 ? 0 : -ENODATA;
        if (n < 0 && !is_to_repeat(n))
            return n;
        done += n > 0 ? (size_t)n : 0;
    }
    return (ssize_t)length;
}

static ssize_t read_record(struct journal *journal, struct record *record)
{
    struct world *world = journal->world;
    ssize_t n = read_all(journal->ends[0], record, offsetof(struct record, body));

    if (n <= 0)
        return n;
    require(world,
            record->writer < journal->writers && record->length <= sizeof record->body &&
                record->number == journal->seen[record->writer],
            "records come whole, and those of a writer in their order");
    if (world->failure != NULL)
        return -EPROTO;
    journal->seen[record->writer]++;
    return record->length > 0 ? read_all(journal->ends[0], record->body, record->length) : n;
}

static int read_records(void *arg)
{
    struct journal *journal = arg;
    struct world *world = journal->world;
    struct record *record = malloc(sizeof *record);
    ssize_t n;

    if (record == NULL)
        return -ENOMEM;
    while ((n = read_record(journal, record)) > 0)
        for (size_t i = 0; i < record->length; i++)
            require(world, record->body[i] == byte_of(record->writer + record->number, i),
                    "a record comes whole");
    require(world, n == 0, "the end is one of a record");
    free(record);
    (void)weft_close(journal->ends[0]); /* after a failure that is what ends the writers */
    return 0;
}

static void keep_journal(struct journal *journal)
{
    struct writer writers[WRITERS_MAX];
    weft_scope scope = WEFT_SCOPE_INIT;
    weft_fiber *reader;

    if (weft_spawn(&reader, read_records, journal) != 0 ||
        weft_scope_open(&scope, WEFT_FOREVER) != 0)
        abort();
    for (unsigned i = 0; i < journal->writers; i++) {
        writers[i] = (struct writer){journal, i};
        if (weft_scope_spawn(&scope, write_records, &writers[i]) != 0)
            abort();
    }
    (void)weft_scope_close(&scope, 0);
    (void)weft_close(journal->ends[1]);
    require(journal->world, weft_join(reader, NULL, WEFT_FOREVER) == 0, "whoever reads ends");
    for (unsigned i = 0; i < journal->writers; i++)
        require(journal->world, journal->seen[i] == RECORDS, "every record comes");
}

static void close_end(struct stream *stream, int end)
{
    if (stream->is_closed[end])
        return;
    stream->is_closed[end] = true;
    (void)weft_close(stream->ends[end]);
}

static int produce(void *arg)
{
    struct stream *stream = arg;
    struct world *world = stream->world;
    char *piece = malloc(PIECE_MAX);
    ssize_t n = 0;

    for (unsigned i = 0; piece != NULL && i < PIECES && (n >= 0 || is_to_repeat(n)); i++) {
        size_t length = scenario_draw(8) == 0 ? 1 + scenario_draw(PIECE_MAX) : scenario_draw(400);

        for (size_t j = 0; j < length; j++)
            piece[j] = byte_of(0, stream->sent + j);
        if (stream->is_closed[1])
            break;
        n = weft_write(stream->ends[1], piece, length, draw_deadline());
        if (n >= 0)
            stream->sent += world->bug == BUG_SHORT_WRITE ? length : (size_t)n;
    }
    require(world,
            n >= 0 || is_to_repeat(n) || (n == -EPIPE && stream->is_closed[0]) ||
                (n == -EBADF && stream->is_closed[1]),
            "a write fails with a cause");
    free(piece);
    close_end(stream, 1);
    return 0;
}

static int consume(void *arg)
{
    struct stream *stream = arg;
    struct world *world = stream->world;
    unsigned patience = scenario_draw(3) == 0 ? scenario_draw(10) : UINT_MAX;
    char data[512];
    ssize_t n = 1;

    while (patience-- > 0 && (n > 0 || is_to_repeat(n)) && !stream->is_closed[0]) {
        if (scenario_draw(4) == 0)
            (void)!weft_poll_fd(stream->ends[0], POLLIN, draw_deadline());
        n = weft_read(stream->ends[0], data, 1 + scenario_draw(sizeof data), draw_deadline());
        for (ssize_t i = 0; i < n; i++)
            require(world, data[i] == byte_of(0, stream->received + (size_t)i),
                    "what comes out went in, in order");
        stream->received += n > 0 ? (size_t)n : 0;
    }
    require(world, n >= 0 || is_to_repeat(n) || (n == -EBADF && stream->is_closed[0]),
            "a read fails with a cause");
    stream->has_ended = n == 0;
    close_end(stream, 0);
    return 0;
}

/* Closes one of the ends under whoever uses it. */
static int disturb(void *arg)
{
    (void)weft_sleep(scenario_draw(5000) * WEFT_MICROSECOND);
    close_end(arg, (int)scenario_draw(2));
    return 0;
}

static int run_stream(void *arg)
{
    struct stream *stream = arg;
    struct world *world = stream->world;
    int (*const parts[])(void *) = {produce, consume, disturb};
    unsigned count = scenario_draw(3) == 0 ? 3 : 2;
    weft_fiber *fibers[3];

    for (unsigned i = 0; i < count; i++)
        if (weft_spawn(&fibers[i], parts[i], stream) != 0)
            abort();
    for (unsigned i = 0; i < count; i++)
        require(world, weft_join(fibers[i], NULL, WEFT_FOREVER) == 0, "a stream ends");
    require(world, stream->received <= stream->sent, "no byte comes that was not written");
    if (stream->has_ended)
        require(world, stream->received == stream->sent,
                "by the end all has come that was written");
    return 0;
}

int pipe_scenario(void *arg)
{
    struct world world = {.bug = (enum scenario_bug)(intptr_t)arg};
    struct journal journal = {.world = &world, .writers = 1 + scenario_draw(WRITERS_MAX)};
    struct stream streams[STREAMS_MAX];
    unsigned count = 1 + scenario_draw(STREAMS_MAX);
    weft_scope scope = WEFT_SCOPE_INIT;
    int error = make_pipe(journal.ends);

    /* All of them first: a number that is closed must not be another pipe's while somebody is about
     * to use it (ADR 0032, "begins at the same time"). */
    for (unsigned i = 0; i < count && error == 0; i++) {
        streams[i] = (struct stream){.world = &world};
        error = make_pipe(streams[i].ends);
    }
    if (error != 0 || weft_scope_open(&scope, WEFT_FOREVER) != 0)
        return -ENOMEM;
    for (unsigned i = 0; i < count; i++)
        if (weft_scope_spawn(&scope, run_stream, &streams[i]) != 0)
            return -ENOMEM;
    keep_journal(&journal);
    (void)weft_scope_close(&scope, 0);
    return world.failure == NULL ? 0 : -EPROTO;
}
