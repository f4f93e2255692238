/* SPDX-License-Identifier: MIT */
/* What fits on a stack: the sizes that are offered are for real programs. */
#define _GNU_SOURCE 1

#include "../support/fixture.h"

#include <netdb.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

static volatile double third = 1.0 / 3;

static int print_numbers(void *arg)
{
    FILE *file = arg;
    char text[64];

    CHECK_EQ(snprintf(text, sizeof text, "%.17g", third), 19);
    CHECK_EQ(strcmp(text, "0.33333333333333331"), 0);
    CHECK(fprintf(file, "%f %.3e %a %Lf %d\n", third, third, third, (long double)third, 7) > 0);
    return 0;
}

static int spawn_small(void *arg)
{
    struct weft_fiber_attr attr = {.stack_size_kib = 16};
    weft_fiber *fiber;

    CHECK_EQ(weft_spawn_with(&attr, &fiber, print_numbers, arg), 0);
    return must_join(fiber);
}

/* The smallest stack is not too small for a log line. */
WORKER_TEST(stack_size, sixteen_kib_print_a_double, TEST_TIMEOUT_S)
{
    FILE *file = tmpfile();

    if (TEST_IS_SANITIZED)
        cr_skip_test("a sanitizer's frames are larger");
    cr_assert_not_null(file);
    cr_expect_eq(run_workers(*workers, spawn_small, file), 0);
    (void)fclose(file);
}

static int look_up(void *arg)
{
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM}, *result = NULL;
    int error = getaddrinfo("localhost", "http", &hints, &result);

    (void)arg;
    /* Without a name service it may find nothing; what counts is that it comes back. */
    CHECK(error != EAI_MEMORY && error != EAI_BADFLAGS);
    if (error == 0)
        freeaddrinfo(result);
    return 0;
}

/* The C library keeps buffers of many kilobytes on the stack there. */
WORKER_TEST(stack_size, the_default_runs_getaddrinfo, TEST_TIMEOUT_S)
{
    cr_expect_eq(run_workers(*workers, look_up, NULL), 0);
}

static X509 *make_certificate(EVP_PKEY *key)
{
    X509 *certificate = X509_new();
    X509_NAME *name;

    CHECK(certificate != NULL);
    CHECK(X509_set_version(certificate, 2) == 1);
    CHECK(ASN1_INTEGER_set(X509_get_serialNumber(certificate), 1) == 1);
    CHECK(X509_gmtime_adj(X509_getm_notBefore(certificate), -3600) != NULL);
    CHECK(X509_gmtime_adj(X509_getm_notAfter(certificate), 3600) != NULL);
    name = X509_get_subject_name(certificate);
    CHECK(X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC, (const unsigned char *)"localhost",
                                     -1, -1, 0) == 1);
    CHECK(X509_set_issuer_name(certificate, name) == 1);
    CHECK(X509_set_pubkey(certificate, key) == 1);
    CHECK(X509_sign(certificate, key, EVP_sha256()) > 0);
    return certificate;
}

static SSL *make_end(SSL_CTX *context, BIO *bio, bool is_server)
{
    SSL *end = SSL_new(context);

    CHECK(end != NULL);
    SSL_set_bio(end, bio, bio);
    if (is_server)
        SSL_set_accept_state(end);
    else
        SSL_set_connect_state(end);
    return end;
}

/* Both ends in one fiber, so that each step of the handshake is on its stack. */
static void shake_hands(SSL_CTX *server, SSL_CTX *client)
{
    BIO *here = NULL, *there = NULL;
    SSL *ends[2];
    char text[16];

    CHECK(BIO_new_bio_pair(&here, 0, &there, 0) == 1);
    ends[0] = make_end(server, here, true);
    ends[1] = make_end(client, there, false);
    for (int i = 0; i < 100 && !(SSL_is_init_finished(ends[0]) && SSL_is_init_finished(ends[1]));
         i++) {
        (void)SSL_do_handshake(ends[1]);
        (void)SSL_do_handshake(ends[0]);
        CHECK_EQ(weft_yield(), 0);
    }
    CHECK(SSL_is_init_finished(ends[0]) && SSL_is_init_finished(ends[1]));
    CHECK_EQ(SSL_write(ends[1], "hello", 5), 5);
    CHECK_EQ(SSL_read(ends[0], text, sizeof text), 5);
    CHECK_EQ(memcmp(text, "hello", 5), 0);
    SSL_free(ends[0]);
    SSL_free(ends[1]);
}

static int run_handshake(void *arg)
{
    EVP_PKEY *key = EVP_EC_gen("P-256");
    X509 *certificate = make_certificate(key);
    SSL_CTX *server = SSL_CTX_new(TLS_server_method());
    SSL_CTX *client = SSL_CTX_new(TLS_client_method());

    (void)arg;
    CHECK(key != NULL && server != NULL && client != NULL);
    CHECK_EQ(SSL_CTX_use_certificate(server, certificate), 1);
    CHECK_EQ(SSL_CTX_use_PrivateKey(server, key), 1);
    /* The client checks the certificate: the deepest calls there are. */
    CHECK_EQ(X509_STORE_add_cert(SSL_CTX_get_cert_store(client), certificate), 1);
    SSL_CTX_set_verify(client, SSL_VERIFY_PEER, NULL);
    shake_hands(server, client);
    SSL_CTX_free(server);
    SSL_CTX_free(client);
    X509_free(certificate);
    EVP_PKEY_free(key);
    return 0;
}

/* Who writes a server has TLS in mind, and does not ask how deep it goes. */
WORKER_TEST(stack_size, the_default_runs_a_tls_handshake, TEST_TIMEOUT_S)
{
    struct weft_config config = {.workers = *workers};

    if (TEST_IS_TSAN)
        cr_skip_test("ThreadSanitizer sees none of OpenSSL's own synchronisation");
    cr_expect_eq(weft_run(&config, run_handshake, NULL), 0);
}
