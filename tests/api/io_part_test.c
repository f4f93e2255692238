/* SPDX-License-Identifier: MIT */
/*
 * Reads and writes of files of which the kernel moves a part at once and the rest later: how much
 * that is together, and that the rest is of the same file.  What the kernel does is decided here:
 * this program is linked with --wrap for the calls.
 */
#define _GNU_SOURCE 1

#include "../support/fixture.h"
#include "../support/net.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/uio.h>
#include <unistd.h>

enum {
    CALL_MAX = INT32_MAX & ~0xfff, /* bytes that one call moves */
    MANY = 5,
    LENGTH = 8,
    FIRST = LENGTH / 2,
};

ssize_t __real_preadv2(int fd, const struct iovec *parts, int count, off_t offset, int flags);
ssize_t __real_pwritev2(int fd, const struct iovec *parts, int count, off_t offset, int flags);
ssize_t __wrap_preadv2(int fd, const struct iovec *parts, int count, off_t offset, int flags);
ssize_t __wrap_pwritev2(int fd, const struct iovec *parts, int count, off_t offset, int flags);

/* A negative errno for an error. */
typedef ssize_t part_fn(int fd, const struct iovec *parts, int count, off_t offset, int flags);

static _Atomic(part_fn *) decide;
static _Atomic(int) calls;

static ssize_t decided(part_fn *fn, int fd, const struct iovec *parts, int count, off_t offset,
                       int flags)
{
    ssize_t result;

    (void)atomic_fetch_add(&calls, 1);
    result = fn(fd, parts, count, offset, flags);
    if (result >= 0)
        return result;
    errno = (int)-result;
    return -1;
}

ssize_t __wrap_preadv2(int fd, const struct iovec *parts, int count, off_t offset, int flags)
{
    part_fn *fn = atomic_load(&decide);

    return fn != NULL ? decided(fn, fd, parts, count, offset, flags)
                      : __real_preadv2(fd, parts, count, offset, flags);
}

ssize_t __wrap_pwritev2(int fd, const struct iovec *parts, int count, off_t offset, int flags)
{
    part_fn *fn = atomic_load(&decide);

    return fn != NULL ? decided(fn, fd, parts, count, offset, flags)
                      : __real_pwritev2(fd, parts, count, offset, flags);
}

/* On io_uring it is a fiber alone on its worker that makes these calls, and it may have others do
 * it instead. */
static bool was_asked(const struct weft_config *config)
{
    bool was = atomic_load(&calls) > 0;

    CHECK(was || config->backend != WEFT_BACKEND_EPOLL);
    return was;
}

/* One worker, and no monitor that takes the calls for a stall. */
static void run_on_both_with(int (*fn)(void *), unsigned threads)
{
    struct weft_config config = {.workers = 1, .monitor = 3, .blocking_threads = threads};

    cr_expect_eq(run_config(&config, fn, &config), 0);
    config.backend = WEFT_BACKEND_EPOLL;
    cr_expect_eq(run_config(&config, fn, &config), 0);
}

static void run_on_both(int (*fn)(void *))
{
    run_on_both_with(fn, 0);
}

/* What the first call moves, and what has been moved. */
static _Atomic(ssize_t) first, moved;
static _Atomic(bool) has_offset;

/* Moves all that is asked for, as far as one call does; but at once only the first part. */
static ssize_t move_much(int fd, const struct iovec *parts, int count, off_t offset, int flags)
{
    size_t wanted = 0;

    (void)fd;
    CHECK_EQ(offset, atomic_load(&has_offset) ? atomic_load(&moved) : -1);
    for (int i = 0; i < count; i++)
        wanted += parts[i].iov_len;
    if (atomic_load(&calls) > 1 && (flags & RWF_NOWAIT) != 0)
        return -EAGAIN;
    if (atomic_load(&calls) == 1)
        wanted = (size_t)atomic_load(&first);
    if (wanted > CALL_MAX)
        wanted = CALL_MAX;
    (void)atomic_fetch_add(&moved, (ssize_t)wanted);
    return (ssize_t)wanted;
}

static void check_much(const struct weft_config *config, ssize_t at_first, size_t length)
{
    struct iovec parts[MANY];
    void *memory = mmap(NULL, length, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    int fd = make_file("", 0);

    CHECK(memory != MAP_FAILED);
    for (int i = 0; i < MANY; i++)
        parts[i] = (struct iovec){memory, length};
    for (int way = 0; way < 4; way++) {
        ssize_t result;

        atomic_store(&first, at_first);
        atomic_store(&moved, 0);
        atomic_store(&calls, 0);
        atomic_store(&has_offset, way >= 2);
        atomic_store(&decide, move_much);
        /* A ring must not be asked to write so much indeed. */
        if (way % 2 == 0 || config->backend != WEFT_BACKEND_EPOLL)
            result = way >= 2 ? weft_preadv(fd, parts, MANY, 0, WEFT_FOREVER)
                              : weft_readv(fd, parts, MANY, WEFT_FOREVER);
        else
            result = way >= 2 ? weft_pwritev(fd, parts, MANY, 0, WEFT_FOREVER)
                              : weft_writev(fd, parts, MANY, WEFT_FOREVER);
        atomic_store(&decide, NULL);
        if (!was_asked(config))
            continue;
        CHECK_EQ(result, CALL_MAX);
        CHECK_EQ(atomic_load(&moved), CALL_MAX);
    }
    CHECK_EQ(munmap(memory, length), 0);
    CHECK_EQ(weft_close(fd), 0);
}

static int move_more_than_a_call(void *arg)
{
    static const size_t lengths[] = {1U << 29, 1U << 30, 1U << 31};

    for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++) {
        check_much(arg, CALL_MAX, lengths[i]);
        check_much(arg, CALL_MAX - 4096, lengths[i]);
        check_much(arg, 4096, lengths[i]);
    }
    return 0;
}

/* Results have 32 bits.  What goes beyond one call is the caller's to ask for once more. */
Test(io_part, no_more_than_one_call_can_move, .timeout = TEST_TIMEOUT_S)
{
    if (sizeof(size_t) > 4)
        run_on_both(move_more_than_a_call);
}

/* Somebody closes the descriptor in the call with this number, and has its number mean `second`. */
static struct {
    bool is_write;
    int in_call, fd, second;
    pthread_t thread;
    _Atomic(int) is_closed;
} swap;

static void *close_and_reuse(void *arg)
{
    (void)arg;
    CHECK_EQ(weft_close(swap.fd), 0);
    CHECK_EQ(fcntl(swap.second, F_DUPFD_CLOEXEC, swap.fd), swap.fd);
    atomic_store(&swap.is_closed, 1);
    return NULL;
}

/* The close has some time to come between, where it does not wait as it should. */
static void begin_close(void)
{
    CHECK_EQ(pthread_create(&swap.thread, NULL, close_and_reuse, NULL), 0);
    for (int i = 0; i < 20 && !atomic_load(&swap.is_closed); i++)
        (void)usleep(1000);
}

/* Half at first.  Where the close comes in the third call, the second would have to wait. */
static ssize_t move_half(int fd, const struct iovec *parts, int count, off_t offset, int flags)
{
    int number = atomic_load(&calls);
    size_t length = number == 1 ? FIRST : parts->iov_len;
    ssize_t result;

    CHECK_EQ(count, 1);
    CHECK_EQ((flags & RWF_NOWAIT) == 0, number == 3);
    if (number == 2 && swap.in_call == 3)
        return -EAGAIN;
    if (number == swap.in_call && number > 1)
        begin_close();
    result = swap.is_write ? pwrite(fd, parts->iov_base, length, offset)
                           : pread(fd, parts->iov_base, length, offset);
    if (number == swap.in_call && number == 1)
        begin_close();
    return result;
}

static void expect_contents(int fd, const char *contents)
{
    char bytes[LENGTH];

    CHECK_EQ(pread(fd, bytes, LENGTH, 0), LENGTH);
    CHECK(memcmp(bytes, contents, LENGTH) == 0);
    CHECK_EQ(close(fd), 0);
}

static void check_swap(const struct weft_config *config, bool is_write, int in_call)
{
    int expected = in_call == 1 ? FIRST : LENGTH, same;
    char bytes[LENGTH + 1] = "cccccccc";
    ssize_t result;

    swap.is_write = is_write;
    swap.in_call = in_call;
    swap.fd = make_file("aaaaaaaa", LENGTH);
    swap.second = make_file("bbbbbbbb", LENGTH);
    same = fcntl(swap.fd, F_DUPFD_CLOEXEC, 0);
    atomic_store(&swap.is_closed, 0);
    atomic_store(&calls, 0);
    atomic_store(&decide, move_half);
    result = is_write ? weft_pwrite(swap.fd, bytes, LENGTH, 0, WEFT_FOREVER)
                      : weft_pread(swap.fd, bytes, LENGTH, 0, WEFT_FOREVER);
    atomic_store(&decide, NULL);
    if (!was_asked(config)) {
        (void)close_and_reuse(NULL);
        expect_contents(swap.second, "bbbbbbbb");
    } else {
        CHECK_EQ(pthread_join(swap.thread, NULL), 0);
        CHECK_EQ(result, expected);
        CHECK(is_write || memcmp(bytes, expected == FIRST ? "aaaacccc" : "aaaaaaaa", LENGTH) == 0);
        expect_contents(swap.second, "bbbbbbbb");
        if (is_write)
            expect_contents(dup(same), expected == FIRST ? "ccccaaaa" : "cccccccc");
    }
    CHECK_EQ(close(same), 0);
    CHECK_EQ(close(swap.fd), 0);
}

static int close_between(void *arg)
{
    for (int in_call = 1; in_call <= 3; in_call++) {
        check_swap(arg, false, in_call);
        check_swap(arg, true, in_call);
    }
    return 0;
}

/* A close comes first, and what has been moved is all; or it waits for the rest. */
Test(io_part, the_rest_is_of_the_same_file, .timeout = TEST_TIMEOUT_S)
{
    run_on_both(close_between);
}

/* Half at first; the rest would have to wait. */
static ssize_t move_half_at_once(int fd, const struct iovec *parts, int count, off_t offset,
                                 int flags)
{
    int number = atomic_load(&calls);

    CHECK_EQ(count, 1);
    CHECK((flags & RWF_NOWAIT) != 0);
    if (number > 1)
        return -EAGAIN;
    return pread(fd, parts->iov_base, FIRST, offset);
}

static int hold_the_pool(void *arg)
{
    while (!atomic_load((_Atomic(bool) *)arg))
        (void)usleep(100);
    return 0;
}

static int be_in_the_pool(void *arg)
{
    return weft_blocking(hold_the_pool, arg, WEFT_FOREVER);
}

static int read_part(void *arg)
{
    weft_time deadline = *(weft_time *)arg;
    char bytes[LENGTH + 1] = "cccccccc";
    int fd = make_file("aaaaaaaa", LENGTH);
    ssize_t result;

    atomic_store(&calls, 0);
    atomic_store(&decide, move_half_at_once);
    result = weft_pread(fd, bytes, LENGTH, 0, deadline);
    atomic_store(&decide, NULL);
    CHECK_EQ(weft_close(fd), 0);
    for (int i = 0; i < LENGTH; i++)
        CHECK_EQ(bytes[i], i < result ? 'a' : 'c');
    return (int)result;
}

/* A ring has a file in memory read by a thread of its own, which a cancel can outrun. */
static void expect_part(const struct weft_config *config, int result)
{
    if (was_asked(config))
        CHECK_EQ(result, FIRST);
    else
        CHECK(result == LENGTH || result == -ETIMEDOUT || result == -ECANCELED);
}

/* The pool is busy all the time. */
static int wait_for_the_rest(void *arg)
{
    _Atomic(bool) is_over = false;
    weft_fiber *holder = must_spawn(be_in_the_pool, &is_over), *reader;
    weft_time deadline = 0;

    CHECK_EQ(weft_sleep(5 * WEFT_MILLISECOND), 0);
    expect_part(arg, read_part(&deadline));
    deadline = weft_after(5 * WEFT_MILLISECOND);
    expect_part(arg, read_part(&deadline));
    deadline = WEFT_FOREVER;
    reader = must_spawn(read_part, &deadline);
    CHECK_EQ(weft_sleep(5 * WEFT_MILLISECOND), 0);
    weft_cancel(reader);
    expect_part(arg, must_join(reader));
    atomic_store(&is_over, true);
    return must_join(holder);
}

/* A deadline or a cancel ends the wait for a thread, and what has been moved is told. */
Test(io_part, the_rest_has_a_deadline, .timeout = TEST_TIMEOUT_S)
{
    run_on_both_with(wait_for_the_rest, 1);
}
