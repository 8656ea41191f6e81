/* SPDX-License-Identifier: BSD-2-Clause */

#include "runtime.h"

#include <stdint.h>

#include "resty_ffi.h"


/* the last resort: no memory, or an exception's own code that raises */
static void
answer_internal_error(void *task)
{
    static const char  text[] = "internal error: see error.log";

    PyErr_WriteUnraisable(NULL);
    resty_ffi_respond_copy(task, 1, text, sizeof(text) - 1);
}


void
runtime_fail_current(runtime_t *self, void *task, PyObject *callbacks)
{
    PyObject  *type, *value, *traceback;

    PyErr_Fetch(&type, &value, &traceback);
    PyErr_NormalizeException(&type, &value, &traceback);

    if (traceback) {
        (void) PyException_SetTraceback(value, traceback);
    }

    runtime_fail(self, task, value, callbacks);

    Py_XDECREF(type);
    Py_XDECREF(value);
    Py_XDECREF(traceback);
}


PyObject *
runtime_wrong(runtime_t *self, void *task, const char *what, PyObject *value)
{
    int          len;
    PyObject    *method, *error;
    const char  *name;

    if (self->methods == NULL) {
        return PyObject_CallMethod(self->answers, what, "(OO)", value,
                                   Py_None);
    }

    name = resty_ffi_method(task, &len);

    method = PyUnicode_DecodeUTF8(name ? name : "", name ? len : 0,
                                  "surrogateescape");
    if (method == NULL) {
        return NULL;
    }

    error = PyObject_CallMethod(self->answers, what, "(OO)", value, method);
    Py_DECREF(method);

    return error;
}


void
runtime_answer(runtime_t *self, void *task, PyObject *value,
    PyObject *callbacks)
{
    PyObject  *error;

    if (reply_send(self->replies, task, 0, value, callbacks) == 0) {
        return;
    }

    if (PyErr_ExceptionMatches(PyExc_TypeError)) {
        PyErr_Clear();

        error = runtime_wrong(self, task, "wrong_type", value);
        if (error) {
            runtime_fail(self, task, error, callbacks);
            Py_DECREF(error);
            return;
        }
    }

    runtime_fail_current(self, task, callbacks);
}


void
runtime_fail(runtime_t *self, void *task, PyObject *exception,
    PyObject *callbacks)
{
    int        rc, sent;
    PyObject  *answer, *body;

    sent = -1;

    /* what send and read raise there is no fault of the handler's */

    if (PyErr_GivenExceptionMatches(exception, PyExc_BrokenPipeError)
        && resty_ffi_cancelled(task)
        && reply_send(self->replies, task, 1, Py_None, callbacks) == 0)
    {
        return;
    }

    answer = PyObject_CallMethod(self->answers, "failed", "(OK)", exception,
                                 (unsigned long long) (uintptr_t) task);

    if (answer && PyArg_ParseTuple(answer, "iO", &rc, &body)) {
        sent = reply_send(self->replies, task, rc, body, callbacks);
    }

    if (sent == -1) {
        answer_internal_error(task);

        if (callbacks) {
            reply_tell(callbacks, false);
        }
    }

    Py_XDECREF(answer);
}
