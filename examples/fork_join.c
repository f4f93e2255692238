/* SPDX-License-Identifier: MIT */
/* Counts the words of many texts by halving, on as many workers as want to take part. */
#include <ctype.h>
#include <inttypes.h>
#include <stdio.h>
#include <weft.h>

enum { TEXT_COUNT = 20000 };

static const char *const samples[] = {"one two three", "four five", "six", ""};

static uint64_t count_words(const char *text)
{
    uint64_t words = 0;

    for (bool was_space = true; *text != '\0'; text++) {
        bool is_space = isspace((unsigned char)*text) != 0;

        words += was_space && !is_space;
        was_space = is_space;
    }
    return words;
}

struct range {
    size_t begin, end;
};

/* uint64_t count(weft_team, struct range), count_fork(), count_join() and count_call() */
WEFT_TASK(count, uint64_t, struct range)

static uint64_t count(weft_team team, struct range range)
{
    size_t middle = range.begin + (range.end - range.begin) / 2;
    struct count_task upper;
    uint64_t words;

    /* A leaf.  It may block: here it gives way now and then; it could as well read its text from a
     * socket.  What its fiber has forked and not joined runs on other workers meanwhile. */
    if (range.end - range.begin == 1) {
        if (range.begin % 1000 == 0)
            (void)weft_sleep(WEFT_MILLISECOND / 10);
        return count_words(samples[range.begin % (sizeof samples / sizeof *samples)]);
    }
    count_fork(&team, &upper, (struct range){middle, range.end});
    words = count(team, (struct range){range.begin, middle});
    /* Runs the upper half here, unless another worker has taken it. */
    return words + count_join(&team, &upper);
}

static int app(void *arg)
{
    *(uint64_t *)arg = count_call((struct range){0, TEXT_COUNT});
    return 0;
}

int main(void)
{
    uint64_t words = 0;

    if (weft_run(NULL, app, &words) < 0)
        return 1;
    printf("%" PRIu64 " words\n", words);
    return words != TEXT_COUNT / 4 * 6;
}
