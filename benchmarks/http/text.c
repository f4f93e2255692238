/* SPDX-License-Identifier: MIT */
/* Numbers as decimal text, and comparison without regard to case. */
#include "text.h"

#include <string.h>

size_t text_from_u64(char *out, uint64_t value)
{
    char digits[TEXT_U64_MAX];
    size_t at = sizeof digits;

    do {
        digits[--at] = (char)('0' + value % 10);
        value /= 10;
    } while (value > 0);
    memcpy(out, digits + at, sizeof digits - at);
    return sizeof digits - at;
}

bool text_to_u64(const char *text, size_t length, uint64_t max, uint64_t *value)
{
    uint64_t sum = 0;

    if (length == 0 || length >= TEXT_U64_MAX)
        return false; /* 19 digits cannot overflow */
    for (size_t i = 0; i < length; i++) {
        if (text[i] < '0' || text[i] > '9')
            return false;
        sum = sum * 10 + (uint64_t)(text[i] - '0');
    }
    if (sum > max)
        return false;
    *value = sum;
    return true;
}

bool text_equals_lower(const char *text, const char *lower, size_t length)
{
    for (size_t i = 0; i < length; i++) {
        char c = text[i];

        if (c >= 'A' && c <= 'Z')
            c = (char)(c + ('a' - 'A'));
        if (c != lower[i])
            return false;
    }
    return true;
}
