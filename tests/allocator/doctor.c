/* SPDX-License-Identifier: MIT */
#include "doctor.h"

#include <stdio.h>
#include <weft/runtime.h>

char *ask_doctor(void)
{
    char *text = NULL;
    size_t length = 0;
    FILE *out = open_memstream(&text, &length);

    CHECK(out != NULL);
    CHECK(weft_doctor(NULL, out) == 0);
    CHECK(fclose(out) == 0);
    return text;
}
