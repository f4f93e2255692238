/* SPDX-License-Identifier: MIT */
/*
 * Trees of the Unbalanced Tree Search benchmark (Olivier and others, LCPC 2006), for weft and its C
 * and C++ peers.  A node is a SHA-1 digest; its last 31 bits, as a fraction, say how many children
 * it has.  T1 and T1L are geometric: mean 4 above a depth, none from there on.  T3 is binomial:
 * 2,000 below the root, then 8 with a probability just below an eighth, else none; it is 1,572
 * deep.
 */
#ifndef WEFT_BENCH_UTS_H
#define WEFT_BENCH_UTS_H

#include <math.h>
#include <stdint.h>
#include <string.h>

enum {
    UTS_T1,
    UTS_T1L,
    UTS_MEAN = 4,
    UTS_CHILDREN_MAX = 100, /* UTS cuts off there, too; its trees never come near it */
    UTS_T3_SEED = 42,
    UTS_T3_ROOT_CHILDREN = 2000,
    UTS_T3_CHILDREN = 8,
    UTS_T3_NODES = 4112897,
    UTS_T3_STACK_MIB = 8, /* for its depth */
};

struct uts_tree {
    uint32_t seed;
    unsigned depth;
    uint64_t nodes;
};

static const struct uts_tree uts_trees[] = {{19, 10, 4130071}, {29, 13, 102181082}};

struct uts_node {
    uint32_t digest[5];
};

static inline uint32_t uts_rotate(uint32_t x, unsigned n)
{
    return x << n | x >> (32 - n);
}

/* SHA-1 (FIPS 180-4) of `words` words, at most 13: a single block, which this pads.  Unrolled, so
 * that the five variables need not change places and the schedule stays within sixteen words. */
static inline struct uts_node uts_sha1(uint32_t block[16], unsigned words)
{
    const uint32_t start[5] = {0x67452301, 0xefcdab89, 0x98badcfe, 0x10325476, 0xc3d2e1f0};
    uint32_t a = start[0], b = start[1], c = start[2], d = start[3], e = start[4];

    memset(block + words, 0, (16 - words) * sizeof *block);
    block[words] = 0x80000000;
    block[15] = words * 32;
#define UTS_STEP(v, w, x, y, z, i, mix, constant)                                         \
    do {                                                                                  \
        if ((i) >= 16)                                                                    \
            block[(i) % 16] = uts_rotate(block[((i) + 13) % 16] ^ block[((i) + 8) % 16] ^ \
                                             block[((i) + 2) % 16] ^ block[(i) % 16],     \
                                         1);                                              \
        (z) += uts_rotate(v, 5) + mix(w, x, y) + (constant) + block[(i) % 16];            \
        (w) = uts_rotate(w, 30);                                                          \
    } while (0)
#define UTS_FIVE(i, mix, constant)                   \
    UTS_STEP(a, b, c, d, e, (i), mix, constant);     \
    UTS_STEP(e, a, b, c, d, (i) + 1, mix, constant); \
    UTS_STEP(d, e, a, b, c, (i) + 2, mix, constant); \
    UTS_STEP(c, d, e, a, b, (i) + 3, mix, constant); \
    UTS_STEP(b, c, d, e, a, (i) + 4, mix, constant)
#define UTS_TWENTY(i, mix, constant)   \
    UTS_FIVE(i, mix, constant);        \
    UTS_FIVE((i) + 5, mix, constant);  \
    UTS_FIVE((i) + 10, mix, constant); \
    UTS_FIVE((i) + 15, mix, constant)
#define UTS_CHOOSE(x, y, z) ((z) ^ ((x) & ((y) ^ (z))))
#define UTS_PARITY(x, y, z) ((x) ^ (y) ^ (z))
#define UTS_MAJORITY(x, y, z) (((x) & (y)) | ((z) & ((x) | (y))))
    UTS_TWENTY(0, UTS_CHOOSE, 0x5a827999);
    UTS_TWENTY(20, UTS_PARITY, 0x6ed9eba1);
    UTS_TWENTY(40, UTS_MAJORITY, 0x8f1bbcdc);
    UTS_TWENTY(60, UTS_PARITY, 0xca62c1d6);
#undef UTS_STEP
#undef UTS_FIVE
#undef UTS_TWENTY
#undef UTS_CHOOSE
#undef UTS_PARITY
#undef UTS_MAJORITY
    struct uts_node node = {{start[0] + a, start[1] + b, start[2] + c, start[3] + d, start[4] + e}};
    return node;
}

static inline struct uts_node uts_root(uint32_t seed)
{
    uint32_t block[16] = {0, 0, 0, 0, seed};

    return uts_sha1(block, 5);
}

static inline struct uts_node uts_child(const struct uts_node *parent, unsigned index)
{
    uint32_t block[16];

    memcpy(block, parent->digest, sizeof parent->digest);
    block[5] = index;
    return uts_sha1(block, 6);
}

static inline double uts_fraction(const struct uts_node *node)
{
    return (node->digest[4] & 0x7fffffff) / 2147483648.0;
}

static inline unsigned uts_child_count(const struct uts_tree *tree, const struct uts_node *node,
                                       unsigned depth)
{
    double count;

    if (depth >= tree->depth)
        return 0;
    count = floor(log(1 - uts_fraction(node)) / log(1 - 1 / (1.0 + UTS_MEAN)));
    return count < UTS_CHILDREN_MAX ? (unsigned)count : UTS_CHILDREN_MAX;
}

/* Of any node of T3 but its root. */
static inline unsigned uts_t3_child_count(const struct uts_node *node)
{
    return uts_fraction(node) < 0.124875 ? UTS_T3_CHILDREN : 0;
}

#endif
