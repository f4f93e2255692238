/* SPDX-License-Identifier: MIT */
/*
 * A log that survives a failure of the power, and a mistake in it that simulation finds.
 *
 * A deposit is acknowledged once its record is in the log and the log is synced.  After a failure
 * the records are read again, up to the first that is not whole: every deposit that was
 * acknowledged must be among them.
 *
 * The mistake, which the argument "bug" turns on: a deposit is acknowledged when its record is
 * written.  As long as the power stays on, nobody notices.
 *
 *   write_ahead_log [bug]             runs for real, in a folder of its own below /tmp
 *   write_ahead_log --simulate [bug]  runs in a simulation with faults: WEFT_SEED chooses which
 *
 * docs/simulation.md shows how the seed is found in which the mistake matters.
 */
#include <weft.h>

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
    DEPOSITS = 40,
    FAILURES = 3, /* of the power, in a simulation */
};

struct record {
    uint32_t number; /* from 1 on */
    uint32_t amount;
    uint32_t check;
};

struct ledger {
    int folder; /* -1: not open */
    int log;
    bool has_bug;
    uint32_t acknowledged; /* the last deposit of which we said that it is safe */
};

static uint32_t check_of(const struct record *record)
{
    return (record->number * UINT32_C(2654435761)) ^ (record->amount * UINT32_C(40503)) ^ 0x5a5a;
}

static int open_log(struct ledger *ledger, const char *path)
{
    ledger->log = -1;
    ledger->folder = weft_openat(AT_FDCWD, path, O_RDONLY | O_DIRECTORY, 0, WEFT_FOREVER);
    if (ledger->folder < 0)
        return ledger->folder;
    ledger->log = weft_openat(ledger->folder, "log", O_RDWR | O_CREAT, 0600, WEFT_FOREVER);
    /* The name of the log has to survive, too. */
    return ledger->log < 0 ? ledger->log : weft_fsync(ledger->folder, WEFT_FOREVER);
}

static void close_log(struct ledger *ledger)
{
    if (ledger->log >= 0)
        weft_close(ledger->log);
    if (ledger->folder >= 0)
        weft_close(ledger->folder);
    ledger->log = ledger->folder = -1;
}

/* Writes one record where it belongs, so that it can be done once more: what a sync could not
 * write, no later sync will. */
static int append(const struct ledger *ledger, uint32_t number)
{
    struct record record = {.number = number, .amount = 10 + number % 7};
    const char *data = (const char *)&record;
    size_t done = 0;

    record.check = check_of(&record);
    while (done < sizeof record) {
        ssize_t n = weft_pwrite(ledger->log, data + done, sizeof record - done,
                                (off_t)((number - 1) * sizeof record + done), WEFT_FOREVER);

        if (n < 0)
            return (int)n;
        done += (size_t)n;
    }
    return ledger->has_bug ? 0 : weft_fdatasync(ledger->log, WEFT_FOREVER);
}

/* The number of the last deposit in the log, or -errno. */
static int64_t recover(const struct ledger *ledger)
{
    uint32_t last = 0;

    for (;;) {
        struct record record = {.number = 0};
        size_t done = 0;

        while (done < sizeof record) {
            ssize_t n = weft_pread(ledger->log, (char *)&record + done, sizeof record - done,
                                   (off_t)(last * sizeof record + done), WEFT_FOREVER);

            if (n < 0)
                return n;
            if (n == 0)
                return last;
            done += (size_t)n;
        }
        if (record.number != last + 1 || record.check != check_of(&record))
            return last;
        last++;
    }
}

/* What goes wrong with a disk is tried again, until somebody cancels. */
static bool is_to_repeat(int64_t error)
{
    return error < 0 && error != -ECANCELED && weft_sleep(WEFT_MILLISECOND) == 0;
}

static int deposit(void *arg)
{
    struct ledger *ledger = arg;
    int error = 0;

    while (ledger->acknowledged < DEPOSITS) {
        do
            error = append(ledger, ledger->acknowledged + 1);
        while (is_to_repeat(error));
        if (error != 0)
            break;
        ledger->acknowledged++;
        (void)weft_sleep(WEFT_MILLISECOND);
    }
    return 0;
}

/* Opens the log again and compares it with what was said. */
static int restart(struct ledger *ledger, const char *path)
{
    int64_t last;
    int error;

    do {
        close_log(ledger);
        error = open_log(ledger, path);
    } while (is_to_repeat(error));
    if (error != 0)
        return error;
    do
        last = recover(ledger);
    while (is_to_repeat(last));
    if (last >= 0 && last < ledger->acknowledged) {
        fprintf(stderr, "deposit %u was acknowledged, and the log ends with %lld\n",
                ledger->acknowledged, (long long)last);
        return -EBADMSG;
    }
    return last < 0 ? (int)last : 0;
}

/* Deposits until the power fails, and looks what is left. */
static int run_until_failure(struct ledger *ledger, const char *path)
{
    weft_scope scope = WEFT_SCOPE_INIT;
    int error = weft_scope_spawn(&scope, deposit, ledger);

    if (error == 0 && weft_sim_is_on()) {
        (void)weft_sleep((weft_time)(weft_sim_random() % 100) * WEFT_MILLISECOND);
        error = weft_sim_crash();
        weft_scope_cancel(&scope);
    }
    weft_scope_close(&scope, 0);
    return error != 0 ? error : restart(ledger, path);
}

struct request {
    const char *path;
    bool has_bug;
};

static int app(void *arg)
{
    const struct request *request = arg;
    struct ledger ledger = {.folder = -1, .log = -1, .has_bug = request->has_bug};
    int error = restart(&ledger, request->path);

    for (int i = 0; i < (weft_sim_is_on() ? FAILURES : 1) && error == 0; i++)
        error = run_until_failure(&ledger, request->path);
    close_log(&ledger);
    if (error == 0)
        printf("%u deposits were acknowledged and found again\n", ledger.acknowledged);
    return error;
}

static int run_for_real(struct request *request)
{
    char path[] = "/tmp/weft-log-XXXXXX", log[sizeof path + 4];
    int result;

    if (mkdtemp(path) == NULL)
        return -errno;
    request->path = path;
    result = weft_run(NULL, app, request);
    snprintf(log, sizeof log, "%s/log", path);
    unlink(log);
    rmdir(path);
    return result;
}

int main(int argc, char **argv)
{
    struct weft_sim_options options = WEFT_SIM_OPTIONS_INIT;
    bool is_simulated = argc > 1 && strcmp(argv[1], "--simulate") == 0;
    struct request request = {"/disk", argc > 1 && strcmp(argv[argc - 1], "bug") == 0};

    if (!is_simulated)
        return run_for_real(&request) < 0;
    options.faults = WEFT_SIM_FAULTS_ALL;
    options.faults_for = 20 * WEFT_SECOND;
    options.limit = 300 * WEFT_SECOND;
    options.disk = request.path;
    return weft_sim_run(&options, app, &request) < 0;
}
