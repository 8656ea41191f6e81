/* SPDX-License-Identifier: BSD-2-Clause */

#include "handler.h"

#include "resty_ffi.h"

#include "call.h"
#include "request.h"
#include "thread.h"


PyObject *
handler_request(runtime_t *self, void *task)
{
    int    len;
    char  *bytes;

    if (self->view) {
        return request_view(self->request_type, task);
    }

    bytes = ngx_http_lua_ffi_get_req(task, &len);

    return PyBytes_FromStringAndSize(bytes, len);
}


PyObject *
handler_enter_context(runtime_t *self)
{
    PyObject  *context, *renewed;

    context = PyContext_Copy(self->context);
    if (context == NULL) {
        return NULL;
    }

    if (PyContext_Enter(context) == -1) {
        goto failed;
    }

    if (self->renew) {
        renewed = PyObject_CallNoArgs(self->renew);
        if (renewed == NULL) {
            (void) PyContext_Exit(context);
            goto failed;
        }

        Py_DECREF(renewed);
    }

    return context;

failed:

    Py_DECREF(context);

    return NULL;
}


static void
answer_no_method(runtime_t *self, void *task, PyObject *name)
{
    PyObject  *error;

    error = PyObject_CallMethod(self->answers, "no_method", "(O)", name);

    if (error) {
        runtime_fail(self, task, error, NULL);
        Py_DECREF(error);

    } else {
        runtime_fail_current(self, task, NULL);
    }
}


PyObject *
handler_of(runtime_t *self, void *task)
{
    int          len;
    PyObject    *key, *handler;
    const char  *name;

    /* earlier calls of the same batch have taken their time */

    if (resty_ffi_cancelled(task)) {
        ngx_http_lua_ffi_respond(task, 1, NULL, 0);
        return NULL;
    }

    if (self->handler) {
        return self->handler;
    }

    handler = NULL;
    name = resty_ffi_method(task, &len);

    key = PyUnicode_DecodeUTF8(name ? name : "", len, "surrogateescape");
    if (key) {
        handler = PyDict_GetItemWithError(self->methods, key);
    }

    if (PyErr_Occurred()) {
        runtime_fail_current(self, task, NULL);

    } else if (handler == NULL) {
        answer_no_method(self, task, key);
    }

    Py_XDECREF(key);

    return handler;
}


/*
 * A plain handler of the event loop's may return a future: its result is the
 * answer then.  0 where value is none, -1 with an exception set; call may be
 * NULL.
 */
static int
await_future(runtime_t *self, void *task, call_t *call, PyObject *value)
{
    int        adopted;
    PyObject  *number, *result;

    if (self->adopt == NULL
        || Py_TYPE(value)->tp_as_async == NULL
        || Py_TYPE(value)->tp_as_async->am_await == NULL)
    {
        return 0;
    }

    adopted = -1;
    result = NULL;

    call = call ? (call_t *) Py_NewRef(call)
                : call_new(self->call_type, self, task);
    number = PyLong_FromVoidPtr(task);

    if (call && number) {
        result = PyObject_CallFunctionObjArgs(self->adopt, call, value,
                                              number, NULL);
    }

    if (result) {
        adopted = PyObject_IsTrue(result);
    }

    Py_XDECREF(call);
    Py_XDECREF(number);
    Py_XDECREF(result);

    return adopted;
}


void
handler_call(runtime_t *self, void *task, PyObject *handler)
{
    int        adopted;
    call_t    *call;
    PyObject  *request, *context, *result, *callbacks;

    request = handler_request(self, task);
    context = request ? handler_enter_context(self) : NULL;

    if (context == NULL) {
        runtime_fail_current(self, task, NULL);
        Py_XDECREF(request);
        return;
    }

    Py_INCREF(handler);
    call_enter(self, task);

    result = PyObject_CallOneArg(handler, request);

    thread_end_child();

    call = call_leave();

    if (PyContext_Exit(context) == -1) {
        Py_CLEAR(result);
    }

    adopted = result ? await_future(self, task, call, result) : -1;
    callbacks = adopted != 1 && call ? call_end(call) : NULL;

    if (adopted == 0) {
        runtime_answer(self, task, result, callbacks);

    } else if (adopted == -1) {
        runtime_fail_current(self, task, callbacks);
    }

    Py_DECREF(handler);
    Py_DECREF(request);
    Py_DECREF(context);
    Py_XDECREF(result);
    Py_XDECREF(callbacks);
    Py_XDECREF(call);
}
