/* SPDX-License-Identifier: MIT */
/* Numbers as decimal text.  stdio is kept off the fibers' stacks: printf touches kilobytes. */
#ifndef HTTP_TEXT_H
#define HTTP_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { TEXT_U64_MAX = 20 }; /* digits of the longest uint64_t */

/* Writes `value` in decimal to `out`, which has room for TEXT_U64_MAX; returns the digits. */
size_t text_from_u64(char *out, uint64_t value);

/* Reads all of `text` as a decimal number of at most `max`; false leaves `*value` alone. */
bool text_to_u64(const char *text, size_t length, uint64_t max, uint64_t *value);

/* Whether two texts are the same but for the case of ASCII letters; `lower` is in lower case. */
bool text_equals_lower(const char *text, const char *lower, size_t length);

#endif
