/* SPDX-License-Identifier: MIT */
/* The server under test as a process of its own. */
#include "server_process.h"

#include "check.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { ARGUMENTS_MAX = 24, START_MS_MAX = 60000, END_MS_MAX = 60000 };

static const struct variant all_variants[] = {
    {"thread-per-connection", 0},
    {"thread-per-request", 0},
    {"thread-pool", 0},
    {"fiber", 1},
    {"fiber", 2},
    {"fiber", 4},
};

enum { VARIANT_COUNT = sizeof all_variants / sizeof *all_variants };

const struct variant *variant(unsigned number)
{
    CHECK(number < VARIANT_COUNT);
    return &all_variants[number];
}

struct criterion_test_params variants(void)
{
    static unsigned numbers[VARIANT_COUNT];
    const char *mode = getenv("WEFT_HTTP_TEST_MODE");
    size_t count = 0;

    for (unsigned i = 0; i < VARIANT_COUNT; i++)
        if (mode == NULL || strcmp(mode, all_variants[i].mode) == 0)
            numbers[count++] = i;
    return cr_make_param_array(unsigned, numbers, count);
}

int64_t now_ms(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

void sleep_ms(int64_t ms)
{
    struct timespec left = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000};

    while (nanosleep(&left, &left) < 0)
        CHECK_EQ(errno, EINTR);
}

void servers_have_no_spares(void)
{
    CHECK_EQ(setenv("WEFT_MONITOR", "2", 1), 0);
}

/* A sandbox that knows every system call but one. */
static int refuse_call(long call, int error)
{
    struct sock_filter filter[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (unsigned)call, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | (unsigned)error),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = {.len = sizeof filter / sizeof *filter, .filter = filter};

    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
        return -1;
    return prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program);
}

__attribute__((noreturn)) static void become_server(char **arguments, const struct launch *launch,
                                                    pid_t parent, const int ends[2])
{
    sigset_t none;

    /* A test that fails must not leave its server behind. */
    if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0 || getppid() != parent)
        _exit(125);
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    if (dup2(ends[0], STDOUT_FILENO) < 0 || dup2(ends[1], STDERR_FILENO) < 0)
        _exit(125);
    if (launch->refused_errno != 0 && refuse_call(launch->refused_call, launch->refused_errno) < 0)
        _exit(125);
    execv(arguments[0], arguments);
    _exit(126);
}

static void launch_server(struct server_process *server, unsigned number,
                          const struct launch *launch)
{
    const char *path = getenv("WEFT_HTTP_SERVER");
    char mode[64], workers[32], port[32];
    char *arguments[ARGUMENTS_MAX] = {NULL};
    const pid_t parent = getpid();
    int count = 0;
    int output[2], errors[2];

    CHECK(path != NULL);
    (void)snprintf(mode, sizeof mode, "--mode=%s", variant(number)->mode);
    (void)snprintf(workers, sizeof workers, "--workers=%u", variant(number)->workers);
    (void)snprintf(port, sizeof port, "--port=%u", (unsigned)launch->port);
    arguments[count++] = (char *)path;
    arguments[count++] = mode;
    arguments[count++] = workers;
    arguments[count++] = port;
    for (const char *const *a = launch->arguments; a != NULL && *a != NULL; a++) {
        CHECK(count < ARGUMENTS_MAX - 1);
        arguments[count++] = (char *)*a;
    }

    CHECK_EQ(pipe2(output, O_CLOEXEC), 0);
    CHECK_EQ(pipe2(errors, O_CLOEXEC), 0);
    server->pid = fork();
    CHECK(server->pid >= 0);
    if (server->pid == 0)
        become_server(arguments, launch, parent, (const int[]){output[1], errors[1]});
    close(output[1]);
    close(errors[1]);
    server->output = output[0];
    server->errors = errors[0];
}

static void collect(int fd, char text[SERVER_OUTPUT_MAX])
{
    size_t length = 0;
    ssize_t n;

    while ((n = read(fd, text + length, SERVER_OUTPUT_MAX - 1 - length)) > 0)
        length += (size_t)n;
    text[length] = '\0';
    close(fd);
}

/* In chaos a server tells its seed, which is none of the errors that it shall not have. */
static void drop_seed(char *text)
{
    char *line = strstr(text, "weft: chaos: WEFT_CHAOS=");
    char *end = line != NULL ? strchr(line, '\n') : NULL;

    if (end != NULL)
        memmove(line, end + 1, strlen(end + 1) + 1);
}

/* Waits with a limit of its own, since a server that hangs must not hang the test. */
static void wait_for_end(struct server_process *server, struct server_end *end)
{
    const int64_t deadline = now_ms() + END_MS_MAX;
    int status = 0;
    pid_t pid;

    while ((pid = waitpid(server->pid, &status, WNOHANG)) == 0 && now_ms() < deadline)
        sleep_ms(2);
    if (pid == 0) {
        kill(server->pid, SIGKILL);
        CHECK_EQ(waitpid(server->pid, &status, 0), server->pid);
        check_fail(__FILE__, __LINE__, "the server did not end within %d ms", END_MS_MAX);
    }
    CHECK_EQ(pid, server->pid);
    end->exit_status = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
    collect(server->output, end->output);
    collect(server->errors, end->errors);
    drop_seed(end->errors);
}

/* Reads "listening on 127.0.0.1:PORT mode=MODE\n", the one line that is printed. */
static void read_port(struct server_process *server, const char *mode)
{
    const int64_t deadline = now_ms() + START_MS_MAX;
    struct pollfd pollfd = {.fd = server->output, .events = POLLIN};
    char line[256] = "", expected[256];
    size_t length = 0;
    unsigned port = 0;

    while (strchr(line, '\n') == NULL) {
        CHECK(now_ms() < deadline);
        if (poll(&pollfd, 1, 100) > 0) {
            ssize_t n = read(server->output, line + length, sizeof line - 1 - length);

            if (n <= 0) {
                struct server_end end;

                wait_for_end(server, &end);
                check_fail(__FILE__, __LINE__, "the server ended with %d and said: %s",
                           end.exit_status, end.errors);
            }
            length += (size_t)n;
            line[length] = '\0';
        }
    }
    CHECK_EQ(sscanf(line, "listening on 127.0.0.1:%u", &port), 1);
    (void)snprintf(expected, sizeof expected, "listening on 127.0.0.1:%u mode=%s\n", port, mode);
    if (strcmp(line, expected) != 0)
        check_fail(__FILE__, __LINE__, "the server printed '%s'", line);
    server->port = (uint16_t)port;
}

void server_start(struct server_process *server, unsigned number, const struct launch *launch)
{
    launch_server(server, number, launch);
    read_port(server, variant(number)->mode);
}

void server_start_with(struct server_process *server, unsigned number, ...)
{
    const char *arguments[ARGUMENTS_MAX] = {NULL};
    struct launch launch = {.arguments = arguments};
    va_list list;
    int count = 0;

    va_start(list, number);
    while ((arguments[count] = va_arg(list, const char *)) != NULL)
        CHECK(++count < ARGUMENTS_MAX - 1);
    va_end(list);
    server_start(server, number, &launch);
}

void server_run(unsigned number, const struct launch *launch, struct server_end *end)
{
    struct server_process server;

    launch_server(&server, number, launch);
    wait_for_end(&server, end);
}

void server_end(struct server_process *server, int signal, struct server_end *end)
{
    CHECK_EQ(kill(server->pid, signal), 0);
    wait_for_end(server, end);
}

void server_stop(struct server_process *server)
{
    struct server_end end;

    server_end(server, SIGTERM, &end);
    if (end.exit_status != 0 || end.errors[0] != '\0' || end.output[0] != '\0')
        check_fail(__FILE__, __LINE__, "the server ended with %d, printed '%s', and said: %s",
                   end.exit_status, end.output, end.errors);
}

static void scan_descriptors(const struct server_process *server, unsigned *count,
                             unsigned *highest)
{
    char path[64];
    struct dirent *entry;
    DIR *folder;

    (void)snprintf(path, sizeof path, "/proc/%d/fd", (int)server->pid);
    folder = opendir(path);
    CHECK(folder != NULL);
    *count = *highest = 0;
    while ((entry = readdir(folder)) != NULL) {
        unsigned number = (unsigned)strtoul(entry->d_name, NULL, 10);

        if (entry->d_name[0] == '.')
            continue;
        ++*count;
        if (number > *highest)
            *highest = number;
    }
    closedir(folder);
}

unsigned server_descriptor_count(const struct server_process *server)
{
    unsigned count, highest;

    scan_descriptors(server, &count, &highest);
    return count;
}

unsigned server_descriptor_highest(const struct server_process *server)
{
    unsigned count, highest;

    scan_descriptors(server, &count, &highest);
    return highest;
}

static void read_proc(const struct server_process *server, const char *name, char *text,
                      size_t size)
{
    char path[64];
    FILE *file;

    (void)snprintf(path, sizeof path, "/proc/%d/%s", (int)server->pid, name);
    file = fopen(path, "r");
    CHECK(file != NULL);
    text[fread(text, 1, size - 1, file)] = '\0';
    (void)fclose(file);
}

int64_t server_cpu_ms(const struct server_process *server)
{
    char text[1024];
    unsigned long user = 0, system = 0;
    const char *fields;

    read_proc(server, "stat", text, sizeof text);
    fields = strrchr(text, ')'); /* the name before it may hold anything */
    CHECK(fields != NULL);
    CHECK_EQ(
        sscanf(fields + 2, "%*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu", &user, &system),
        2);
    return (int64_t)(user + system) * 1000 / sysconf(_SC_CLK_TCK);
}

/* The number behind such a name in its status. */
static long read_status(const struct server_process *server, const char *name)
{
    char text[4096];
    const char *line;
    long value = 0;

    read_proc(server, "status", text, sizeof text);
    line = strstr(text, name);
    CHECK(line != NULL);
    CHECK_EQ(sscanf(line + strlen(name), "%ld", &value), 1);
    return value;
}

int64_t server_resident_kib(const struct server_process *server)
{
    return read_status(server, "\nVmRSS:");
}

unsigned server_thread_count(const struct server_process *server)
{
    return (unsigned)read_status(server, "\nThreads:");
}
