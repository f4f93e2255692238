/* SPDX-License-Identifier: MIT */
/* Answers of a library that calls back on a thread of its own: each is promised by a future, and
 * the callback keeps the promise.  One is awaited, one is looked at now and then, and one is not
 * wanted any more when it comes. */
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <weft.h>

enum { REQUESTS = 3 };

struct request {
    weft_future answer;
    const char *question;
    char text[32];
};

struct library {
    struct request requests[REQUESTS];
    weft_event last_is_due;
    int unwanted;
};

/* The library's callback: knows nothing of fibers. */
static void on_answer(struct library *library, struct request *request)
{
    size_t length = strlen(request->question);

    for (size_t i = 0; i < length; i++)
        request->text[i] = request->question[length - 1 - i];
    if (weft_future_set(&request->answer, (int)length, request->text) == -EALREADY)
        library->unwanted++;
}

static void *run_library(void *arg)
{
    struct library *library = arg;

    on_answer(library, &library->requests[0]);
    on_answer(library, &library->requests[1]);
    if (weft_event_wait(&library->last_is_due, weft_after(10 * WEFT_SECOND)) == 0)
        on_answer(library, &library->requests[2]);
    return NULL;
}

static int show(struct request *request)
{
    int length = 0;
    int error = weft_future_await(&request->answer, &length, weft_after(10 * WEFT_SECOND));

    if (error != 0)
        return error;
    if (length < 0)
        printf("%s: no answer\n", request->question);
    else
        printf("%s: %s\n", request->question, (char *)weft_future_value(&request->answer));
    return length;
}

static int app(void *arg)
{
    struct library *library = arg;
    struct request *requests = library->requests;
    int lengths[REQUESTS];
    int looks = 1;

    lengths[0] = show(&requests[0]);
    for (; !weft_future_is_done(&requests[1].answer); looks++)
        if (weft_yield() != 0) /* something else meanwhile */
            return -ECANCELED;
    lengths[1] = show(&requests[1]);
    weft_future_cancel(&requests[2].answer);
    weft_event_set(&library->last_is_due);
    lengths[2] = show(&requests[2]);
    printf("the second was there at look %d\n", looks);
    return lengths[0] == 4 && lengths[1] == 4 && lengths[2] == -ECANCELED ? 0 : -EIO;
}

int main(void)
{
    struct library library = {
        .requests = {{.question = "warp"}, {.question = "weft"}, {.question = "loom"}},
        .last_is_due = WEFT_EVENT_INIT};
    pthread_t thread;
    int error;

    if (pthread_create(&thread, NULL, run_library, &library) != 0)
        return 1;
    error = weft_run(NULL, app, &library);
    if (pthread_join(thread, NULL) != 0)
        return 1;
    for (int i = 0; i < REQUESTS; i++) /* nobody has one in hand any more */
        weft_future_close(&library.requests[i].answer);
    return error < 0 || library.unwanted != 1;
}
