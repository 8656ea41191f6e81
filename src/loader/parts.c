/* SPDX-License-Identifier: BSD-2-Clause */

#include "parts.h"

#include <errno.h>
#include <stdlib.h>

#include "resty_ffi.h"

#include "clock.h"


/* a Lua thread that was killed tells nobody: who waits looks at the time */
#define LOOK_MS     1000
#define OVERDUE_MS  500


static void
set_gone(void)
{
    PyErr_SetString(PyExc_BrokenPipeError,
                    "nobody waits for the answer any more");
}


/* -1 with an exception set where the thread must not be blocked */
static int
may_block(const runtime_t *runtime, const char *what)
{
    if (runtime->loop_thread != PyThread_get_thread_ident()) {
        return 0;
    }

    PyErr_Format(PyExc_RuntimeError, "this would block the event loop: %s",
                 what);
    return -1;
}


/* without the GIL; -1 with an exception set where there is nobody any more */
static int
wait_for(const runtime_t *runtime, void *task, int event)
{
    int      holds;
    int64_t  deadline;

    Py_BEGIN_ALLOW_THREADS
    holds = resty_ffi_wait(task, event, LOOK_MS);
    Py_END_ALLOW_THREADS

    replies_collect(runtime->replies);

    deadline = resty_ffi_deadline(task);

    if (!(holds & RESTY_FFI_GONE)
        && !(holds == 0 && deadline
             && clock_ns() / 1000000 >= deadline + OVERDUE_MS)
        && !(holds == 0 && resty_ffi_exiting()))
    {
        return 0;
    }

    set_gone();

    return -1;
}


int
parts_send_now(runtime_t *runtime, void *task, PyObject *part,
    PyObject **callbacks)
{
    int        rc;
    PyObject  *error;

    rc = reply_send_part(runtime->replies, task, part, callbacks);

    if (rc == -1 && PyErr_ExceptionMatches(PyExc_TypeError)) {
        PyErr_Clear();

        error = runtime_wrong(runtime, task, "wrong_part", part);
        if (error) {
            PyErr_SetObject((PyObject *) Py_TYPE(error), error);
            Py_DECREF(error);
        }
    }

    return rc;
}


int
parts_send(runtime_t *runtime, void *task, PyObject *part,
    PyObject **callbacks)
{
    int  rc;

    if (may_block(runtime, "yield the parts instead") == -1) {
        return -1;
    }

    for ( ;; ) {
        rc = parts_send_now(runtime, task, part, callbacks);

        if (rc == EPIPE) {
            set_gone();
            return -1;
        }

        if (rc != EAGAIN) {
            return rc;
        }

        if (wait_for(runtime, task, RESTY_FFI_WRITABLE) == -1) {
            return -1;
        }
    }
}


PyObject *
parts_first(void *task)
{
    int    len;
    char  *bytes;

    bytes = ngx_http_lua_ffi_get_req(task, &len);

    return PyBytes_FromStringAndSize(bytes, len);
}


/* EAGAIN; or *bytes is what was read, or NULL with an exception set */
static int
read_part(void *task, PyObject **bytes)
{
    int      rc;
    char    *part;
    size_t   len;

    *bytes = NULL;

    rc = resty_ffi_read(task, &part, &len);

    if (rc == EPIPE) {
        set_gone();

    } else if (rc == 0) {
        *bytes = PyBytes_FromStringAndSize(part, (Py_ssize_t) len);
        free(part);
    }

    return rc;
}


PyObject *
parts_read_now(void *task)
{
    PyObject  *bytes;

    if (read_part(task, &bytes) == EAGAIN) {
        Py_RETURN_NONE;
    }

    return bytes;
}


PyObject *
parts_read(runtime_t *runtime, void *task)
{
    PyObject  *bytes;

    while (read_part(task, &bytes) == EAGAIN) {
        if (may_block(runtime, "have an AsyncBodyReader instead") == -1
            || wait_for(runtime, task, RESTY_FFI_READABLE) == -1)
        {
            return NULL;
        }
    }

    return bytes;
}
