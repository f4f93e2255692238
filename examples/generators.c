/* SPDX-License-Identifier: MIT */
/* Three generators: a walk over a tree that delegates to its branches, a tokenizer that is sent the
 * text piece by piece and gives the words in it, and delays for a caller that tries again and
 * again, which begin anew when an error is thrown in. */
#include <ctype.h>
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <weft.h>

struct tree {
    struct tree *left, *right;
    int key;
};

static int walk(weft_generator *self, void *arg);

static int walk_branch(weft_generator *self, struct tree *branch)
{
    weft_generator *inner;
    int error;

    if (branch == NULL)
        return 0;
    if ((error = weft_generator_create(&inner, walk, branch, 0)) != 0)
        return error;
    error = weft_generator_delegate(self, inner);
    weft_generator_free(inner);
    return error;
}

static int walk(weft_generator *self, void *arg)
{
    struct tree *tree = arg;
    int error = walk_branch(self, tree->left);

    if (error == 0)
        error = weft_generator_yield(self, &tree->key, NULL);
    return error == 0 ? walk_branch(self, tree->right) : error;
}

static int sum_of_tree(void)
{
    struct tree leaves[2] = {{NULL, NULL, 1}, {NULL, NULL, 30}};
    struct tree root = {&leaves[0], &leaves[1], 200};
    weft_generator *keys;
    void *key = NULL;
    int sum = 0;

    if (weft_generator_create(&keys, walk, &root, 0) != 0)
        return -ENOMEM;
    WEFT_GENERATOR_EACH(key, keys)
    sum += *(int *)key;
    weft_generator_free(keys);
    return sum;
}

/* Yields each word, and NULL when it needs more text: that is then sent.  NULL is the end.  The
 * words' memory goes with the generator, whichever way it ends. */
static int split_words(weft_generator *self, void *arg)
{
    enum { WORD_MAX = 32 };
    const char *text = "";
    char *word = malloc(WORD_MAX);
    size_t length = 0;

    (void)arg;
    if (word == NULL || weft_generator_defer(self, free, word) != 0) {
        free(word);
        return -ENOMEM;
    }
    while (text != NULL) {
        void *sent = NULL;
        int error = 0;

        for (; *text != '\0' && error == 0; text++) {
            if (isalpha((unsigned char)*text) && length < WORD_MAX - 1) {
                word[length++] = *text;
            } else if (length > 0) {
                word[length] = '\0';
                length = 0;
                error = weft_generator_yield(self, word, NULL);
            }
        }
        if (error == 0)
            error = weft_generator_yield(self, NULL, &sent);
        if (error != 0)
            return error;
        text = sent;
    }
    return 0;
}

static int count_words(void)
{
    static const char *const pieces[] = {"one tw", "o three, fo", "ur", " five."};
    weft_generator *words;
    void *word = NULL;
    int count = 0;
    int error;

    if (weft_generator_create(&words, split_words, NULL, 0) != 0)
        return -ENOMEM;
    error = weft_generator_next(words, &word); /* to the first place where it wants text */
    for (size_t i = 0; i < sizeof pieces / sizeof *pieces && error == 0; i++) {
        error = weft_generator_send(words, (void *)(uintptr_t)pieces[i], &word);
        while (error == 0 && word != NULL) {
            printf("%s\n", (const char *)word);
            count++;
            error = weft_generator_next(words, &word);
        }
    }
    weft_generator_free(words);
    return error == 0 ? count : error;
}

/* Yields 1, 2, 4, ... up to 64, and begins anew when -EAGAIN is thrown in.  Any other error ends
 * it, as a close does. */
static int double_delays(weft_generator *self, void *arg)
{
    int *delay = arg;

    *delay = 1;
    for (;;) {
        int error = weft_generator_yield(self, delay, NULL);

        if (error == -EAGAIN)
            *delay = 1;
        else if (error != 0)
            return error;
        else if (*delay < 64)
            *delay *= 2;
    }
}

/* Returns the sum of four delays, where an attempt succeeded after the third. */
static int sum_of_delays(void)
{
    weft_generator *delays;
    void *delay = NULL;
    int state = 0;
    int sum = 0;
    int error;

    if (weft_generator_create(&delays, double_delays, &state, 0) != 0)
        return -ENOMEM;
    for (int i = 0; i < 3 && (error = weft_generator_next(delays, &delay)) == 0; i++)
        sum += *(int *)delay;
    /* Like a next: what the yield after the throw gives comes back. */
    error = weft_generator_throw(delays, -EAGAIN, &delay);
    if (error == 0)
        sum += *(int *)delay;
    error = weft_generator_close(delays);
    weft_generator_free(delays);
    return error < 0 ? error : sum;
}

int main(void)
{
    int sum = sum_of_tree();
    int delays = sum_of_delays();

    printf("the keys of the tree add up to %d, the delays to %d\n", sum, delays);
    return sum == 231 && delays == 8 && count_words() == 5 ? 0 : 1;
}
