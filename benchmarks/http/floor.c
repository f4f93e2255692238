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

uint16_t floor_parse_port(int argc, char **argv, const char *usage)
{
    static const struct option options[] = {{"port", required_argument, NULL, 'p'},
                                            {"help", no_argument, NULL, 'h'},
                                            {NULL, 0, NULL, 0}};
    long port = 0;
    int option;

    while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
        char *end = NULL;

        if (option == 'p')
            port = strtol(optarg, &end, 10);
        if (option != 'p' || end == optarg || *end != '\0' || port < 0 || port > 65535) {
            fputs(usage, option == 'h' ? stdout : stderr);
            exit(option == 'h' ? 0 : 2);
        }
    }
    return (uint16_t)port;
}
