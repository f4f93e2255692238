/* SPDX-License-Identifier: MIT */
/* A session does whatever comes first: its client speaks, there is news for the client, the answer
 * to a long question has been found, or nothing has happened for a while. */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <sys/socket.h>
#include <weft.h>

WEFT_CHANNEL_DEFINE(news, char)

struct session {
    int fd;
    news news;
    weft_future answer;
    bool is_asked; /* and the answer has not been given yet */
};

static int find_answer(void *arg)
{
    int error = weft_sleep(2 * WEFT_MILLISECOND); /* or compute for long */

    (void)arg;
    return error < 0 ? error : 42;
}

/* Reads what the client says: 'q' is a question. */
static int listen_to_client(struct session *session)
{
    char letter;
    ssize_t n = weft_read(session->fd, &letter, 1, weft_after(WEFT_SECOND));

    if (n <= 0)
        return n == 0 ? -ENOTCONN : (int)n;
    if (letter != 'q' || session->is_asked)
        return 0;
    session->is_asked = true;
    return weft_future_spawn(&session->answer, find_answer, NULL);
}

static int tell(const struct session *session, char letter)
{
    ssize_t n = weft_write_all(session->fd, &letter, 1, weft_after(WEFT_SECOND));

    return n < 0 ? (int)n : 0;
}

static int answer(struct session *session, int result)
{
    session->is_asked = false;
    weft_future_close(&session->answer);
    session->answer = (weft_future)WEFT_FUTURE_INIT;
    return tell(session, result == 42 ? 'a' : '?');
}

static int serve(void *arg)
{
    struct session *session = arg;
    weft_poll client = WEFT_POLL_INIT(session->fd, POLLIN);
    int error = 0;

    while (error == 0) {
        char item = 0;
        int events = 0, result = 0, first;
        struct weft_select_case cases[] = {
            WEFT_POLL_CASE(&client, &events),
            WEFT_RECEIVE_CASE(&session->news.base, &item),
            WEFT_FUTURE_CASE(session->is_asked ? &session->answer : NULL, &result),
        };

        first = weft_select(cases, 3, weft_after(5 * WEFT_SECOND));
        switch (first) {
        case 0:
            error = listen_to_client(session);
            break;
        case 1:
            error = tell(session, item);
            break;
        case 2:
            error = answer(session, result);
            break;
        default:
            error = first; /* -ETIMEDOUT: the client has been silent for too long */
        }
    }
    weft_future_close(&session->answer);
    return error == -ENOTCONN ? 0 : error; /* the client has gone */
}

static int app(void *arg)
{
    static struct session session; /* fibers may see it until the runtime has ended */
    weft_fiber *server;
    int fds[2], result = 0, heard = 0;
    char letter = 0;

    (void)arg;
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) != 0)
        return -errno;
    session.fd = fds[0];
    if (news_init(&session.news, NULL, 0) != 0 || weft_spawn(&server, serve, &session) != 0)
        return -ENOMEM;
    if (weft_write_all(fds[1], "q", 1, weft_after(WEFT_SECOND)) != 1 ||
        news_send(&session.news, 'n', weft_after(WEFT_SECOND)) != 0)
        return -EIO;
    /* The news and the answer, in either order. */
    for (int i = 0; i < 2 && weft_read(fds[1], &letter, 1, weft_after(5 * WEFT_SECOND)) == 1; i++)
        heard += letter;
    (void)weft_close(fds[1]);
    if (weft_join(server, &result, WEFT_FOREVER) != 0 || result != 0)
        return -EIO;
    printf("the client has heard %s\n", heard == 'n' + 'a' ? "the news and the answer" : "nothing");
    return heard == 'n' + 'a' ? weft_close(fds[0]) : -EIO;
}

int main(void)
{
    return weft_run(NULL, app, NULL) < 0;
}
