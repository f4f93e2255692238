/* SPDX-License-Identifier: MIT */
/*
 * Lets Criterion run under ThreadSanitizer.
 *
 * Criterion's sandbox shares a small arena with each test process.  It picks a random address
 * between 0x200000000000 and 0x7f0000000000, asks mincore() whether the place is free, and maps the
 * arena there.  ThreadSanitizer keeps its shadow memory in most of that range, so every place
 * looks taken.  These functions hide the two calls: they say that such a place is free, and map
 * the arena in the one part of the range that ThreadSanitizer leaves to the program.
 */
#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/types.h>

#define ARENA_LOWEST UINT64_C(0x200000000000)

/* Where position-independent programs load: anywhere in it, but they fill very little of it. */
#define PROGRAM_LOWEST UINT64_C(0x550000000000)
#define PROGRAM_HIGHEST UINT64_C(0x568000000000)
#define PROGRAM_STRIDE UINT64_C(0x1000000)

/* Where the kernel maps what names no place, and that goes below 0x7f0000000000 now and then:
 * kHiAppMemBeg of compiler-rt/lib/tsan/rtl/tsan_platform.h. */
#define MAPPINGS_LOWEST UINT64_C(0x7e8000000000)

/* The sanitizer's own, which ours hide. */
int __interceptor_mincore(void *addr, size_t len, unsigned char *resident);
void *__interceptor_mmap64(void *addr, size_t len, int prot, int flags, int fd, off64_t offset);

static bool is_shadow(const void *addr)
{
    uint64_t place = (uint64_t)(uintptr_t)addr;

    return place >= ARENA_LOWEST && place < MAPPINGS_LOWEST &&
           (place < PROGRAM_LOWEST || place >= PROGRAM_HIGHEST);
}

int mincore(void *addr, size_t len, unsigned char *resident)
{
    if (!is_shadow(addr))
        return __interceptor_mincore(addr, len, resident);
    errno = ENOMEM;
    return -1;
}

void *mmap64(void *addr, size_t len, int prot, int flags, int fd, off64_t offset)
{
    uint64_t region = PROGRAM_HIGHEST - PROGRAM_LOWEST;
    uint64_t place = (uint64_t)(uintptr_t)addr % region;
    void *mapped = MAP_FAILED;

    if (!(flags & MAP_FIXED) || !is_shadow(addr))
        return __interceptor_mmap64(addr, len, prot, flags, fd, offset);

    /* Nobody has asked whether the place that we give is free. */
    flags = (flags & ~MAP_FIXED) | MAP_FIXED_NOREPLACE;
    for (int tries = 0; tries < 16 && mapped == MAP_FAILED; tries++) {
        void *candidate = (void *)(uintptr_t)(PROGRAM_LOWEST + place);

        mapped = __interceptor_mmap64(candidate, len, prot, flags, fd, offset);
        if (mapped == MAP_FAILED && errno != EEXIST)
            break;
        place = (place + PROGRAM_STRIDE) % region;
    }
    return mapped;
}
