/* SPDX-License-Identifier: MIT */
/* For programs that are linked as users link theirs, without the fixture of the other tests. */
#ifndef WEFT_TESTS_DOCTOR_H
#define WEFT_TESTS_DOCTOR_H

#include "../support/check.h"

/* What the doctor says; to be freed. */
char *ask_doctor(void);

#endif
