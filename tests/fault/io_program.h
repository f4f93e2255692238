/* SPDX-License-Identifier: MIT */
/*
 * A program that does all kinds of input and output, in parts, while io_fault.h lets its requests
 * fail.  A call that returns the error is made again, and has to do then all that it should.
 */
#ifndef WEFT_TEST_IO_PROGRAM_H
#define WEFT_TEST_IO_PROGRAM_H

#include <stdbool.h>
#include <sys/types.h>

struct io_part {
    const char *name;
    void (*begin)(void); /* opens what it works with; NULL: nothing */
    void (*use)(void);   /* leaves all as it has found it */
    void (*end)(void);
    bool can_be_short; /* what it moves may come in pieces */
    int about;         /* IO_FAULT_PROCESSES and the like, or 0: descriptors that `begin` names */
};

/* All of it is done in a fiber. */
extern const struct io_part io_streams, io_messages, io_connections, io_waits;
extern const struct io_part io_files, io_names, io_splices;
extern const struct io_part io_processes, io_signals, io_lookups, io_new_fds;

/* How many calls have returned the error, since somebody set it to 0. */
extern int io_told;

/* Whether this is the error, which then has been told. */
bool io_is_told(ssize_t result);

/* Ends the test if that is an error. */
ssize_t io_must(ssize_t result, const char *call, const char *file, int line);

/* Does it again if it has failed as it was made to. */
#define AGAIN(call)                                  \
    __extension__({                                  \
        ssize_t result_ = (call);                    \
        if (io_is_told(result_))                     \
            result_ = (call);                        \
        io_must(result_, #call, __FILE__, __LINE__); \
    })

/* Closes it, whatever the close returns. */
void io_close(int fd);

enum { IO_BYTES = 6 };

extern const char io_text[IO_BYTES + 1];

/* Reads the text, until all has come. */
void io_expect_text(int fd);

#endif
