/* SPDX-License-Identifier: BSD-2-Clause */

#include "call_parts.h"

#include <errno.h>
#include <stdlib.h>

#include "resty_ffi.h"

#include "clock.h"


/* a Lua thread that was killed tells nobody: who waits looks at the time */
#define LOOK_MS     1000
#define OVERDUE_MS  500


static PyObject *
gone(void)
{
    PyErr_SetString(PyExc_BrokenPipeError,
                    "nobody waits for the answer any more");
    return NULL;
}


/* -1 with an exception set where the thread must not be blocked */
static int
may_block(const call_t *call, const char *what)
{
    if (call->runtime->loop_thread != PyThread_get_thread_ident()) {
        return 0;
    }

    PyErr_Format(PyExc_RuntimeError, "this would block the event loop: %s",
                 what);
    return -1;
}


/* without the GIL; -1 with an exception set where there is nobody any more */
static int
wait_for(const call_t *call, int event)
{
    int      holds;
    int64_t  deadline;

    Py_BEGIN_ALLOW_THREADS
    holds = resty_ffi_wait(call->task, event, LOOK_MS);
    Py_END_ALLOW_THREADS

    replies_collect(call->runtime->replies);

    deadline = resty_ffi_deadline(call->task);

    if (!(holds & RESTY_FFI_GONE)
        && !(holds == 0 && deadline
             && clock_ns() / 1000000 >= deadline + OVERDUE_MS)
        && !(holds == 0 && resty_ffi_exiting()))
    {
        return 0;
    }

    (void) gone();

    return -1;
}


static int
send_now(call_t *call, PyObject *part)
{
    int        rc;
    PyObject  *error;

    if (call->answered) {
        PyErr_SetString(PyExc_RuntimeError, "the call has been answered");
        return -1;
    }

    rc = reply_send_part(call->runtime->replies, call->task, part);

    if (rc == -1 && PyErr_ExceptionMatches(PyExc_TypeError)) {
        PyErr_Clear();

        error = PyObject_CallMethod(call->runtime->answers, "wrong_part",
                                    "(O)", part);
        if (error) {
            PyErr_SetObject((PyObject *) Py_TYPE(error), error);
            Py_DECREF(error);
        }
    }

    return rc;
}


PyObject *
call_send_now(call_t *call, PyObject *part)
{
    int  rc;

    rc = send_now(call, part);

    return rc == -1 ? NULL : PyLong_FromLong(rc);
}


PyObject *
call_send(call_t *call, PyObject *part)
{
    int  rc;

    if (may_block(call, "yield the parts instead") == -1) {
        return NULL;
    }

    for ( ;; ) {
        rc = send_now(call, part);

        if (rc == 0) {
            Py_RETURN_NONE;
        }

        if (rc == EPIPE) {
            return gone();
        }

        if (rc == -1 || wait_for(call, RESTY_FFI_WRITABLE) == -1) {
            return NULL;
        }
    }
}


PyObject *
call_first(call_t *call, PyObject *unused)
{
    int    len;
    char  *bytes;

    (void) unused;

    bytes = ngx_http_lua_ffi_get_req(call->task, &len);

    return PyBytes_FromStringAndSize(bytes, len);
}


/* 0, or an error number; *bytes NULL with an exception set */
static int
read_now(const call_t *call, PyObject **bytes)
{
    int      rc;
    char    *part;
    size_t   len;

    rc = resty_ffi_read(call->task, &part, &len);

    *bytes = rc ? NULL : PyBytes_FromStringAndSize(part, (Py_ssize_t) len);
    free(part);

    return rc;
}


PyObject *
call_read_now(call_t *call, PyObject *unused)
{
    int        rc;
    PyObject  *bytes;

    (void) unused;

    rc = read_now(call, &bytes);

    if (rc == EAGAIN) {
        Py_RETURN_NONE;
    }

    return rc ? gone() : bytes;
}


PyObject *
call_read(call_t *call, PyObject *unused)
{
    int        rc;
    PyObject  *bytes;

    (void) unused;

    for ( ;; ) {
        rc = read_now(call, &bytes);

        if (rc != EAGAIN) {
            return rc ? gone() : bytes;
        }

        if (may_block(call, "have an AsyncBodyReader instead") == -1
            || wait_for(call, RESTY_FFI_READABLE) == -1)
        {
            return NULL;
        }
    }
}
