/* SPDX-License-Identifier: MIT */
/*
 * Stages of a pipeline: several fibers take items from one channel, work on them side by side, and
 * send what comes of each to another channel.
 *
 *   struct weft_pipeline_stage parse = WEFT_PIPELINE_STAGE_INIT(parse_line, NULL, &lines,
 * &records);
 *
 *   parse.fibers = 4;
 *   parse.is_ordered = true;
 *   error = weft_pipeline_spawn(&scope, &parse);
 *   ...                                            send lines, close the channel; receive records
 *   error = weft_scope_close(&scope, error);       the first failure of any stage
 *
 * The channels bound how far one stage runs ahead of the next.  Closing `in` is how a stage is told
 * to end: it does what is left in it, closes `out`, and so ends the next.  If the next one wants no
 * more and closes `out`, the stage closes `in` when it has done with its next item, also if that
 * has no result; while it waits for one it does not notice.
 */
#ifndef WEFT_PIPELINE_H
#define WEFT_PIPELINE_H

#include "base.h"
#include "channel.h"
#include "scope.h"

#include <stdbool.h>

#ifdef __cplusplus
extern "C" {
#endif

#define WEFT_PIPELINE_DROP 1 /* what a stage's function returns for an item without a result */

struct weft_pipeline_stage {
    /* Works on `*item`, of the size of the values of `in`, and writes `*result`, of the size of
     * those of `out` (NULL if there is none).  Both are aligned for any type, and the fiber's own
     * until the function returns; in `*result` there is anything before.  0; WEFT_PIPELINE_DROP; or
     * a negative errno, which is a failure of the whole scope. */
    int (*fn)(void *arg, void *item, void *result);
    void *arg;
    weft_channel *in;
    weft_channel *out;    /* NULL: nothing comes of the items */
    uint32_t fibers;      /* work side by side; 0 means 1 */
    bool is_ordered;      /* results come in the order of their items */
    uint64_t reserved[3]; /* zero */
};

#define WEFT_PIPELINE_STAGE_INIT(fn, arg, in, out) \
    {                                              \
        (fn), (arg), (in), (out), 1, false,        \
        {                                          \
            0, 0, 0                                \
        }                                          \
    }

/*
 * Start a stage: fibers in `scope`.  `*stage` is copied; the channels must stay until the scope is
 * closed.
 *
 * A failure, of `fn` or of a wait, cancels the scope, and is what weft_scope_close() returns.  Both
 * channels are closed after that, so those outside of the scope do not wait for ever, and the
 * -EPIPE that others get for it is not the first failure; that the results have come to an end does
 * not mean that all went well.
 *
 * With `is_ordered` a fiber that is done before its turn waits for it, with its result in hand: one
 * slow item holds up as many others as there are fibers.
 *
 * Returns   0 if at least one fiber was started, as many as there is room for; or a negative errno
 *           with none started.
 * Context   as weft_scope_spawn().
 * Switches  never.
 * Errors    -EINVAL (no function, no `in`, or `in` is also `out`), -ENOMEM, and those of
 *           weft_scope_spawn().
 */
WEFT_API WEFT_MUST_USE int weft_pipeline_spawn(weft_scope *scope,
                                               const struct weft_pipeline_stage *stage);

#ifdef __cplusplus
}
#endif

#endif
