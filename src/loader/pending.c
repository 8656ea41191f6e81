/* SPDX-License-Identifier: BSD-2-Clause */

#include "pending.h"

#include <dlfcn.h>
#include <semaphore.h>
#include <stdint.h>


typedef int (*add_pt)(int (*func)(void *), void *arg);


static add_pt  add;         /* libpython's */
static sem_t   queued;


int
Py_AddPendingCall(int (*func)(void *), void *arg)
{
    int  rc;

    rc = add(func, arg);

    /* where its queue was full there is something to run, too */

    (void) sem_post(&queued);

    return rc;
}


static void *
promote(void *function)
{
    Dl_info  info;

    if (!dladdr(function, &info)) {
        return NULL;
    }

    return dlopen(info.dli_fname, RTLD_NOW | RTLD_GLOBAL | RTLD_NOLOAD);
}


bool
pending_prepare(void)
{
    void  *libpython;

    /*
     * LuaJIT and nginx may have loaded us locally; C extensions expect
     * Python's symbols in the global scope, and are to find ours first.
     * A program of which we are a part is there already.
     */

    (void) promote((void *) promote);

    libpython = promote((void *) Py_InitializeFromConfig);
    if (libpython == NULL) {
        return false;
    }

    add = (add_pt) (intptr_t) dlsym(libpython, "Py_AddPendingCall");

    return add != NULL && sem_init(&queued, 0, 0) == 0;
}


bool
pending_is_noticed(void)
{
    return dlsym(RTLD_DEFAULT, "Py_AddPendingCall") != (void *) (intptr_t) add;
}


void
pending_run(PyThreadState *state)
{
    for ( ;; ) {

        while (sem_wait(&queued) == -1) {
            /* a signal */
        }

        while (sem_trywait(&queued) == 0) {
            /* one run is for all */
        }

        PyEval_RestoreThread(state);

        while (Py_MakePendingCalls() == -1) {
            PyErr_WriteUnraisable(NULL);
        }

        (void) PyEval_SaveThread();
    }
}
