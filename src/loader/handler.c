/* SPDX-License-Identifier: BSD-2-Clause */

#include "handler.h"

#include "resty_ffi.h"

#include "generator.h"
#include "request.h"
#include "thread.h"


bool
handler_has_to_wait(runtime_t *self, void *task, PyObject *handler)
{
    return resty_ffi_has_parts(task)
           && (self->readers == NULL
               || PyDict_GetItem(self->readers, handler) == NULL);
}


PyObject *
handler_request(runtime_t *self, void *task, PyObject *handler,
    PyObject *body, call_t **call)
{
    int        len;
    char      *bytes;
    PyObject  *reader;

    if (self->readers) {
        reader = PyDict_GetItemWithError(self->readers, handler);

        if (reader && *call == NULL) {
            *call = call_new(self->call_type, self, task);
        }

        if (reader && *call) {
            return PyObject_CallFunctionObjArgs(reader, *call,
                                                body ? body : Py_None, NULL);
        }

        if (PyErr_Occurred()) {
            return NULL;
        }
    }

    if (body) {
        return self->view ? PyMemoryView_FromObject(body) : Py_NewRef(body);
    }

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
        resty_ffi_no_method(task);
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


/* 1, or -1 with an exception set */
static int
iterate(runtime_t *self, void *task, call_t *call, PyObject *context,
    PyObject *generator)
{
    PyObject  *number, *token, *result;

    token = result = NULL;

    call = call ? (call_t *) Py_NewRef(call)
                : call_new(self->call_type, self, task);
    number = PyLong_FromVoidPtr(task);

    if (call && number && PyContext_Enter(context) == 0) {

        token = PyContextVar_Set(self->call_var, (PyObject *) call);
        if (token) {
            result = PyObject_CallFunctionObjArgs(self->iterate, call,
                                                  generator, number, NULL);
        }

        if (PyContext_Exit(context) == -1) {
            Py_CLEAR(result);
        }
    }

    Py_XDECREF(call);
    Py_XDECREF(number);
    Py_XDECREF(token);
    Py_XDECREF(result);

    return result ? 1 : -1;
}


/*
 * What becomes of a result: 1 where its bytes are still to come; 0 where it is
 * the answer; -1 with an exception set.
 */
static int
take_over(runtime_t *self, streams_t *streams, void *task, call_t *call,
    PyObject *context, PyObject *result)
{
    if (PyGen_CheckExact(result)) {
        return generator_start(streams, task, result, context, call) == 0
               ? 1 : -1;
    }

    if (PyAsyncGen_CheckExact(result) && self->iterate) {
        return iterate(self, task, call, context, result);
    }

    return await_future(self, task, call, result);
}


void
handler_call(runtime_t *self, streams_t *streams, void *task,
    PyObject *handler, PyObject *body)
{
    int        taken;
    call_t    *call;
    PyObject  *request, *context, *result, *callbacks;

    call = NULL;
    request = handler_request(self, task, handler, body, &call);
    context = request ? handler_enter_context(self) : NULL;

    if (context == NULL) {
        runtime_fail_current(self, task, NULL);
        Py_XDECREF(request);
        Py_XDECREF(call);
        return;
    }

    Py_INCREF(handler);
    call_enter(self, task, call);

    result = PyObject_CallOneArg(handler, request);

    thread_end_child();

    call = call_leave();

    if (PyContext_Exit(context) == -1) {
        Py_CLEAR(result);
    }

    taken = result ? take_over(self, streams, task, call, context, result)
                   : -1;
    callbacks = taken != 1 && call ? call_end(call) : NULL;

    if (taken == 0) {
        runtime_answer(self, task, result, callbacks);

    } else if (taken == -1) {
        runtime_fail_current(self, task, callbacks);
    }

    Py_DECREF(handler);
    Py_DECREF(request);
    Py_DECREF(context);
    Py_XDECREF(result);
    Py_XDECREF(callbacks);
    Py_XDECREF(call);
}
