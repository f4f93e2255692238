/* SPDX-License-Identifier: MIT */
/* When a worker is let go from its CPU and when it is pinned again, by times that are made up. */
#include "runtime/pin.h"

#include <criterion/criterion.h>
#include <weft/base.h>

enum { TIMEOUT_S = 60, LOOK_MS = 100 };

/* A thread and what has become of it. */
struct scene {
    struct wf_pin pin;
    struct wf_os_use use;
    int64_t now;
};

static struct scene begin(void)
{
    struct scene scene = {.pin.state = WF_PIN_HELD, .now = 1000 * WEFT_SECOND};

    scene.use = (struct wf_os_use){.ran = 70 * WEFT_SECOND, .waited = 50 * WEFT_SECOND};
    cr_assert_not(wf_pin_judge(&scene.pin, &scene.use, scene.now), "there was nothing before");
    return scene;
}

/* For so long it ran and waited that many percent.  Returns for how many looks it was loose after
 * them. */
static int pass(struct scene *scene, int64_t ms, int ran, int waited)
{
    int loose = 0;

    for (int64_t i = 0; i < ms; i += LOOK_MS) {
        enum wf_pin_state before = scene->pin.state;
        bool is_changed;

        scene->now += LOOK_MS * WEFT_MILLISECOND;
        scene->use.ran += LOOK_MS * WEFT_MILLISECOND * ran / 100;
        scene->use.waited += LOOK_MS * WEFT_MILLISECOND * waited / 100;
        is_changed = wf_pin_judge(&scene->pin, &scene->use, scene->now);
        cr_assert_eq(is_changed, scene->pin.state != before);
        loose += scene->pin.state == WF_PIN_LOOSE;
    }
    return loose;
}

Test(pin, who_hardly_waits_stays, .timeout = TIMEOUT_S)
{
    struct scene scene = begin();

    cr_expect_eq(pass(&scene, 10000, 100, 0), 0);
    cr_expect_eq(pass(&scene, 10000, 90, 10), 0, "less than an eighth");
    cr_expect_eq(pass(&scene, 10000, 1, 1), 0, "half of very little");
    cr_expect_eq(pass(&scene, 10000, 0, 0), 0);
}

Test(pin, who_waits_is_let_go_at_once_and_pinned_after_a_quiet_second, .timeout = TIMEOUT_S)
{
    struct scene scene = begin();

    cr_expect_eq(pass(&scene, 100, 80, 20), 1);
    cr_expect_eq(pass(&scene, 5000, 80, 20), 50, "for as long as it waits elsewhere, too");
    cr_expect_eq(pass(&scene, 900, 95, 5), 9);
    cr_expect_eq(pass(&scene, 200, 95, 5), 0);
    cr_expect_eq(pass(&scene, 100, 20, 20), 1, "who wants little may wait half of it");
}

/* A worker that is fine as soon as it is loose shall not be pinned every second. */
Test(pin, each_time_too_early_doubles_the_rest, .timeout = TIMEOUT_S)
{
    struct scene scene = begin();
    int rests[] = {1, 2, 4, 8, 16, 32, 64, 64};

    for (unsigned i = 0; i < sizeof rests / sizeof *rests; i++) {
        cr_assert_eq(pass(&scene, 100, 50, 50), 1);
        cr_assert_eq(pass(&scene, 200000, 100, 0), 10 * rests[i] - 1, "%d s", rests[i]);
        /* Back to where it was pinned again, as if those looks had not been. */
        scene.pin.changed = scene.now;
    }
    (void)pass(&scene, 65000, 100, 0);
    cr_assert_eq(pass(&scene, 100, 50, 50), 1);
    cr_expect_eq(pass(&scene, 10000, 100, 0), 9, "all was well for longer than it had been loose");
}

/* The monitor may sleep for as long as the workers do. */
Test(pin, a_long_sleep_is_quiet, .timeout = TIMEOUT_S)
{
    struct scene scene = begin();

    (void)pass(&scene, 100, 50, 50);
    cr_assert_eq(scene.pin.state, WF_PIN_LOOSE);
    scene.now += 3600 * WEFT_SECOND;
    scene.use.waited += 10 * WEFT_MILLISECOND;
    cr_expect(wf_pin_judge(&scene.pin, &scene.use, scene.now));
    cr_expect_eq(scene.pin.state, WF_PIN_HELD);
}
