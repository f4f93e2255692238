/* SPDX-License-Identifier: MIT */
/* What the two floors do with the bytes: see the top of epoll_floor.c. */
#ifndef HTTP_FLOOR_H
#define HTTP_FLOOR_H

#include <stddef.h>
#include <stdint.h>

enum { FLOOR_ANSWER_ROOM = 160, FLOOR_THREADS_MAX = 1024 };

/* Writes as many answers; `out` has FLOOR_ANSWER_ROOM for each.  Returns their length. */
size_t floor_write_answers(char *out, unsigned count);

/*
 * Counts the blank lines in new input of a connection, also those that began in earlier input.
 * `*matched` is how much of a blank line the connection's last bytes were, at first 0.
 */
unsigned floor_count_requests(unsigned char *matched, const char *input, size_t length);

/* The port that --port asks for, and in `*threads`, if that is not NULL, what --threads does; that
 * is then left alone without the option.  Ends the process where the command line asks for help,
 * with `usage`, or is wrong. */
uint16_t floor_parse_options(int argc, char **argv, const char *usage, unsigned *threads);

#endif
