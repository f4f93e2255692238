/* SPDX-License-Identifier: MIT */
/* What a kernel refuses, the simulation refuses too, and in the same words. */
#define _GNU_SOURCE 1

#include "../sim/scenario.h"
#include "../support/simulate.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

TestSuite(sim_misuse, .init = forget_backend, .timeout = TEST_TIMEOUT_S);

/* What calls on files are tried with. */
struct files {
    int disk, file, reader, memory; /* the last one is the kernel's */
};

static int must_open(int folder, const char *path, int flags)
{
    int fd = weft_openat(folder, path, flags, 0644, WEFT_FOREVER);

    CHECK(fd >= 0);
    return fd;
}

static void open_files(struct files *files)
{
    files->disk = must_open(AT_FDCWD, SCENARIO_DISK, O_RDONLY | O_DIRECTORY);
    files->file = must_open(files->disk, "a", O_RDWR | O_CREAT);
    files->reader = must_open(files->disk, "a", O_RDONLY);
    files->memory = memfd_create("kernel's", MFD_CLOEXEC);
    CHECK(files->memory >= 0);
}

static void close_files(const struct files *files)
{
    CHECK_EQ(weft_close(files->disk), 0);
    CHECK_EQ(weft_close(files->file), 0);
    CHECK_EQ(weft_close(files->reader), 0);
    CHECK_EQ(weft_close(files->memory), 0);
}

SIM_TEST(sim_misuse, sizes_are_refused_as_by_a_kernel, 0, 0)
{
    struct files files;

    (void)arg;
    open_files(&files);
    CHECK_EQ(weft_fallocate(files.file, FALLOC_FL_PUNCH_HOLE, 0, 1, WEFT_FOREVER), -EOPNOTSUPP);
    CHECK_EQ(weft_fallocate(files.file, 0, 1, INT64_MAX, WEFT_FOREVER), -EFBIG);
    CHECK_EQ(weft_fallocate(files.file, 0, 0, 0, WEFT_FOREVER), -EINVAL);
    CHECK_EQ(weft_fallocate(files.reader, 0, 0, 1, WEFT_FOREVER), -EBADF);
    CHECK_EQ(weft_fallocate(files.disk, 0, 0, 1, WEFT_FOREVER), -EBADF);
    CHECK_EQ(weft_fallocate(files.memory, 0, 0, 1, WEFT_FOREVER), 0);
    CHECK_EQ(weft_ftruncate(files.file, -1, WEFT_FOREVER), -EINVAL);
    CHECK_EQ(weft_ftruncate(files.reader, 1, WEFT_FOREVER), -EINVAL);
    CHECK_EQ(weft_ftruncate(files.disk, 1, WEFT_FOREVER), -EINVAL);
    CHECK_EQ(weft_ftruncate(files.memory, 10, WEFT_FOREVER), 0);
    close_files(&files);
    return 0;
}

/* Both of a kind, or the call is one between two file systems. */
SIM_TEST(sim_misuse, copies_stay_on_the_disk, 0, 0)
{
    struct files files;
    off_t from = 0, to = 10;
    char text[8] = "";

    (void)arg;
    open_files(&files);
    CHECK_EQ(weft_write(files.file, "hello", 5, WEFT_FOREVER), 5);
    CHECK_EQ(weft_copy_file_range(files.file, &from, files.memory, NULL, 5, 0, WEFT_FOREVER),
             -EXDEV);
    CHECK_EQ(weft_copy_file_range(files.memory, NULL, files.file, NULL, 5, 0, WEFT_FOREVER),
             -EXDEV);
    CHECK_EQ(weft_copy_file_range(files.reader, NULL, files.file, &to, 5, 0, WEFT_FOREVER), 5);
    CHECK_EQ(to, 15);
    CHECK_EQ(weft_copy_file_range(files.reader, &from, files.file, NULL, 2, 0, WEFT_FOREVER), 2);
    CHECK_EQ(from, 2);
    CHECK_EQ(weft_pread(files.reader, text, 7, 5, WEFT_FOREVER), 7);
    CHECK_EQ(memcmp(text, "he\0\0\0he", 7), 0);
    close_files(&files);
    return 0;
}

SIM_TEST(sim_misuse, names_are_refused_as_by_a_kernel, 0, 0)
{
    struct files files;
    char name[300];

    (void)arg;
    open_files(&files);
    memset(name, 'n', sizeof name - 1);
    name[sizeof name - 1] = '\0';
    CHECK_EQ(weft_openat(files.disk, name, O_RDONLY, 0, WEFT_FOREVER), -ENAMETOOLONG);
    CHECK_EQ(weft_openat(files.disk, "", O_RDONLY, 0, WEFT_FOREVER), -ENOENT);
    CHECK_EQ(weft_openat(files.disk, ".", O_RDWR | O_TMPFILE, 0600, WEFT_FOREVER), -EOPNOTSUPP);
    CHECK_EQ(weft_mkdirat(files.disk, name, 0755, WEFT_FOREVER), -ENAMETOOLONG);
    CHECK_EQ(weft_mkdirat(files.disk, ".", 0755, WEFT_FOREVER), -EEXIST);
    CHECK_EQ(weft_mkdirat(files.disk, "x/y", 0755, WEFT_FOREVER), -ENOENT);
    CHECK_EQ(weft_unlinkat(files.disk, name, 0, WEFT_FOREVER), -ENAMETOOLONG);
    CHECK_EQ(weft_unlinkat(files.disk, ".", AT_REMOVEDIR, WEFT_FOREVER), -EBUSY);
    CHECK_EQ(weft_renameat(files.disk, "a", files.disk, "b", RENAME_EXCHANGE, WEFT_FOREVER),
             -EINVAL);
    CHECK_EQ(weft_renameat(files.disk, "a", files.disk, "x/b", 0, WEFT_FOREVER), -ENOENT);
    CHECK_EQ(weft_renameat(files.disk, name, files.disk, "b", 0, WEFT_FOREVER), -ENAMETOOLONG);
    CHECK_EQ(weft_renameat(files.disk, "a", files.disk, name, 0, WEFT_FOREVER), -ENAMETOOLONG);
    CHECK_EQ(weft_linkat(files.disk, "a", files.disk, "x/b", 0, WEFT_FOREVER), -ENOENT);
    CHECK_EQ(weft_linkat(files.disk, "none", files.disk, "b", 0, WEFT_FOREVER), -ENOENT);
    CHECK_EQ(weft_linkat(files.disk, ".", files.disk, "b", 0, WEFT_FOREVER), -EPERM);
    CHECK_EQ(weft_linkat(files.disk, "a", AT_FDCWD, "/tmp/weft-sim", 0, WEFT_FOREVER), -EXDEV);
    CHECK_EQ(weft_linkat(files.disk, name, files.disk, "b", 0, WEFT_FOREVER), -ENAMETOOLONG);
    CHECK_EQ(weft_symlinkat("a", files.disk, name, WEFT_FOREVER), -ENAMETOOLONG);
    CHECK_EQ(weft_readlinkat(files.disk, name, name, 1, WEFT_FOREVER), -ENAMETOOLONG);
    close_files(&files);
    return 0;
}

/* Beside the disk each call is the kernel's. */
SIM_TEST(sim_misuse, other_names_are_the_kernels, 0, 0)
{
    char target[16];

    (void)arg;
    CHECK_EQ(weft_mkdirat(AT_FDCWD, "/proc/none", 0755, WEFT_FOREVER), -ENOENT);
    CHECK(weft_unlinkat(AT_FDCWD, "/proc/none", 0, WEFT_FOREVER) < 0);
    CHECK(weft_renameat(AT_FDCWD, "/proc/none", AT_FDCWD, "/proc/b", 0, WEFT_FOREVER) < 0);
    CHECK(weft_linkat(AT_FDCWD, "/proc/none", AT_FDCWD, "/proc/b", 0, WEFT_FOREVER) < 0);
    CHECK(weft_symlinkat("a", AT_FDCWD, "/proc/none", WEFT_FOREVER) < 0);
    CHECK(weft_readlinkat(AT_FDCWD, "/proc/self", target, sizeof target, WEFT_FOREVER) > 0);
    return 0;
}

static int new_socket(int type)
{
    int fd = socket(AF_INET, type | SOCK_CLOEXEC, 0);

    CHECK(fd >= 0);
    return fd;
}

static void bind_to_any_port(int fd, struct sockaddr_in *address)
{
    socklen_t length = sizeof *address;

    *address = (struct sockaddr_in){.sin_family = AF_INET,
                                    .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    CHECK_EQ(bind(fd, (struct sockaddr *)(void *)address, length), 0);
    CHECK_EQ(getsockname(fd, (struct sockaddr *)(void *)address, &length), 0);
}

static int connect_to(int fd, const struct sockaddr_in *address)
{
    return weft_connect(fd, (const struct sockaddr *)(const void *)address, sizeof *address,
                        weft_after(10 * WEFT_SECOND));
}

/* Also one that the program has made to listen itself. */
SIM_TEST(sim_misuse, sockets_refuse_what_they_are_not_for, 0, 0)
{
    int listener = new_socket(SOCK_STREAM), client = new_socket(SOCK_STREAM), server;
    struct sockaddr_in address;
    struct iovec part = {&(char){0}, 1};
    struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};
    char byte;

    (void)arg;
    bind_to_any_port(listener, &address);
    CHECK_EQ(listen(listener, 1), 0);
    CHECK_EQ(weft_accept(listener, weft_after(WEFT_MILLISECOND)), -ETIMEDOUT);
    CHECK_EQ(weft_poll_fd(listener, POLLIN, weft_after(WEFT_MILLISECOND)), -ETIMEDOUT);
    CHECK_EQ(weft_read(listener, &byte, 1, WEFT_FOREVER), -ENOTCONN);
    CHECK_EQ(connect_to(listener, &address), -EINVAL);
    CHECK_EQ(connect_to(client, &address), 0);
    CHECK_EQ(connect_to(client, &address), -EISCONN);
    CHECK_EQ(weft_accept(client, WEFT_FOREVER), -EINVAL);
    CHECK_EQ(weft_fsync(client, WEFT_FOREVER), -EINVAL);
    CHECK_EQ(weft_poll_fd(listener, POLLIN, WEFT_FOREVER), POLLIN);
    server = weft_accept(listener, WEFT_FOREVER);
    CHECK(server >= 0);
    CHECK_EQ(weft_write(client, "x", 1, WEFT_FOREVER), 1);
    CHECK_EQ(weft_recvmsg(server, &message, 0, WEFT_FOREVER), 1);
    CHECK_EQ(message.msg_controllen, 0);
    CHECK_EQ(weft_close(server), 0);
    CHECK_EQ(weft_close(client), 0);
    CHECK_EQ(weft_close(listener), 0);
    return 0;
}

/* Connections that nobody has accepted, and bytes that nobody has read. */
static int leave_all_open(void *arg)
{
    int *fds = arg;
    struct sockaddr_in address;

    fds[0] = new_socket(SOCK_STREAM);
    fds[1] = new_socket(SOCK_STREAM);
    fds[2] = new_socket(SOCK_DGRAM);
    bind_to_any_port(fds[0], &address);
    CHECK_EQ(listen(fds[0], 1), 0);
    CHECK_EQ(weft_accept(fds[0], weft_after(WEFT_MILLISECOND)), -ETIMEDOUT);
    CHECK_EQ(connect_to(fds[1], &address), 0);
    CHECK_EQ(weft_write(fds[1], "x", 1, WEFT_FOREVER), 1);
    bind_to_any_port(fds[2], &address);
    CHECK_EQ(connect_to(fds[2], &address), 0);
    CHECK_EQ(weft_write(fds[2], "y", 1, WEFT_FOREVER), 1);
    return 0;
}

Test(sim_misuse, what_is_left_open_is_the_kernels)
{
    struct weft_sim_options options = WEFT_SIM_OPTIONS_INIT;
    int fds[3];

    for (options.seed = 1; options.seed <= SIMULATE_SEEDS; options.seed++) {
        cr_assert_eq(weft_sim_run(&options, leave_all_open, fds), 0);
        for (int i = 0; i < 3; i++)
            cr_assert_eq(close(fds[i]), 0);
    }
}
