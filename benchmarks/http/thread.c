/* SPDX-License-Identifier: MIT */
/* Detached threads with a small stack. */
#include "thread.h"

#include "server.h"

#include <pthread.h>

static pthread_attr_t attributes;

int thread_setup(void)
{
    int error = pthread_attr_init(&attributes);

    if (error == 0)
        error = pthread_attr_setstacksize(&attributes, STACK_SIZE_KIB * 1024);
    if (error == 0)
        error = pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
    return -error;
}

int thread_start(void *(*fn)(void *), void *arg)
{
    pthread_t thread;

    return -pthread_create(&thread, &attributes, fn, arg);
}
