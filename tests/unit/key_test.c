/* SPDX-License-Identifier: MIT */
/* sync/key.h: who is found among those that wait for other keys of the bucket, and at what cost. */
#include <string.h>

/* Counts: all hashes here are the same, so each comparison of keys looks at the bytes. */
static int compare(const void *a, const void *b, size_t size);
#define memcmp compare
#include "sync/key.h"
#undef memcmp

#include "../support/fixture.h"

enum { WAITERS = 60, KEYS = 3 };

static unsigned comparisons;

static int compare(const void *a, const void *b, size_t size)
{
    comparisons++;
    return memcmp(a, b, size);
}

/* Waiters of several keys in one queue, by turns. */
struct table {
    struct wf_key_bucket bucket;
    char keys[KEYS];
    struct wf_key_node nodes[WAITERS];
    struct wf_key_wait waits[WAITERS];
};

static void fill(struct table *table)
{
    *table = (struct table){.keys = "abc"};
    for (int i = 0; i < WAITERS; i++) {
        table->nodes[i].key = (struct wf_key){&table->keys[i % KEYS], 1, 0};
        table->waits[i].node = &table->nodes[i];
        wf_wait_queue_push(&table->bucket.queue, &table->waits[i].entry);
    }
    comparisons = 0;
}

/* Each of them is compared once, under the bucket's lock: were it once for each that is taken out,
 * a thousand followers would hold up all keys of the bucket for a million comparisons. */
Test(key, all_are_taken_out_in_one_walk, .timeout = TEST_TIMEOUT_S)
{
    static struct table table;
    unsigned left = WAITERS;

    fill(&table);
    for (int key = KEYS - 1; key >= 0; key--) {
        struct wf_key_node holder = {.key = table.nodes[key].key, .is_wanted = true};
        struct wf_wait_entry *entry = wf_key_take_all(&table.bucket, &holder);

        for (int i = key; i < WAITERS; i += KEYS) {
            cr_assert_eq(entry, &table.waits[i].entry, "in their order");
            entry = entry->previous;
        }
        cr_expect_null(entry);
        cr_expect_eq(comparisons, left);
        comparisons = 0;
        left -= WAITERS / KEYS;
    }
    cr_expect(wf_wait_queue_is_empty(&table.bucket.queue));
    table.nodes[0].is_wanted = true;
    cr_expect_null(wf_key_take_all(&table.bucket, &table.nodes[0]));
}

/* Whoever unlocks a key that nobody waits for does not pay for those who wait for others. */
Test(key, nobody_is_looked_for_where_nobody_came, .timeout = TEST_TIMEOUT_S)
{
    static struct table table;
    struct wf_key_node holder = {.key = {"d", 1, 0}};

    fill(&table);
    cr_expect_null(wf_key_take(&table.bucket, &holder));
    cr_expect_null(wf_key_take_all(&table.bucket, &holder));
    cr_expect_eq(comparisons, 0);
    holder.is_wanted = true; /* by one that has left */
    cr_expect_null(wf_key_take(&table.bucket, &holder));
    cr_expect_eq(comparisons, WAITERS);
}

/* The one that gets the key has not seen who came before it did. */
Test(key, the_next_holder_looks_for_those_behind_it, .timeout = TEST_TIMEOUT_S)
{
    static struct table table;
    struct wf_key_node first = {.is_wanted = true};
    const struct wf_key_node *holder = &first;

    fill(&table);
    first.key = table.nodes[1].key;
    for (int i = 1; i < WAITERS; i += KEYS) {
        struct wf_key_wait *next = wf_key_take(&table.bucket, holder);

        cr_assert_eq(next, &table.waits[i]);
        holder = next->node;
    }
    cr_expect_null(wf_key_take(&table.bucket, holder));
}
