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

/* What operations and their cancels are made of. */
static const int opcodes_needed[] = {
    IORING_OP_READ,   IORING_OP_WRITE,   IORING_OP_READV,        IORING_OP_WRITEV,
    IORING_OP_RECV,   IORING_OP_SEND,    IORING_OP_RECVMSG,      IORING_OP_SENDMSG,
    IORING_OP_ACCEPT, IORING_OP_CONNECT, IORING_OP_POLL_ADD,     IORING_OP_OPENAT,
    IORING_OP_FSYNC,  IORING_OP_CLOSE,   IORING_OP_ASYNC_CANCEL,
};

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

/* 0, -ENOSYS if one is missing, or the -errno of io_uring_register. */
static int find_opcodes(struct io_uring *ring)
{
    union opcodes answer;
    int error = ask_for_opcodes(ring, &answer);

    for (size_t i = 0; error == 0 && i < sizeof opcodes_needed / sizeof opcodes_needed[0]; i++)
        if (!io_uring_opcode_supported(&answer.probe, opcodes_needed[i]))
            error = -ENOSYS;
    return error;
}

/* 0, or why the ring cannot be entered.  What only ails the kernel at the moment is met, and
 * handled, wherever it is entered. */
static int try_to_enter(struct io_uring *ring)
{
    int error = io_uring_enter((unsigned)ring->ring_fd, 0, 0, 0, NULL);

    return error == -EPERM || error == -EACCES || error == -ENOSYS ? error : 0;
}

/* Without these an operation could be lost, or a wait not be bounded. */
#define FEATURES_NEEDED (IORING_FEAT_NODROP | IORING_FEAT_FAST_POLL | IORING_FEAT_EXT_ARG)

/* A sandbox can let a ring be made and refuse all else, which would otherwise be seen when all is
 * under way. */
static int check(struct io_uring *ring)
{
    int error = find_opcodes(ring);

    if (error != 0)
        return error;
    return (ring->features & FEATURES_NEEDED) == FEATURES_NEEDED ? try_to_enter(ring) : -ENOSYS;
}

static char rings; /* as memory, for wf_san_before_unmap() */

void wf_ring_close(struct io_uring *ring)
{
    wf_san_before_unmap(&rings);
    io_uring_queue_exit(ring);
}

/* Names the flags as well. */
static int set_up(struct io_uring *ring, uint32_t entries, const char **name)
{
    int error = -EINVAL;

    for (size_t i = 0; i < sizeof setups / sizeof setups[0] && error == -EINVAL; i++) {
        struct io_uring_params params = {
            .flags = setups[i].flags | IORING_SETUP_CQSIZE | IORING_SETUP_CLAMP,
            .cq_entries = entries * CQ_PER_SQ,
        };

        error = io_uring_queue_init_params(entries, ring, &params);
        *name = setups[i].name;
    }
    if (error != 0)
        return error;
    wf_san_after_map(&rings);
    error = check(ring);
    if (error != 0)
        wf_ring_close(ring);
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

/* One line on why that failed. */
static void explain(int error, char *text, size_t size)
{
    int disabled = read_disabled();

    if (error == -EPERM && disabled > 0)
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

int wf_ring_open(struct io_uring *ring, uint32_t entries)
{
    const char *name;
    char text[320];
    int error = set_up(ring, entries, &name);

    if (error == 0) {
        set_up_indices(&ring->sq);
        return 0;
    }
    explain(error, text, sizeof text);
    wf_complain("%s", text);
    return error;
}

int wf_ring_describe(char *line, size_t size)
{
    struct io_uring ring;
    const char *name;
    int error = set_up(&ring, 8, &name);

    if (error != 0) {
        explain(error, line, size);
        return error;
    }
    snprintf(line, size, "io_uring, one ring per worker, %s", name);
    wf_ring_close(&ring);
    return 0;
}
