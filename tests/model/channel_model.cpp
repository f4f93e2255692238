// SPDX-License-Identifier: MIT
// sync/channel.c over runtime/wait.c: a send succeeds exactly when its value is received or stands
// in the buffer, whoever is cancelled and whenever it is closed; -ENODATA comes after the last
// value.
#include "model_fibers.h"

// The atomics of the model are larger than those of the library.
#undef static_assert
#define static_assert(condition, message) typedef int model_unchecked_layout
#define wf_alloc_unset(size) model_alloc(size)
#define wf_free(memory) model_free(memory)
#include "sync/wait_queue.c"

#include "sync/channel.c"

struct model_channel {
    wf_channel channel;
    int buffer[1];

    void init(uint32_t capacity)
    {
        atomic_store_explicit(&channel.lock.word, WF_LOCK_FREE, memory_order_relaxed);
        channel.item_size = sizeof(int);
        channel.capacity = capacity;
        channel.buffer = reinterpret_cast<unsigned char *>(buffer);
        channel.head = channel.count = channel.is_closed = 0;
        channel.senders.first = channel.receivers.first = nullptr;
    }

    weft_channel *get()
    {
        return reinterpret_cast<weft_channel *>(&channel);
    }

    int send(int value)
    {
        return weft_channel_send(get(), &value, sizeof value, INT64_MAX);
    }

    int receive(int *value)
    {
        return weft_channel_receive(get(), value, sizeof *value, INT64_MAX);
    }

    void check_empty()
    {
        RL_ASSERT(wf_wait_queue_is_empty(&channel.senders));
        RL_ASSERT(wf_wait_queue_is_empty(&channel.receivers));
    }
};

// One value without a buffer, its sender cancelled, the channel closed.
struct channel_rendezvous : fiber_suite<channel_rendezvous, 4> {
    model_channel channel;
    rl::var<int> sent, received, value;

    void setup()
    {
        channel.init(0);
    }

    void fiber(unsigned index)
    {
        int got = 0;

        if (index == 0) {
            sent($) = channel.send(1);
        } else if (index == 1) {
            received($) = channel.receive(&got);
            value($) = got;
        } else if (index == 2) {
            model_cancel(0);
        } else {
            weft_channel_close(channel.get());
        }
    }

    void at_rest()
    {
        RL_ASSERT(sent($) == 0 || sent($) == -ECANCELED || sent($) == -EPIPE);
        RL_ASSERT(received($) == 0 || received($) == -ENODATA);
        RL_ASSERT((sent($) == 0) == (received($) == 0));
        RL_ASSERT(value($) == (sent($) == 0));
        channel.check_empty();
    }
};

// Two values through a buffer for one, the receiver cancelled, the channel closed.
struct channel_buffer : fiber_suite<channel_buffer, 4> {
    model_channel channel;
    rl::var<int> sent, received, last;

    void setup()
    {
        channel.init(1);
    }

    void fiber(unsigned index)
    {
        int count = 0;
        int error = 0;

        if (index == 0) {
            while (count < 2 && (error = channel.send(count + 1)) == 0)
                count++;
            RL_ASSERT(error == 0 || error == -EPIPE);
            sent($) = count;
        } else if (index == 1) {
            int value = 0;

            while ((error = channel.receive(&value)) == 0)
                RL_ASSERT(value == ++count);
            RL_ASSERT(value == count);
            received($) = count;
            last($) = error;
        } else if (index == 2) {
            model_cancel(1);
            weft_channel_close(channel.get());
        }
    }

    void at_rest()
    {
        RL_ASSERT(sent($) == received($) + static_cast<int>(channel.channel.count));
        RL_ASSERT(last($) == -ECANCELED || (last($) == -ENODATA && channel.channel.count == 0));
        channel.check_empty();
    }
};

// The same without a cancel: all that was sent arrives.
struct channel_drain : fiber_suite<channel_drain, 3> {
    model_channel channel;
    rl::var<int> sent, received;

    void setup()
    {
        channel.init(1);
    }

    void fiber(unsigned index)
    {
        int count = 0;

        if (index == 0) {
            while (count < 3 && channel.send(count + 1) == 0)
                count++;
            sent($) = count;
        } else if (index == 1) {
            int value = 0;

            while (channel.receive(&value) == 0)
                RL_ASSERT(value == ++count);
            received($) = count;
        } else {
            weft_channel_close(channel.get());
        }
    }

    void at_rest()
    {
        RL_ASSERT(sent($) == received($));
        RL_ASSERT(channel.channel.count == 0);
        channel.check_empty();
    }
};

// Who asked has its answer, and frees the channel.
template <typename T, uint32_t CAPACITY> struct channel_answer : fiber_suite<T, 2> {
    model_channel *channel;

    void setup()
    {
        channel = static_cast<model_channel *>(model_alloc(sizeof *channel));
        atomic_init(&channel->channel.lock.word, WF_LOCK_FREE);
        channel->init(CAPACITY);
    }

    void fiber(unsigned index)
    {
        int answer = 0;

        if (index == 0) {
            RL_ASSERT(channel->send(42) == 0);
            return;
        }
        RL_ASSERT(channel->receive(&answer) == 0 && answer == 42);
        model_free(channel);
    }

    void at_rest()
    {
    }
};

// A value without a buffer, while one of the two is cancelled.  Who has sent or received it frees
// the channel at once, though the other may be pinned by the cancel still.
template <typename T, unsigned CANCELLED, unsigned FREES>
struct channel_cancel : fiber_suite<T, 3> {
    model_channel *channel;
    rl::var<int> results[2];

    void setup()
    {
        channel = static_cast<model_channel *>(model_alloc(sizeof *channel));
        atomic_init(&channel->channel.lock.word, WF_LOCK_FREE);
        channel->init(0);
    }

    void fiber(unsigned index)
    {
        int value = 0;
        int result;

        if (index == 2) {
            model_cancel(CANCELLED);
            return;
        }
        result = index == 0 ? channel->send(42) : channel->receive(&value);
        results[index]($) = result;
        RL_ASSERT(value == (index == 1 && result == 0 ? 42 : 0));
        if (result == -ECANCELED)
            weft_channel_close(channel->get()); // or the other would wait for good
        else if (result == 0 && index == FREES)
            model_free(channel);
    }

    void at_rest()
    {
        RL_ASSERT((results[0]($) == 0) == (results[1]($) == 0));
        RL_ASSERT(results[CANCELLED]($) == 0 || results[CANCELLED]($) == -ECANCELED);
    }
};

struct channel_sender_frees : channel_cancel<channel_sender_frees, 1, 0> {
};
struct channel_receiver_frees : channel_cancel<channel_receiver_frees, 0, 1> {
};
struct channel_cancelled_sender_frees : channel_cancel<channel_cancelled_sender_frees, 0, 0> {
};
struct channel_cancelled_receiver_frees : channel_cancel<channel_cancelled_receiver_frees, 1, 1> {
};

struct channel_answer_at_once : channel_answer<channel_answer_at_once, 0> {
};
struct channel_answer_left : channel_answer<channel_answer_left, 1> {
};

int main()
{
    bool good = model_run<channel_rendezvous>("rendezvous");

    good = good && model_run<channel_buffer>("buffer");
    good = good && model_run<channel_drain>("drain");
    good = good && model_run<channel_answer_at_once>("answer_at_once");
    good = good && model_run<channel_answer_left>("answer_left");
    good = good && model_run<channel_sender_frees>("sender_frees");
    good = good && model_run<channel_receiver_frees>("receiver_frees");
    good = good && model_run<channel_cancelled_sender_frees>("cancelled_sender_frees", 4);
    good = good && model_run<channel_cancelled_receiver_frees>("cancelled_receiver_frees", 4);
    return good ? 0 : 1;
}
