/* SPDX-License-Identifier: MIT */
/* Datagrams are received by several at a time (UV_UDP_RECVMMSG), and each answered at once where
 * the socket takes the answer (uv_udp_try_send); else it is queued. */
#include "harness/round_work.h"
#include "libuv.h"
#include "server.h"

#include <stdlib.h>
#include <string.h>

/* libuv cuts a buffer into pieces of 64 KiB, one for each datagram, and uses 20 at most. */
enum { BUFFER_BYTES = 20 * 65536 };

struct answer {
    uv_udp_send_t request;
    char message[ROUND_BYTES];
};

static void give_buffer(uv_handle_t *handle, size_t size, uv_buf_t *buffer)
{
    static _Thread_local char bytes[BUFFER_BYTES];

    (void)handle;
    (void)size;
    *buffer = uv_buf_init(bytes, sizeof bytes);
}

static void on_sent(uv_udp_send_t *request, int status)
{
    (void)status;
    free(request);
}

static void send_later(uv_udp_t *udp, const uv_buf_t *message, const struct sockaddr *to)
{
    struct answer *answer = malloc(sizeof *answer);
    uv_buf_t buffer;

    if (answer == NULL)
        return;
    buffer = uv_buf_init(answer->message, (unsigned)message->len);
    memcpy(answer->message, message->base, message->len);
    if (uv_udp_send(&answer->request, udp, &buffer, 1, to, on_sent) != 0)
        free(answer);
}

/* Without an address there is nothing to read any more. */
static void on_datagram(uv_udp_t *udp, ssize_t length, const uv_buf_t *buffer,
                        const struct sockaddr *from, unsigned flags)
{
    uv_buf_t answer;

    (void)flags;
    if (from == NULL || length <= 0 || length > ROUND_BYTES)
        return;
    answer = uv_buf_init(buffer->base, (unsigned)length);
    if (uv_udp_try_send(udp, &answer, 1, from) == UV_EAGAIN)
        send_later(udp, &answer, from);
}

static int begin(struct server *server, int fd)
{
    uv_udp_t *udp = &server->handle.socket;
    int error = uv_udp_init_ex(&server->loop, udp, AF_UNSPEC | UV_UDP_RECVMMSG);

    error = error == 0 ? uv_udp_open(udp, fd) : error;
    return error == 0 ? uv_udp_recv_start(udp, give_buffer, on_datagram) : error;
}

void bench_echo_udp(struct bench *b)
{
    servers_answer_rounds(b, SOCK_DGRAM, "udp", begin);
}
