/* SPDX-License-Identifier: MIT */
/*
 * Makes one of the library's requests to the system fail: for memory, a mapping, a thread, a
 * descriptor, a ring.
 *
 * A program that is linked with fault.c and with --wrap for each function of fault_functions.txt
 * sends the library's calls of these through here; the library itself is the one that everybody
 * gets.  (check_functions.py sees to it that no function is missing in the list.)
 */
#ifndef WEFT_TEST_FAULT_H
#define WEFT_TEST_FAULT_H

#include <stdbool.h>

/* What the library holds of what it has asked for. */
struct fault_holdings {
    long blocks;       /* of memory */
    long mapped_bytes; /* of mappings */
};

struct fault_holdings fault_holdings(void);

/* From now on request number `number` fails, counting from 1; if `stays`, all after it too. */
void fault_arm(long number, bool stays);

/* The next request to this function fails, and no other. */
void fault_arm_function(const char *function);

/* Nothing fails any more.  Returns how many requests there were since the arming. */
long fault_disarm(void);

/* The function whose call failed first since the arming; NULL: none did. */
const char *fault_fired(void);

/* How many lines the library has written to standard error since the arming: they are counted
 * instead of written. */
long fault_complaints(void);

#endif
