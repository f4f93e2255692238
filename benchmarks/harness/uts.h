/* SPDX-License-Identifier: MIT */
/*
 * The tree T1 of the Unbalanced Tree Search benchmark (Olivier and others, LCPC 2006), for weft and
 * its C and C++ peers.  A node is a SHA-1 digest; its last 31 bits, as a fraction, say how many
 * children it has: geometrically distributed with mean 4 above depth 10, none from there on.
 */
#ifndef WEFT_BENCH_UTS_H
#define WEFT_BENCH_UTS_H

#include <math.h>
#include <stdint.h>
#include <string.h>

enum {
    UTS_SEED = 19,
    UTS_DEPTH = 10,
    UTS_MEAN = 4,
    UTS_CHILDREN_MAX = 100, /* UTS cuts off there, too; T1 never comes near it */
    UTS_T1_NODES = 4130071,
};

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

static inline struct uts_node uts_root(void)
{
    uint32_t block[16] = {0, 0, 0, 0, UTS_SEED};

    return uts_sha1(block, 5);
}

static inline struct uts_node uts_child(const struct uts_node *parent, unsigned index)
{
    uint32_t block[16];

    memcpy(block, parent->digest, sizeof parent->digest);
    block[5] = index;
    return uts_sha1(block, 6);
}

static inline unsigned uts_child_count(const struct uts_node *node, unsigned depth)
{
    double fraction = (node->digest[4] & 0x7fffffff) / 2147483648.0;
    double count;

    if (depth >= UTS_DEPTH)
        return 0;
    count = floor(log(1 - fraction) / log(1 - 1 / (1.0 + UTS_MEAN)));
    return count < UTS_CHILDREN_MAX ? (unsigned)count : UTS_CHILDREN_MAX;
}

#endif
