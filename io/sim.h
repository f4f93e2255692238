/* SPDX-License-Identifier: MIT */
/*
 * The pieces of the simulated kernel: its rings (sim_ring.h), what they do (sim.c), what
 * descriptors stand for (sim_net.c), connections between them (sim_link.c), datagrams
 * (sim_datagram.c), pipes (sim_pipe.c), and a disk (sim_disk.h).
 *
 * None of these functions is a point, and all of it is touched by one real thread.
 */
#ifndef WF_IO_SIM_H
#define WF_IO_SIM_H

#include "io/op.h"

#include <stdbool.h>
#include <sys/socket.h>
#include <sys/uio.h>

struct wf_sim_datagram;
struct wf_sim_inode;
struct wf_sim_link;
struct wf_sim_pipe;

enum wf_sim_kind {
    WF_SIM_LISTENER,
    WF_SIM_STREAM,
    WF_SIM_FILE,
    WF_SIM_DATAGRAM,
    WF_SIM_PIPE,
};

/*
 * What a descriptor of the simulation stands for.  The number is one of the kernel's, of a socket
 * that goes nowhere, so that options can be set on it and no other descriptor has it.
 */
struct wf_sim_socket {
    enum wf_sim_kind kind;
    int fd;
    uint32_t number;            /* in the trace: counts up from 1 in each run */
    unsigned references;        /* the table's, and those of links to a listener */
    struct wf_op *first, *last; /* that wait */

    uint16_t port; /* LISTENER, DATAGRAM; network order */
    sa_family_t family;
    struct wf_sim_link *arrived, **arrived_end; /* not accepted yet */
    int64_t cut_until;                          /* its connections are cut off until then */
    bool is_closed;

    struct wf_sim_link *link; /* STREAM */
    struct wf_sim_pipe *pipe; /* PIPE */
    unsigned side;            /* which end of either */
    bool is_connecting;

    uint16_t peer_port; /* DATAGRAM; 0: it is not connected */
    int error;          /* to be reported once */
    unsigned received_count;
    struct wf_sim_datagram *received, **received_end;
    int64_t delay, last_arrival; /* of what it sends */

    struct wf_sim_inode *inode; /* FILE */
    uint64_t age;               /* wf_sim_disk_age() when it was opened */
    bool is_synchronous;        /* opened with O_SYNC or O_DSYNC */
    size_t listed;              /* of a folder: how many entries have been told */
};

/* Completes an operation that was started, with op->result set, after a while that the seed
 * decides.  It is in no list. */
void wf_sim_complete(struct wf_op *op);

/* Forgets the sockets of a run that has failed, if they are still there.  Caller: each poller that
 * is made. */
void wf_sim_net_begin(void);

/* Forgets all sockets.  Caller: the last poller. */
void wf_sim_net_end(void);

/* NULL: nobody of this kind has that port, which is in network order. */
struct wf_sim_socket *wf_sim_find_port(enum wf_sim_kind kind, sa_family_t family, uint16_t port);
uint16_t wf_sim_port_of(const struct sockaddr *address);

/* The events of poll(2) that hold. */
int wf_sim_events(const struct wf_sim_socket *at);

/* Makes `fd`, which is bound, a listening socket.  0 or -errno. */
int wf_sim_listen(int fd);

void wf_sim_socket_release(struct wf_sim_socket *at);

/* NULL: the simulation does not know it. */
struct wf_sim_socket *wf_sim_find(int fd);

/* What a descriptor stands for from now on; NULL: there is no room. */
struct wf_sim_socket *wf_sim_make(int fd, enum wf_sim_kind kind);

/* Gives a descriptor up, which is the kernel's then, and ends what waits for it. */
void wf_sim_forget(struct wf_sim_socket *at);

/* Makes what the operation is on a socket of the simulation, if it is a connect or an accept on one
 * of the kernel's that could be one.  0 or -errno. */
int wf_sim_adopt(const struct wf_op *op);

/* Does what can be done without waiting; returns true if op->result is the operation's. */
bool wf_sim_try(struct wf_sim_socket *at, struct wf_op *op);

/* Puts an operation among those that wait, and takes it out. */
void wf_sim_wait(struct wf_sim_socket *at, struct wf_op *op);
void wf_sim_unwait(struct wf_sim_socket *at, struct wf_op *op);

/* The bytes of all parts together, which are copied to `to` unless that is NULL. */
size_t wf_sim_gather(char *to, const struct iovec *parts, size_t count);

/* How many of `length` bytes an operation moves that may move less. */
size_t wf_sim_cut_short(size_t length);

/* Tries those that wait, something having changed. */
void wf_sim_kick(struct wf_sim_socket *at);

/* Connections.  A link is freed when nobody has it any more: each end, each segment on its way,
 * and the queue of a listener count. */

/* Between a socket and whoever will accept it; NULL when there is no memory. */
struct wf_sim_link *wf_sim_link_create(struct wf_sim_socket *from, struct wf_sim_socket *listener);

/* Whoever accepts becomes the second end. */
void wf_sim_link_attach(struct wf_sim_link *link, struct wf_sim_socket *to);

/* The end goes: the other one sees the end of the data, or a reset if some was not read. */
void wf_sim_link_detach(struct wf_sim_link *link, unsigned side);
void wf_sim_link_release(struct wf_sim_link *link);

/* Moves bytes; -EAGAIN: it has to wait. */
int32_t wf_sim_link_receive(struct wf_sim_link *link, unsigned side, const struct iovec *parts,
                            size_t count, int flags);
int32_t wf_sim_link_send(struct wf_sim_link *link, unsigned side, const struct iovec *parts,
                         size_t count);

/* The events of poll(2) that hold. */
int wf_sim_link_events(const struct wf_sim_link *link, unsigned side);

/* How long something takes that is sent now. */
int64_t wf_sim_link_delay(struct wf_sim_link *link);

void wf_sim_link_hold(struct wf_sim_link *link);

/* Nobody will accept it: the other end is told.  Takes a reference. */
void wf_sim_link_refuse(struct wf_sim_link *link);

/* NULL: that end is closed, or has not been accepted; and whoever listened at the time. */
struct wf_sim_socket *wf_sim_link_end(const struct wf_sim_link *link, unsigned side);
struct wf_sim_socket *wf_sim_link_listener(const struct wf_sim_link *link);

/* What the listener's queue is made of. */
struct wf_sim_link **wf_sim_link_next(struct wf_sim_link *link);
uint32_t wf_sim_link_number(const struct wf_sim_link *link);

/* Datagrams. */

/* Whether the kernel's descriptor is a UDP socket that it has not connected. */
bool wf_sim_is_datagram(int fd);
int wf_sim_adopt_datagram(int fd);

/* `to` is NULL for the peer.  -EAGAIN from the second: there is none yet. */
int32_t wf_sim_datagram_send(struct wf_sim_socket *at, const struct sockaddr *to,
                             const struct iovec *parts, size_t count);
int32_t wf_sim_datagram_receive(struct wf_sim_socket *at, struct msghdr *message,
                                const struct iovec *parts, size_t count, int flags);
int32_t wf_sim_datagram_error(struct wf_sim_socket *at);
int wf_sim_datagram_events(const struct wf_sim_socket *at);
void wf_sim_forget_datagrams(struct wf_sim_socket *at);

/* Pipes. */

/* Makes the ends of one of what pipe(2) has made: 0 or -errno. */
int wf_sim_pipe_create(const int fds[2]);

/* The end goes. */
void wf_sim_pipe_detach(struct wf_sim_socket *end);

/* Moves bytes; -EAGAIN: it has to wait. */
int32_t wf_sim_pipe_transfer(struct wf_sim_socket *end, const struct iovec *parts, size_t count,
                             bool is_write);
int wf_sim_pipe_events(const struct wf_sim_socket *end);

#endif
