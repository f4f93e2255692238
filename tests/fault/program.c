/* SPDX-License-Identifier: MIT */
/* See program.h. */
#define _GNU_SOURCE 1

#include "program.h"

#include "../support/fib.h"
#include "../support/fixture.h"
#include "../support/net.h"

#include <errno.h>
#include <netdb.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { CROWD = 300 }; /* more than a worker's queue holds at first */

static struct {
    int pair[2], file, client;
} given;

static _Atomic(int) errors; /* that the program has seen */
static _Atomic(int) has_started, ended;

void program_prepare(void)
{
    make_socket_pair(given.pair);
    given.file = make_file("0123456789", 10);
    given.client = make_tcp_socket();
    atomic_store(&errors, 0);
    atomic_store(&has_started, 0);
}

void program_clean_up(void)
{
    for (int i = 0; i < 2; i++)
        CHECK_EQ(close(given.pair[i]), 0);
    CHECK_EQ(close(given.file), 0);
    CHECK_EQ(close(given.client), 0);
}

bool program_has_started(void)
{
    return atomic_load(&has_started) != 0;
}

int program_errors(void)
{
    return atomic_load(&errors);
}

bool went_well(int result)
{
    if (result >= 0)
        return true;
    CHECK(result == -ENOMEM || result == -EAGAIN || result == -EMFILE || result == -ENODEV);
    (void)atomic_fetch_add(&errors, 1);
    return false;
}

static void add_range(size_t begin, size_t end, void *arg)
{
    _Atomic(uint64_t) *sum = arg;
    uint64_t part = 0;

    for (size_t i = begin; i < end; i++)
        part += i;
    (void)atomic_fetch_add(sum, part);
}

static void use_tasks(void)
{
    _Atomic(uint64_t) sum = 0;

    CHECK_EQ(fib_call(15), 610);
    weft_parallel_for(0, 1000, 10, add_range, &sum);
    CHECK_EQ(sum, 499500);
}

static int yield_and_use_tasks(void *arg)
{
    CHECK_EQ(weft_yield(), 0);
    CHECK_EQ(fib_call(5), 5);
    CHECK_EQ(weft_set_name("one of many"), 0);
    (void)atomic_fetch_add(&ended, 1);
    return (int)(intptr_t)arg;
}

static void use_fibers(void)
{
    static weft_fiber *fibers[CROWD];
    struct weft_fiber_attr attr = WEFT_FIBER_ATTR_INIT;
    int count = 0, detached;

    for (int i = 0; i < CROWD; i++)
        if (went_well(weft_spawn(&fibers[count], yield_and_use_tasks, (void *)(intptr_t)count)))
            count++;
    for (int i = 0; i < count; i++)
        CHECK_EQ(must_join(fibers[i]), i);
    for (attr.stack_size_kib = 16; attr.stack_size_kib <= 8192; attr.stack_size_kib *= 2)
        if (went_well(weft_spawn_with(&attr, &fibers[0], yield_and_use_tasks, NULL)))
            CHECK_EQ(must_join(fibers[0]), 0);
    atomic_store(&ended, 0);
    detached = went_well(weft_spawn(NULL, yield_and_use_tasks, NULL));
    while (atomic_load(&ended) < detached)
        CHECK_EQ(weft_sleep(WEFT_MILLISECOND / 10), 0);
}

static int sleep_for_ever(void *arg)
{
    (void)arg;
    return weft_sleep_until(WEFT_FOREVER);
}

static void use_cancels(void)
{
    weft_fiber *fiber;

    if (!went_well(weft_spawn(&fiber, sleep_for_ever, NULL)))
        return;
    CHECK_EQ(weft_join(fiber, NULL, weft_after(WEFT_MICROSECOND)), -ETIMEDOUT);
    weft_cancel(fiber);
    CHECK_EQ(must_join(fiber), -ECANCELED);
}

static int return_four(void *arg)
{
    (void)arg;
    return 4;
}

static int call_on_the_pool(void *arg)
{
    int result = weft_blocking(return_four, arg, WEFT_FOREVER);

    if (went_well(result))
        CHECK_EQ(result, 4);
    return 0;
}

static void use_the_pool(void)
{
    weft_fiber *fibers[4];
    int count = 0;

    for (int i = 0; i < 4; i++)
        if (went_well(weft_spawn(&fibers[count], call_on_the_pool, NULL)))
            count++;
    (void)call_on_the_pool(NULL);
    for (int i = 0; i < count; i++)
        CHECK_EQ(must_join(fibers[i]), 0);
}

static int accept_one(void *arg)
{
    int fd = weft_accept((int)(intptr_t)arg, WEFT_FOREVER);

    (void)went_well(fd);
    return fd;
}

static void use_tcp(void)
{
    int listener = weft_listen_tcp("127.0.0.1", 0), fd;
    struct sockaddr_in address;
    weft_fiber *fiber;
    char byte = 'b';

    if (!went_well(listener))
        return;
    address = local_address(listener);
    if (went_well(weft_spawn(&fiber, accept_one, (void *)(intptr_t)listener))) {
        /* What has to wait for its descriptor can be told no, on epoll. */
        if (!went_well(weft_connect(given.client, (struct sockaddr *)&address, sizeof address,
                                    WEFT_FOREVER)))
            weft_cancel(fiber);
        fd = must_join(fiber);
        if (fd >= 0) {
            CHECK_EQ(weft_send_all(given.client, &byte, 1, 0, WEFT_FOREVER), 1);
            (void)went_well((int)weft_recv(fd, &byte, 1, 0, WEFT_FOREVER));
            CHECK_EQ(weft_close(fd), 0);
        }
    }
    CHECK_EQ(weft_close(listener), 0);
}

static void use_files(void)
{
    struct weft_dir_entry entry;
    weft_dir *dir;
    char bytes[4] = "";
    int fd, ends[2];
    ssize_t result;

    CHECK_EQ(weft_pread(given.file, bytes, 4, 3, WEFT_FOREVER), 4);
    CHECK(memcmp(bytes, "3456", 4) == 0);
    CHECK_EQ(weft_write_all(given.pair[0], "ab", 2, WEFT_FOREVER), 2);
    if (went_well(weft_poll_fd(given.pair[1], 1, WEFT_FOREVER)))
        CHECK_EQ(weft_read(given.pair[1], bytes, 4, WEFT_FOREVER), 2);
    else
        CHECK_EQ(read(given.pair[1], bytes, 4), 2);
    result = weft_read(given.pair[1], bytes, 4, weft_after(WEFT_MICROSECOND));
    CHECK(result == -ETIMEDOUT || !went_well((int)result));
    fd = weft_openat(-100, "/dev/null", 0, 0, WEFT_FOREVER);
    if (went_well(fd))
        CHECK_EQ(weft_close(fd), 0);
    if (went_well(weft_pipe(ends)))
        CHECK(weft_close(ends[0]) == 0 && weft_close(ends[1]) == 0);
    if (went_well(weft_dir_open(&dir, -100, "/proc/self", WEFT_FOREVER))) {
        CHECK_EQ(weft_dir_next(dir, &entry, WEFT_FOREVER), 1);
        weft_dir_close(dir);
    }
}

static int copy_block(void *value, void **copy)
{
    *copy = malloc(1);
    (void)value;
    return *copy != NULL ? 0 : -ENOMEM;
}

static int set_local(void *arg)
{
    weft_local_key *key = arg;
    void *block = malloc(1);

    if (block == NULL || !went_well(weft_local_set(*key, block)))
        free(block);
    return weft_local_get(*key) != NULL;
}

static void use_locals(void)
{
    struct weft_local_attr attr = {.destroy = free, .copy = copy_block, .inherit = true};
    weft_scope scope = WEFT_SCOPE_INIT;
    weft_local_key key;
    weft_fiber *fiber;

    if (!went_well(weft_local_key_create(&key, &attr)))
        return;
    if (went_well(weft_spawn(&fiber, set_local, &key)))
        (void)must_join(fiber);
    if (set_local(&key) != 0) {
        if (went_well(weft_spawn(&fiber, return_four, NULL)))
            CHECK_EQ(must_join(fiber), 4);
        if (went_well(weft_scope_spawn(&scope, return_four, NULL)))
            CHECK_EQ(weft_scope_close(&scope, 0), 0);
        free(weft_local_get(key));
        CHECK_EQ(weft_local_set(key, NULL), 0);
    }
    weft_local_key_delete(key);
}

static void use_names_and_signals(void)
{
    struct weft_signal got;
    struct addrinfo *found;
    sigset_t set;
    int error = weft_resolve("127.0.0.1", NULL, NULL, &found, WEFT_FOREVER);

    if (went_well(error))
        freeaddrinfo(found);
    sigemptyset(&set);
    sigaddset(&set, SIGPIPE); /* every worker has it blocked */
    error = weft_signal_wait(&set, &got, 0);
    CHECK(error == -ETIMEDOUT || !went_well(error));
}

static void use_processes(void)
{
    char program[] = "true", *arguments[] = {program, NULL};
    int status = -1;
    pid_t pid;

    if (!went_well(weft_process_spawn(&pid, program, NULL, NULL, arguments, environ, WEFT_FOREVER)))
        return;
    if (!went_well(weft_process_wait(pid, &status, WEFT_FOREVER)))
        CHECK_EQ(waitpid(pid, &status, 0), pid);
    CHECK_EQ(status, 0);
}

static int count_to_three(weft_generator *generator, void *arg)
{
    int error = 0;

    for (int i = 0; i < 3 && error == 0; i++)
        error = weft_generator_yield(generator, arg, NULL);
    return error;
}

/* Not of the default size: the process keeps such a stack for the next run. */
static void use_generators(void)
{
    weft_generator *generator;
    void *value;

    for (uint32_t size = 128; size <= 512; size *= 2) {
        if (!went_well(weft_generator_create(&generator, count_to_three, &errors, size)))
            continue;
        CHECK_EQ(weft_generator_next(generator, &value), 0);
        CHECK(value == &errors);
        weft_generator_free(generator);
    }
}

static int add_one(void *arg, void *item, void *result)
{
    (void)arg;
    *(int *)result = *(int *)item + 1;
    return 0;
}

/* Two channels, and a pipeline's stage between them. */
static void use_channels(void)
{
    struct weft_pipeline_stage stage = {.fn = add_one, .fibers = 2};
    weft_scope scope = WEFT_SCOPE_INIT;
    int value = 1;

    if (!went_well(weft_channel_create(&stage.in, sizeof value, 4)))
        return;
    if (went_well(weft_channel_create(&stage.out, sizeof value, 4))) {
        if (went_well(weft_pipeline_spawn(&scope, &stage))) {
            CHECK_EQ(weft_channel_send(stage.in, &value, sizeof value, WEFT_FOREVER), 0);
            CHECK_EQ(weft_channel_receive(stage.out, &value, sizeof value, WEFT_FOREVER), 0);
            CHECK_EQ(value, 2);
        }
        weft_channel_close(stage.in);
        CHECK_EQ(weft_scope_close(&scope, 0), 0);
        weft_channel_free(stage.out);
    }
    weft_channel_free(stage.in);
}

/* One whose holder is known, if there is memory for that. */
static void use_mutexes(void)
{
    weft_mutex mutex = WEFT_MUTEX_INIT;

    CHECK_EQ(weft_mutex_lock_checked(&mutex, WEFT_FOREVER), 0);
    weft_mutex_unlock(&mutex);
}

static void use_futures(void)
{
    weft_future future = WEFT_FUTURE_INIT, *all[] = {&future};

    if (went_well(weft_future_spawn(&future, return_four, NULL)))
        CHECK_EQ(weft_gather(all, 1, WEFT_FOREVER), 0);
    weft_future_close(&future);
}

static void count_end(void *arg)
{
    (void)atomic_fetch_add((_Atomic(int) *)arg, 1);
}

static int defer_and_sleep(void *arg)
{
    if (went_well(weft_defer(count_end, &ended)))
        (void)atomic_fetch_add((_Atomic(int) *)arg, 1);
    return weft_sleep_until(WEFT_FOREVER);
}

/* What is deferred runs, also in a fiber that is cancelled. */
static void use_scopes(void)
{
    weft_scope scope = WEFT_SCOPE_INIT;
    _Atomic(int) deferred = 0;

    atomic_store(&ended, 0);
    for (int i = 0; i < 3; i++)
        if (went_well(weft_scope_spawn(&scope, defer_and_sleep, &deferred)))
            CHECK_EQ(weft_yield(), 0);
    CHECK_EQ(weft_scope_close(&scope, -ECANCELED), -ECANCELED);
    CHECK_EQ(atomic_load(&ended), atomic_load(&deferred));
}

int program_use_everything(void *arg)
{
    struct weft_stats stats;

    (void)arg;
    atomic_store(&has_started, 1);
    use_tasks();
    use_fibers();
    use_cancels();
    use_the_pool();
    use_tcp();
    use_files();
    use_names_and_signals();
    use_processes();
    use_locals();
    use_generators();
    use_channels();
    use_mutexes();
    use_futures();
    use_scopes();
    CHECK_EQ(weft_stats_read(&stats), 0);
    return 0;
}
