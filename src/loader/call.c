/* SPDX-License-Identifier: BSD-2-Clause */

#include "call.h"

#include <errno.h>
#include <structmember.h>

#include "resty_ffi.h"

#include "parts.h"
#include "thread.h"


typedef struct {
    runtime_t  *runtime;
    void       *task;
    call_t     *call;
} current_t;


static _Thread_local current_t  current;


call_t *
call_new(PyTypeObject *type, runtime_t *runtime, void *task)
{
    call_t  *call;

    call = (call_t *) type->tp_alloc(type, 0);
    if (call == NULL) {
        return NULL;
    }

    Py_INCREF(runtime);
    call->runtime = runtime;
    call->task = task;

    return call;
}


void
call_enter(runtime_t *runtime, void *task, call_t *call)
{
    current.runtime = runtime;
    current.task = task;
    current.call = call;
}


call_t *
call_leave(void)
{
    current.runtime = NULL;
    return current.call;
}


PyObject *
call_end(call_t *call)
{
    PyObject  *callbacks;

    callbacks = call->callbacks;
    call->callbacks = NULL;
    call->answered = 1;

    return callbacks;
}


static void
tell_unsent(call_t *call)
{
    PyObject  *callbacks;

    callbacks = call->callbacks;

    if (callbacks) {
        call->callbacks = NULL;
        reply_unsent(call->runtime->replies, callbacks);
    }
}


static int
send_now(call_t *call, PyObject *part)
{
    int  rc;

    rc = parts_send_now(call->runtime, call->task, part, &call->callbacks);

    if (rc != 0 && rc != EAGAIN) {
        tell_unsent(call);
    }

    return rc;
}


int
call_send(PyObject *part)
{
    PyObject  *none = NULL;

    if (current.call) {
        return send_now(current.call, part);
    }

    return parts_send_now(current.runtime, current.task, part, &none);
}


void
call_unsent(void)
{
    if (current.call) {
        tell_unsent(current.call);
    }
}


void *
call_task(void)
{
    return current.runtime ? current.task : NULL;
}


PyObject *
call_current(PyObject *module, PyObject *unused)
{
    (void) module;
    (void) unused;

    if (current.runtime == NULL) {
        Py_RETURN_NONE;
    }

    if (current.call == NULL) {
        current.call = call_new(current.runtime->call_type, current.runtime,
                                current.task);
        if (current.call == NULL) {
            return NULL;
        }
    }

    Py_INCREF(current.call);

    return (PyObject *) current.call;
}


static int
call_traverse(call_t *self, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(self));
    Py_VISIT(self->runtime);
    Py_VISIT(self->callbacks);
    return 0;
}


static int
call_clear(call_t *self)
{
    Py_CLEAR(self->runtime);
    Py_CLEAR(self->callbacks);
    return 0;
}


static void
call_dealloc(call_t *self)
{
    PyTypeObject  *type = Py_TYPE(self);

    PyObject_GC_UnTrack(self);
    (void) call_clear(self);
    type->tp_free(self);
    Py_DECREF(type);
}


int
call_check(PyObject *object)
{
    return Py_TYPE(object)->tp_dealloc == (destructor) call_dealloc;
}


static PyObject *
get_method(call_t *self, void *closure)
{
    int          len;
    const char  *name;

    (void) closure;

    name = resty_ffi_method(self->task, &len);

    return PyUnicode_DecodeUTF8(name ? name : "", len, "surrogateescape");
}


static PyObject *
get_number(call_t *self, void *closure)
{
    (void) closure;

    return PyLong_FromVoidPtr(self->task);
}


static PyObject *
get_deadline(call_t *self, void *closure)
{
    int64_t  ms;

    (void) closure;

    ms = resty_ffi_deadline(self->task);
    if (ms == 0) {
        Py_RETURN_NONE;
    }

    return PyFloat_FromDouble((double) ms / 1000);
}


static PyObject *
get_trace(call_t *self, void *closure)
{
    int          len;
    const char  *trace;

    (void) closure;

    trace = resty_ffi_trace(self->task, &len);
    if (trace == NULL) {
        Py_RETURN_NONE;
    }

    return PyUnicode_DecodeLatin1(trace, len, NULL);
}


static PyObject *
get_cancelled(call_t *self, void *closure)
{
    (void) closure;

    return PyBool_FromLong(resty_ffi_cancelled(self->task));
}


/* a copy of the running context in which no call runs */
static PyObject *
copy_context(PyObject *call_var)
{
    PyObject  *context, *token;

    context = PyContext_CopyCurrent();

    if (context == NULL || PyContext_Enter(context) == -1) {
        Py_XDECREF(context);
        return NULL;
    }

    token = PyContextVar_Set(call_var, Py_None);

    if (PyContext_Exit(context) == -1 || token == NULL) {
        Py_CLEAR(context);
    }

    Py_XDECREF(token);

    return context;
}


static PyObject *
on_delivered(call_t *self, PyObject *callback)
{
    int        rc;
    PyObject  *context, *pair;

    if (!PyCallable_Check(callback)) {
        return PyErr_Format(PyExc_TypeError, "callback must be callable, "
                            "not %.100s", Py_TYPE(callback)->tp_name);
    }

    if (self->answered) {
        PyErr_SetString(PyExc_RuntimeError, "the call has been answered");
        return NULL;
    }

    if (self->callbacks == NULL) {
        self->callbacks = PyList_New(0);
        if (self->callbacks == NULL) {
            return NULL;
        }
    }

    context = copy_context(self->runtime->call_var);
    pair = context ? PyTuple_Pack(2, callback, context) : NULL;
    rc = pair ? PyList_Append(self->callbacks, pair) : -1;

    Py_XDECREF(context);
    Py_XDECREF(pair);

    if (rc == -1) {
        return NULL;
    }

    Py_RETURN_NONE;
}


/*
 * No call runs here, until current is set to what this returns: who waits for
 * its caller collects replies, and their callbacks are no part of its call.
 */
static current_t
suspend(void)
{
    current_t  running;

    running = current;
    current.runtime = NULL;
    current.call = NULL;

    return running;
}


static int
may_send(const call_t *self)
{
    thread_end_child();

    if (self->answered) {
        PyErr_SetString(PyExc_RuntimeError, "the call has been answered");
        return -1;
    }

    return 0;
}


static PyObject *
send_part(call_t *self, PyObject *part)
{
    int        rc;
    current_t  running;

    if (may_send(self) == -1) {
        return NULL;
    }

    running = suspend();
    rc = parts_send(self->runtime, self->task, part, &self->callbacks);
    current = running;

    if (rc == -1) {
        tell_unsent(self);
        return NULL;
    }

    Py_RETURN_NONE;
}


int
call_try_to_send(call_t *call, PyObject *part)
{
    return may_send(call) == -1 ? -1 : send_now(call, part);
}


static PyObject *
try_to_send(call_t *self, PyObject *part)
{
    int  rc;

    rc = call_try_to_send(self, part);

    return rc == -1 ? NULL : PyLong_FromLong(rc);
}


static PyObject *
unsent(call_t *self, PyObject *unused)
{
    (void) unused;

    tell_unsent(self);

    Py_RETURN_NONE;
}


static PyObject *
first(call_t *self, PyObject *unused)
{
    (void) unused;

    return parts_first(self->task);
}


static PyObject *
read_now(call_t *self, PyObject *unused)
{
    (void) unused;

    return parts_read_now(self->task);
}


static PyObject *
read_next(call_t *self, PyObject *unused)
{
    PyObject   *part;
    current_t   running;

    (void) unused;

    running = suspend();
    part = parts_read(self->runtime, self->task);
    current = running;

    return part;
}


void
call_answer(call_t *call, PyObject *value)
{
    PyObject  *callbacks;

    thread_end_child();

    callbacks = call_end(call);
    runtime_answer(call->runtime, call->task, value, callbacks);
    Py_XDECREF(callbacks);
}


static PyObject *
answer(call_t *self, PyObject *value)
{
    call_answer(self, value);

    Py_RETURN_NONE;
}


static PyObject *
fail(call_t *self, PyObject *exception)
{
    PyObject  *callbacks;

    thread_end_child();

    if (!PyExceptionInstance_Check(exception)) {
        PyErr_SetString(PyExc_TypeError, "not an exception");
        return NULL;
    }

    callbacks = call_end(self);
    runtime_fail(self->runtime, self->task, exception, callbacks);
    Py_XDECREF(callbacks);

    Py_RETURN_NONE;
}


static PyGetSetDef  getset[] = {
    { "method", (getter) get_method, NULL,
      "The Lua method's name; \"\" for rt(req).", NULL },
    { "deadline", (getter) get_deadline, NULL,
      "When the caller stops waiting, in time.monotonic() seconds, or None.",
      NULL },
    { "cancelled", (getter) get_cancelled, NULL,
      "Whether nobody waits for the answer any more.", NULL },
    { "trace", (getter) get_trace, NULL,
      "The traceparent that came with it, or None.", NULL },
    { "_number", (getter) get_number, NULL, "The task's handle.", NULL },
    { NULL, NULL, NULL, NULL, NULL }
};


static PyMethodDef  methods[] = {
    { "on_delivered", (PyCFunction) on_delivered, METH_O,
      "on_delivered(callback, /) -> None\n\nHave callback(delivered: bool) "
      "called once the fate of the next part, or the answer, is known." },
    { "send", (PyCFunction) send_part, METH_O,
      "send(part, /) -> None\n\nSend a part of the answer; waits until the "
      "caller wants it." },
    { "_send", (PyCFunction) try_to_send, METH_O,
      "Send a part: 0, or the number of the error for which it was not." },
    { "_unsent", (PyCFunction) unsent, METH_NOARGS,
      "A part will not be sent: tell the callbacks that it was to go with." },
    { "_first", (PyCFunction) first, METH_NOARGS,
      "What of the request has come with the call." },
    { "_read_now", (PyCFunction) read_now, METH_NOARGS,
      "The next part of the request, b\"\" at the end, None: not yet." },
    { "_read", (PyCFunction) read_next, METH_NOARGS,
      "The same; waits for it." },
    { "_answer", (PyCFunction) answer, METH_O,
      "Answer with what the handler returned." },
    { "_fail", (PyCFunction) fail, METH_O,
      "Answer with what the handler raised." },
    { NULL, NULL, 0, NULL }
};


static PyType_Slot  slots[] = {
    { Py_tp_dealloc, call_dealloc },
    { Py_tp_traverse, call_traverse },
    { Py_tp_clear, call_clear },
    { Py_tp_getset, getset },
    { Py_tp_methods, methods },
    { 0, NULL }
};


static PyType_Spec  spec = {
    .name = "_resty_ffi.Call",
    .basicsize = sizeof(call_t),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC
             | Py_TPFLAGS_DISALLOW_INSTANTIATION,
    .slots = slots,
};


PyObject *
call_type_new(void)
{
    return PyType_FromSpec(&spec);
}
