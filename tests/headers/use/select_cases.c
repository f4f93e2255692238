/* SPDX-License-Identifier: MIT */
/* Cases of a select, automatic and static, of values that their owners may not change too. */
#include <weft.h>

WEFT_CHANNEL_DEFINE(numbers, int)

static const int seven = 7;
static int received;
static numbers channel = {WEFT_CHANNEL_INIT(int, NULL, 0)};
static weft_future future = WEFT_FUTURE_INIT;

static struct weft_select_case cases[] = {WEFT_SEND_CASE(&channel.base, &seven),
                                          WEFT_RECEIVE_CASE(&channel.base, &received),
                                          WEFT_FUTURE_CASE(&future, &received)};

static int send_one(weft_channel *to, const double *value)
{
    struct weft_select_case automatic[] = {WEFT_SEND_CASE(to, value),
                                           WEFT_SEND_CASE(NULL, &received)};

    return weft_select(automatic, 2, 0);
}

int main(void)
{
    double number = 1.5;

    return weft_select(cases, 3, 0) + send_one(&channel.base, &number);
}
