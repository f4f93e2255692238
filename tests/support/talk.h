/* SPDX-License-Identifier: MIT */
/* A program that notices if anything is lost. */
#ifndef WEFT_TEST_TALK_H
#define WEFT_TEST_TALK_H

/*
 * The function of a fiber; `arg` points to an unsigned, how many pairs of fibers talk over sockets.
 * Bytes go there and back, deadlines pass, fibers sleep and make calls on the pool, and each of
 * these must end as it should.  Returns 0, or ends the test.
 */
int talk_in_pairs(void *arg);

#endif
