/* SPDX-License-Identifier: MIT */
/* Setting an io_uring up, and saying why that cannot be done. */
#include "io/ring.h"

#include "arch/sanitizer.h"
#include "runtime/check.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

enum {
    CQ_PER_SQ = 4, /* operations outlive the batch that submitted them */
    OPCODES_MAX = 256,
};

/* Best first.  What a kernel does not know it refuses with EINVAL. */
static const struct {
    unsigned flags;
    const char *name;
} setups[] = {
    {IORING_SETUP_COOP_TASKRUN | IORING_SETUP_TASKRUN_FLAG | IORING_SETUP_SUBMIT_ALL,
     "COOP_TASKRUN TASKRUN_FLAG SUBMIT_ALL"}, /* Linux 5.19 */
    {0, "plain"},
};

#define NAMED(constant)     \
    {                       \
        constant, #constant \
    }

struct named {
    unsigned value;
    const char *name;
};

/* What operations and their cancels are made of. */
static const struct named opcodes_needed[] = {
    NAMED(IORING_OP_READ),    NAMED(IORING_OP_WRITE),        NAMED(IORING_OP_READV),
    NAMED(IORING_OP_WRITEV),  NAMED(IORING_OP_RECV),         NAMED(IORING_OP_SEND),
    NAMED(IORING_OP_RECVMSG), NAMED(IORING_OP_SENDMSG),      NAMED(IORING_OP_ACCEPT),
    NAMED(IORING_OP_CONNECT), NAMED(IORING_OP_POLL_ADD),     NAMED(IORING_OP_OPENAT),
    NAMED(IORING_OP_FSYNC),   NAMED(IORING_OP_ASYNC_CANCEL), NAMED(IORING_OP_CLOSE),
};

/* Without these an operation could be lost, or a wait not be bounded. */
static const struct named features_needed[] = {
    NAMED(IORING_FEAT_NODROP),
    NAMED(IORING_FEAT_FAST_POLL),
    NAMED(IORING_FEAT_EXT_ARG),
};

#define COUNT(array) (sizeof(array) / sizeof *(array))

union opcodes {
    struct io_uring_probe probe;
    char room[sizeof(struct io_uring_probe) + OPCODES_MAX * sizeof(struct io_uring_probe_op)];
};

static int ask_for_opcodes(struct io_uring *ring, union opcodes *answer)
{
    memset(answer, 0, sizeof *answer);
    return io_uring_register_probe(ring, &answer->probe, OPCODES_MAX);
}

bool wf_ring_resumes_sends(struct io_uring *ring)
{
    union opcodes answer;

    return ask_for_opcodes(ring, &answer) == 0 &&
           io_uring_opcode_supported(&answer.probe, IORING_OP_SENDMSG_ZC);
}

/* Of these three: 0, -ENOSYS with `*missing` set to what the kernel does not know, or another
 * -errno.
 */
static int find_opcodes(struct io_uring *ring, const char **missing)
{
    union opcodes answer;
    int error = ask_for_opcodes(ring, &answer);

    if (error == -EINVAL) {
        *missing = "IORING_REGISTER_PROBE";
        return -ENOSYS;
    }
    for (size_t i = 0; error == 0 && i < COUNT(opcodes_needed); i++)
        if (!io_uring_opcode_supported(&answer.probe, (int)opcodes_needed[i].value)) {
            *missing = opcodes_needed[i].name;
            error = -ENOSYS;
        }
    return error;
}

static int find_features(const struct io_uring *ring, const char **missing)
{
    for (size_t i = 0; i < COUNT(features_needed); i++)
        if ((ring->features & features_needed[i].value) == 0) {
            *missing = features_needed[i].name;
            return -ENOSYS;
        }
    return 0;
}

/* 0, or why the ring cannot be entered.  What only ails the kernel at the moment is met, and
 * handled, wherever it is entered. */
static int try_to_enter(struct io_uring *ring)
{
    int error = io_uring_enter((unsigned)ring->ring_fd, 0, 0, 0, NULL);

    return error == -EPERM || error == -EACCES || error == -ENOSYS ? error : 0;
}

/* A sandbox can let a ring be made and refuse all else, which would otherwise be seen when all is
 * under way. */
static int check(struct io_uring *ring, const char **missing)
{
    int error = find_opcodes(ring, missing);

    if (error == 0)
        error = find_features(ring, missing);
    return error == 0 ? try_to_enter(ring) : error;
}

static char rings; /* as memory, for wf_san_before_unmap() */

void wf_ring_close(struct io_uring *ring)
{
    wf_san_before_unmap(&rings);
    io_uring_queue_exit(ring);
}

/* `*name` becomes the flags, or where it fails what the kernel does not know, or NULL. */
static int set_up(struct io_uring *ring, uint32_t entries, const char **name)
{
    const char *missing = NULL;
    int error = -EINVAL;

    for (size_t i = 0; i < COUNT(setups) && error == -EINVAL; i++) {
        struct io_uring_params params = {
            .flags = setups[i].flags | IORING_SETUP_CQSIZE | IORING_SETUP_CLAMP,
            .cq_entries = entries * CQ_PER_SQ,
        };

        error = io_uring_queue_init_params(entries, ring, &params);
        *name = setups[i].name;
    }
    if (error == 0) {
        wf_san_after_map(&rings);
        error = check(ring, &missing);
        if (error != 0)
            wf_ring_close(ring);
    } else if (error == -EINVAL) {
        missing = "IORING_SETUP_CQSIZE or IORING_SETUP_CLAMP";
        error = -ENOSYS;
    }
    if (error != 0)
        *name = missing;
    return error;
}

/* io_uring_disabled as the administrator set it, or -1. */
static int read_disabled(void)
{
    int value = -1;
    FILE *file = fopen("/proc/sys/kernel/io_uring_disabled", "re");

    if (file != NULL) {
        if (fscanf(file, "%d", &value) != 1)
            value = -1;
        fclose(file);
    }
    return value;
}

/* One line on why that failed; `missing` as set_up() says. */
static void explain(int error, const char *missing, char *text, size_t size)
{
    int disabled = read_disabled();

    if (missing != NULL)
        snprintf(text, size,
                 "io_uring lacks %s: the kernel is older than 5.11, or leaves parts out; run "
                 "Linux 5.19 or later, or have WEFT_BACKEND=epoll",
                 missing);
    else if (error == -EPERM && disabled > 0)
        snprintf(text, size,
                 "io_uring is refused: kernel.io_uring_disabled is %d; allow it with "
                 "`sysctl -w kernel.io_uring_disabled=0`",
                 disabled);
    else if (error == -EPERM || error == -EACCES)
        snprintf(text, size,
                 "io_uring is refused: a sandbox blocks its system calls (the default seccomp "
                 "profiles of container engines do); allow io_uring_setup, io_uring_enter "
                 "and io_uring_register in its profile");
    else if (error == -ENOSYS)
        snprintf(text, size,
                 "io_uring is not there: the kernel is older than 5.11 or built without it, or a "
                 "sandbox hides it; run Linux 5.19 or later, or allow io_uring_setup, "
                 "io_uring_enter and io_uring_register in the sandbox's seccomp profile");
    else if (error == -ENOMEM)
        snprintf(text, size,
                 "io_uring_setup: no memory; raise the limit on locked memory (`ulimit -l`) or use "
                 "fewer ring_entries");
    else
        snprintf(text, size, "io_uring_setup: %s", strerror(-error));
}

/* Entry i of the submission queue is slot i, for good.  liburing would see to that in the calls
 * that publish and enter in one, which rule 1 forbids. */
static void set_up_indices(struct io_uring_sq *sq)
{
    for (unsigned i = 0; i < sq->ring_entries; i++)
        sq->array[i] = i;
}

int wf_ring_open(struct io_uring *ring, uint32_t entries, bool says_why)
{
    const char *name;
    char text[320];
    int error = set_up(ring, entries, &name);

    if (error == 0) {
        set_up_indices(&ring->sq);
        return 0;
    }
    if (says_why) {
        explain(error, name, text, sizeof text);
        wf_complain("%s", text);
    }
    return error;
}

int wf_ring_describe(char *line, size_t size)
{
    struct io_uring ring;
    const char *name;
    int error = set_up(&ring, 8, &name);

    if (error != 0) {
        explain(error, name, line, size);
        return error;
    }
    snprintf(line, size, "io_uring, one ring per worker, %s, %sMSG_WAITALL for sends", name,
             wf_ring_resumes_sends(&ring) ? "" : "no ");
    wf_ring_close(&ring);
    return 0;
}
