/* SPDX-License-Identifier: BSD-2-Clause */

#include "thread.h"

#include <pthread.h>
#include <unistd.h>

#include "resty_ffi.h"


static bool  in_child;


int
thread_start(void *tq, void *(*start)(void *), void *arg)
{
    return resty_ffi_thread(tq, start, arg, THREAD_STACK);
}


PyGILState_STATE
thread_attach(void)
{
    return PyGILState_Ensure();
}


void
thread_detach(PyGILState_STATE state)
{
    PyGILState_Release(state);
}


static void
note_child(void)
{
    in_child = true;
}


bool
thread_watch_forks(void)
{
    return pthread_atfork(NULL, NULL, note_child) == 0;
}


void
thread_end_child(void)
{
    if (in_child) {
        _exit(0);
    }
}
