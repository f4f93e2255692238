/* SPDX-License-Identifier: MIT */
/* The descriptors of a simulation: what each stands for, and what is done with it. */
#include "io/sim.h"

#include "arch/sim.h"
#include "io/sim_disk.h"
#include "runtime/alloc.h"
#include "runtime/check.h"

#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <string.h>
#include <unistd.h>
#include <weft/sim.h>

enum {
    SOCKETS_MAX = 1 << 16, /* descriptors from here on are the kernel's */
};

static struct wf_sim_socket *sockets[SOCKETS_MAX];
static struct {
    uint64_t number; /* of the run that the sockets are of */
    uint32_t made;
    int limit; /* one more than the highest descriptor */
} current;

struct wf_sim_socket *wf_sim_find(int fd)
{
    return fd >= 0 && fd < current.limit ? sockets[fd] : NULL;
}

void wf_sim_socket_release(struct wf_sim_socket *at)
{
    if (--at->references == 0)
        wf_free(at);
}

/* The sockets of a run that has failed are lost, as is all that it had. */
void wf_sim_net_begin(void)
{
    if (current.number == wf_sim_run_number())
        return;
    memset(sockets, 0, (size_t)current.limit * sizeof *sockets);
    current.limit = 0;
    current.made = 0;
    current.number = wf_sim_run_number();
    wf_sim_disk_begin();
}

struct wf_sim_socket *wf_sim_make(int fd, enum wf_sim_kind kind)
{
    struct wf_sim_socket *made;

    if (fd < 0 || fd >= SOCKETS_MAX)
        return NULL;
    made = wf_alloc(sizeof *made);
    if (made == NULL)
        return NULL;
    *made = (struct wf_sim_socket){
        .kind = kind, .fd = fd, .number = ++current.made, .references = 1};
    made->arrived_end = &made->arrived;
    sockets[fd] = made;
    if (fd >= current.limit)
        current.limit = fd + 1;
    return made;
}

void wf_sim_wait(struct wf_sim_socket *at, struct wf_op *op)
{
    op->next = NULL;
    op->prev = at->last;
    op->is_listed = true;
    if (at->last == NULL)
        at->first = op;
    else
        at->last->next = op;
    at->last = op;
}

void wf_sim_unwait(struct wf_sim_socket *at, struct wf_op *op)
{
    if (op->prev == NULL)
        at->first = op->next;
    else
        op->prev->next = op->next;
    if (op->next == NULL)
        at->last = op->prev;
    else
        op->next->prev = op->prev;
    op->is_listed = false;
}

void wf_sim_kick(struct wf_sim_socket *at)
{
    struct wf_op *next;

    for (struct wf_op *op = at->first; op != NULL; op = next) {
        next = op->next;
        if (wf_sim_try(at, op)) {
            wf_sim_unwait(at, op);
            wf_sim_complete(op);
        }
    }
}

size_t wf_sim_gather(char *to, const struct iovec *parts, size_t count)
{
    size_t length = 0;

    for (size_t i = 0; i < count; i++) {
        if (to != NULL && parts[i].iov_len > 0)
            memcpy(to + length, parts[i].iov_base, parts[i].iov_len);
        length += parts[i].iov_len;
    }
    return length;
}

size_t wf_sim_cut_short(size_t length)
{
    if (length > 1 && wf_sim_fault(WEFT_SIM_SHORT))
        return 1 + wf_sim_fault_draw(WEFT_SIM_SHORT, (uint32_t)length - 1);
    return length;
}

uint16_t wf_sim_port_of(const struct sockaddr *address)
{
    if (address->sa_family == AF_INET)
        return ((const struct sockaddr_in *)(const void *)address)->sin_port;
    return ((const struct sockaddr_in6 *)(const void *)address)->sin6_port;
}

static bool is_inet(const struct sockaddr *address, size_t length)
{
    return (address->sa_family == AF_INET && length >= sizeof(struct sockaddr_in)) ||
           (address->sa_family == AF_INET6 && length >= sizeof(struct sockaddr_in6));
}

struct wf_sim_socket *wf_sim_find_port(enum wf_sim_kind kind, sa_family_t family, uint16_t port)
{
    for (int fd = 0; fd < current.limit; fd++)
        if (sockets[fd] != NULL && sockets[fd]->kind == kind && sockets[fd]->family == family &&
            sockets[fd]->port == port)
            return sockets[fd];
    return NULL;
}

static struct wf_sim_socket *find_listener(sa_family_t family, uint16_t port)
{
    return wf_sim_find_port(WF_SIM_LISTENER, family, port);
}

int wf_sim_listen(int fd)
{
    struct sockaddr_storage address = {.ss_family = AF_UNSPEC};
    socklen_t length = sizeof address;
    struct wf_sim_socket *listener;
    struct sockaddr *name = (struct sockaddr *)(void *)&address;

    if (getsockname(fd, name, &length) != 0)
        return -errno;
    if (!is_inet(name, length))
        return -EAFNOSUPPORT;
    if (find_listener(name->sa_family, wf_sim_port_of(name)) != NULL)
        return -EADDRINUSE;
    listener = wf_sim_make(fd, WF_SIM_LISTENER);
    if (listener == NULL)
        return -ENOMEM;
    listener->family = name->sa_family;
    listener->port = wf_sim_port_of(name);
    wf_sim_trace("listen", listener->number, 0);
    return 0;
}

static bool is_stream_socket(int fd)
{
    int type = 0;
    socklen_t length = sizeof type;

    return getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &length) == 0 && type == SOCK_STREAM;
}

int wf_sim_adopt(const struct wf_op *op)
{
    if (wf_sim_find(op->fd) != NULL)
        return 0;
    if (op->code == WF_OP_ACCEPT && is_stream_socket(op->fd)) {
        int listens = 0;
        socklen_t length = sizeof listens;

        /* One that the program has made without weft_listen_tcp(). */
        if (getsockopt(op->fd, SOL_SOCKET, SO_ACCEPTCONN, &listens, &length) == 0 && listens != 0)
            return wf_sim_listen(op->fd) == -ENOMEM ? -ENOMEM : 0;
    } else if (op->code == WF_OP_CONNECT && is_inet(op->buffer, op->length) &&
               is_stream_socket(op->fd)) {
        return wf_sim_make(op->fd, WF_SIM_STREAM) != NULL ? 0 : -ENOMEM;
    } else if (op->code != WF_OP_CLOSE && op->code != WF_OP_OPENAT && wf_sim_is_datagram(op->fd)) {
        return wf_sim_adopt_datagram(op->fd);
    }
    return 0;
}

/* An event: the first packet of a connection has come to its listener, or to nobody. */
static void knock(void *arg)
{
    struct wf_sim_link *link = arg;
    struct wf_sim_socket *from = wf_sim_link_end(link, 0);
    struct wf_sim_socket *listener = wf_sim_link_listener(link);
    struct wf_op *op = from != NULL ? from->first : NULL;
    bool is_heard = listener != NULL && !listener->is_closed;

    while (op != NULL && op->code != WF_OP_CONNECT)
        op = op->next;
    wf_sim_trace("knock", wf_sim_link_number(link), is_heard ? listener->number : 0);
    if (from != NULL)
        from->is_connecting = false;
    if (op != NULL && is_heard) {
        wf_sim_link_hold(link); /* the queue's */
        *wf_sim_link_next(link) = NULL;
        *listener->arrived_end = link;
        listener->arrived_end = wf_sim_link_next(link);
        wf_sim_kick(listener);
    }
    if (op != NULL) {
        wf_sim_unwait(from, op);
        op->result = is_heard ? 0 : -ECONNREFUSED;
        wf_sim_complete(op);
    }
    wf_sim_link_release(link); /* the event's */
}

static bool try_connect(struct wf_sim_socket *at, struct wf_op *op)
{
    const struct sockaddr *address = op->buffer;
    struct wf_sim_link *link;

    if (at->is_connecting)
        return false;
    if (at->kind == WF_SIM_DATAGRAM) {
        bool is_usable = is_inet(address, op->length) && address->sa_family == at->family;

        op->result = is_usable ? 0 : -EAFNOSUPPORT;
        if (is_usable)
            at->peer_port = wf_sim_port_of(address);
        return true;
    }
    op->result = at->kind == WF_SIM_PIPE       ? -ENOTSOCK
                 : at->kind == WF_SIM_LISTENER ? -EINVAL
                                               : -EISCONN;
    if (at->kind != WF_SIM_STREAM || at->link != NULL)
        return true;
    link = wf_sim_link_create(at, find_listener(address->sa_family, wf_sim_port_of(address)));
    op->result = -ENOBUFS;
    if (link == NULL)
        return true;
    at->link = link;
    at->side = 0;
    wf_sim_link_hold(link); /* the event's */
    if (!wf_sim_at(wf_sim_time() + wf_sim_link_delay(link), knock, link)) {
        wf_sim_link_release(link);
        return true;
    }
    at->is_connecting = true;
    return false;
}

static void take_arrived(struct wf_sim_socket *at)
{
    at->arrived = *wf_sim_link_next(at->arrived);
    if (at->arrived == NULL)
        at->arrived_end = &at->arrived;
}

static bool try_accept(struct wf_sim_socket *at, struct wf_op *op)
{
    struct wf_sim_link *link = at->arrived;
    struct wf_sim_socket *made;

    op->result = at->kind == WF_SIM_PIPE ? -ENOTSOCK : -EINVAL;
    if (at->kind != WF_SIM_LISTENER)
        return true;
    if (link == NULL)
        return false;
    op->result = -EMFILE;
    if (wf_sim_fault(WEFT_SIM_REFUSE))
        return true;
    if (wf_sim_fault(WEFT_SIM_RESET)) {
        take_arrived(at);
        wf_sim_link_refuse(link);
        op->result = -ECONNABORTED;
        return true;
    }
    op->result = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (op->result < 0) {
        op->result = -errno;
        return true;
    }
    made = wf_sim_make(op->result, WF_SIM_STREAM);
    if (made == NULL) {
        close(op->result);
        op->result = -ENOMEM;
        return true;
    }
    take_arrived(at);
    wf_sim_link_attach(link, made);
    wf_sim_link_release(link); /* the queue's */
    wf_sim_trace("accept", made->number, wf_sim_link_number(link));
    return true;
}

int wf_sim_events(const struct wf_sim_socket *at)
{
    if (at->kind == WF_SIM_DATAGRAM)
        return wf_sim_datagram_events(at);
    if (at->kind == WF_SIM_PIPE)
        return wf_sim_pipe_events(at);
    if (at->kind == WF_SIM_FILE) /* always ready (poll(2)) */
        return POLLIN | POLLOUT | POLLRDNORM | POLLWRNORM;
    if (at->kind == WF_SIM_LISTENER)
        return at->arrived != NULL ? POLLIN : 0;
    if (at->link == NULL || at->is_connecting)
        return at->is_connecting ? 0 : POLLOUT | POLLHUP;
    return wf_sim_link_events(at->link, at->side);
}

static bool try_poll(const struct wf_sim_socket *at, struct wf_op *op)
{
    op->result = wf_sim_events(at) & (op->flags | POLLERR | POLLHUP);
    return op->result != 0;
}

void wf_sim_forget(struct wf_sim_socket *at)
{
    while (at->first != NULL) {
        struct wf_op *waiting = at->first;

        wf_sim_unwait(at, waiting);
        waiting->result = -EBADF;
        wf_sim_complete(waiting);
    }
    while (at->arrived != NULL) {
        struct wf_sim_link *link = at->arrived;

        take_arrived(at);
        wf_sim_link_refuse(link);
    }
    sockets[at->fd] = NULL;
    at->is_closed = true;
    if (at->link != NULL)
        wf_sim_link_detach(at->link, at->side);
    if (at->pipe != NULL)
        wf_sim_pipe_detach(at);
    wf_sim_forget_datagrams(at);
    if (at->inode != NULL)
        wf_sim_inode_release(at->inode);
    wf_sim_socket_release(at);
}

static void forget_all(void)
{
    for (int fd = 0; fd < current.limit; fd++)
        if (sockets[fd] != NULL)
            wf_sim_forget(sockets[fd]);
    wf_sim_drain();
}

/* The program may leave descriptors open; they are the kernel's then. */
void wf_sim_net_end(void)
{
    forget_all();
    forget_all(); /* what a datagram on its way has found once more */
    wf_sim_disk_end();
}

static bool close_socket(struct wf_sim_socket *at, struct wf_op *op)
{
    int fd = at->fd;

    wf_sim_trace("close", at->number, 0);
    wf_sim_forget(at);
    op->result = close(fd) == 0 ? 0 : -errno;
    return true;
}

/* What an operation moves. */
struct load {
    struct iovec one;
    const struct iovec *parts;
    size_t count;
    struct msghdr *message; /* NULL: none */
    int flags;
    bool is_plain; /* as read(2) and write(2), which need no socket */
};

static void set_load(struct load *load, const struct wf_op *op)
{
    bool is_vector = op->code == WF_OP_READV || op->code == WF_OP_WRITEV;

    *load = (struct load){.one = {op->buffer, op->length < INT32_MAX ? op->length : INT32_MAX},
                          .count = 1};
    load->parts = &load->one;
    load->is_plain = is_vector || op->code == WF_OP_READ || op->code == WF_OP_WRITE;
    if (!load->is_plain)
        load->flags = op->flags;
    if (is_vector) {
        load->parts = op->buffer;
        load->count = op->length;
    } else if (op->code == WF_OP_RECVMSG || op->code == WF_OP_SENDMSG) {
        load->message = op->buffer;
        load->parts = load->message->msg_iov;
        load->count = load->message->msg_iovlen;
    }
}

/* 0; what the descriptor refuses, and how. */
static int32_t check_load(const struct wf_sim_socket *at, const struct load *load)
{
    if (at->kind == WF_SIM_PIPE)
        return load->is_plain ? 0 : -ENOTSOCK;
    if ((load->flags & MSG_OOB) != 0)
        return -EOPNOTSUPP; /* there is no urgent data */
    if (at->kind == WF_SIM_DATAGRAM)
        return 0;
    return at->kind == WF_SIM_STREAM && at->link != NULL && !at->is_connecting ? 0 : -ENOTCONN;
}

static int32_t receive(struct wf_sim_socket *at, const struct load *load)
{
    if (at->kind == WF_SIM_DATAGRAM)
        return wf_sim_datagram_receive(at, load->message, load->parts, load->count, load->flags);
    if (load->message != NULL) {
        load->message->msg_namelen = 0;
        load->message->msg_controllen = 0;
        load->message->msg_flags = 0;
    }
    return wf_sim_link_receive(at->link, at->side, load->parts, load->count, load->flags);
}

static int32_t send_load(struct wf_sim_socket *at, const struct load *load)
{
    if (at->kind == WF_SIM_DATAGRAM)
        return wf_sim_datagram_send(at, load->message != NULL ? load->message->msg_name : NULL,
                                    load->parts, load->count);
    return wf_sim_link_send(at->link, at->side, load->parts, load->count);
}

static bool try_transfer(struct wf_sim_socket *at, struct wf_op *op, bool is_send)
{
    struct load load;

    set_load(&load, op);
    op->result = check_load(at, &load);
    if (op->result != 0)
        return true;
    if (wf_sim_fault(WEFT_SIM_REFUSE)) {
        op->result = wf_sim_fault_draw(WEFT_SIM_REFUSE, 2) == 0 ? -EAGAIN : -ENOBUFS;
        return true;
    }
    if (at->kind == WF_SIM_PIPE)
        op->result = wf_sim_pipe_transfer(at, load.parts, load.count, is_send);
    else
        op->result = is_send ? send_load(at, &load) : receive(at, &load);
    return op->result != -EAGAIN || (load.flags & MSG_DONTWAIT) != 0;
}

bool wf_sim_try(struct wf_sim_socket *at, struct wf_op *op)
{
    if (at->kind == WF_SIM_FILE && op->code != WF_OP_CLOSE) {
        wf_sim_file_do(at, op);
        return true;
    }
    switch (op->code) {
    case WF_OP_READ:
    case WF_OP_READV:
    case WF_OP_RECV:
    case WF_OP_RECVMSG:
        return try_transfer(at, op, false);
    case WF_OP_WRITE:
    case WF_OP_WRITEV:
    case WF_OP_SEND:
    case WF_OP_SENDMSG:
        return try_transfer(at, op, true);
    case WF_OP_ACCEPT:
        return try_accept(at, op);
    case WF_OP_CONNECT:
        return try_connect(at, op);
    case WF_OP_POLL:
        return try_poll(at, op);
    case WF_OP_CLOSE:
        return close_socket(at, op);
    case WF_OP_OPENAT:
    case WF_OP_FSYNC:
        break;
    }
    op->result = -EINVAL;
    return true;
}
