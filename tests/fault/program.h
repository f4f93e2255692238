/* SPDX-License-Identifier: MIT */
/*
 * A program that uses everything of the library which asks the system for something, and goes on
 * where it is told no: what fault.h lets fail runs under it.
 */
#ifndef WEFT_TEST_PROGRAM_H
#define WEFT_TEST_PROGRAM_H

#include <stdbool.h>

/* What it gets from elsewhere than from the library, before anything fails. */
void program_prepare(void);
void program_clean_up(void);

/* In a fiber.  Returns 0. */
int program_use_everything(void *arg);

bool program_has_started(void);

/* How many calls were told no since it was prepared. */
int program_errors(void);

/* What a call may fail with, if something it needs is not to be had.  True: it did not fail. */
bool went_well(int result);

#endif
