/* SPDX-License-Identifier: MIT */
#include "fault.h"

#include <dirent.h>
#include <errno.h>
#include <hwloc.h>
#include <liburing.h>
#include <netdb.h>
#include <pthread.h>
#include <signal.h>
#include <spawn.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/syscall.h>

static _Atomic(bool) is_armed, stays_failing;
static _Atomic(long) requests, failing, complaints;
static _Atomic(const char *) failing_function, fired;
static _Atomic(long) blocks, mapped_bytes;

struct fault_holdings fault_holdings(void)
{
    return (struct fault_holdings){atomic_load(&blocks), atomic_load(&mapped_bytes)};
}

static void arm(long number, const char *function, bool stays)
{
    atomic_store(&requests, 0);
    atomic_store(&complaints, 0);
    atomic_store(&fired, NULL);
    atomic_store(&failing, number);
    atomic_store(&failing_function, function);
    atomic_store(&stays_failing, stays);
    atomic_store(&is_armed, true);
}

void fault_arm(long number, bool stays)
{
    arm(number, NULL, stays);
}

void fault_arm_function(const char *function)
{
    arm(0, function, false);
}

long fault_disarm(void)
{
    atomic_store(&is_armed, false);
    return atomic_load(&requests);
}

const char *fault_fired(void)
{
    return atomic_load(&fired);
}

long fault_complaints(void)
{
    return atomic_load(&complaints);
}

static bool fails(const char *function)
{
    const char *wanted = atomic_load(&failing_function), *none = NULL;
    long number, limit;

    if (!atomic_load(&is_armed))
        return false;
    number = atomic_fetch_add(&requests, 1) + 1;
    limit = atomic_load(&failing);
    if (wanted != NULL ? strcmp(function, wanted) != 0 || atomic_load(&fired) != NULL
                       : number != limit && !(atomic_load(&stays_failing) && number > limit))
        return false;
    (void)atomic_compare_exchange_strong(&fired, &none, function);
    return true;
}

static void *count_block(void *memory)
{
    if (memory != NULL)
        (void)atomic_fetch_add(&blocks, 1);
    return memory;
}

/* REAL is what the caller would have had without us, WRAPPED what it has instead. */
#define REAL(name) __real_##name
#define WRAPPED(result, name, ...)     \
    result __real_##name(__VA_ARGS__); \
    result __wrap_##name(__VA_ARGS__); \
    result __wrap_##name(__VA_ARGS__)

WRAPPED(void *, wf_alloc, size_t size)
{
    return fails("wf_alloc") ? NULL : count_block(REAL(wf_alloc)(size));
}

WRAPPED(void *, wf_alloc_at, size_t size, uint32_t home)
{
    return fails("wf_alloc_at") ? NULL : count_block(REAL(wf_alloc_at)(size, home));
}

WRAPPED(void *, wf_alloc_unset, size_t size)
{
    return fails("wf_alloc_unset") ? NULL : count_block(REAL(wf_alloc_unset)(size));
}

WRAPPED(void, wf_free, void *memory)
{
    if (memory != NULL)
        (void)atomic_fetch_sub(&blocks, 1);
    REAL(wf_free)(memory);
}

WRAPPED(void *, malloc, size_t size)
{
    return fails("malloc") ? NULL : count_block(REAL(malloc)(size));
}

WRAPPED(void *, calloc, size_t count, size_t size)
{
    return fails("calloc") ? NULL : count_block(REAL(calloc)(count, size));
}

/* Where wf_alloc() has the system's memory, its wf_free() comes to free(), which counts too. */
WRAPPED(void *, aligned_alloc, size_t alignment, size_t size)
{
    return fails("aligned_alloc") ? NULL : count_block(REAL(aligned_alloc)(alignment, size));
}

WRAPPED(void, free, void *memory)
{
    if (memory != NULL)
        (void)atomic_fetch_sub(&blocks, 1);
    REAL(free)(memory);
}

WRAPPED(void *, mmap, void *address, size_t length, int prot, int flags, int fd, off_t offset)
{
    void *result = MAP_FAILED;

    if (fails("mmap"))
        errno = ENOMEM;
    else
        result = REAL(mmap)(address, length, prot, flags, fd, offset);
    /* With MAP_FIXED it takes the place of what the library has already. */
    if (result != MAP_FAILED && (flags & MAP_FIXED) == 0)
        (void)atomic_fetch_add(&mapped_bytes, (long)length);
    return result;
}

WRAPPED(int, munmap, void *address, size_t length)
{
    (void)atomic_fetch_sub(&mapped_bytes, (long)length);
    return REAL(munmap)(address, length);
}

static int refuse(int error)
{
    errno = error;
    return -1;
}

/* Each stack has its guard: one of many is as good as all, and the sweeps are shorter. */
WRAPPED(int, madvise, void *address, size_t length, int advice)
{
    static _Atomic(unsigned) calls;

    return atomic_fetch_add(&calls, 1) % 32 == 0 && fails("madvise")
               ? refuse(ENOMEM)
               : REAL(madvise)(address, length, advice);
}

WRAPPED(int, mprotect, void *address, size_t length, int prot)
{
    return fails("mprotect") ? refuse(ENOMEM) : REAL(mprotect)(address, length, prot);
}

WRAPPED(int, pthread_create, pthread_t *thread, const pthread_attr_t *attr, void *(*fn)(void *),
        void *arg)
{
    return fails("pthread_create") ? EAGAIN : REAL(pthread_create)(thread, attr, fn, arg);
}

WRAPPED(int, pthread_atfork, void (*prepare)(void), void (*parent)(void), void (*child)(void))
{
    return fails("pthread_atfork") ? ENOMEM : REAL(pthread_atfork)(prepare, parent, child);
}

WRAPPED(int, pthread_key_create, pthread_key_t *key, void (*destroy)(void *))
{
    return fails("pthread_key_create") ? EAGAIN : REAL(pthread_key_create)(key, destroy);
}

/* Without `old` it puts back what was there, for which the kernel needs nothing. */
WRAPPED(int, sigaltstack, const stack_t *stack, stack_t *old)
{
    return old != NULL && fails("sigaltstack") ? refuse(ENOMEM) : REAL(sigaltstack)(stack, old);
}

WRAPPED(int, eventfd, unsigned count, int flags)
{
    return fails("eventfd") ? refuse(EMFILE) : REAL(eventfd)(count, flags);
}

WRAPPED(int, memfd_create, const char *name, unsigned flags)
{
    return fails("memfd_create") ? refuse(EMFILE) : REAL(memfd_create)(name, flags);
}

WRAPPED(int, pipe2, int *ends, int flags)
{
    return fails("pipe2") ? refuse(EMFILE) : REAL(pipe2)(ends, flags);
}

WRAPPED(int, socket, int domain, int type, int protocol)
{
    return fails("socket") ? refuse(EMFILE) : REAL(socket)(domain, type, protocol);
}

WRAPPED(int, accept4, int fd, struct sockaddr *address, socklen_t *length, int flags)
{
    return fails("accept4") ? refuse(EMFILE) : REAL(accept4)(fd, address, length, flags);
}

WRAPPED(int, epoll_create1, int flags)
{
    return fails("epoll_create1") ? refuse(EMFILE) : REAL(epoll_create1)(flags);
}

/* What is there already is changed without memory. */
WRAPPED(int, epoll_ctl, int epoll, int operation, int fd, struct epoll_event *event)
{
    return operation == EPOLL_CTL_ADD && fails("epoll_ctl")
               ? refuse(ENOMEM)
               : REAL(epoll_ctl)(epoll, operation, fd, event);
}

WRAPPED(int, posix_spawnp, pid_t *pid, const char *file, const posix_spawn_file_actions_t *actions,
        const posix_spawnattr_t *attr, char *const argv[], char *const envp[])
{
    return fails("posix_spawnp") ? EAGAIN
                                 : REAL(posix_spawnp)(pid, file, actions, attr, argv, envp);
}

/* Of those that the C library has no name for, one gives something, and one can be refused.
 * Arguments that were not handed on are not looked at. */
WRAPPED(long, syscall, long number, long a, long b, long c, long d, long e, long f)
{
    if (number == SYS_pidfd_open && fails("pidfd_open"))
        return refuse(EMFILE);
    if (number == SYS_membarrier && fails("membarrier"))
        return refuse(EPERM);
    return REAL(syscall)(number, a, b, c, d, e, f);
}

/* A mode that was not handed on is not looked at either. */
WRAPPED(int, open, const char *path, int flags, mode_t mode)
{
    return fails("open") ? refuse(EMFILE) : REAL(open)(path, flags, mode);
}

WRAPPED(int, openat, int dir_fd, const char *path, int flags, mode_t mode)
{
    return fails("openat") ? refuse(EMFILE) : REAL(openat)(dir_fd, path, flags, mode);
}

WRAPPED(FILE *, fopen, const char *path, const char *mode)
{
    if (!fails("fopen"))
        return REAL(fopen)(path, mode);
    errno = EMFILE;
    return NULL;
}

WRAPPED(DIR *, opendir, const char *path)
{
    if (!fails("opendir"))
        return REAL(opendir)(path);
    errno = EMFILE;
    return NULL;
}

WRAPPED(int, signalfd, int fd, const sigset_t *set, int flags)
{
    return fails("signalfd") ? refuse(EMFILE) : REAL(signalfd)(fd, set, flags);
}

WRAPPED(int, getaddrinfo, const char *node, const char *service, const struct addrinfo *hints,
        struct addrinfo **result)
{
    return fails("getaddrinfo") ? EAI_MEMORY : REAL(getaddrinfo)(node, service, hints, result);
}

WRAPPED(int, io_uring_queue_init_params, unsigned entries, struct io_uring *ring,
        struct io_uring_params *params)
{
    return fails("io_uring_queue_init_params")
               ? -ENOMEM
               : REAL(io_uring_queue_init_params)(entries, ring, params);
}

WRAPPED(int, io_uring_register_probe, struct io_uring *ring, struct io_uring_probe *probe,
        unsigned count)
{
    return fails("io_uring_register_probe") ? -ENOMEM
                                            : REAL(io_uring_register_probe)(ring, probe, count);
}

WRAPPED(int, io_uring_register_ring_fd, struct io_uring *ring)
{
    return fails("io_uring_register_ring_fd") ? -ENOMEM : REAL(io_uring_register_ring_fd)(ring);
}

WRAPPED(int, hwloc_topology_init, hwloc_topology_t *topology)
{
    return fails("hwloc_topology_init") ? refuse(ENOMEM) : REAL(hwloc_topology_init)(topology);
}

WRAPPED(int, hwloc_topology_load, hwloc_topology_t topology)
{
    return fails("hwloc_topology_load") ? refuse(ENOMEM) : REAL(hwloc_topology_load)(topology);
}

/* Of AddressSanitizer, which ends the process when its own request is refused: clang links it into
 * the program, where its calls come through here, too. */
const char *__asan_default_options(void);

const char *__asan_default_options(void)
{
    return "use_sigaltstack=0";
}

/* Nothing comes before the list of arguments that is empty. */
hwloc_bitmap_t __real_hwloc_bitmap_alloc(void);
hwloc_bitmap_t __wrap_hwloc_bitmap_alloc(void);

hwloc_bitmap_t __wrap_hwloc_bitmap_alloc(void)
{
    return fails("hwloc_bitmap_alloc") ? NULL : REAL(hwloc_bitmap_alloc)();
}

void __wrap_wf_complain(const char *format, ...);

void __wrap_wf_complain(const char *format, ...)
{
    (void)format;
    (void)atomic_fetch_add(&complaints, 1);
}
