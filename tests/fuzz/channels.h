/* SPDX-License-Identifier: MIT */
/*
 * Two channels and their model: what is in the buffers, and who waits for what, alone or in one
 * case of a select, of which other cases may be about other objects.
 *
 * A result says which case it was, whether it failed, and which value came.
 */
#ifndef WEFT_FUZZ_CHANNELS_H
#define WEFT_FUZZ_CHANNELS_H

#include "fuzz.h"

enum {
    CHANNELS = 2,
    CHANNEL_CASES = 4, /* of one select, at most */
    CHANNEL_FAILED = 50000,
};

struct want { /* one case of a select, or a call of its own */
    enum { WANT_SEND, WANT_RECEIVE, WANT_OTHER } kind;
    unsigned object; /* the channel */
    int value;       /* to send */
};

/* The call of an actor, the latest one. */
struct call {
    unsigned count;
    struct want wants[CHANNEL_CASES];
    unsigned choices; /* a bit for each case that may happen */
    bool waits;
};

extern struct call channel_calls[FUZZ_ACTORS];
extern weft_channel channels[CHANNELS];

/* The byte says how large the buffers are. */
void channels_begin(unsigned byte);
void channels_check(void);
void channels_end(void);

int channel_result(unsigned number, bool has_failed, int value);

/* In the actor: the call of its only want. */
int channel_send(unsigned actor, weft_time deadline);
int channel_receive(unsigned actor, weft_time deadline);
int channel_try_send(unsigned actor);
int channel_try_receive(unsigned actor);

/* In the actor: a select of its wants.  `others` makes the cases that no channel has, with an item
 * of four or eight bytes; null if there are none. */
int channel_select(unsigned actor, weft_time deadline,
                   void (*others)(unsigned actor, unsigned number, void *item,
                                  struct weft_select_case *made));

/* A value that has never been sent. */
int channel_new_value(void);

/* The model.  Whether the case could happen now: one of a channel. */
bool channel_is_ready(unsigned actor, unsigned number);

/* The case happens, with all that it does to the others.  Returns what the call gives. */
int channel_happen(unsigned actor, unsigned number);

/* Nothing is ready, and the call may wait. */
void channel_wait(unsigned actor);

/* One of the cases has happened; which one is the library's choice. */
void channel_choose(unsigned actor, unsigned choices);

/* The number of the case that was chosen, which must have been one of those. */
unsigned channel_chosen(unsigned actor, int result);

void channel_withdraw(unsigned actor, int error);
void channel_close(unsigned channel);

bool channel_is_closed(unsigned channel);

/* A new one in place of one that is closed: in the actor, and in the model. */
void channel_renew(unsigned channel);
void channel_model_renewed(unsigned channel);

#endif
