/* SPDX-License-Identifier: MIT */
/* Looks up the names on its command line, all at the same time. */
#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>
#include <weft.h>
#include <weft_cares.h>

enum { ADDRESSES_MAX = 16 };

static weft_cares *dns;

static void print_address(const char *name, const struct weft_cares_address *found)
{
    char text[INET6_ADDRSTRLEN];
    const void *address =
        found->address.ss_family == AF_INET
            ? (const void *)&((const struct sockaddr_in *)&found->address)->sin_addr
            : (const void *)&((const struct sockaddr_in6 *)&found->address)->sin6_addr;

    printf("%s %s\n", name, inet_ntop(found->address.ss_family, address, text, sizeof text));
}

static int look_up(void *arg)
{
    struct weft_cares_address found[ADDRESSES_MAX];
    const char *name = arg;
    int count = weft_cares_lookup(dns, name, 0, AF_UNSPEC, found, ADDRESSES_MAX,
                                  weft_after(5 * WEFT_SECOND));

    for (int i = 0; i < count; i++)
        print_address(name, &found[i]);
    if (count < 0)
        fprintf(stderr, "%s: %s\n", name, strerror(-count));
    return count < 0 ? count : 0;
}

static int look_all_up(void *arg)
{
    weft_scope lookups = WEFT_SCOPE_INIT;
    int error = weft_cares_create(&dns, NULL);

    for (char **name = arg; error == 0 && *name != NULL; name++)
        error = weft_scope_spawn(&lookups, look_up, *name);
    error = weft_scope_close(&lookups, error);
    weft_cares_destroy(dns);
    return error;
}

int main(int argc, char **argv)
{
    (void)argc;
    return weft_run(NULL, look_all_up, argv + 1) < 0;
}
