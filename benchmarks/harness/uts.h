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

/* SHA-1 of 16 to 24 bytes (FIPS 180-4): `words` words of a single block, which this pads. */
static inline struct uts_node uts_sha1(uint32_t block[80], unsigned words)
{
    const uint32_t start[5] = {0x67452301, 0xefcdab89, 0x98badcfe, 0x10325476, 0xc3d2e1f0};
    uint32_t a = start[0], b = start[1], c = start[2], d = start[3], e = start[4];
    struct uts_node node;

    memset(block + words, 0, (16 - words) * sizeof *block);
    block[words] = 0x80000000;
    block[15] = words * 32;
    for (unsigned i = 16; i < 80; i++)
        block[i] = uts_rotate(block[i - 3] ^ block[i - 8] ^ block[i - 14] ^ block[i - 16], 1);
#define UTS_ROUNDS(from, mix, constant)                                       \
    for (unsigned i = (from); i < (from) + 20; i++) {                         \
        uint32_t next = uts_rotate(a, 5) + (mix) + e + (constant) + block[i]; \
        e = d;                                                                \
        d = c;                                                                \
        c = uts_rotate(b, 30);                                                \
        b = a;                                                                \
        a = next;                                                             \
    }
    UTS_ROUNDS(0, (b & c) | (~b & d), 0x5a827999)
    UTS_ROUNDS(20, b ^ c ^ d, 0x6ed9eba1)
    UTS_ROUNDS(40, (b & c) | (b & d) | (c & d), 0x8f1bbcdc)
    UTS_ROUNDS(60, b ^ c ^ d, 0xca62c1d6)
#undef UTS_ROUNDS
    node.digest[0] = start[0] + a;
    node.digest[1] = start[1] + b;
    node.digest[2] = start[2] + c;
    node.digest[3] = start[3] + d;
    node.digest[4] = start[4] + e;
    return node;
}

static inline struct uts_node uts_root(void)
{
    uint32_t block[80] = {0, 0, 0, 0, UTS_SEED};

    return uts_sha1(block, 5);
}

static inline struct uts_node uts_child(const struct uts_node *parent, unsigned index)
{
    uint32_t block[80];

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
