/* SPDX-License-Identifier: MIT */
#include "floor.h"

#include "date.h"
#include "plaintext.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char blank_line[] = "\r\n\r\n";

static char *put(char *out, const char *text, size_t length)
{
    memcpy(out, text, length);
    return out + length;
}

size_t floor_write_answers(char *out, unsigned count)
{
    const char *start = out;

    while (count-- > 0) {
        out = put(out, HTTP_OK_UP_TO_DATE, sizeof HTTP_OK_UP_TO_DATE - 1);
        date_copy(out);
        out = put(out + DATE_LENGTH, HTTP_PLAINTEXT_HEAD_REST, sizeof HTTP_PLAINTEXT_HEAD_REST - 1);
        out = put(out, HTTP_PLAINTEXT_BODY, sizeof HTTP_PLAINTEXT_BODY - 1);
    }
    return (size_t)(out - start);
}

unsigned floor_count_requests(unsigned char *matched, const char *input, size_t length)
{
    unsigned char at = *matched;
    unsigned count = 0;

    if (at == 0 && length >= 4 && memcmp(input + length - 4, blank_line, 4) == 0 &&
        memmem(input, length - 1, blank_line, 4) == NULL)
        return 1; /* by far the most common: one whole request */

    for (size_t i = 0; i < length; i++) {
        if (input[i] == blank_line[at])
            at++;
        else
            at = input[i] == '\r';
        if (at == 4) {
            at = 0;
            count++;
        }
    }
    *matched = at;
    return count;
}

/* The number that `text` is, if it is one from `min` to `max`; else -1. */
static long parse_number(const char *text, long min, long max)
{
    char *end;
    long value = strtol(text, &end, 10);

    return end != text && *end == '\0' && value >= min && value <= max ? value : -1;
}

uint16_t floor_parse_options(int argc, char **argv, const char *usage, unsigned *threads)
{
    static const struct option options[] = {{"port", required_argument, NULL, 'p'},
                                            {"threads", required_argument, NULL, 't'},
                                            {"help", no_argument, NULL, 'h'},
                                            {NULL, 0, NULL, 0}};
    long port = 0;
    int option;

    while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
        long value = -1;

        if (option == 'p') {
            value = port = parse_number(optarg, 0, UINT16_MAX);
        } else if (option == 't' && threads != NULL) {
            value = parse_number(optarg, 1, FLOOR_THREADS_MAX);
            *threads = (unsigned)value;
        }
        if (value < 0) {
            fputs(usage, option == 'h' ? stdout : stderr);
            exit(option == 'h' ? 0 : 2);
        }
    }
    return (uint16_t)port;
}
