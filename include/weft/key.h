/* SPDX-License-Identifier: MIT */
/* Keys of weft/keyed_mutex.h and weft/singleflight.h, and the tables in which these find them. */
#ifndef WEFT_KEY_H
#define WEFT_KEY_H

#include "base.h"

#ifdef __cplusplus
extern "C" {
#endif

/*
 * One bucket of a table.  A table is an array of them in the caller's memory, zero at first, which
 * one object has for itself: about as many as there are keys in use at the same time, so that few
 * keys share one.  Keys are compared in full: sharing a bucket costs time and nothing else.
 * Whoever gives up a key that others have waited for walks past those who wait for other keys of
 * the bucket.
 */
typedef struct weft_key_bucket {
    void *first; /* the fields are the library's */
    void *queue;
    uint32_t lock;
    uint32_t reserved;
} weft_key_bucket;

#ifdef __cplusplus
}
#endif

#endif
