/* SPDX-License-Identifier: MIT */
#include "scenario.h"

#include <string.h>

const struct scenario scenarios[] = {
    {"sync", sync_scenario},
    {"network", network_scenario},
    {"disk", disk_scenario},
    {"pipe", pipe_scenario},
};
const unsigned scenario_count = sizeof scenarios / sizeof scenarios[0];

const struct scenario *scenario_find(const char *name)
{
    for (unsigned i = 0; i < scenario_count; i++)
        if (strcmp(scenarios[i].name, name) == 0)
            return &scenarios[i];
    return NULL;
}
