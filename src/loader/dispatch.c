/* SPDX-License-Identifier: BSD-2-Clause */

#include "dispatch.h"

#include <stdint.h>
#include <unistd.h>

#include "resty_ffi.h"

#include "call.h"
#include "clock.h"
#include "gather.h"
#include "handler.h"
#include "number.h"
#include "thread.h"


#define MAX_BATCH   256

/* how long delivered answers may keep their objects when nothing happens */
#define COLLECT_MS  1000

/* how long a thread that has fought for the GIL sleeps with it */
#define HOLD_MS     1


/*
 * Sleeps without the GIL.  *contended: whether it took more than patience
 * seconds to get it back, as beside a thread that computes.
 *
 * One of several threads (max 1) has the GIL before it takes a task: whoever
 * has it meanwhile may be done before, and take that task, too.  Else all
 * threads would have one in time, and wait for the GIL in turns.  It was
 * contended then if somebody else has gone on to another task meanwhile.
 */
static int
sleep_for_tasks(runtime_t *self, const streams_t *streams, void **tasks,
    int max, double patience, int *contended)
{
    int       n, timeout;
    int64_t   woken, waited;
    unsigned  taken;

    timeout = replies_outstanding(self->replies) || streams_open(streams)
              ? COLLECT_MS : -1;

    Py_BEGIN_ALLOW_THREADS
    n = resty_ffi_poll_batch(self->tq, tasks, max > 1 ? max : 0, timeout);
    woken = clock_ns();
    taken = self->taken;
    Py_END_ALLOW_THREADS

    waited = clock_ns() - woken;
    resty_ffi_lock_waited(self->tq, waited);

    *contended = ((double) waited / 1e9 > patience)
                 && (max > 1 || taken != self->taken);

    return n;
}


static void
answer_gathered(streams_t *streams, void *task, PyObject *handler,
    PyObject *body)
{
    handler_call(streams_runtime(streams), streams, task, handler, body);
}


/* has a plain handler answer on this thread */
static void
answer(runtime_t *self, streams_t *streams, void *task)
{
    PyObject  *handler;

    handler = handler_of(self, task);

    if (handler == NULL) {
        return;
    }

    if (!handler_has_to_wait(self, task, handler)) {
        handler_call(self, streams, task, handler, NULL);

    } else if (gather_start(streams, task, handler, answer_gathered) == -1) {
        runtime_fail_current(self, task, NULL);
    }
}


/*
 * Whether a thread that has worked since then was without the GIL for long, and
 * the others have taken so much that they need no help: threads that only
 * compute would else lose the GIL to each other for as long as there is work.
 */
static int
is_overtaken(const runtime_t *self, unsigned taken, int64_t began,
    double patience)
{
    return self->taken - taken > 2 * self->serving
           && (double) (clock_ns() - began) / 1e9 > patience;
}


PyObject *
dispatch_serve(runtime_t *self, PyObject *args)
{
    int         i, n, max, hold, contended;
    void       *tasks[MAX_BATCH];
    double      patience;
    int64_t     began;
    unsigned    taken;
    streams_t  *streams;

    if (!PyArg_ParseTuple(args, "id:serve", &max, &patience)) {
        return NULL;
    }

    streams = streams_new(self);
    if (streams == NULL) {
        return NULL;
    }

    max = max < 1 ? 1 : max > MAX_BATCH ? MAX_BATCH : max;
    contended = 0;
    self->serving++;

    for ( ;; ) {

        contended = contended && !streams_ready(streams);

        if (contended && max == 1) {

            /* leaves the GIL, and what waits, to others for a moment */

            n = 0;

        } else {

            /*
             * Who gives the GIL up beside a thread that computes has it back
             * only a switch interval later: the next requests may be here
             * before that, so wait for them a moment.
             */

            hold = contended ? HOLD_MS : 0;
            n = resty_ffi_poll_batch(self->tq, tasks, max, hold);
        }

        replies_collect(self->replies);

        if (n == 0 && !streams_ready(streams)) {
            n = sleep_for_tasks(self, streams, tasks, max, patience,
                                &contended);
        }

        if (n < 0) {
            break;
        }

        self->taken += (unsigned) n;
        taken = self->taken;
        began = clock_ns();

        for (i = 0; i < n; i++) {
            answer(self, streams, tasks[i]);
        }

        if (streams_open(streams)) {
            streams_hear(streams);
            streams_run(streams);
        }

        if (max == 1 && n) {
            contended = is_overtaken(self, taken, began, patience);
        }
    }

    self->serving--;
    streams_finish(streams);
    Py_DECREF(streams);

    Py_RETURN_NONE;
}


PyObject *
dispatch_answer(runtime_t *self, PyObject *args)
{
    void       *task;
    int64_t     deadline;
    PyObject   *number;
    streams_t  *streams;

    if (!PyArg_ParseTuple(args, "OO!:answer", &number, self->streams_type,
                          &streams))
    {
        return NULL;
    }

    if (!number_handle(number, &task)) {
        return NULL;
    }

    /* it has waited in the pool's queue */

    deadline = resty_ffi_deadline(task);

    if (deadline && clock_ns() / 1000000 >= deadline) {
        ngx_http_lua_ffi_respond(task, 1, NULL, 0);
        Py_RETURN_NONE;
    }

    answer(self, streams, task);

    Py_RETURN_NONE;
}


/*
 * Makes a task of run(call, handler, request, tasks, number); -1 with an
 * exception set.  body as of handler_request.
 */
static int
spawn(runtime_t *self, void *task, PyObject *handler, PyObject *number,
    PyObject *body)
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

    request = handler_request(self, task, handler, body, &call);
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
spawn_gathered(streams_t *streams, void *task, PyObject *handler,
    PyObject *body)
{
    PyObject   *number;
    runtime_t  *self = streams_runtime(streams);

    number = PyLong_FromVoidPtr(task);

    if (number == NULL || spawn(self, task, handler, number, body) == -1) {
        runtime_fail_current(self, task, NULL);
    }

    Py_XDECREF(number);
}


static void
submit(runtime_t *self, void *task)
{
    PyObject  *result;

    result = PyObject_CallFunction(self->submit, "K",
                                   (unsigned long long) (uintptr_t) task);
    if (result == NULL) {
        runtime_fail_current(self, task, NULL);
    }

    Py_XDECREF(result);
}


/* has a handler of an event loop's answer */
static void
start(runtime_t *self, streams_t *streams, void *task)
{
    int             asynchronous;
    bool            wait;
    PyObject       *handler;
    gather_then_t   then;

    handler = handler_of(self, task);
    if (handler == NULL) {
        return;
    }

    asynchronous = PySet_Contains(self->coroutines, handler);

    if (asynchronous == -1) {
        runtime_fail_current(self, task, NULL);
        return;
    }

    if (!asynchronous && self->submit) {
        submit(self, task);
        return;
    }

    /* what would block this thread while it reads is not called yet either */

    wait = asynchronous ? handler_has_to_wait(self, task, handler)
                        : resty_ffi_has_parts(task) != 0;
    then = asynchronous ? spawn_gathered : answer_gathered;

    if (!wait) {
        then(streams, task, handler, NULL);

    } else if (gather_start(streams, task, handler, then) == -1) {
        runtime_fail_current(self, task, NULL);
    }
}


PyObject *
dispatch_accept(runtime_t *self, PyObject *args)
{
    int         i, n, max, armed;
    void       *tasks[MAX_BATCH];
    streams_t  *streams;

    if (!PyArg_ParseTuple(args, "iO!:accept", &max, self->streams_type,
                          &streams))
    {
        return NULL;
    }

    max = max < 1 ? 1 : max > MAX_BATCH ? MAX_BATCH : max;

    n = resty_ffi_poll_batch(self->tq, tasks, max, 0);

    replies_collect(self->replies);

    for (i = 0; i < n; i++) {
        start(self, streams, tasks[i]);
    }

    streams_run(streams);

    if (n < 0) {
        return PyLong_FromLong(-1);
    }

    if (n == max || streams_ready(streams)) {
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
dispatch_events(runtime_t *self, PyObject *unused)
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

    if (!number_handle(number, &task)) {
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

    self->loop_thread = PyThread_get_thread_ident();

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
