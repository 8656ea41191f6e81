/* SPDX-License-Identifier: BSD-2-Clause */

#include "dispatch.h"

#include <stdint.h>
#include <time.h>
#include <unistd.h>

#include "resty_ffi.h"

#include "call.h"
#include "handler.h"
#include "thread.h"


#define MAX_BATCH   256

/* how long delivered answers may keep their objects when nothing happens */
#define COLLECT_MS  1000

/* how long a thread that has fought for the GIL sleeps with it */
#define HOLD_MS     1


static double
now(void)
{
    struct timespec  ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);

    return (double) ts.tv_sec + (double) ts.tv_nsec / 1e9;
}


/*
 * Sleeps without the GIL.  *contended: whether it took more than patience
 * seconds to get it back, as beside a thread that computes.
 */
static int
sleep_for_tasks(runtime_t *self, void **tasks, int max, double patience,
    int *contended)
{
    int     n, timeout;
    double  woken;

    timeout = replies_outstanding(self->replies) ? COLLECT_MS : -1;

    Py_BEGIN_ALLOW_THREADS
    n = resty_ffi_poll_batch(self->tq, tasks, max, timeout);
    woken = now();
    Py_END_ALLOW_THREADS

    *contended = (now() - woken > patience);

    return n;
}


PyObject *
dispatch_serve(runtime_t *self, PyObject *args)
{
    int        i, n, max, contended;
    void      *tasks[MAX_BATCH];
    double     patience;
    PyObject  *handler;

    if (!PyArg_ParseTuple(args, "id:serve", &max, &patience)) {
        return NULL;
    }

    max = max < 1 ? 1 : max > MAX_BATCH ? MAX_BATCH : max;
    contended = 0;

    for ( ;; ) {

        /*
         * Who gives the GIL up beside a thread that computes has it back
         * only a switch interval later: the next requests may be here
         * before that, so wait for them a moment.
         */

        n = resty_ffi_poll_batch(self->tq, tasks, max,
                                 contended ? HOLD_MS : 0);

        replies_collect(self->replies);

        if (n == 0) {
            n = sleep_for_tasks(self, tasks, max, patience, &contended);
        }

        if (n < 0) {
            break;
        }

        for (i = 0; i < n; i++) {
            handler = handler_of(self, tasks[i]);
            if (handler) {
                handler_call(self, tasks[i], handler);
            }
        }
    }

    Py_RETURN_NONE;
}


PyObject *
dispatch_answer(runtime_t *self, PyObject *number)
{
    void      *task;
    int64_t    deadline;
    PyObject  *handler;

    task = PyLong_AsVoidPtr(number);
    if (task == NULL && PyErr_Occurred()) {
        return NULL;
    }

    /* it has waited in the pool's queue */

    deadline = resty_ffi_deadline(task);

    if (deadline && now() * 1000 >= (double) deadline) {
        ngx_http_lua_ffi_respond(task, 1, NULL, 0);
        Py_RETURN_NONE;
    }

    handler = handler_of(self, task);
    if (handler) {
        handler_call(self, task, handler);
    }

    Py_RETURN_NONE;
}


/*
 * Makes a task of run(call, handler, request, tasks, number); -1 with an
 * exception set.
 */
static int
spawn(runtime_t *self, void *task, PyObject *handler, PyObject *number)
{
    int        rc;
    call_t    *call;
    PyObject  *request, *context, *coroutine, *spawned, *token, *ended;

    rc = -1;
    request = context = coroutine = spawned = token = ended = NULL;

    call = call_new(self->call_type, self, task);
    if (call == NULL) {
        return -1;
    }

    request = handler_request(self, task);
    if (request == NULL) {
        goto done;
    }

    context = handler_enter_context(self);
    if (context == NULL) {
        goto done;
    }

    /* the new task's context is a copy of this one */

    token = PyContextVar_Set(self->call_var, (PyObject *) call);
    if (token == NULL) {
        goto done;
    }

    coroutine = PyObject_CallFunctionObjArgs(self->run, call, handler,
                                             request, self->tasks,
                                             number, NULL);
    if (coroutine == NULL) {
        goto done;
    }

    spawned = PyObject_CallOneArg(self->spawn, coroutine);
    if (spawned == NULL) {
        goto done;
    }

    rc = 0;

    thread_end_child();

    /* an eager one may have ended */

    ended = PyObject_CallMethodNoArgs(spawned, self->done);

    if (ended == NULL
        || (ended == Py_False
            && PyDict_SetItem(self->tasks, number, spawned) == -1))
    {
        PyErr_WriteUnraisable(spawned);
    }

done:

    if (context && PyContext_Exit(context) == -1 && rc == 0) {
        PyErr_WriteUnraisable(context);
    }

    Py_DECREF(call);
    Py_XDECREF(request);
    Py_XDECREF(context);
    Py_XDECREF(token);
    Py_XDECREF(coroutine);
    Py_XDECREF(spawned);
    Py_XDECREF(ended);

    return rc;
}


static void
start(runtime_t *self, void *task)
{
    int        asynchronous;
    PyObject  *handler, *number, *result;

    handler = handler_of(self, task);
    if (handler == NULL) {
        return;
    }

    asynchronous = PySet_Contains(self->coroutines, handler);

    if (asynchronous == 0 && self->submit == NULL) {
        handler_call(self, task, handler);
        return;
    }

    number = PyLong_FromVoidPtr(task);

    if (asynchronous == -1 || number == NULL) {
        runtime_fail_current(self, task, NULL);

    } else if (asynchronous) {
        if (spawn(self, task, handler, number) == -1) {
            runtime_fail_current(self, task, NULL);
        }

    } else {
        result = PyObject_CallOneArg(self->submit, number);
        if (result == NULL) {
            runtime_fail_current(self, task, NULL);
        }

        Py_XDECREF(result);
    }

    Py_XDECREF(number);
}


PyObject *
dispatch_accept(runtime_t *self, PyObject *limit)
{
    int        i, n, max, armed;
    long       value;
    void      *tasks[MAX_BATCH];

    value = PyLong_AsLong(limit);
    if (value == -1 && PyErr_Occurred()) {
        return NULL;
    }

    max = value < 1 ? 1 : value > MAX_BATCH ? MAX_BATCH : (int) value;

    n = resty_ffi_poll_batch(self->tq, tasks, max, 0);

    replies_collect(self->replies);

    for (i = 0; i < n; i++) {
        start(self, tasks[i]);
    }

    if (n < 0) {
        return PyLong_FromLong(-1);
    }

    if (n == max) {
        return PyLong_FromLong(0);
    }

    armed = resty_ffi_arm(self->tq);

    if (armed == -1) {
        PyErr_SetString(PyExc_OSError, "its eventfd has been closed, by "
                        "os.closerange() perhaps");
        return NULL;
    }

    return PyLong_FromLong(armed);
}


PyObject *
dispatch_cancelled(runtime_t *self, PyObject *unused)
{
    int        i, n;
    void      *handles[MAX_BATCH];
    PyObject  *list, *number;

    (void) unused;

    n = resty_ffi_poll_events(self->tq, handles, MAX_BATCH, 0);

    list = PyList_New(n);
    if (list == NULL) {
        return NULL;
    }

    for (i = 0; i < n; i++) {
        number = PyLong_FromVoidPtr(handles[i]);
        if (number == NULL) {
            Py_DECREF(list);
            return NULL;
        }

        PyList_SET_ITEM(list, i, number);
    }

    return list;
}


PyObject *
dispatch_cancel(runtime_t *self, PyObject *number)
{
    static const char  text[] = "CancelledError";

    void  *task;

    (void) self;

    task = PyLong_AsVoidPtr(number);
    if (task == NULL && PyErr_Occurred()) {
        return NULL;
    }

    resty_ffi_respond_copy(task, 1, text, sizeof(text) - 1);

    Py_RETURN_NONE;
}


PyObject *
dispatch_fileno(runtime_t *self, PyObject *unused)
{
    int  fd;

    (void) unused;

    fd = resty_ffi_eventfd(self->tq);
    if (fd == -1) {
        return PyErr_SetFromErrno(PyExc_OSError);
    }

    return PyLong_FromLong(fd);
}


PyObject *
dispatch_notify(runtime_t *self, PyObject *unused)
{
    (void) unused;

    resty_ffi_kick(self->tq);

    Py_RETURN_NONE;
}
