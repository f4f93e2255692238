/* SPDX-License-Identifier: MIT */
/* GET /file/<name>: contents, and that nothing outside of the root is ever served. */
#include "check.h"
#include "http_client.h"
#include "server_process.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { LARGE_SIZE = 300001 };

static const char secret[] = "must never be served";

/* base/secret beside base/root, which is served. */
struct tree {
    char base[64];
    char root_option[96];
    int base_fd, root_fd;
};

static char large_byte(size_t at)
{
    return (char)(at * 7 + at / 253);
}

static void write_file(int folder, const char *name, const char *data, size_t length)
{
    int fd = openat(folder, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);

    CHECK(fd >= 0);
    CHECK_EQ(write(fd, data, length), (ssize_t)length);
    CHECK_EQ(close(fd), 0);
}

static void tree_make(struct tree *tree)
{
    static char large[LARGE_SIZE];
    char target[128];

    strcpy(tree->base, "/tmp/weft-http-XXXXXX");
    CHECK(mkdtemp(tree->base) != NULL);
    snprintf(tree->root_option, sizeof tree->root_option, "--root=%s/root", tree->base);
    tree->base_fd = open(tree->base, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    CHECK(tree->base_fd >= 0);
    write_file(tree->base_fd, "secret", secret, sizeof secret - 1);
    CHECK_EQ(mkdirat(tree->base_fd, "root", 0755), 0);
    CHECK_EQ(mkdirat(tree->base_fd, "root/sub", 0755), 0);
    tree->root_fd = openat(tree->base_fd, "root", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    CHECK(tree->root_fd >= 0);

    for (size_t i = 0; i < sizeof large; i++)
        large[i] = large_byte(i);
    write_file(tree->root_fd, "large", large, sizeof large);
    write_file(tree->root_fd, "empty", "", 0);
    write_file(tree->root_fd, "small", "small file", 10);
    write_file(tree->root_fd, "with space&%", "odd name", 8);
    write_file(tree->root_fd, "..dots", "dots", 4);
    write_file(tree->root_fd, "sub/inner", "inner file", 10);
    CHECK_EQ(mkfifoat(tree->root_fd, "fifo", 0644), 0);
    CHECK_EQ(symlinkat("sub/inner", tree->root_fd, "link_in"), 0);
    CHECK_EQ(symlinkat("../secret", tree->root_fd, "link_out"), 0);
    CHECK_EQ(symlinkat("..", tree->root_fd, "link_up"), 0);
    snprintf(target, sizeof target, "%s/secret", tree->base);
    CHECK_EQ(symlinkat(target, tree->root_fd, "link_absolute"), 0);
    CHECK_EQ(symlinkat("/proc/self/root", tree->root_fd, "link_magic"), 0);
    CHECK_EQ(symlinkat("link_loop", tree->root_fd, "link_loop"), 0);
}

static void tree_remove(struct tree *tree)
{
    static const char *const names[] = {
        "large",   "empty",    "small",         "with space&%", "..dots",    "sub/inner", "fifo",
        "link_in", "link_out", "link_absolute", "link_magic",   "link_loop", "link_up"};

    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        CHECK_EQ(unlinkat(tree->root_fd, names[i], 0), 0);
    CHECK_EQ(unlinkat(tree->root_fd, "sub", AT_REMOVEDIR), 0);
    CHECK_EQ(unlinkat(tree->base_fd, "root", AT_REMOVEDIR), 0);
    CHECK_EQ(unlinkat(tree->base_fd, "secret", 0), 0);
    CHECK_EQ(rmdir(tree->base), 0);
    close(tree->root_fd);
    close(tree->base_fd);
}

static void expect_file(struct client *client, const char *path, const char *contents)
{
    struct answer answer;

    client_get(client, path, &answer);
    cr_expect_eq(answer.status, 200, "%s: %d", path, answer.status);
    cr_expect(answer_body_is(&answer, contents), "%s: '%s'", path, answer.body);
    answer_free(&answer);
}

HTTP_TEST(file, contents_are_equal)
{
    struct tree tree;
    struct server_process server;
    struct client client;
    struct answer answer;

    tree_make(&tree);
    server_start_with(&server, *number, tree.root_option, NULL);
    client_open(&client, &server);
    expect_file(&client, "/file/small", "small file");
    expect_file(&client, "/file/empty", "");
    expect_file(&client, "/file/sub/inner", "inner file");
    expect_file(&client, "/file/sub//./inner?x", "inner file");
    expect_file(&client, "/file/with%20space%26%25", "odd name");
    expect_file(&client, "/file/..dots", "dots");
    expect_file(&client, "/file/link_in", "inner file");

    client_get(&client, "/file/large", &answer);
    cr_assert_eq(answer.status, 200);
    cr_assert_eq(answer.body_length, LARGE_SIZE);
    for (size_t i = 0; i < LARGE_SIZE; i++)
        if (answer.body[i] != large_byte(i))
            cr_assert_fail("byte %zu is wrong", i);
    answer_free(&answer);

    client_send_text(&client, "HEAD /file/large HTTP/1.1\r\nHost: test\r\n\r\n");
    client_receive_head(&client, &answer);
    cr_expect_eq(answer.status, 200);
    cr_expect_eq(answer.body_length, LARGE_SIZE);
    expect_file(&client, "/file/small", "small file");

    client_close(&client);
    server_stop(&server);
    tree_remove(&tree);
}

static void expect_all_refused(struct client *client, const struct tree *tree)
{
    static const char *const names[] = {"../secret",
                                        "./../secret",
                                        "sub/../../secret",
                                        "..",
                                        "../",
                                        "sub/..",
                                        "%2e%2e/secret",
                                        "%2E%2E%2Fsecret",
                                        "..%2fsecret",
                                        ".%2e/secret",
                                        "sub/%2e%2e/%2e%2e/secret",
                                        "/etc/passwd",
                                        "%2Fetc%2Fpasswd",
                                        "//etc/passwd",
                                        "link_out",
                                        "link_absolute",
                                        "link_up/secret",
                                        "link_magic/etc/passwd",
                                        "link_loop",
                                        "missing",
                                        "sub",
                                        "sub/",
                                        ".",
                                        "fifo",
                                        "small/",
                                        "small/x",
                                        "link_out%00",
                                        "small%00.txt",
                                        "%",
                                        "%2",
                                        "%zz",
                                        "%252e%252e/secret",
                                        "..\\secret"};
    char absolute[256];
    struct answer answer;

    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        char path[128];

        snprintf(path, sizeof path, "/file/%s", names[i]);
        client_get(client, path, &answer);
        cr_expect(answer.status == 404 || answer.status == 400, "%s: %d", path, answer.status);
        cr_expect_null(memmem(answer.body, answer.body_length, secret, sizeof secret - 1));
        answer_free(&answer);
    }
    snprintf(absolute, sizeof absolute, "/file/%s/secret", tree->base);
    client_get(client, absolute, &answer);
    cr_expect_eq(answer.status, 404);
    answer_free(&answer);
}

HTTP_TEST(file, nothing_outside_of_the_root_is_served)
{
    struct tree tree;
    struct server_process server;
    struct client client;
    char *path;

    tree_make(&tree);
    server_start_with(&server, *number, tree.root_option, NULL);
    client_open(&client, &server);
    expect_all_refused(&client, &tree);

    /* Names longer than any file may have. */
    path = malloc(9000);
    cr_assert_not_null(path);
    memset(path, 'a', 8999);
    path[8999] = '\0';
    client_send_text(&client, "GET /file/");
    client_send_text(&client, path);
    client_send_text(&client, " HTTP/1.1\r\nHost: test\r\n\r\n");
    client_expect(&client, 400);
    free(path);

    expect_file(&client, "/file/small", "small file");
    client_close(&client);
    server_stop(&server);
    tree_remove(&tree);
}

/* Old kernels say ENOSYS, old sandboxes EPERM; then names are walked by hand. */
static void serve_without_openat2(unsigned number, int error)
{
    struct tree tree;
    struct server_process server;
    struct client client;
    struct answer answer;
    struct launch launch = {.refused_call = SYS_openat2, .refused_errno = error};
    const char *arguments[2] = {NULL, NULL};

    tree_make(&tree);
    arguments[0] = tree.root_option;
    launch.arguments = arguments;
    server_start(&server, number, &launch);
    client_open(&client, &server);
    expect_all_refused(&client, &tree);
    expect_file(&client, "/file/small", "small file");
    expect_file(&client, "/file/sub/inner", "inner file");
    expect_file(&client, "/file/sub//./inner", "inner file");
    client_get(&client, "/file/link_in", &answer);
    cr_expect_eq(answer.status, 404, "the walk follows no links at all");
    answer_free(&answer);
    client_close(&client);
    server_stop(&server);
    tree_remove(&tree);
}

HTTP_TEST(file, containment_holds_without_openat2)
{
    serve_without_openat2(*number, ENOSYS);
    serve_without_openat2(*number, EPERM);
}

static void assert_serves_on(struct client *client)
{
    struct answer answer;

    client_get(client, "/plaintext", &answer);
    cr_assert_eq(answer.status, 200);
    answer_free(&answer);
}

HTTP_TEST(file, descriptors_are_given_back)
{
    struct tree tree;
    struct server_process server;
    struct client client;
    unsigned before;

    tree_make(&tree);
    servers_have_no_spares();
    server_start_with(&server, *number, tree.root_option, NULL);
    client_open(&client, &server);
    expect_file(&client, "/file/small", "small file");
    assert_serves_on(&client); /* the file before it is closed by now */
    before = server_descriptor_count(&server);
    for (int i = 0; i < 50; i++) {
        expect_file(&client, "/file/small", "small file");
        expect_file(&client, "/file/empty", "");
        expect_all_refused(&client, &tree);
    }
    cr_expect_eq(server_descriptor_count(&server), before);
    client_close(&client);
    server_stop(&server);
    tree_remove(&tree);
}

HTTP_TEST(file, without_a_root_there_are_no_files)
{
    struct server_process server;
    struct client client;
    struct answer answer;

    server_start_with(&server, *number, NULL);
    client_open(&client, &server);
    client_get(&client, "/file/etc/passwd", &answer);
    cr_expect_eq(answer.status, 404);
    answer_free(&answer);
    client_close(&client);
    server_stop(&server);
}
