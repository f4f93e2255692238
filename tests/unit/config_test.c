/* SPDX-License-Identifier: MIT */
/* runtime/config.c: one table for the struct, the environment and the defaults. */
#include "runtime/config.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { TIMEOUT_S = 60 };

static void forget_environment(void)
{
    for (unsigned i = 0; i < wf_config_option_count; i++) {
        char variable[64];

        wf_config_variable(&wf_config_options[i], variable, sizeof variable);
        (void)unsetenv(variable);
    }
}

/* A field without an option would be ignored in silence: whoever set it would never know. */
Test(config, every_field_of_the_struct_has_an_option, .init = forget_environment,
     .timeout = TIMEOUT_S)
{
    size_t fields = offsetof(struct weft_config, reserved) / sizeof(uint32_t);

    for (size_t field = 0; field < fields; field++) {
        unsigned owners = 0;

        for (unsigned i = 0; i < wf_config_option_count; i++)
            owners += wf_config_options[i].offset == field * sizeof(uint32_t);
        cr_expect_eq(owners, 1, "the field at offset %zu has %u options", field * 4, owners);
    }
    cr_expect_eq(wf_config_option_count, fields);
}

/* Zero in a field means "the default", so no range may include it unless it is the default, and
 * each default must be a value that a user could have given. */
Test(config, ranges_exclude_zero_and_include_the_default, .init = forget_environment,
     .timeout = TIMEOUT_S)
{
    for (unsigned i = 0; i < wf_config_option_count; i++) {
        const struct wf_config_option *option = &wf_config_options[i];

        cr_expect(option->min > 0 || option->fallback == 0, "%s", option->name);
        cr_expect_leq(option->min, option->max, "%s", option->name);
        cr_expect(option->fallback == 0 ||
                      (option->fallback >= option->min && option->fallback <= option->max),
                  "%s", option->name);
        cr_expect(option->help != NULL && option->help[0] != '\0', "%s", option->name);
        cr_expect_not_null(option->unit, "%s", option->name);
    }
}

/* The variable is what the public header names. */
Test(config, variables_are_the_names_in_capitals, .init = forget_environment, .timeout = TIMEOUT_S)
{
    char variable[64];
    char small[8];

    wf_config_variable(&wf_config_options[0], variable, sizeof variable);
    cr_expect_str_eq(variable, "WEFT_WORKERS");
    for (unsigned i = 0; i < wf_config_option_count; i++) {
        wf_config_variable(&wf_config_options[i], variable, sizeof variable);
        cr_expect_eq(strncmp(variable, "WEFT_", 5), 0);
        cr_expect_eq(strlen(variable), strlen(wf_config_options[i].name) + 5);
    }
    wf_config_variable(&wf_config_options[0], small, sizeof small);
    cr_expect_str_eq(small, "WEFT_WO", "cut, not overrun");
}

/* Returns the value that option `index` has after resolving, or the error. */
static int64_t resolve(unsigned index, uint32_t given, const char *text,
                       enum wf_config_origin *origin)
{
    const struct wf_config_option *option = &wf_config_options[index];
    struct weft_config config = WEFT_CONFIG_INIT, resolved;
    enum wf_config_origin origins[32];
    char variable[64];
    int error;

    wf_config_variable(option, variable, sizeof variable);
    memcpy((char *)&config + option->offset, &given, sizeof given);
    if (text != NULL)
        (void)setenv(variable, text, 1);
    error = wf_config_resolve(&config, &resolved, origins);
    (void)unsetenv(variable);
    if (error != 0)
        return error;
    *origin = origins[index];
    return wf_config_value(&resolved, option);
}

/* Environment over program over default, for each option, with the origin that the doctor shows. */
Test(config, environment_beats_program_beats_default, .init = forget_environment,
     .timeout = TIMEOUT_S)
{
    for (unsigned i = 0; i < wf_config_option_count; i++) {
        const struct wf_config_option *option = &wf_config_options[i];
        enum wf_config_origin origin = WF_ORIGIN_DEFAULT;
        uint32_t least = option->min > 0 ? option->min : 1; /* 0 asks for the default */
        char text[16];

        (void)snprintf(text, sizeof text, "%u", option->max);
        cr_expect_eq(resolve(i, 0, NULL, &origin), option->fallback, "%s", option->name);
        cr_expect_eq(origin, WF_ORIGIN_DEFAULT, "%s", option->name);
        cr_expect_eq(resolve(i, least, NULL, &origin), least, "%s", option->name);
        cr_expect_eq(origin, WF_ORIGIN_PROGRAM, "%s", option->name);
        cr_expect_eq(resolve(i, least, text, &origin), option->max, "%s", option->name);
        cr_expect_eq(origin, WF_ORIGIN_ENVIRONMENT, "%s", option->name);
        cr_expect_eq(resolve(i, least, "", &origin), least, "%s: empty is unset", option->name);
        cr_expect_eq(origin, WF_ORIGIN_PROGRAM, "%s", option->name);
    }
}

/* What is no number in the range is refused, never read as something near it. */
Test(config, bad_values_are_refused, .init = forget_environment, .timeout = TIMEOUT_S)
{
    static const char *const refused[] = {
        "abc",
        "-1",
        "+1",
        " 1",
        "1 ",
        "0x1",
        "1.0",
        "4294967296",
        "18446744073709551616",
        "99999999999999999999999",
        "1,",
        "\n",
    };

    for (unsigned i = 0; i < wf_config_option_count; i++) {
        const struct wf_config_option *option = &wf_config_options[i];
        enum wf_config_origin origin = WF_ORIGIN_DEFAULT;

        for (unsigned j = 0; j < sizeof refused / sizeof *refused; j++)
            cr_expect_eq(resolve(i, 0, refused[j], &origin), -EINVAL, "%s=\"%s\"", option->name,
                         refused[j]);
        cr_expect_eq(resolve(i, 0, "0", &origin), option->min > 0 ? -EINVAL : 0, "%s=0",
                     option->name);
        if (option->max < UINT32_MAX)
            cr_expect_eq(resolve(i, option->max + 1, NULL, &origin), -EINVAL, "%s", option->name);
        if (option->min > 1)
            cr_expect_eq(resolve(i, option->min - 1, NULL, &origin), -EINVAL, "%s", option->name);
    }
}

/* No configuration is the default configuration, and nobody has to want the origins. */
Test(config, null_means_defaults, .init = forget_environment, .timeout = TIMEOUT_S)
{
    struct weft_config resolved;

    memset(&resolved, 0xff, sizeof resolved);
    cr_assert_eq(wf_config_resolve(NULL, &resolved, NULL), 0);
    for (unsigned i = 0; i < wf_config_option_count; i++)
        cr_expect_eq(wf_config_value(&resolved, &wf_config_options[i]),
                     wf_config_options[i].fallback);
    cr_expect_eq(resolved.reserved[0], 0);
}
