/* SPDX-License-Identifier: MIT */
/*
 * The Date header, formatted once a second for the whole process.
 *
 * Readers copy from a slot that has been published; whoever first notices that the second is over
 * fills the next slot and publishes that.  A slot is filled again only 64 seconds later, so a
 * reader would have to be stopped for a minute in the middle of its copy to see a mixed date.
 */
#include "date.h"

#include <stdatomic.h>
#include <string.h>
#include <time.h>

enum { SLOTS = 64, WORDS = DATE_ROOM / 8 };

static struct {
    _Atomic(int64_t) stale_at_ns; /* of coarse_now() */
    _Atomic(uint32_t) current;    /* the slot to read */
    atomic_flag is_filling;       /* held by the one thread that formats */
    _Atomic(uint64_t) slot[SLOTS][WORDS];
} date = {.is_filling = ATOMIC_FLAG_INIT};

int64_t coarse_now(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

static void put_two_digits(char *out, int64_t value)
{
    out[0] = (char)('0' + value / 10 % 10);
    out[1] = (char)('0' + value % 10);
}

/*
 * strftime would do, but for its locale, its time zone lock and its deep stack.  The conversion
 * of days to year, month and day counts years from March, so that the leap day comes last: the
 * months then have lengths that a line of slope 153 / 5 gives.
 */
static void format_date(char out[DATE_ROOM], int64_t unix_seconds)
{
    static const char days[] = "ThuFriSatSunMonTueWed"; /* 1970 began on a Thursday */
    static const char months[] = "MarAprMayJunJulAugSepOctNovDecJanFeb";
    const int64_t day = unix_seconds / 86400, second = unix_seconds % 86400;
    const int64_t shifted = day + 719468; /* days since the first of March of the year 0 */
    const int64_t era = shifted / 146097, day_of_era = shifted % 146097;
    const int64_t year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36524 -
                                 day_of_era / 146096) /
                                365;
    const int64_t day_of_year = day_of_era -
                                (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    const int64_t month = (5 * day_of_year + 2) / 153; /* 0 is March */
    const int64_t year = year_of_era + era * 400 + (month >= 10);

    memcpy(out, "Xxx, 00 Xxx 0000 00:00:00 GMT\r\n", DATE_ROOM);
    memcpy(out, days + 3 * (day % 7), 3);
    put_two_digits(out + 5, day_of_year - (153 * month + 2) / 5 + 1);
    memcpy(out + 8, months + 3 * month, 3);
    put_two_digits(out + 12, year / 100);
    put_two_digits(out + 14, year);
    put_two_digits(out + 17, second / 3600);
    put_two_digits(out + 20, second / 60 % 60);
    put_two_digits(out + 23, second % 60);
}

static void fill_next_slot(int64_t now_ns)
{
    /* relaxed: only the holder of is_filling writes `current`, and that is this thread. */
    uint32_t next = (atomic_load_explicit(&date.current, memory_order_relaxed) + 1) % SLOTS;
    struct timespec wall;
    char text[DATE_ROOM];

    clock_gettime(CLOCK_REALTIME, &wall);
    format_date(text, wall.tv_sec);
    for (int i = 0; i < WORDS; i++) {
        uint64_t word;

        memcpy(&word, text + 8 * i, sizeof word);
        /* relaxed: the release store of `current` below publishes the words. */
        atomic_store_explicit(&date.slot[next][i], word, memory_order_relaxed);
    }
    /* release: pairs with the acquire in date_copy(). */
    atomic_store_explicit(&date.current, next, memory_order_release);
    /* relaxed: a hint when to come here again; the slots do not depend on it. */
    atomic_store_explicit(&date.stale_at_ns, now_ns + 1000000000 - wall.tv_nsec,
                          memory_order_relaxed);
}

void date_start(void)
{
    fill_next_slot(coarse_now());
}

void date_copy(char *out)
{
    int64_t now_ns = coarse_now();
    uint32_t current;

    /* relaxed: see fill_next_slot(). */
    if (now_ns >= atomic_load_explicit(&date.stale_at_ns, memory_order_relaxed) &&
        /* acquire: pairs with the release below, so that fills follow one another. */
        !atomic_flag_test_and_set_explicit(&date.is_filling, memory_order_acquire)) {
        fill_next_slot(now_ns);
        /* release: pairs with the acquire above. */
        atomic_flag_clear_explicit(&date.is_filling, memory_order_release);
    }

    /* acquire: pairs with the release in fill_next_slot(); the words are then visible. */
    current = atomic_load_explicit(&date.current, memory_order_acquire);
    for (int i = 0; i < WORDS; i++) {
        /* relaxed: ordered by the acquire above. */
        uint64_t word = atomic_load_explicit(&date.slot[current][i], memory_order_relaxed);

        memcpy(out + 8 * i, &word, sizeof word);
    }
}
